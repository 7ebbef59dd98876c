"""Densities integrate to one, cost what their cumulative says, and learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from bls2017.common import config
from bls2017.training import priors

LEVELS, CHANNELS = 2, 3


def _prior(kind):
  """A prior whose densities are no longer alike, and no longer symmetric."""
  prior = priors.make_prior(kind, LEVELS, CHANNELS)
  scale = np.linspace(0.5, 6, LEVELS * CHANNELS).reshape(LEVELS, CHANNELS)
  prior.set_scale(scale)
  rng = np.random.default_rng(2)
  spread = 0.5 if kind == "activities" else 0.1
  for v in prior.trainable_variables:
    v.assign_add(spread * rng.normal(size=v.shape).astype("f4"))
  return prior


@pytest.fixture(params=["deep_factorized", "piecewise_linear"])
def prior(request):
  """A prior that gives each latent a density of its own."""
  return _prior(request.param)


def _everywhere(y):
  return tf.constant(
    np.broadcast_to(y[:, None, None], (len(y), LEVELS, CHANNELS)), tf.float32
  )


def _mass(prior, y):
  """2 ** -bits at the same y everywhere: float64 [n, levels, channels]."""
  return 2.0 ** -prior.bits(_everywhere(y), _everywhere(y)).numpy()


def test_the_blurred_density_integrates_to_one(prior):
  density = _mass(prior, np.arange(-300, 300, 0.05))
  np.testing.assert_allclose(0.05 * density.sum(0), 1, atol=2e-3)


def test_the_cumulative_gives_the_masses_that_are_trained(prior):
  # This is what makes coding tables cost the bits that training counted.
  y = np.arange(-200.0, 201.0)
  cumulative = prior.cumulative()
  upper, upper_rest = cumulative(_everywhere(y + 0.5))
  lower, lower_rest = cumulative(_everywhere(y - 0.5))
  mass = _mass(prior, y)
  # Up to what a density that is free at its knots can miss before training.
  np.testing.assert_allclose(mass.sum(0), 1, atol=0.15)
  mass /= mass.sum(0)
  np.testing.assert_allclose(upper - lower, mass, atol=3e-3)
  np.testing.assert_allclose(lower_rest - upper_rest, mass, atol=3e-3)


@pytest.mark.parametrize("kind", config.PRIORS)
def test_the_cumulative_rises_from_zero_to_one(kind):
  cumulative = _prior(kind).cumulative()
  for offset in (0.0, 0.2, 0.5):
    below, above = cumulative(_everywhere(np.arange(-200, 201) + offset))
    assert np.all(np.diff(below, axis=0) >= -1e-6)
    assert np.all(np.diff(above, axis=0) <= 1e-6)
    np.testing.assert_allclose(below + above, 1, atol=2e-3)
    assert np.all(below[0] < 1e-3) and np.all(above[-1] < 1e-3)


def test_set_scale_sets_the_standard_deviation(prior):
  scale = np.array([[0.5, 2, 8], [1, 4, 16]])
  prior.set_scale(scale)
  y = np.arange(-250, 250, 0.1)
  variance = 0.1 * np.sum(y[:, None, None] ** 2 * _mass(prior, y), axis=0)
  # The blur adds the variance of the noise.
  np.testing.assert_allclose(variance, scale**2 + 1 / 12, rtol=0.25, atol=0.1)


def test_gradient_descent_fits_any_density(prior):
  # Bimodal and off centre; the entropy of the blurred density is the bound.
  rng = np.random.default_rng(5)
  shape = (256, LEVELS, CHANNELS)
  y = rng.choice([-3.0, 4.0], shape, p=[0.3, 0.7])
  y = tf.constant(y + rng.uniform(-0.5, 0.5, shape), tf.float32)
  optimizer = tf.keras.optimizers.Adam(0.1)

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      bits = tf.reduce_mean(prior.bits(y, y))
    variables = prior.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(bits, variables), variables))
    return bits

  for _ in range(200):
    bits = float(step())
  bound = -0.3 * math.log2(0.3) - 0.7 * math.log2(0.7)
  assert bound - 0.1 < bits < 2 * bound


@pytest.mark.parametrize("kind", config.PRIORS)
def test_far_latents_cost_much_but_finitely(kind):
  y = _everywhere(np.array([-60.0, 0, 60.0]))
  bits = _prior(kind).bits(y, y).numpy()
  assert np.all(np.isfinite(bits))
  assert np.all(bits[[0, 2]] > bits[1])


def test_the_piecewise_linear_density_is_linear_between_its_knots():
  prior = _prior("piecewise_linear")
  j = np.arange(-20, 20)
  left, right = np.sinh(j / 10), np.sinh((j + 1) / 10)
  p_left, p_mid, p_right = (
    _mass(prior, y) for y in (left, (left + right) / 2, right)
  )
  np.testing.assert_allclose(p_mid, (p_left + p_right) / 2, rtol=1e-3)


def _joint_bits(prior, y):
  """Bits of positions with each activity, its own included.

  float [n, levels, channels] to float64 [n, levels, K].
  """
  y = y.astype(np.float64)[:, :, None, :] - prior.mean.numpy()[:, None, :]
  slope = np.exp(prior.log_slope.numpy().astype(np.float64))
  below = -np.abs(y)  # The lower side, which loses no precision.
  # Written so that what is far out neither overflows nor vanishes.
  upper, lower = (below + 0.5) * slope, (below - 0.5) * slope
  log_mass = -np.logaddexp(0, -upper) - np.logaddexp(0, lower)
  log_mass += np.log(-np.expm1(lower - upper))
  logits = prior.logits.numpy().astype(np.float64)
  share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  return -log_mass.sum(-1) / math.log(2) - np.log2(share)


def test_rounded_latents_choose_an_activity_and_noisy_ones_pay():
  prior = _prior("activities")
  assert isinstance(prior, priors.ActivityPrior)
  rng = np.random.default_rng(9)
  y_hat = rng.integers(-6, 7, (200, LEVELS, CHANNELS)).astype("f4")
  y_tilde = y_hat + rng.uniform(-0.5, 0.5, y_hat.shape).astype("f4")
  bits = prior.bits(tf.constant(y_tilde), tf.constant(y_hat)).numpy()
  chosen = _joint_bits(prior, y_hat).argmin(-1)
  assert len(np.unique(chosen)) > 3
  paid = np.take_along_axis(_joint_bits(prior, y_tilde), chosen[..., None], -1)
  np.testing.assert_allclose(bits.sum(-1), paid[..., 0], rtol=1e-3)


def test_the_cumulative_of_activities_is_their_mixture():
  prior = priors.ActivityPrior(1, 1)
  prior.set_scale(np.array([[3.0]]))
  k = tf.constant(np.arange(-300.0, 301.0)[:, None, None], tf.float32)
  cumulative = prior.cumulative()
  mass = (cumulative(k + 0.5)[0] - cumulative(k - 0.5)[0]).numpy().ravel()
  joint = _joint_bits(prior, k.numpy())
  np.testing.assert_allclose(mass, (2.0**-joint).sum(-1).ravel(), atol=1e-5)
