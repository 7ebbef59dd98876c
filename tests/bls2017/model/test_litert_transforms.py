"""LiteRT gives what TensorFlow does, however an image is cut."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.common import config
from bls2017.model import (
  litert_graphs,
  litert_transforms,
  model_directory,
  runtimes,
  strips,
)
from bls2017.training import model as model_lib
from tests import images, laws

NUM_LATENTS = 24
WHOLE = 10**6


@pytest.fixture(scope="module")
def weights():
  model_config = config.ModelConfig(num_filters=16, num_latents=NUM_LATENTS)
  return model_lib.BLS2017Model(model_config, seed=3).get_arrays()


@pytest.fixture(scope="module")
def transforms(weights):
  graphs = litert_graphs.convert(weights, NUM_LATENTS)
  return litert_transforms.LiteRtTransforms(graphs, NUM_LATENTS)


@pytest.fixture(scope="module")
def packaged():
  """LiteRT's and TensorFlow's transforms of the package's model."""
  model = model_directory.load()
  num_latents = model.config.num_latents
  weights = model.pairs[-1].weights
  graphs = litert_graphs.convert(weights, num_latents)
  return (
    litert_transforms.LiteRtTransforms(graphs, num_latents),
    strips.Transforms(weights, num_latents),
  )


def _in_windows(positions, function, *arguments):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(litert_transforms, "WINDOW_POSITIONS", positions)
    return function(*arguments)


def _image(transforms, y, height, width):
  return runtimes.image(
    transforms, lambda first, end: y[first:end], height, width
  )


@laws.examples(25)
@given(
  height=st.integers(1, 300),
  width=st.integers(1, 300),
  positions=st.integers(25, 80),
)
def test_windows_do_not_show(transforms, height, width, positions):
  x = images.photograph(height, width)
  whole = _in_windows(WHOLE, transforms.latents, x)
  y = _in_windows(positions, transforms.latents, x)
  np.testing.assert_allclose(y, whole, atol=1e-5)
  expected = _in_windows(WHOLE, _image, transforms, y, height, width)
  pixels = _in_windows(positions, _image, transforms, y, height, width)
  np.testing.assert_allclose(pixels, expected, atol=1)
  assert np.count_nonzero(pixels != expected) <= pixels.size / 1000
  assert pixels.shape == x.shape and pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1), (16, 33), (176, 240)])
def test_the_packaged_model_decodes_as_in_tensorflow(packaged, size):
  litert, tensorflow = packaged
  x = images.photograph(*size)
  y = tensorflow.latents(x)
  np.testing.assert_allclose(litert.latents(x), y, atol=0.01)
  pixels, expected = (_image(t, y, *size) for t in packaged)
  np.testing.assert_allclose(pixels, expected.astype(int), atol=1)


def test_weights_have_16_bits_where_that_is_near_enough(monkeypatch, weights):
  model = model_directory.load()
  packaged = model.pairs[0].weights
  size = sum(packaged[k].size for k in packaged)
  half = litert_graphs.convert(packaged, model.config.num_latents)
  assert sum(map(len, half.values())) < 2.2 * size
  monkeypatch.setattr(litert_graphs, "MAX_DECIBELS", -1)
  full = litert_graphs.convert(weights, NUM_LATENTS)
  size = sum(v.size for k, v in weights.items() if "synthesis" in k)
  assert len(full[litert_transforms.SYNTHESIS]) > 4 * size


def test_latents_are_asked_for_once_from_top_to_bottom(transforms):
  asked = []

  def latents(first, end):
    asked.append((first, end))
    return np.zeros((end - first, 5, NUM_LATENTS), np.float32)

  _in_windows(40, runtimes.image, transforms, latents, 400, 80)
  assert len(asked) > 2
  assert [first for first, _ in asked] == [0, *(end for _, end in asked[:-1])]
  assert asked[-1][1] == 25


def test_threads_share_transforms(transforms):
  sizes = [(16 * n, 200 - 16 * n) for n in range(1, 10)] * 3
  pictures = [images.photograph(*size) for size in sizes]
  with concurrent.futures.ThreadPoolExecutor(4) as threads:
    latents = list(threads.map(transforms.latents, pictures))
  for x, y in zip(pictures, latents):
    np.testing.assert_allclose(y, transforms.latents(x), atol=1e-5)


def test_a_process_says_nothing_and_imports_no_tensorflow(tmp_path, weights):
  graphs = litert_graphs.convert(weights, NUM_LATENTS)
  for name, graph in graphs.items():
    (tmp_path / name).write_bytes(graph)
  script = f"""
import pathlib, sys
sys.modules["tensorflow"] = None
import numpy as np
from bls2017.model import litert_transforms, model_directory
graphs = {{
  name: (pathlib.Path({str(tmp_path)!r}) / name).read_bytes()
  for name in model_directory.GRAPHS
}}
transforms = litert_transforms.LiteRtTransforms(graphs, {NUM_LATENTS})
y = transforms.latents(np.zeros((40, 50, 3), np.uint8))
list(transforms.bands(lambda first, end: y[first:end], 40, 50))
print("stays", file=sys.stderr)
"""
  process = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=True
  )
  assert (process.stdout, process.stderr) == ("", "stays\n")
