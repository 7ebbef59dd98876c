"""Better symbols for one image, found by optimising them through the decoder.

Analysis gives latents that are good on average. Those of one image can be
improved against what its file will cost, by stochastic Gumbel annealing (Yang,
Bamler & Mandt, "Improving Inference for Neural Image Compression", 2020): each
scaled latent u is coded as the symbol below or above it, with probabilities
that favour the nearer one more and more as a temperature falls,

    f = u - floor(u)
    P(above) = sigmoid((atanh(f) - atanh(1 - f)) / temperature)

and u follows the gradient of

    loss = bits + pressure * lmbda * pixels * distortion

through a relaxed sample of that choice and the real synthesis transform. Steps
are taken in units of the symbols, so that they suit every quality alike.

The best symbols seen are kept, those that refining began with among them.
Either the distortion is bounded, and the fewest bits are best; or bits are
bounded, and the least distortion is best. The pressure follows what is bounded:
it rises where the distortion is too high, and falls where bits are too many. At
the end of a round, the thresholds of the rounding use up what is left of the
bound.

Effort is a number of rounds. A round starts where the one before ended, so a
higher effort passes through the results of all lower ones.

Activities (`bls2017.encode.activities`) are chosen anew for the best symbols
before every round, and for the result, which can only make them cheaper.

An image is worked on in windows, one after the other, each seeing all pixels
that its latents reach, so that memory is bounded and gains add up. What one
window leaves of the bound, the next ones may use.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.encode import activities, analysis, quantization, window_loss
from bls2017.encode import options as options_lib

ROUND_STEPS = (20, 20, 40, 40, 60, 80, 100, 120)
"""Steps of the rounds; the least effort that refines has the first one only."""

WINDOW = 48
"""Positions along a side of a window, at most: 0.6 megapixels."""

_REACH = 2
"""How many positions away a pixel depends on latents: 1 + 1/2 + 1/4."""

_LEAN = 0.35
"""How far a latent may lie from its symbol when refining begins.

A latent in the middle would change its symbol with the first steps, whose sizes
do not depend on the gradient yet.
"""

_TEMPERATURES = (0.5, 0.2)
"""Temperatures of the first and the last step of a round."""

_STEP = 0.03
"""Size of the first step of a round, in symbols."""

_LAST_STEP = 0.2
"""Size of the last step, as a share of the first one."""

_CHECK_STEPS = 5
"""Steps after which the rounded symbols are compared with the best so far."""

_PRESSURE = 1.2
"""How much more distortion weighs at first than lambda says."""

_PRESSURES = (0.5, 6.0)
"""The least and the most that the pressure can become."""

_RESPONSE = 6.0
"""The pressure changes by this power of the excess over the limit, a ratio."""

_MOST_STRENGTH = 0.06
"""The most that a bit weighs in the rounding (`encoder.quantization`)."""

_BISECTIONS = 5
"""Halvings of the interval in which the strength is sought."""


class StepObserver(Protocol):
  """Told how refining goes on; may raise KeyboardInterrupt to end it."""

  def on_start(self, what: str, total: int, done: int) -> None:
    """Refining begins: `what` names it, `done` of `total` steps are taken."""

  def on_done(self) -> None:
    """A step was taken."""


def total_steps(effort: int, shape: tuple[int, int]) -> int:
  """How many steps refining takes.

  Args:
    effort: `options.REFINING_EFFORT` to `options.MAX_EFFORT`.
    shape: Positions along both sides of the image.
  """
  return sum(_rounds(effort)) * len(list(_areas(shape)))


def _rounds(effort: int) -> tuple[int, ...]:
  return ROUND_STEPS[: effort - options_lib.REFINING_EFFORT + 1]


class Refinement:
  """Refines the symbols of an image.

  Attributes:
    interrupted: Whether an observer ended refining early.
  """

  def __init__(
    self,
    image: analysis.AnalysedImage,
    metric: str,
    effort: int,
    observer: StepObserver | None = None,
  ):
    """Takes what all rounds share.

    Args:
      image: The image.
      metric: The distortion, one of `options.METRICS`.
      effort: `options.REFINING_EFFORT` to `options.MAX_EFFORT`.
      observer: Told of every step.
    """
    self._image = image
    self._metric = metric
    self._effort = effort
    self._observer = observer
    self.interrupted = False

  def rounds(
    self,
    start: analysis.Candidate,
    *,
    max_bits: float | None = None,
    max_distortion: float | None = None,
  ) -> Iterator[np.ndarray]:
    """Gives the best symbols after each round, or after an interrupt.

    Either the bits or the distortion must be bounded.

    Args:
      start: What to improve on, at its quality; within the bound.
      max_bits: The most bits; the least distortion is best.
      max_distortion: The highest distortion; the fewest bits are best.

    Yields:
      float32 [positions, C], whole numbers inside the tables; the next round
      changes them.
    """
    image = self._image
    if self._observer:
      total = total_steps(self._effort, image.shape)
      self._observer.on_start("refining", total, 0)
    if max_bits is not None:
      progress = _Progress(image, start, self._metric, _BITS)
      progress.slack = max_bits - start.bits
    else:
      assert max_distortion is not None
      progress = _Progress(image, start, self._metric, _DISTORTION)
      distortion = image.distortion(start, self._metric)
      progress.slack = (max_distortion - distortion) * math.prod(image.size)
    for turn, steps in enumerate(_rounds(self._effort)):
      try:
        for number, area in enumerate(_areas(image.shape)):
          _Visit(progress, area, number).run(steps, turn, self._observer)
      except KeyboardInterrupt:
        self.interrupted = True
      yield progress.best.reshape(-1, progress.best.shape[2])
      if self.interrupted:
        return


@dataclasses.dataclass(frozen=True)
class _Area:
  """Where a window lies, as slices of the image's rows and columns of latents.

  Attributes:
    changed: The latents that the window may change.
    seen: The latents that the judged pixels depend on.
    judged: The latents whose own pixels the changed latents reach.
  """

  changed: tuple[slice, slice]
  seen: tuple[slice, slice]
  judged: tuple[slice, slice]


def _areas(shape: tuple[int, int]) -> Iterator[_Area]:
  """The areas of the windows of an image, from top to bottom."""
  rows, columns = (_intervals(size) for size in shape)
  for top in rows:
    for left in columns:
      yield _Area(*zip(top, left))


def _intervals(size: int) -> list[tuple[slice, slice, slice]]:
  """One side of the areas: changed, seen and judged, of about equal lengths."""
  count = -(-size // WINDOW)
  edges = [size * i // count for i in range(count + 1)]
  intervals = []
  for start, stop in zip(edges, edges[1:]):
    judged = slice(max(start - _REACH, 0), min(stop + _REACH, size))
    seen = slice(max(judged.start - _REACH, 0), min(judged.stop + _REACH, size))
    intervals.append((slice(start, stop), seen, judged))
  return intervals


_BITS, _DISTORTION = 0, 1
"""Places of both measures in what `window_loss.WindowLoss.measures` returns."""


class _Progress:
  """An image on its way to better symbols.

  Attributes:
    image: The image.
    tables: The coding tables of its quality.
    lmbda: The weight of the distortion against bpp.
    bounded: The measure that is bounded, `_BITS` or `_DISTORTION`.
    slack: What is left of the bound: bits, or distortion times pixels.
    best: float32 [h, w, C], the best symbols so far.
    u: float32 [h, w, C], the latents where the last round ended.
    pressures: The pressure in each window, by its number.
  """

  def __init__(
    self,
    image: analysis.AnalysedImage,
    start: analysis.Candidate,
    metric: str,
    bounded: int,
  ):
    self.image = image
    self._synthesis = image.model.synthesis(start.quality_index)
    self.tables = image.model.tables(start.quality_index)
    self.lmbda = image.lmbda_of(start, metric)
    self.bounded = bounded
    self.slack = 0.0
    symbols = quantization.symbols(start.rows, self.tables)
    self.best = symbols.astype(np.float32).reshape(*image.shape, -1)
    scaled = image.scaled(start.quality_index).reshape(self.best.shape)
    self.u = self.best + np.clip(scaled - self.best, -_LEAN, _LEAN)
    self.pressures: dict[int, float] = {}
    self._metric = metric
    self._chooser = activities.Chooser(self.tables)
    self._losses: dict[window_loss.Geometry, window_loss.WindowLoss] = {}

  def loss(self, area: _Area) -> window_loss.WindowLoss:
    """The graphs for a window."""
    step = config.DOWNSAMPLING
    rows, columns = (
      window_loss.Interval(
        seen=seen.stop - seen.start,
        changed=(changed.start - seen.start, changed.stop - seen.start),
        judged=(
          step * (judged.start - seen.start),
          min(step * judged.stop, size) - step * seen.start,
        ),
      )
      for changed, seen, judged, size in zip(
        area.changed, area.seen, area.judged, self.image.size
      )
    )
    geometry = window_loss.Geometry(rows, columns)
    if geometry not in self._losses:
      self._losses[geometry] = window_loss.WindowLoss(
        geometry, self.tables, self._synthesis, self._metric
      )
    return self._losses[geometry]

  def view(self, area: _Area) -> window_loss.View:
    """What a window sees, with the activities that are cheapest."""
    tables, step = self.tables, config.DOWNSAMPLING
    indices = (self.best - tables.minimum)[..., tables.live].astype(np.int16)
    costs = self._chooser.costs(indices.reshape(-1, indices.shape[2]))
    chosen = self._chooser.cheapest(costs).reshape(indices.shape[:2])
    rows, columns = (slice(step * j.start, step * j.stop) for j in area.judged)
    x = self.image.pixels[rows, columns].astype(np.float32)
    error_weights = np.ones((*x.shape[:2], 1), np.float32)
    if self.image.error_weights is not None:
      error_weights = self.image.error_weights[rows, columns, None]
    return window_loss.View(
      tf.constant(self.best[area.seen]),
      tf.constant(chosen[area.changed], tf.int32),
      tf.constant(x),
      tf.constant(error_weights, tf.float32),
    )


class _Visit:
  """One round in one window."""

  def __init__(self, progress: _Progress, area: _Area, number: int):
    self._progress = progress
    self._area = area
    self._number = number
    self._loss = progress.loss(area)
    self._view = progress.view(area)
    best = tf.constant(progress.best[area.changed])
    self._best = self._loss.measures(best, self._view)
    self._limit = self._best[progress.bounded] + progress.slack

  def run(
    self, steps: int, turn: int, observer: StepObserver | None = None
  ) -> None:
    """Takes the steps of a round.

    Args:
      steps: How many.
      turn: Number of the round.
      observer: Told of every step.
    """
    progress, area = self._progress, self._area
    u = tf.constant(progress.u[area.changed])
    state = window_loss.State(u, tf.zeros_like(u), tf.zeros_like(u))
    hot, cold = _TEMPERATURES
    pressure = progress.pressures.get(self._number, _PRESSURE)
    sign = 1 if progress.bounded == _DISTORTION else -1
    excess = 1.0
    try:
      for k in range(steps):
        done = k / max(steps - 1, 1)
        state = self._loss.step(
          state,
          self._view,
          count=k + 1,
          temperature=hot * (cold / hot) ** done,
          step=_STEP * (1 - (1 - _LAST_STEP) * done),
          weight=pressure * progress.lmbda,
          seed=(1000 * self._number + turn, k),
        )
        if observer:
          observer.on_done()
        if k + 1 == steps or (k + 1) % _CHECK_STEPS == 0:
          excess = self._judged(state.u, 0.0)
          pressure *= excess ** (sign * _RESPONSE)
          pressure = min(max(pressure, _PRESSURES[0]), _PRESSURES[1])
      self._use_up(state.u, excess)
    finally:
      progress.u[area.changed] = state.u.numpy()
      progress.pressures[self._number] = pressure
      progress.slack = self._limit - self._best[progress.bounded]

  def _use_up(self, u: tf.Tensor, excess: float) -> None:
    """Seeks the strength of the rounding that just meets the bound.

    Args:
      u: float32 [h', w', C], the latents.
      excess: What `_judged` says of them at strength 0.
    """
    bounds_distortion = self._progress.bounded == _DISTORTION
    low, high = -_MOST_STRENGTH, _MOST_STRENGTH
    for _ in range(_BISECTIONS + 1):
      middle = (low + high) / 2
      if middle:
        excess = self._judged(u, middle)
      # More strength gives fewer bits and more distortion.
      if (excess <= 1) == bounds_distortion:
        low = middle
      else:
        high = middle

  def _judged(self, u: tf.Tensor, strength: float) -> float:
    """Rounds latents, and keeps the symbols where they are the best.

    Returns:
      What is bounded, relative to its limit: 1/2 to 2.
    """
    bounded = self._progress.bounded
    symbols = self._loss.rounded(u, self._view, strength)
    measures = self._loss.measures(symbols, self._view)
    fits = measures[bounded] <= self._limit
    if fits and measures[1 - bounded] < self._best[1 - bounded]:
      self._best = measures
      self._progress.best[self._area.changed] = symbols.numpy()
    return min(max(measures[bounded] / max(self._limit, 1e-9), 0.5), 2.0)
