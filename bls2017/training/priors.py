"""Densities of the latents, one for every level and channel.

A prior models the density of a latent that was blurred by additive uniform
noise, p(y~) (paper, section 2 and appendix 6.1). As that density is the mass of
the unit interval around y~, the mass of a rounded latent is its value there:
p(k) = F(k + 1/2) - F(k - 1/2). Training needs p, coding tables need F.
"""

from __future__ import annotations

import abc
import math
from typing import Callable

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

LIKELIHOOD_BOUND = 1e-9
_INITIAL_SCALE = 2.0
_LEAST_SCALE = 0.1

Cumulative = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Prior(tf.Module, metaclass=abc.ABCMeta):
  """One density for each of [levels, channels]."""

  @abc.abstractmethod
  def bits(self, y_tilde: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
    """Information content -log2 p(y~).

    Args:
      y_tilde: float32 [..., levels, channels], noisy or rounded latents.
      y_hat: The rounded ones, from which an encoder chooses an activity.

    Returns:
      float32 of the same shape, in bits.
    """

  @abc.abstractmethod
  def cumulative(self) -> Cumulative:
    """The cumulative F of the latents before noise, with the present weights.

    Returns:
      A function from y, float32 [..., levels, channels], to F(y) and 1 - F(y)
      of that shape. The difference of two values close to 1 would lose the
      upper tail.
    """

  @abc.abstractmethod
  def set_scale(self, scale: np.ndarray) -> None:
    """Starts afresh as bells of these deviations, float [levels, channels]."""

  def set_activities(
    self, mean: np.ndarray, scale: np.ndarray, share: np.ndarray
  ) -> None:
    """Starts from activities that are known; by default from their mixture.

    Args:
      mean: float [levels, channels], means of the latents.
      scale: float [levels, K, channels], their standard deviations, activities
        from smooth to busy.
      share: float [levels, K], how often each activity is chosen.
    """
    del mean
    self.set_scale(np.sqrt(np.einsum("lk,lkc->lc", share, scale**2)))


class DeepFactorizedPrior(Prior):
  """tfc's `NoisyDeepFactorized`: a small monotone network is the cumulative."""

  def __init__(self, num_levels: int, num_latents: int):
    super().__init__(name="prior")
    self._density = tfc.NoisyDeepFactorized(
      batch_shape=(num_levels, num_latents)
    )

  def bits(self, y_tilde: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
    """Bits of each latent."""
    del y_hat
    # This is self._density.log_prob with one evaluation of the network for both
    # ends of the unit interval instead of four: half the time of a gradient.
    # Of logits u and l, s(u) - s(l) = s(u) s(-l) (1 - exp(l - u)).
    ends = tf.stack([y_tilde + 0.5, y_tilde - 0.5])
    upper, lower = tf.unstack(self._density.base._logits_cumulative(ends))
    log_p = (
      tf.math.log_sigmoid(upper)
      + tf.math.log_sigmoid(-lower)
      + tf.math.log(-tf.math.expm1(lower - upper))
    )
    return log_p / -math.log(2)

  def cumulative(self) -> Cumulative:
    """The cumulative of each latent."""
    base = self._density.base
    return lambda y: (base.cdf(y), base.survival_function(y))

  def set_scale(self, scale: np.ndarray) -> None:
    """Sets the deviation of each latent."""
    flat = np.maximum(scale, _LEAST_SCALE).astype("f4").reshape(-1, 1, 1)
    # With zero factors and biases the network is linear: its slope is the
    # product of the matrices. A logistic density of slope s has the standard
    # deviation pi / (s sqrt(3)).
    slope = math.pi / (math.sqrt(3) * flat)
    matrices = self._named("matrix")
    for matrix in matrices:
      gain = slope ** (1 / len(matrices)) / matrix.shape[-1]
      matrix.assign(
        tf.broadcast_to(np.log(np.expm1(gain)).astype("f4"), matrix.shape)
      )
    for i, bias in enumerate(self._named("bias")):
      # The hidden units must differ, or they would learn as one.
      spread = 0.0 if i == len(matrices) - 1 else 0.5
      units = np.linspace(-spread, spread, bias.shape[-2], dtype="f4")
      bias.assign(tf.broadcast_to(units[:, None], bias.shape))
    for factor in self._named("factor"):
      factor.assign(tf.zeros_like(factor))

  def _named(self, kind: str) -> list[tf.Variable]:
    variables = [v for v in self.variables if f"{kind}_" in v.name]
    return sorted(variables, key=lambda v: v.name)


class PiecewiseLinearPrior(Prior):
  """The paper's density: linear between samples that are learned.

  The knots lie at sinh(j / 10): ten to a unit around zero, as in the paper
  (appendix 6.1), and ever fewer further out, up to +-330. The logarithm of the
  density at each knot is trained; outside the knots the density is zero.
  """

  HALF_KNOTS = 65
  RATE = 10.0
  GRID = 8

  def __init__(self, num_levels: int, num_latents: int):
    super().__init__(name="prior")
    j = np.arange(-self.HALF_KNOTS, self.HALF_KNOTS + 1)
    self._knots = np.sinh(j / self.RATE).astype(np.float32)
    self._size = num_levels * num_latents
    self.log_density = tf.Variable(
      tf.zeros((self._size, len(j))), name="log_density"
    )

  def set_scale(self, scale: np.ndarray) -> None:
    """Sets the deviation of each latent."""
    flat = np.maximum(scale, _LEAST_SCALE).astype("f4").reshape(-1, 1)
    width = flat * math.sqrt(3) / math.pi
    # A logistic density blurred by the noise; far out a floor keeps each knot
    # possible. Evaluated on the lower side, which loses no precision.
    below = -np.abs(self._knots[None, :].astype(np.float64))
    upper, lower = (below + 0.5) / width, (below - 0.5) / width
    with np.errstate(over="ignore"):
      blurred = 1 / (1 + np.exp(-upper)) - 1 / (1 + np.exp(-lower))
    self.log_density.assign(np.log(np.maximum(blurred, 1e-12)))

  def _density(self) -> tf.Tensor:
    """float32 [levels * channels, knots], each row of integral 1."""
    p = tf.exp(
      self.log_density - tf.reduce_max(self.log_density, axis=-1, keepdims=True)
    )
    spacing = self._knots[1:] - self._knots[:-1]
    area = tf.reduce_sum((p[:, 1:] + p[:, :-1]) * spacing / 2, -1, True)
    return p / area

  def _evaluate(self, density: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The density at y: float32 [n, levels * channels], both."""
    intervals = len(self._knots) - 1
    j = tf.floor(tf.asinh(y) * self.RATE) + self.HALF_KNOTS
    j = tf.cast(tf.clip_by_value(j, 0, intervals - 1), tf.int32)
    left, right = tf.gather(self._knots, j), tf.gather(self._knots, j + 1)
    row = tf.range(tf.shape(density)[0]) * (intervals + 1)
    flat = tf.reshape(density, (-1,))
    p_left, p_right = tf.gather(flat, row + j), tf.gather(flat, row + j + 1)
    t = (y - left) / (right - left)
    inside = (y >= self._knots[0]) & (y <= self._knots[-1])
    return tf.where(inside, p_left + t * (p_right - p_left), 0.0)

  def bits(self, y_tilde: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
    """Bits of each latent."""
    del y_hat
    y = tf.reshape(y_tilde, (-1, self._size))
    p = self._evaluate(self._density(), y)
    bits = -tf.math.log(tf.maximum(p, LIKELIHOOD_BOUND)) / math.log(2)
    return tf.reshape(bits, tf.shape(y_tilde))

  def cumulative(self) -> Cumulative:
    """The cumulative of each latent."""
    # The trained density is the blurred one, p(y) = F(y + 1/2) - F(y - 1/2).
    # Summed over unit steps it telescopes: F(y) = sum_j p(y - 1/2 - j). On a
    # grid of 1 / GRID that is a cumulative sum for each phase.
    size = self._size
    reach = int(self._knots[-1]) + 2
    grid = np.arange(-reach * self.GRID, reach * self.GRID) / self.GRID
    grid = grid.astype(np.float32)
    p = self._evaluate(
      self._density(), tf.broadcast_to(grid[:, None], (len(grid), size))
    )
    p = tf.reshape(p, (-1, self.GRID, size))
    p /= tf.reduce_sum(p, 0)
    tables = [
      tf.reshape(sums, (-1,))
      for sums in (
        tf.cumsum(p, 0),
        tf.cumsum(p, 0, exclusive=True, reverse=True),
      )
    ]

    def function(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      position = (tf.reshape(y, (-1, size)) - 0.5 - grid[0]) * self.GRID
      position = tf.clip_by_value(position, 0.0, len(grid) - 1.001)
      j = tf.floor(position)
      row = tf.cast(j, tf.int32) * size + tf.range(size)
      ends = [(tf.gather(t, row), tf.gather(t, row + size)) for t in tables]
      below, above = (
        tf.reshape(left + (position - j) * (right - left), tf.shape(y))
        for left, right in ends
      )
      return below, above

    return function


class ActivityPrior(Prior):
  """A logistic density for each activity of a position and each channel.

  This is how files are coded (`bls2017.format.coding_tables`): a position
  names the one of several sets of densities that costs its rounded latents the
  fewest bits. The choice has no gradient. Densities are simple here, because
  tables are counted at the end. An activity's own bits are spread evenly over
  the channels; unlike those of a file they do not depend on the one before.
  """

  ACTIVITIES = 16
  SPREAD = 1.2
  """At first, widths of the activities are up to exp(+-SPREAD) of the mean."""

  def __init__(self, num_levels: int, num_latents: int):
    super().__init__(name="prior")
    sets = (num_levels, self.ACTIVITIES)
    self.mean = tf.Variable(tf.zeros((num_levels, num_latents)), name="mean")
    # Of a logistic density the logarithm of 1 / width, [levels, K, channels].
    self.log_slope = tf.Variable(tf.zeros((*sets, num_latents)), name="slope")
    self.logits = tf.Variable(tf.zeros(sets), name="logits")

  def set_scale(self, scale: np.ndarray) -> None:
    """Sets deviations, those of the activities by common factors apart."""
    spread = np.exp(np.linspace(-1, 1, self.ACTIVITIES) * self.SPREAD)
    spread /= np.sqrt(np.mean(spread**2))
    share = np.full(self.logits.shape, 1 / self.ACTIVITIES)
    self.set_activities(
      np.zeros(self.mean.shape), np.asarray(scale)[:, None] * spread[:, None],
      share,
    )  # fmt: skip

  def set_activities(
    self, mean: np.ndarray, scale: np.ndarray, share: np.ndarray
  ) -> None:
    """Takes K activities; neighbours become one where K is a multiple."""
    levels, sets, channels = scale.shape
    if sets % self.ACTIVITIES:
      super().set_activities(mean, scale, share)
      return
    parts = (levels, self.ACTIVITIES, sets // self.ACTIVITIES)
    share, scale = share.reshape(parts), scale.reshape(*parts, channels)
    variance = np.einsum("lkp,lkpc->lkc", share, scale**2)
    share = share.sum(2)
    scale = np.maximum(np.sqrt(variance / share[..., None]), _LEAST_SCALE)
    self.mean.assign(mean.astype("f4"))
    self.log_slope.assign(np.log(math.pi / math.sqrt(3) / scale).astype("f4"))
    self.logits.assign(np.log(share).astype("f4"))

  def bits(self, y_tilde: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
    """Bits of each latent under the activity that suits its position."""
    activity_bits = -tf.nn.log_softmax(self.logits) / math.log(2)
    slope = tf.exp(self.log_slope)
    seen = (tf.stop_gradient(y_hat) - self.mean)[..., None, :]
    cost = tf.reduce_sum(_logistic_bits(seen, slope), -1) + activity_bits
    chosen = tf.argmin(tf.stop_gradient(cost), -1, tf.int32)
    # The row of the parameters for each position and level.
    rows = chosen + self.ACTIVITIES * tf.range(tf.shape(self.logits)[0])
    chosen_slope = tf.gather(tf.reshape(slope, (-1, tf.shape(slope)[-1])), rows)
    bits = _logistic_bits(y_tilde - self.mean, chosen_slope)
    shared = tf.gather(tf.reshape(activity_bits, (-1,)), rows)[..., None]
    return bits + shared / tf.cast(tf.shape(bits)[-1], tf.float32)

  def cumulative(self) -> Cumulative:
    """The cumulative of the mixture of all activities."""
    shares = tf.unstack(tf.nn.softmax(self.logits)[..., None], axis=1)
    slopes = tf.unstack(tf.exp(self.log_slope), axis=1)

    def function(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      below, above = tf.zeros_like(y), tf.zeros_like(y)
      centred = y - self.mean
      for share, slope in zip(shares, slopes):
        below += share * tf.sigmoid(centred * slope)
        above += share * tf.sigmoid(-centred * slope)
      return below, above

    return function


def _logistic_bits(y: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
  """Bits of the mass between y - 1/2 and y + 1/2 of a logistic density."""
  y = tf.abs(y)  # It is the same on both sides of zero.
  log_p = (
    tf.math.log(-tf.math.expm1(-slope))
    - tf.math.softplus(-(y + 0.5) * slope)
    - tf.math.softplus((y - 0.5) * slope)
  )
  return log_p / -math.log(2)


def make_prior(kind: str, num_levels: int, num_latents: int) -> Prior:
  """The prior that a `ModelConfig` names."""
  classes: dict[str, type[Prior]] = {
    "deep_factorized": DeepFactorizedPrior,
    "piecewise_linear": PiecewiseLinearPrior,
    "activities": ActivityPrior,
  }
  prior = classes[kind](num_levels, num_latents)
  prior.set_scale(np.full((num_levels, num_latents), _INITIAL_SCALE))
  return prior
