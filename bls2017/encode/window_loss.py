"""The loss of a window of an image, as a graph that can be differentiated.

`bls2017.encode.refinement` describes the method.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.encode import expected_bits
from bls2017.format import coding_tables
from bls2017.images import metrics

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


class Interval(NamedTuple):
  """One side of a window.

  Attributes:
    seen: How many latents are seen.
    changed: The first latent that may change and the end, among those seen.
    judged: The first pixel that is judged and the end, among those that the
      seen latents decode to.
  """

  seen: int
  changed: tuple[int, int]
  judged: tuple[int, int]


class Geometry(NamedTuple):
  """Where the parts of a window lie; windows of one geometry share graphs."""

  rows: Interval
  columns: Interval


class View(NamedTuple):
  """The part of an image that a window sees.

  Attributes:
    context: float32 [h, w, C], symbols of all latents that are seen.
    starts: int32 [h', w', C], where the tables of the symbols that may change
      begin in `expected_bits.of_symbols`.
    x: float32 [H, W, 3], the pixels that are judged.
    error_weights: float32 [H, W, 1], what a squared error counts.
  """

  context: np.ndarray
  starts: np.ndarray
  x: np.ndarray
  error_weights: np.ndarray


class WindowLoss:
  """Bits and distortion of windows: real, and relaxed with their gradient."""

  def __init__(
    self,
    geometry: Geometry,
    tables: coding_tables.QualityTables,
    transform: Callable[[tf.Tensor], tf.Tensor],
    metric: str,
  ):
    """Prepares the graphs.

    Args:
      geometry: Of all windows.
      tables: The coding tables of the quality.
      transform: The synthesis transform, float32 to float32.
      metric: The distortion, "mse" or "ms_ssim".
    """
    self._geometry = geometry
    self._tables = tables
    self._transform = transform
    self._metric = metric
    self._minimum = tables.minimum.astype(np.float32)
    self._maximum = tables.maximum.astype(np.float32)
    self._lengths = expected_bits.of_symbols(tables)
    self._traced_step = tf.function(self._step, autograph=False)
    self._traced_rounded = tf.function(self._rounded, autograph=False)
    self._traced_measures = tf.function(self._measures, autograph=False)

  def step(
    self,
    state: State,
    view: View,
    count: int,
    temperature: float,
    step: float,
    weight: float,
    seed: tuple[int, int],
  ) -> State:
    """A step of Adam (Kingma & Ba 2015) on bits + weight * distortion.

    Args:
      state: The state before the step.
      view: What the window sees.
      count: Number of the step in its round, from 1.
      temperature: Temperature of the relaxation.
      step: Size of the step in symbols.
      weight: The weight of distortion times pixels against bits.
      seed: Seed of the sample.
    """
    numbers = (
      tf.constant(v, tf.float32) for v in (count, temperature, step, weight)
    )
    return State(*self._traced_step(*state, view, *numbers, tf.constant(seed)))

  def rounded(
    self, u: tf.Tensor, view: View, strength: float = 0.0
  ) -> tf.Tensor:
    """Symbols inside the tables, float32.

    Args:
      u: float32 [h', w', C], scaled latents.
      view: What the window sees.
      strength: The weight of a bit (`bls2017.encode.quantization`).
    """
    return self._traced_rounded(u, view, tf.constant(strength, tf.float32))

  def measures(self, symbols: tf.Tensor, view: View) -> tuple[float, float]:
    """Bits, and distortion times pixels, of a file with these symbols."""
    bits, distortion = self._traced_measures(symbols, view)
    return float(bits), float(distortion)

  def _measures(
    self, symbols: tf.Tensor, view: View
  ) -> tuple[tf.Tensor, tf.Tensor]:
    x_hat = tf.clip_by_value(tf.round(self._decode(symbols, view)), 0.0, 255.0)
    bits = tf.cast(self._bits(symbols, view), tf.float64)
    return tf.reduce_sum(bits), self._distortion(x_hat, view)

  def _rounded(
    self, u: tf.Tensor, view: View, strength: tf.Tensor
  ) -> tf.Tensor:
    lower, upper = self._neighbours(u)
    increase = self._bits(upper, view) - self._bits(lower, view)
    return tf.where(u - lower > 0.5 + strength * increase, upper, lower)

  def _neighbours(self, u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The symbols below and above latents, both inside the tables."""
    lower = tf.clip_by_value(
      tf.floor(u),
      self._minimum,
      tf.maximum(self._maximum - 1, self._minimum),
    )
    return lower, tf.minimum(lower + 1, self._maximum)

  def _bits(self, symbols: tf.Tensor, view: View) -> tf.Tensor:
    """Bits of symbols inside their tables, float32 [h', w', C] both."""
    indices = tf.cast(symbols, tf.int32) - self._tables.minimum
    return tf.gather(self._lengths, indices + view.starts)

  def _decode(self, symbols: tf.Tensor, view: View) -> tf.Tensor:
    """The judged pixels, float32 [H, W, 3]."""
    rows, columns = self._geometry
    changed = np.zeros((rows.seen, columns.seen, 1), bool)
    changed[slice(*rows.changed), slice(*columns.changed)] = True
    around = [
      [side.changed[0], side.seen - side.changed[1]] for side in (rows, columns)
    ]
    padded = tf.pad(symbols, [*around, [0, 0]])
    seen = tf.where(changed, padded, view.context)
    y_hat = (seen + self._tables.offset) * self._tables.inverse_gain
    x_hat = self._transform(y_hat[None])
    return x_hat[0, slice(*rows.judged), slice(*columns.judged)]

  def _distortion(self, x_hat: tf.Tensor, view: View) -> tf.Tensor:
    """The distortion times pixels, float32 scalar."""
    pixels = float(view.x.shape[0] * view.x.shape[1])
    if self._metric == "ms_ssim":
      x_hat = tf.ensure_shape(x_hat, view.x.shape)
      similarity = metrics.ms_ssim_for_training(view.x[None], x_hat[None])
      return pixels * (1 - similarity[0])
    squares = tf.math.squared_difference(x_hat, view.x)
    return pixels * tf.reduce_mean(view.error_weights * squares)

  def _step(
    self,
    u: tf.Tensor,
    mean: tf.Tensor,
    square: tf.Tensor,
    view: View,
    count: tf.Tensor,
    temperature: tf.Tensor,
    step: tf.Tensor,
    weight: tf.Tensor,
    seed: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    lower, upper = self._neighbours(u)
    less, more = self._bits(lower, view), self._bits(upper, view)
    uniform = tf.random.stateless_uniform(tf.shape(u), seed, 1e-6, 1 - 1e-6)
    gumbel = tf.math.log(uniform) - tf.math.log1p(-uniform)
    with tf.GradientTape() as tape:
      tape.watch(u)
      f = tf.clip_by_value(u - lower, _EDGE, 1 - _EDGE)
      logit = (tf.atanh(f) - tf.atanh(1 - f)) / temperature
      share = tf.sigmoid((logit + gumbel) / temperature)
      bits = tf.reduce_sum(less + share * (more - less))
      x_hat = self._decode(lower + share * (upper - lower), view)
      loss = bits + weight * self._distortion(x_hat, view)
    gradient = tape.gradient(loss, u)
    first, second = _DECAYS
    mean = first * mean + (1 - first) * gradient
    square = second * square + (1 - second) * tf.square(gradient)
    direction = (mean / (1 - first**count)) / (
      tf.sqrt(square / (1 - second**count)) + 1e-6
    )
    return u - step * direction, mean, square
