from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.training import model as model_lib
from tests import conftest

SEED = tf.constant([5, 6])


@pytest.fixture(scope="module")
def model(tiny_config):
  return model_lib.BLS2017Model(tiny_config, seed=3)


@pytest.fixture(scope="module")
def x():
  rows = [conftest.synthetic_photograph(i, 48, 32) for i in range(6)]
  return tf.constant(np.stack(rows).reshape(3, 2, 48, 32, 3), tf.float32)


def test_rates_and_distortions_are_averages_of_each_levels_patches(model, x):
  together = model.rate_distortion(x)
  alone = [model.rate_distortion(x[i : i + 1]) for i in range(3)]
  for field in ("loss", "bpp", "mse", "distortion"):
    values = [getattr(rd, field) for rd in alone]
    np.testing.assert_allclose(
      getattr(together, field), np.mean(values, axis=0), rtol=1e-3
    )


def test_without_a_proxy_latents_and_pixels_are_rounded(model, x):
  rd = model.rate_distortion(x)
  gain, inverse_gain = model.gains()
  for k in range(2):
    y = tf.round(model.analysis(x[:, k]) * gain[k])
    rows = tf.stack([y, y], axis=-2)
    bits = model.prior.bits(rows, rows)[..., k, :]
    assert float(rd.bpp[k]) == pytest.approx(
      float(tf.reduce_sum(bits)) / (3 * 48 * 32), rel=1e-4
    )
    x_hat = model.synthesis(y * inverse_gain[k])
    x_hat = tf.clip_by_value(tf.round(x_hat), 0, 255)
    np.testing.assert_allclose(rd.x_hat[:, k], x_hat, atol=1)


def test_the_mixed_proxy_has_the_rate_of_noise_and_rounds_for_the_decoder(
  model, x
):
  noise, mixed = (model.rate_distortion(x, p, SEED) for p in ("noise", "mixed"))
  rounded = model.rate_distortion(x)
  np.testing.assert_array_equal(mixed.bpp, noise.bpp)
  as_pixels = np.clip(np.rint(mixed.x_hat), 0, 255)
  np.testing.assert_allclose(as_pixels, rounded.x_hat, atol=1)
  assert not np.allclose(mixed.x_hat, noise.x_hat)


def test_the_loss_is_rate_plus_lambda_times_distortion(model, x):
  rd = model.rate_distortion(x, "noise", SEED)
  np.testing.assert_allclose(rd.distortion, rd.mse)
  np.testing.assert_allclose(
    rd.loss, rd.bpp + np.array([0.01, 0.1]) * rd.mse, rtol=1e-6
  )


@pytest.mark.parametrize("proxy", ["noise", "mixed"])
def test_every_variable_has_a_gradient_and_belongs_to_one_optimizer(
  model, x, proxy
):
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(model.rate_distortion(x, proxy, SEED).loss)
  variables = model.transform_variables() + model.prior_variables()
  assert sorted(map(id, variables)) == sorted(
    map(id, model.trainable_variables)
  )
  assert None not in tape.gradient(loss, variables)


def test_one_lambda_gives_the_plain_model():
  model = model_lib.BLS2017Model(config.ModelConfig(8, 8, (0.05,)))
  np.testing.assert_array_equal(model.gains(), np.ones((2, 1, 8)))
  x = conftest.synthetic_photograph(0, 32, 32).astype("f4")
  rd = model.rate_distortion(tf.constant(x[None, None]))
  plain = model.synthesis(tf.round(model.analysis(x[None])))
  np.testing.assert_allclose(
    rd.x_hat[0], np.clip(np.rint(plain), 0, 255), atol=1
  )


@pytest.mark.parametrize("prior", config.PRIORS)
def test_arrays_carry_a_model_over(prior, tiny_config, x):
  shape = dataclasses.replace(tiny_config, prior=prior)
  one, other = (model_lib.BLS2017Model(shape, seed=s) for s in (1, 2))
  rng = np.random.default_rng(0)
  for v in one.trainable_variables:
    v.assign_add(0.01 * rng.normal(size=v.shape).astype("f4"))
  other.set_arrays(one.get_arrays())
  a, b = one.rate_distortion(x), other.rate_distortion(x)
  np.testing.assert_allclose(a.bpp, b.bpp, rtol=1e-4)
  np.testing.assert_allclose(a.mse, b.mse, rtol=1e-4)


def test_unsound_arrays_are_refused_and_change_nothing(model):
  before = model.get_arrays()
  name = "synthesis/1/kernel"
  changed = {k: v + 1 for k, v in before.items()}
  for wrong, message in (
    ({k: v for k, v in changed.items() if k != name}, "lack"),
    ({**changed, name: changed[name][:2]}, "shape"),
    ({**changed, name: changed[name] * np.nan}, "not finite"),
    ({**changed, "gain": 0 * changed["gain"]}, "not positive"),
  ):
    with pytest.raises(errors.ModelError, match=message):
      model.set_arrays(wrong)
  for key, value in model.get_arrays().items():
    np.testing.assert_array_equal(value, before[key])
