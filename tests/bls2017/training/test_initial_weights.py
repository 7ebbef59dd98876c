"""Where a run can start from: files, runs, and model directories."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.model import model_directory
from bls2017.training import (
  calibration,
  freezing,
  initial_weights,
  table_building,
  train_loop,
  transform_coder,
)
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from tests import conftest
from tests.bls2017.training.training_worker import Recorder


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
  tiny_model_dir: str, patches: np.ndarray, tmp_path: os.PathLike
) -> None:
  sets = 16
  frozen = calibration.calibrate(
    model_directory.load(tiny_model_dir), patches, sets
  )
  model = model_lib.BLS2017Model(
    dataclasses.replace(frozen.config, prior="activities")
  )
  path = os.path.join(tmp_path, "frozen")
  freezing.save(frozen, path)
  initial_weights.apply(model, path)
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


def _model(*lmbdas: float) -> model_lib.BLS2017Model:
  return model_lib.BLS2017Model(config.ModelConfig(8, 12, lmbdas, "activities"))


def _run(
  model_config: config.ModelConfig,
  photographs: str,
  train_dir: str,
  **changes: object,
) -> None:
  """One step of a run, too short to move much."""
  values = {
    "train_glob": photographs,
    "patch_size": 64,
    "steps": 1,
    "learning_rate": 1e-6,
    "start": "transform_coder",
  }
  settings = TrainConfig(**{**values, **changes})
  train_loop.Trainer(model_config, settings, train_dir).run(Recorder())


@pytest.mark.parametrize("kind", ["model directory", "run", "other prior"])
def test_weights_serve_other_lambdas(
  kind: str,
  tiny_model_dir: str,
  patches: np.ndarray,
  photographs: str,
  tmp_path: os.PathLike,
) -> None:
  path = tiny_model_dir
  if kind != "model directory":
    path = str(tmp_path)
    prior = "activities" if kind == "run" else "deep_factorized"
    _run(config.ModelConfig(8, 12, (0.01, 0.1), prior), photographs, path)
  untrained, model = _model(0.0025, 0.03, 0.4), _model(0.0025, 0.03, 0.4)
  initial_weights.apply(model, path)
  # Finer levels cost more bits and err less, also beyond the trained ones.
  rd, before = (_rate_distortion(m, patches) for m in (model, untrained))
  assert np.all(np.diff(rd.bpp) > 0) and np.all(np.diff(rd.mse) < 0)
  assert np.all(model.lagrangian(rd) < model.lagrangian(before))
  # Gains follow the square root of lambda beyond the trained ones.
  original = _model(0.01, 0.1)
  initial_weights.apply(original, path)
  for new, old, factor in ((0, 0, 0.5), (2, 1, 2.0)):
    np.testing.assert_allclose(
      model.gains()[0][new], factor * original.gains()[0][old], rtol=1e-5
    )


def test_weights_serve_another_distortion(tiny_model_dir: str) -> None:
  # The levels of both distortions that are as far from the usual ones.
  ratio = config.LMBDAS["ms_ssim"][0] / config.LMBDAS["mse"][0]
  original, model = (
    model_lib.BLS2017Model(
      config.ModelConfig(8, 12, lmbdas, "activities", distortion)
    )
    for lmbdas, distortion in (
      ((0.0025, 0.03), "mse"),
      ((0.0025 * ratio, 0.03 * ratio), "ms_ssim"),
    )
  )
  for m in (original, model):
    initial_weights.apply(m, tiny_model_dir)
  found = model.get_arrays()
  for name, array in original.get_arrays().items():
    np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)


def test_sleeping_channels_are_woken_from_the_nearest_level_that_uses_them(
  patches: np.ndarray, photographs: str, tmp_path: os.PathLike
) -> None:
  source = _model(0.01, 0.02, 0.04, 0.16)
  transform_coder.initialise(source, patches, seed=0)
  arrays = source.get_arrays()
  # Channel 3 sleeps at the first two levels, channel 5 at the first three.
  for channel, sleeping in ((3, 2), (5, 3)):
    arrays["gain"][:sleeping, channel] *= 1e-3
    arrays["inverse_gain"][:sleeping, channel] *= 1e-2
  path = os.path.join(tmp_path, "weights.npz")
  np.savez(path, input_offset=np.float32(0.5), **arrays)
  gains = {}
  for reach in (0.0, 1.0):
    model = _model(0.01, 0.02, 0.04, 0.16)
    initial_weights.apply(model, path, reach)
    gains[reach] = np.stack(model.gains())
  np.testing.assert_allclose(gains[0.0][0], arrays["gain"], rtol=1e-5)
  woken = np.argwhere(gains[1.0][0] > 2 * gains[0.0][0]).tolist()
  assert woken == [[0, 3], [0, 5], [1, 3], [1, 5], [2, 5]]
  gain, inverse_gain = gains[1.0]
  assert gain[1, 3] == pytest.approx(gain[2, 3] / np.sqrt(2), rel=1e-4)
  assert gain[2, 5] == pytest.approx(gain[3, 5] / 2, rel=1e-4)
  np.testing.assert_allclose((gain * inverse_gain)[:, [3, 5]], 1, rtol=1e-4)
  # What is used only far above is left asleep where that is not wanted.
  run = os.path.join(tmp_path, "run")
  _run(source.config, photographs, run, initial_weights=path)
  narrow = _model(0.01, 0.02)
  initial_weights.apply(narrow, run, wake_reach=2.0)
  awake = table_building.awake(narrow.gains()[0].numpy())
  assert awake[:, 3].all() and not awake[:, 5].any()


def test_weights_of_another_shape_are_refused(tiny_model_dir: str) -> None:
  model = model_lib.BLS2017Model(
    config.ModelConfig(num_filters=9, num_latents=12, lmbdas=(0.02, 0.1))
  )
  with pytest.raises(errors.ModelError, match="shape"):
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
