"""Strips give the bits of the whole image."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.common import config
from bls2017.model import runtimes, strips
from bls2017.training import model as model_lib
from tests import images, laws

NUM_LATENTS = 24
WHOLE = 10**6


@pytest.fixture(scope="module")
def weights():
  # 16 filters and more: what oneDNN's kernels do for whole vectors.
  model_config = config.ModelConfig(num_filters=16, num_latents=NUM_LATENTS)
  model = model_lib.BLS2017Model(model_config, seed=3)
  return model.get_arrays()


@pytest.fixture(scope="module")
def transforms(weights):
  return strips.Transforms(weights, NUM_LATENTS)


def _in_strips(positions, function, *arguments):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(strips, "STRIP_POSITIONS", positions)
    return function(*arguments)


def _image(transforms, y, height, width):
  return runtimes.image(
    transforms, lambda first, end: y[first:end], height, width
  )


@laws.examples(12)
@given(
  height=st.integers(1, 200),
  width=st.integers(1, 100),
  positions=st.integers(1, 30),
)
def test_strips_do_not_show(transforms, height, width, positions):
  x = images.photograph(height, width)
  whole = _in_strips(WHOLE, transforms.latents, x)
  y = _in_strips(positions, transforms.latents, x)
  np.testing.assert_array_equal(y, whole)
  expected = _in_strips(WHOLE, _image, transforms, y, height, width)
  found = _in_strips(positions, _image, transforms, y, height, width)
  np.testing.assert_array_equal(found, expected)
  assert found.shape == x.shape and found.dtype == np.uint8


def test_a_strip_has_as_many_rows_as_the_image_is_narrow():
  assert strips.num_strips(32, 48) == 1
  assert strips.num_strips(188, 250) == 11
  assert strips.num_strips(16384, 1) == 4
  assert strips.num_strips(5, 4096) == 2
  for height, width in ((32, 48), (188, 250), (16384, 1), (1, 4096), (3, 2000)):
    count = strips.num_strips(tf.constant(height), tf.constant(width))
    assert int(count) == strips.num_strips(height, width)


def test_onednn_is_asked_for_unless_the_user_decided():
  script = "import os, bls2017; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
  for given_value, expected in ((None, "1"), ("0", "0")):
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    if given_value:
      environment["TF_ENABLE_ONEDNN_OPTS"] = given_value
    found = subprocess.run(
      [sys.executable, "-c", script],
      env=environment, capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert found.stdout.strip() == expected
