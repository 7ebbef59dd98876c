"""The frozen transforms equal the trainable ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.common import config
from bls2017.model import frozen_transforms
from bls2017.training import model as model_lib
from tests import laws


@pytest.fixture(scope="module")
def pair():
  model_config = config.ModelConfig(num_filters=5, num_latents=7)
  model = model_lib.BLS2017Model(model_config, seed=3)
  arrays = model.get_arrays()
  rng = np.random.default_rng(4)
  for name, array in arrays.items():
    if name.startswith(("analysis", "synthesis")):
      # Parameters that are all alike would hide a transposition.
      arrays[name] = array + np.abs(rng.normal(0, 0.05, array.shape))
  model.set_arrays(arrays)
  return model, frozen_transforms.FrozenTransforms(model.get_arrays())


@laws.examples(15)
@given(h=st.integers(1, 4), w=st.integers(1, 4), n=st.integers(1, 2))
def test_analysis_equals_the_trainable_one(pair, h, w, n):
  model, frozen = pair
  rng = np.random.default_rng(h * 10 + w)
  x = rng.uniform(0, 255, (n, 16 * h, 16 * w, 3)).astype(np.float32)
  expected = model.analysis(x).numpy()
  np.testing.assert_allclose(frozen.analysis(x), expected, atol=1e-5)


@laws.examples(15)
@given(h=st.integers(1, 4), w=st.integers(1, 4), n=st.integers(1, 2))
def test_synthesis_equals_the_trainable_one(pair, h, w, n):
  model, frozen = pair
  rng = np.random.default_rng(h * 10 + w)
  y = rng.normal(0, 2, (n, h, w, 7)).astype(np.float32)
  expected = model.synthesis(y).numpy()
  scale = np.abs(expected).max()
  np.testing.assert_allclose(frozen.synthesis(y), expected, atol=1e-5 * scale)
