from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import config, priors

LEVELS, CHANNELS = 2, 3


def _trained(kind: str, steps: int = 0) -> priors.Prior:
  """A prior whose densities are no longer alike, and no longer symmetric."""
  tf.random.set_seed(1)
  prior = priors.make_prior(kind, LEVELS, CHANNELS)
  scale = np.linspace(0.5, 6, LEVELS * CHANNELS).reshape(LEVELS, CHANNELS)
  prior.set_scale(scale)
  rng = np.random.default_rng(2)
  for v in prior.trainable_variables:
    v.assign_add(0.1 * rng.normal(size=v.shape).astype("f4"))
  return prior


@pytest.fixture(params=config.PRIORS)
def prior(request: pytest.FixtureRequest) -> priors.Prior:
  return _trained(request.param)


def _everywhere(y: np.ndarray) -> tf.Tensor:
  return tf.constant(
    np.broadcast_to(y[:, None, None], (len(y), LEVELS, CHANNELS)), tf.float32
  )


def test_the_blurred_density_integrates_to_one(prior: priors.Prior) -> None:
  y = np.arange(-300, 300, 0.05)
  density = 2.0 ** -prior.bits(_everywhere(y)).numpy()
  np.testing.assert_allclose(0.05 * density.sum(0), 1, atol=2e-3)


def test_the_masses_of_rounded_latents_sum_to_one(prior: priors.Prior) -> None:
  # Up to what a density that is free at its knots can miss before training.
  for offset in (0.0, 0.3):
    y = _everywhere(np.arange(-300, 300) + offset)
    mass = 2.0 ** -prior.bits(y).numpy()
    np.testing.assert_allclose(mass.sum(0), 1, atol=0.15)


def test_the_cumulative_gives_the_masses_that_are_trained(
  prior: priors.Prior,
) -> None:
  # This is what makes coding tables cost the bits that training counted.
  y = np.arange(-200.0, 201.0)
  cumulative = prior.cumulative()
  upper, upper_rest = cumulative(_everywhere(y + 0.5))
  lower, lower_rest = cumulative(_everywhere(y - 0.5))
  mass = 2.0 ** -prior.bits(_everywhere(y)).numpy()
  mass /= mass.sum(0)
  np.testing.assert_allclose(upper - lower, mass, atol=3e-3)
  np.testing.assert_allclose(lower_rest - upper_rest, mass, atol=3e-3)


def test_the_cumulative_rises_from_zero_to_one(prior: priors.Prior) -> None:
  for offset in (0.0, 0.2, 0.5):
    y = _everywhere(np.arange(-200, 201) + offset)
    below, above = prior.cumulative()(y)
    assert np.all(np.diff(below, axis=0) >= -1e-6)
    assert np.all(np.diff(above, axis=0) <= 1e-6)
    np.testing.assert_allclose(below + above, 1, atol=2e-3)
    assert np.all(below[0] < 1e-3) and np.all(above[-1] < 1e-3)


def test_set_scale_sets_the_standard_deviation(prior: priors.Prior) -> None:
  scale = np.array([[0.5, 2, 8], [1, 4, 16]])
  prior.set_scale(scale)
  y = np.arange(-250, 250, 0.1)
  density = 2.0 ** -prior.bits(_everywhere(y)).numpy()
  variance = 0.1 * np.sum(y[:, None, None] ** 2 * density, axis=0)
  # The blur adds the variance of the noise.
  np.testing.assert_allclose(variance, scale**2 + 1 / 12, rtol=0.25, atol=0.1)


def test_a_matching_scale_costs_no_more_than_another(
  prior: priors.Prior,
) -> None:
  rng = np.random.default_rng(4)
  y = rng.logistic(size=(4000, LEVELS, CHANNELS)).astype("f4")
  y = 3 * y * math.sqrt(3) / math.pi + rng.uniform(-0.5, 0.5, y.shape)
  cost = []
  for scale in (1.5, 3, 6):
    prior.set_scale(np.full((LEVELS, CHANNELS), scale))
    cost.append(float(tf.reduce_mean(prior.bits(tf.constant(y, tf.float32)))))
  assert cost[1] == min(cost)


def test_gradient_descent_fits_any_density(prior: priors.Prior) -> None:
  # Bimodal and off centre; the entropy of the blurred density is the bound.
  rng = np.random.default_rng(5)
  shape = (512, LEVELS, CHANNELS)
  y = rng.choice([-3.0, 4.0], shape, p=[0.3, 0.7]) + rng.uniform(
    -0.5, 0.5, shape
  )
  optimizer = tf.keras.optimizers.Adam(0.05)
  y = tf.constant(y, tf.float32)

  @tf.function
  def step() -> tf.Tensor:
    with tf.GradientTape() as tape:
      bits = tf.reduce_mean(prior.bits(y))
    variables = prior.trainable_variables
    gradients = tape.gradient(bits, variables)
    optimizer.apply_gradients(zip(gradients, variables))
    return bits

  before = float(step())
  for _ in range(300):
    after = float(step())
  bound = -0.3 * math.log2(0.3) - 0.7 * math.log2(0.7)
  assert bound - 0.05 < after < min(0.6 * before, 2 * bound)


def test_deep_factorized_bits_are_those_of_tfc() -> None:
  prior = _trained("deep_factorized")
  y = tf.random.stateless_normal((50, LEVELS, CHANNELS), (1, 2), stddev=8)
  variables = prior.trainable_variables
  with tf.GradientTape(persistent=True) as tape:
    ours = prior.bits(y)
    theirs = prior._density.log_prob(y) / -math.log(2)
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
  for a, b in zip(
    tape.gradient(ours, variables), tape.gradient(theirs, variables)
  ):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", config.PRIORS)
def test_far_latents_cost_much_but_finitely(kind: str) -> None:
  prior = _trained(kind)
  bits = prior.bits(_everywhere(np.array([-60.0, 0, 60.0]))).numpy()
  assert np.all(np.isfinite(bits))
  assert np.all(bits[[0, 2]] > bits[1])


def test_piecewise_linear_density_is_linear_between_its_knots() -> None:
  prior = _trained("piecewise_linear")
  j = np.arange(-20, 20)
  left, right = np.sinh(j / 10), np.sinh((j + 1) / 10)
  p_left, p_mid, p_right = (
    2.0 ** -prior.bits(_everywhere(y)).numpy()
    for y in (left, (left + right) / 2, right)
  )
  np.testing.assert_allclose(p_mid, (p_left + p_right) / 2, rtol=1e-3)
