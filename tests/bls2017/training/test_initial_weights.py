"""Where a run can start from: files, runs, and model directories."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.training import calibration, initial_weights, transform_coder
from bls2017.training import model as model_lib
from bls2017.transforms import model_directory
from tests import conftest


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
  rows = [conftest.synthetic_photograph(i, 64, 64) for i in range(8)]
  return np.stack(rows)


def _rate_distortion(
  model: model_lib.BLS2017Model, patches: np.ndarray
) -> model_lib.RateDistortion:
  levels = model.config.num_levels
  return model.rate_distortion(
    tf.constant(np.stack([patches] * levels, 1), tf.float32)
  )


@pytest.mark.parametrize("prior", config.PRIORS)
def test_a_frozen_model_can_be_trained_on(
  prior: str, tiny_model_dir: str, patches: np.ndarray
) -> None:
  frozen = model_directory.load(tiny_model_dir)
  model = model_lib.BLS2017Model(
    dataclasses.replace(frozen.config, prior=prior)
  )
  untrained = _rate_distortion(model, patches)
  initial_weights.apply(model, tiny_model_dir)
  found = _rate_distortion(model, patches)
  original = model_lib.BLS2017Model(frozen.config)
  transform_coder.initialise(original, patches, seed=0)
  original.set_arrays(
    {
      **original.get_arrays(),
      **frozen.weights,
      "gain": frozen.tables.gain[:: config.QUALITY_STEPS],
      "inverse_gain": frozen.tables.inverse_gain[:: config.QUALITY_STEPS],
    }
  )
  expected = _rate_distortion(original, patches)
  np.testing.assert_array_equal(found.mse, expected.mse)
  # The densities are no longer those of training, but of the same widths.
  np.testing.assert_allclose(found.bpp, expected.bpp, rtol=0.15)
  assert np.all(found.mse < untrained.mse)


def test_activities_of_tables_are_those_of_the_prior(
  tiny_model_dir: str, patches: np.ndarray
) -> None:
  sets = 16
  frozen = calibration.calibrate(
    model_directory.load(tiny_model_dir), patches, sets
  )
  model = model_lib.BLS2017Model(
    dataclasses.replace(frozen.config, prior="activities")
  )
  initial_weights._apply_frozen(model, frozen)
  share = tf.nn.softmax(model.prior.logits).numpy()
  slope = np.exp(model.prior.log_slope)
  for level in range(model.config.num_levels):
    tables = frozen.tables.for_quality(level * config.QUALITY_STEPS)
    own = 2.0 ** -tables.activity_lengths[-1]
    np.testing.assert_allclose(share[level], own, rtol=1e-3)
    # A channel whose symbols spread further in one set than in another has the
    # flatter slope there.
    channel = int(np.argmax(tables.maximum - tables.minimum))
    start = tables.starts[channel]
    size = tables.maximum[channel] - tables.minimum[channel] + 1
    lengths = tables.code_lengths[:, start : start + size]
    value = np.arange(size)
    mass = 2.0**-lengths
    centre = (own @ mass @ value) / (own @ mass).sum()
    spread = (mass * (value - centre) ** 2).sum(1)
    order = np.argsort(spread)
    assert slope[level, order[0], channel] > slope[level, order[-1], channel]


def test_weights_of_other_lambdas_are_refused(tiny_model_dir: str) -> None:
  model = model_lib.BLS2017Model(
    config.ModelConfig(num_filters=8, num_latents=12, lmbdas=(0.02, 0.1))
  )
  with pytest.raises(errors.ModelError, match="lambdas"):
    initial_weights.apply(model, tiny_model_dir)


def test_weights_of_an_input_without_offset_give_the_same_model(
  patches: np.ndarray, tmp_path: os.PathLike
) -> None:
  model = model_lib.BLS2017Model(config.ModelConfig(8, 12, (0.01, 0.1)))
  transform_coder.initialise(model, patches, seed=0)
  arrays = model.get_arrays()
  offset = os.path.join(tmp_path, "offset.npz")
  np.savez(offset, input_offset=np.float32(0.5), **arrays)
  # The same function of x / 255, with the offset inside its outer biases.
  kernel = arrays["analysis/0/kernel"]
  arrays["analysis/0/bias"] -= 0.5 * kernel.sum((0, 1, 2))
  arrays["synthesis/2/bias"] += 0.5
  plain = os.path.join(tmp_path, "plain.npz")
  np.savez(plain, **arrays)
  expected = model.get_arrays()
  for path in (offset, plain):
    read = initial_weights.read_file(path)
    for name, value in expected.items():
      np.testing.assert_allclose(read[name], value, atol=1e-6)


def test_unreadable_weights_are_named(tmp_path: os.PathLike) -> None:
  path = os.path.join(tmp_path, "weights.npz")
  with pytest.raises(errors.ModelError, match="weights.npz"):
    initial_weights.read_file(path)
  np.savez(path, gain=np.ones(3))
  with open(path, "r+b") as f:
    f.truncate(100)
  with pytest.raises(errors.ModelError, match="weights.npz"):
    initial_weights.read_file(path)
