from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from bls2017.common import config
from bls2017.training import priors

LEVELS, CHANNELS = 2, 3

DENSITIES = ("deep_factorized", "piecewise_linear")
"""The priors that give each latent a density of its own."""


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


@pytest.fixture(params=DENSITIES)
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


def _activity_prior() -> priors.ActivityPrior:
  """Like `_trained`; its activities differ from channel to channel."""
  prior = _trained("activities")
  assert isinstance(prior, priors.ActivityPrior)
  rng = np.random.default_rng(6)
  prior.log_slope.assign_add(0.5 * rng.normal(size=prior.log_slope.shape))
  prior.logits.assign_add(rng.normal(size=prior.logits.shape))
  return prior


def _joint_bits(prior: priors.ActivityPrior, y: np.ndarray) -> np.ndarray:
  """What positions cost with each activity, its own bits included.

  Args:
    prior: The prior.
    y: float [n, levels, channels].

  Returns:
    float64 [n, levels, K].
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


def test_a_position_pays_for_its_cheapest_activity() -> None:
  prior = _activity_prior()
  y = np.random.default_rng(7).integers(-6, 7, (200, LEVELS, CHANNELS))
  bits = prior.bits(tf.constant(y, tf.float32)).numpy().sum(-1)
  joint = _joint_bits(prior, y)
  np.testing.assert_allclose(bits, joint.min(-1), rtol=1e-3)
  chosen = joint.argmin(-1)
  assert len(np.unique(chosen)) > 3


def test_activities_cost_no_less_than_their_mixture() -> None:
  # Naming one is worth it only because it is nearly as cheap, and can be known.
  prior = _activity_prior()
  y = np.random.default_rng(8).normal(0, 4, (300, LEVELS, CHANNELS))
  bits = prior.bits(tf.constant(y, tf.float32), tf.constant(y, tf.float32))
  joint = _joint_bits(prior, y)
  mixture = -np.log2((2.0**-joint).sum(-1))
  total = bits.numpy().sum(-1)
  assert np.all(total > mixture - 1e-3)
  seen = np.rint(y)
  likely = _joint_bits(prior, seen).argmin(-1)[..., None]
  np.testing.assert_allclose(
    total, np.take_along_axis(joint, likely, -1)[..., 0], rtol=1e-3
  )


def test_rounded_latents_choose_and_noisy_ones_pay() -> None:
  prior = _activity_prior()
  rng = np.random.default_rng(9)
  y_hat = rng.integers(-5, 6, (100, LEVELS, CHANNELS)).astype("f4")
  y_tilde = y_hat + rng.uniform(-0.5, 0.5, y_hat.shape).astype("f4")
  bits = prior.bits(tf.constant(y_tilde), tf.constant(y_hat)).numpy()
  chosen = _joint_bits(prior, y_hat).argmin(-1)[..., None]
  paid = np.take_along_axis(_joint_bits(prior, y_tilde), chosen, -1)[..., 0]
  np.testing.assert_allclose(bits.sum(-1), paid, rtol=1e-3)


def test_the_cumulative_of_activities_is_their_mixture() -> None:
  prior = _activity_prior()
  y = np.arange(-400.0, 401.0)
  below, above = (f.numpy() for f in prior.cumulative()(_everywhere(y)))
  assert np.all(np.diff(below, axis=0) >= 0)
  np.testing.assert_allclose(below + above, 1, atol=1e-5)
  one = priors.ActivityPrior(1, 1)
  one.set_scale(np.array([[3.0]]))
  k = tf.constant(np.arange(-300.0, 301.0)[:, None, None], tf.float32)
  cumulative = one.cumulative()
  mass = (cumulative(k + 0.5)[0] - cumulative(k - 0.5)[0]).numpy().ravel()
  joint = _joint_bits(one, k.numpy())
  np.testing.assert_allclose(mass, (2.0**-joint).sum(-1).ravel(), atol=1e-5)


def test_activities_learn_what_smooth_and_busy_places_are() -> None:
  rng = np.random.default_rng(10)
  busy = rng.random((4096, 1, 1)) < 0.3
  y = rng.logistic(size=(4096, LEVELS, 8)) * np.where(busy, 4.0, 0.4)
  y = y.astype("f4")
  y_hat = tf.constant(np.rint(y))
  y_tilde = tf.constant(y + rng.uniform(-0.5, 0.5, y.shape).astype("f4"))
  costs = {}
  for kind in ("deep_factorized", "activities"):
    prior = priors.make_prior(kind, LEVELS, 8)
    prior.set_scale(np.full((LEVELS, 8), float(y.std())))
    optimizer = tf.keras.optimizers.Adam(0.02)

    @tf.function
    def step(
      prior: priors.Prior = prior,
      optimizer: tf.keras.optimizers.Optimizer = optimizer,
    ) -> tf.Tensor:
      with tf.GradientTape() as tape:
        bits = tf.reduce_mean(prior.bits(y_tilde, y_hat))
      variables = prior.trainable_variables
      optimizer.apply_gradients(zip(tape.gradient(bits, variables), variables))
      return bits

    for _ in range(200):
      costs[kind] = float(step())
  assert costs["activities"] < 0.95 * costs["deep_factorized"]
