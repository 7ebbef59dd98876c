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

Cumulative = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Prior(tf.Module, metaclass=abc.ABCMeta):
  """One density for each of [levels, channels]; see the module."""

  @abc.abstractmethod
  def bits(
    self, y_tilde: tf.Tensor, y_hat: tf.Tensor | None = None
  ) -> tf.Tensor:
    """Information content -log2 p(y~).

    Args:
      y_tilde: float32 [..., levels, channels], noisy or rounded latents.
      y_hat: Likewise, the rounded ones, where y_tilde is noisy: what an encoder
        sees when it decides something for a position. Only `ActivityPrior`
        looks at it; by default it rounds y_tilde.

    Returns:
      float32 of the same shape, in bits.
    """

  def increase(self, y_hat: tf.Tensor, chosen_by: tf.Tensor) -> tf.Tensor:
    """What the next larger latents cost in more bits.

    Args:
      y_hat: float32 [..., levels, channels], rounded latents.
      chosen_by: Likewise; see `bits`.

    Returns:
      float32 of the same shape, bits of y_hat + 1 less those of y_hat.
    """
    return self.bits(y_hat + 1, chosen_by) - self.bits(y_hat, chosen_by)

  @abc.abstractmethod
  def cumulative(self) -> Cumulative:
    """The cumulative F of the latents before noise, as it stands now.

    Returns:
      A function from y, float32 [..., levels, channels], to F(y) and 1 - F(y),
      both float32 of that shape in [0, 1]. Both, because the difference of two
      values close to 1 would lose the upper tail.
    """

  @abc.abstractmethod
  def set_scale(self, scale: np.ndarray) -> None:
    """Starts afresh as a bell-shaped density.

    Args:
      scale: float [levels, channels], standard deviation of the latents.
    """


class DeepFactorizedPrior(Prior):
  """tfc's `NoisyDeepFactorized`: a small monotone network is the cumulative."""

  def __init__(self, num_levels: int, num_latents: int):
    super().__init__(name="prior")
    self._density = tfc.NoisyDeepFactorized(
      batch_shape=(num_levels, num_latents)
    )

  def bits(
    self, y_tilde: tf.Tensor, y_hat: tf.Tensor | None = None
  ) -> tf.Tensor:
    """See `Prior.bits`."""
    del y_hat
    # What self._density.log_prob computes, with one evaluation of the network
    # for both ends of the unit interval instead of four: with the logits u and
    # l of the cumulative, s(u) - s(l) = s(u) s(-l) (1 - exp(l - u)).
    ends = tf.stack([y_tilde + 0.5, y_tilde - 0.5])
    upper, lower = tf.unstack(self._density.base._logits_cumulative(ends))
    log_p = (
      tf.math.log_sigmoid(upper)
      + tf.math.log_sigmoid(-lower)
      + tf.math.log(-tf.math.expm1(lower - upper))
    )
    return log_p / -math.log(2)

  def cumulative(self) -> Cumulative:
    """See `Prior.cumulative`."""
    base = self._density.base
    return lambda y: (base.cdf(y), base.survival_function(y))

  def set_scale(self, scale: np.ndarray) -> None:
    """See `Prior.set_scale`."""
    flat = np.asarray(scale, np.float32).reshape(-1, 1, 1)
    # With zero factors and biases the network is linear: its slope is the
    # product of the matrices. A logistic density of slope s has the standard
    # deviation pi / (s sqrt(3)).
    slope = math.pi / (math.sqrt(3) * np.maximum(flat, 0.1))
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
    self._shape = (num_levels, num_latents)
    self.log_density = tf.Variable(
      tf.zeros((num_levels * num_latents, len(j))), name="log_density"
    )
    self.set_scale(np.full(self._shape, 2.0))

  def set_scale(self, scale: np.ndarray) -> None:
    """See `Prior.set_scale`."""
    flat = np.maximum(np.asarray(scale, np.float32), 0.1).reshape(-1, 1)
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

  def bits(
    self, y_tilde: tf.Tensor, y_hat: tf.Tensor | None = None
  ) -> tf.Tensor:
    """See `Prior.bits`."""
    del y_hat
    y = tf.reshape(y_tilde, (-1, self._shape[0] * self._shape[1]))
    p = self._evaluate(self._density(), y)
    bits = -tf.math.log(tf.maximum(p, LIKELIHOOD_BOUND)) / math.log(2)
    return tf.reshape(bits, tf.shape(y_tilde))

  def cumulative(self) -> Cumulative:
    """See `Prior.cumulative`."""
    # The trained density is the blurred one, p(y) = F(y + 1/2) - F(y - 1/2).
    # Summed over unit steps it telescopes: F(y) = sum_j p(y - 1/2 - j). On a
    # grid of 1 / GRID that is a cumulative sum for each phase.
    reach = int(self._knots[-1]) + 2
    size = self._shape[0] * self._shape[1]
    grid = np.arange(-reach * self.GRID, reach * self.GRID) / self.GRID
    grid = grid.astype(np.float32)
    p = self._evaluate(
      self._density(), tf.broadcast_to(grid[:, None], (len(grid), size))
    )
    p = tf.reshape(p, (-1, self.GRID, size))
    p /= tf.reduce_sum(p, 0)
    below = tf.reshape(tf.cumsum(p, 0), (-1, size))
    above = tf.reshape(
      tf.cumsum(p, 0, exclusive=True, reverse=True), (-1, size)
    )

    def interpolate(table: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
      position = (y - 0.5 - grid[0]) * self.GRID
      position = tf.clip_by_value(position, 0.0, len(grid) - 1.001)
      j = tf.floor(position)
      row = tf.cast(j, tf.int32) * size + tf.range(size)
      table = tf.reshape(table, (-1,))
      left, right = tf.gather(table, row), tf.gather(table, row + size)
      return left + (position - j) * (right - left)

    def function(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      flat = tf.reshape(y, (-1, size))
      return (
        tf.reshape(interpolate(below, flat), tf.shape(y)),
        tf.reshape(interpolate(above, flat), tf.shape(y)),
      )

    return function


class ActivityPrior(Prior):
  """A logistic density for each activity of a position and each channel.

  This is how files are coded (`bls2017.format.coding_tables`): a position
  names the one of several sets of densities that suits it, smooth or busy. The
  densities here are simple, because tables are counted at the end; what matters
  is that training pays for a latent what the file will pay. The encoder's
  choice, the set that costs the rounded latents of a position the fewest bits,
  has no gradient. An activity's own bits are spread evenly over the channels;
  unlike those of a file they do not depend on the activity before.
  """

  ACTIVITIES = 16
  SPREAD = 1.2
  """At first, widths of the activities are up to exp(+-SPREAD) of the mean."""

  def __init__(self, num_levels: int, num_latents: int):
    super().__init__(name="prior")
    shape = (num_levels, num_latents)
    sets = (num_levels, self.ACTIVITIES)
    self.mean = tf.Variable(tf.zeros(shape), name="mean")
    # Of a logistic density the logarithm of 1 / width, [levels, K, channels].
    self.log_slope = tf.Variable(tf.zeros((*sets, num_latents)), name="slope")
    self.logits = tf.Variable(tf.zeros(sets), name="logits")
    self.set_scale(np.full(shape, 2.0))

  def set_scale(self, scale: np.ndarray) -> None:
    """See `Prior.set_scale`; the activities differ by common factors."""
    spread = np.exp(np.linspace(-1, 1, self.ACTIVITIES) * self.SPREAD)
    spread /= np.sqrt(np.mean(spread**2))
    scale = np.asarray(scale)[:, None, :] * spread[:, None]
    share = np.full(self.logits.shape, 1 / self.ACTIVITIES)
    self.set_activities(np.zeros(self.mean.shape), scale, share)

  def set_activities(
    self, mean: np.ndarray, scale: np.ndarray, share: np.ndarray
  ) -> None:
    """Starts from activities that are known.

    Args:
      mean: float [levels, channels], means of the latents.
      scale: float [levels, K, channels], their standard deviations.
      share: float [levels, K], how often each activity is chosen.
    """
    scale = np.maximum(scale, 0.1)
    self.mean.assign(mean.astype("f4"))
    self.log_slope.assign(np.log(math.pi / math.sqrt(3) / scale).astype("f4"))
    self.logits.assign(np.log(share).astype("f4"))

  def get_activities(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, deviations and shares; `set_activities` is the inverse."""
    scale = math.pi / math.sqrt(3) / np.exp(self.log_slope.numpy())
    share = tf.nn.softmax(self.logits).numpy()
    return self.mean.numpy(), scale, share

  def bits(
    self, y_tilde: tf.Tensor, y_hat: tf.Tensor | None = None
  ) -> tf.Tensor:
    """See `Prior.bits`."""
    activity_bits = -tf.nn.log_softmax(self.logits) / math.log(2)
    slope = tf.exp(self.log_slope)
    seen = tf.stop_gradient(tf.round(y_tilde if y_hat is None else y_hat))
    seen = (seen - self.mean)[..., None, :]
    cost = tf.reduce_sum(_logistic_bits(seen, slope), -1) + activity_bits
    chosen = tf.argmin(tf.stop_gradient(cost), -1, tf.int32)
    # Which row of the parameters, for each position and level.
    rows = chosen + self.ACTIVITIES * tf.range(tf.shape(self.logits)[0])
    chosen_slope = tf.gather(tf.reshape(slope, (-1, tf.shape(slope)[-1])), rows)
    bits = _logistic_bits(y_tilde - self.mean, chosen_slope)
    shared = tf.gather(tf.reshape(activity_bits, (-1,)), rows)[..., None]
    return bits + shared / tf.cast(tf.shape(bits)[-1], tf.float32)

  def cumulative(self) -> Cumulative:
    """See `Prior.cumulative`: the mixture of all activities."""
    share = tf.nn.softmax(self.logits)[..., None]
    slope = tf.exp(self.log_slope)

    def function(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      below, above = tf.zeros_like(y), tf.zeros_like(y)
      for k in range(self.ACTIVITIES):
        logits = (y - self.mean) * slope[:, k]
        below += share[:, k] * tf.sigmoid(logits)
        above += share[:, k] * tf.sigmoid(-logits)
      return below, above

    return function


def _logistic_bits(y: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
  """Bits of the mass between y - 1/2 and y + 1/2 of a logistic density."""
  # As in `DeepFactorizedPrior.bits`, with the same on both sides of zero.
  y = tf.abs(y)
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
  return classes[kind](num_levels, num_latents)
