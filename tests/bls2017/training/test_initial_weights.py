"""Runs that start from a model directory."""

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
  joining,
  table_building,
  transform_coder,
)
from bls2017.training import model as model_lib
from tests import joined

PATCHES = joined.patches()


def _rate_distortion(model):
  levels = model.config.num_levels
  return model.rate_distortion(
    tf.constant(np.stack([PATCHES] * levels, 1), tf.float32)
  )


def _model(*lmbdas, filters=8, distortion="mse"):
  return model_lib.BLS2017Model(
    config.ModelConfig(filters, 12, lmbdas, "activities", distortion)
  )


@pytest.mark.parametrize("prior", config.PRIORS)
def test_a_frozen_model_can_be_trained_on(prior, tiny_model_dir):
  frozen = model_directory.load(tiny_model_dir)
  model = model_lib.BLS2017Model(
    dataclasses.replace(frozen.config, prior=prior)
  )
  initial_weights.apply(model, tiny_model_dir)
  found = _rate_distortion(model)
  original = model_lib.BLS2017Model(frozen.config)
  transform_coder.initialise(original, PATCHES, seed=0)
  gains = {
    name: getattr(frozen.tables, name)[:: config.QUALITY_STEPS]
    for name in ("gain", "inverse_gain")
  }
  original.set_arrays({**original.get_arrays(), **frozen.weights, **gains})
  expected = _rate_distortion(original)
  np.testing.assert_array_equal(found.mse, expected.mse)
  # The densities are no longer those of training, but of the same widths.
  np.testing.assert_allclose(found.bpp, expected.bpp, rtol=0.15)


def test_activities_of_tables_are_those_of_the_prior(tiny_model_dir, tmp_path):
  frozen = model_directory.load(tiny_model_dir)
  frozen = calibration.calibrate(frozen, PATCHES, 32)
  path = os.path.join(tmp_path, "frozen")
  freezing.save(frozen, path)
  model = _model(*frozen.config.lmbdas)
  initial_weights.apply(model, path)
  # Two of 32 sets become one of 16; from smooth to busy, densities are wider.
  for level, share in enumerate(tf.nn.softmax(model.prior.logits).numpy()):
    tables = frozen.tables.for_quality(level * config.QUALITY_STEPS)
    own = np.sort(2.0 ** -tables.activity_lengths[-1, -1])
    assert own[-1] < share.max() < 1.001 * own[-2:].sum()
  slopes = model.prior.log_slope.numpy().mean(-1)
  assert np.all(slopes[:, 0] > slopes[:, 8]) and np.all(
    slopes[:, 8] > slopes[:, 15]
  )


def test_weights_serve_other_lambdas(tiny_model_dir):
  untrained, model = _model(0.0025, 0.03, 0.4), _model(0.0025, 0.03, 0.4)
  initial_weights.apply(model, tiny_model_dir)
  # Finer levels cost more bits and err less, also beyond the trained ones.
  rd, before = _rate_distortion(model), _rate_distortion(untrained)
  assert np.all(np.diff(rd.bpp) > 0) and np.all(np.diff(rd.mse) < 0)
  assert np.all(rd.loss < before.loss)
  # Gains follow the square root of lambda beyond the trained ones.
  original = _model(0.01, 0.1)
  initial_weights.apply(original, tiny_model_dir)
  for new, old, factor in ((0, 0, 0.5), (2, 1, 2.0)):
    np.testing.assert_allclose(
      model.gains()[0][new], factor * original.gains()[0][old], rtol=1e-5
    )


def test_weights_serve_another_distortion(tiny_model_dir):
  # Levels of both distortions that are as far from the usual ones.
  ratio = config.LMBDAS["ms_ssim"][0] / config.LMBDAS["mse"][0]
  original = _model(0.0025, 0.03)
  model = _model(0.0025 * ratio, 0.03 * ratio, distortion="ms_ssim")
  for m in (original, model):
    initial_weights.apply(m, tiny_model_dir)
  found = model.get_arrays()
  for name, array in original.get_arrays().items():
    np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)


def test_sleeping_channels_are_woken_from_the_nearest_level_that_uses_them(
  tmp_path,
):
  source = _model(0.01, 0.02, 0.04, 0.16)
  transform_coder.initialise(source, PATCHES, seed=0)
  arrays = source.get_arrays()
  # Channel 3 sleeps at the first two levels, channel 5 at the first three.
  for channel, sleeping in ((3, 2), (5, 3)):
    arrays["gain"][:sleeping, channel] *= 1e-3
    arrays["inverse_gain"][:sleeping, channel] *= 1e-2
  source.set_arrays(arrays)
  path = os.path.join(tmp_path, "model")
  freezing.save(freezing.freeze(source, quality_steps=1), path)
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
  # Channels that are used only far above stay asleep where that is not wanted.
  narrow = _model(0.01, 0.02)
  initial_weights.apply(narrow, path, wake_reach=2.0)
  awake = table_building.awake(narrow.gains()[0].numpy())
  assert awake[:, 3].all() and not awake[:, 5].any()


def test_a_run_starts_from_the_pruned_pair_of_its_rates(tmp_path):
  shares = joining.shares([m.config for m in joined.models()])
  source = joining.join(
    [
      freezing.freeze(m, quality_steps=1, share=share)
      for m, share in zip(joined.models(), shares)
    ]
  )
  path = os.path.join(tmp_path, "model")
  freezing.save(source, path)
  model = _model(0.03, 0.08, filters=10)
  initial_weights.apply(model, path)
  kernel = source.pairs[2].weights["synthesis/0/kernel"]
  assert kernel.shape[2] == joined.USED[2] < model.config.num_latents
  np.testing.assert_allclose(
    model.get_arrays()["synthesis/0/kernel"][:, :, : joined.USED[2]],
    kernel,
    atol=1e-6,
  )
  rd = _rate_distortion(model)
  assert np.all(np.diff(rd.mse) < 0) and np.all(np.diff(rd.bpp) > 0)
  untrained = _model(0.03, 0.08, filters=10)
  assert np.all(rd.loss < _rate_distortion(untrained).loss)


def test_a_model_of_another_shape_is_refused(tiny_model_dir):
  with pytest.raises(errors.ModelError, match="shape"):
    initial_weights.apply(_model(0.02, 0.1, filters=9), tiny_model_dir)
