"""The loss of a window of an image, as a graph that can be differentiated.

`bls2017.encoder.refinement` describes the method.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.bitstream import coding_tables
from bls2017.images import metrics

_PRESSURE = 1.5
"""How much more distortion weighs in the gradient than in the loss.

The curve of rate and distortion of a trained model is steeper than its lambdas
say: with their weight, steps would walk down the curve and not beyond it.
"""

_DECAYS = (0.9, 0.99)
"""The decays of Adam's means of the gradient and of its square."""

_EDGE = 1e-4
"""Keeps the distances to both neighbours of a latent away from 0."""


class State(NamedTuple):
  """The state of Adam; float32 [h, w, C] each.

  Attributes:
    u: The scaled latents.
    mean: The mean of the gradient.
    square: The mean of the squared gradient.
  """

  u: tf.Tensor
  mean: tf.Tensor
  square: tf.Tensor


class Rates:
  """Code lengths of the symbols of all channels, as an operation of a graph.

  Attributes:
    tables: The coding tables of the quality.
    minimum: float32 [C], the smallest symbols.
    maximum: float32 [C], the largest symbols.
  """

  def __init__(
    self, tables: coding_tables.QualityTables, shape: tuple[int, int]
  ):
    """Begins with activity 0 everywhere.

    Args:
      tables: The coding tables of the quality.
      shape: Positions along both sides.
    """
    self.tables = tables
    self.minimum = tables.minimum.astype(np.float32)
    self.maximum = tables.maximum.astype(np.float32)
    self._lengths = tables.code_lengths.astype(np.float32).ravel()
    self._starts = tables.starts - tables.minimum
    self._sets = tf.Variable(tf.zeros((*shape, 1), tf.int32))

  def choose(self, chosen: np.ndarray) -> None:
    """Sets the activity of each position, int [h, w]."""
    self._sets.assign(chosen[..., None] * self.tables.cdf.shape[1])

  def bits(self, symbols: tf.Tensor) -> tf.Tensor:
    """Bits of symbols inside their tables, float32 [h, w, C] both."""
    entries = tf.cast(symbols, tf.int32) + self._starts + self._sets
    return tf.gather(self._lengths, entries)


@dataclasses.dataclass(frozen=True)
class View:
  """What a window sees of an image.

  Attributes:
    context: float32 [h, w, C], symbols of all latents that are seen.
    inside: The rows and columns of the latents that may change.
    corner: Row and column of the first pixel that is judged.
    x: float32 [H, W, 3], the pixels that are judged.
    error_weights: float32 [H, W, 1] or [1, 1, 1], what a squared error counts.
    metric: The distortion, "mse" or "ms_ssim".
    lmbda: The weight of the distortion against bits.
  """

  context: np.ndarray
  inside: tuple[slice, slice]
  corner: tuple[int, int]
  x: np.ndarray
  error_weights: np.ndarray
  metric: str
  lmbda: float


class WindowLoss:
  """The loss of a window: real, and relaxed with its gradient."""

  def __init__(
    self,
    view: View,
    rates: Rates,
    transform: Callable[[tf.Tensor], tf.Tensor],
  ):
    """Prepares the graphs.

    Args:
      view: What the window sees.
      rates: The code lengths of the quality.
      transform: The synthesis transform, float32 to float32.
    """
    self._view = view
    self._rates = rates
    self._transform = transform
    self._traced_step = tf.function(self._step, autograph=False)
    self._traced_value = tf.function(self._real, autograph=False)

  def step(
    self,
    state: State,
    count: int,
    temperature: float,
    step: float,
    seed: tuple[int, int],
  ) -> State:
    """A step of Adam (Kingma & Ba 2015) on the relaxed loss.

    Args:
      state: The state before the step.
      count: Number of the step in its round, from 1.
      temperature: Temperature of the relaxation.
      step: Size of the step in symbols.
      seed: Seed of the sample.
    """
    numbers = (tf.constant(v, tf.float32) for v in (count, temperature, step))
    return State(*self._traced_step(*state, *numbers, tf.constant(seed)))

  def nearest(self, u: tf.Tensor) -> tf.Tensor:
    """Rounded latents inside the tables, float32."""
    rates = self._rates
    return tf.clip_by_value(tf.round(u), rates.minimum, rates.maximum)

  def real(self, symbols: tf.Tensor) -> float:
    """The Lagrangian of a file with these symbols, in bits."""
    return float(self._traced_value(symbols))

  def _real(self, symbols: tf.Tensor) -> tf.Tensor:
    x_hat = tf.clip_by_value(tf.round(self._decode(symbols)), 0.0, 255.0)
    bits = tf.reduce_sum(tf.cast(self._rates.bits(symbols), tf.float64))
    distortion = tf.cast(self._distortion(x_hat), tf.float64)
    return bits + self._view.lmbda * distortion

  def _decode(self, symbols: tf.Tensor) -> tf.Tensor:
    """The judged pixels, float32 [H, W, 3]."""
    rows, columns = self._view.inside
    height, width, _ = self._view.context.shape
    around = [
      [rows.start, height - rows.stop],
      [columns.start, width - columns.stop],
      [0, 0],
    ]
    changed = np.zeros((height, width, 1), bool)
    changed[rows, columns] = True
    seen = tf.where(changed, tf.pad(symbols, around), self._view.context)
    tables = self._rates.tables
    y_hat = (seen + tables.offset) * tables.inverse_gain
    top, left = self._view.corner
    height, width, _ = self._view.x.shape
    return self._transform(y_hat[None])[
      0, top : top + height, left : left + width
    ]

  def _distortion(self, x_hat: tf.Tensor) -> tf.Tensor:
    if self._view.metric == "ms_ssim":
      value = metrics.ms_ssim_for_training(
        tf.constant(self._view.x[None]),
        tf.ensure_shape(x_hat, self._view.x.shape)[None],
      )
      return 1 - value[0]
    return tf.reduce_mean(
      self._view.error_weights * tf.math.squared_difference(x_hat, self._view.x)
    )

  def _step(
    self,
    u: tf.Tensor,
    mean: tf.Tensor,
    square: tf.Tensor,
    count: tf.Tensor,
    temperature: tf.Tensor,
    step: tf.Tensor,
    seed: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    rates = self._rates
    lower = tf.clip_by_value(
      tf.floor(u), rates.minimum, tf.maximum(rates.maximum - 1, rates.minimum)
    )
    upper = tf.minimum(lower + 1, rates.maximum)
    less, more = rates.bits(lower), rates.bits(upper)
    uniform = tf.random.stateless_uniform(tf.shape(u), seed, 1e-6, 1 - 1e-6)
    gumbel = tf.math.log(uniform) - tf.math.log1p(-uniform)
    with tf.GradientTape() as tape:
      tape.watch(u)
      f = tf.clip_by_value(u - lower, _EDGE, 1 - _EDGE)
      logit = (tf.atanh(f) - tf.atanh(1 - f)) / temperature
      share = tf.sigmoid((logit + gumbel) / temperature)
      bits = tf.reduce_sum(less + share * (more - less))
      x_hat = self._decode(lower + share * (upper - lower))
      distortion = self._view.lmbda * self._distortion(x_hat)
      loss = bits + _PRESSURE * distortion
    gradient = tape.gradient(loss, u)
    first, second = _DECAYS
    mean = first * mean + (1 - first) * gradient
    square = second * square + (1 - second) * tf.square(gradient)
    direction = (mean / (1 - first**count)) / (
      tf.sqrt(square / (1 - second**count)) + 1e-6
    )
    return u - step * direction, mean, square
