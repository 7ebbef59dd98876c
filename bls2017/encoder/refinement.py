"""Better symbols for one image, found by optimising them through the decoder.

Analysis gives latents that are good on average. Those of one image can be
improved against what its file will cost, by stochastic Gumbel annealing (Yang,
Bamler & Mandt, "Improving Inference for Neural Image Compression", 2020): each
scaled latent u is coded as the symbol below or above it, with probabilities
that favour the nearer one more and more as a temperature falls,

    f = u - floor(u)
    P(above) = sigmoid((atanh(f) - atanh(1 - f)) / temperature)

and u follows the gradient of

    loss = bits + lmbda * pixels * distortion

through a relaxed sample of that choice and the real synthesis transform. Steps
are taken in units of the symbols, so that they suit every quality alike.

Effort is a number of rounds. A round starts where the one before ended, so more
effort goes the same way further; and the best symbols seen are kept, those that
refining began with among them. So the Lagrangian never rises with effort.

Activities (`bls2017.encoder.activities`) are chosen anew for the best symbols
before every round, and for the result, which can only make them cheaper.

An image is worked on in windows, one after the other, each seeing all pixels
that its latents reach, so that memory is bounded and gains add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf

from bls2017.bitstream import coding_tables
from bls2017.common import config
from bls2017.encoder import (
  activities,
  analysis,
  quantization,
  window_loss,
)
from bls2017.encoder import options as options_lib

ROUND_STEPS = (10, 20, 50, 100, 180, 360)
"""Steps of the rounds; the least effort that refines has the first one only."""

WINDOW = 48
"""Positions along a side of a window, at most: 0.6 megapixels."""

_REACH = 2
"""How many positions away a pixel depends on latents: 1 + 1/2 + 1/4."""

_TEMPERATURES = (0.5, 0.2)
"""Temperatures of the first and the last step of a round."""

_STEP = 0.03
"""Size of the first step of a round, in symbols."""

_LAST_STEP = 0.2
"""Size of the last step, as a share of the first one."""

_CHECK_STEPS = 10
"""Steps after which the rounded symbols are compared with the best so far."""


class StepObserver(Protocol):
  """Told how refining goes on; may raise KeyboardInterrupt to end it."""

  def on_start(self, what: str, total: int, done: int) -> None:
    """Refining begins: `what` names it, `done` of `total` steps are taken."""

  def on_done(self) -> None:
    """A step was taken."""


@dataclasses.dataclass(frozen=True)
class Objective:
  """What refining minimises.

  Attributes:
    metric: The distortion, one of `options.METRICS`.
    lmbda: The weight against bpp of the mean squared error on the 0-255 scale,
      or of 1 - MS-SSIM.
  """

  metric: str
  lmbda: float


@dataclasses.dataclass(frozen=True)
class Refined:
  """The best symbols of an image.

  Attributes:
    symbols: float32 [positions, C], whole numbers inside the tables.
    interrupted: Whether refining was ended early.
  """

  symbols: np.ndarray
  interrupted: bool


def total_steps(effort: int, shape: tuple[int, int]) -> int:
  """How many steps refining takes.

  Args:
    effort: `options.REFINING_EFFORT` to `options.MAX_EFFORT`.
    shape: Positions along both sides of the image.
  """
  return sum(ROUND_STEPS[: _rounds(effort)]) * len(list(_areas(shape)))


def refine(
  image: analysis.AnalysedImage,
  start: analysis.Candidate,
  objective: Objective,
  effort: int,
  observer: StepObserver | None = None,
) -> Refined:
  """Improves the symbols of an image at its quality.

  Args:
    image: The image.
    start: What to improve on; the result is never worse.
    objective: What to minimise.
    effort: `options.REFINING_EFFORT` to `options.MAX_EFFORT`.
    observer: Told of every step.

  Returns:
    The best symbols, interrupted or not.
  """
  if observer:
    observer.on_start("refining", total_steps(effort, image.shape), 0)
  shape = (*image.shape, -1)
  tables = image.model.tables(start.quality_index)
  symbols = quantization.symbols(start.rows, tables)
  best = symbols.astype(np.float32).reshape(shape)
  chooser = activities.Chooser(tables)
  scaled = image.scaled(start.quality_index).reshape(shape)
  interrupted = False
  try:
    for number, area in enumerate(_areas(image.shape)):
      window = _Window(
        image, start.quality_index, objective, area, best, scaled
      )
      for turn in range(_rounds(effort)):
        chosen = _cheapest_activities(best, tables, chooser)
        window.choose(chosen[area.changed])
        try:
          window.run(turn, number, observer)
        finally:
          best[area.changed] = window.best
  except KeyboardInterrupt:
    interrupted = True
  return Refined(best.reshape(len(start.rows), -1), interrupted)


def _rounds(effort: int) -> int:
  return effort - options_lib.REFINING_EFFORT + 1


def _cheapest_activities(
  symbols: np.ndarray,
  tables: coding_tables.QualityTables,
  chooser: activities.Chooser,
) -> np.ndarray:
  """The cheapest activities of symbols, float32 [h, w, C]: int [h, w]."""
  indices = (symbols - tables.minimum)[..., tables.live].astype(np.int16)
  costs = chooser.costs(indices.reshape(-1, indices.shape[2]))
  return chooser.cheapest(costs).reshape(indices.shape[:2])


@dataclasses.dataclass(frozen=True)
class _Area:
  """Where a window lies, as slices of the image's rows and columns of latents.

  Attributes:
    changed: The latents that the window may change.
    seen: The latents that the judged pixels depend on.
    judged: The pixels that the changed latents reach, as positions among the
      latents that are seen.
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
    first, last = max(start - _REACH, 0), min(stop + _REACH, size)
    seen = slice(max(first - _REACH, 0), min(last + _REACH, size))
    judged = slice(first - seen.start, last - seen.start)
    intervals.append((slice(start, stop), seen, judged))
  return intervals


class _Window:
  """The latents of one area on their way to better symbols.

  Attributes:
    best: float32 [h, w, C], the best symbols of the changed latents so far.
  """

  def __init__(
    self,
    image: analysis.AnalysedImage,
    quality_index: int,
    objective: Objective,
    area: _Area,
    symbols: np.ndarray,
    scaled: np.ndarray,
  ):
    tables = image.model.tables(quality_index)
    self.best = symbols[area.changed].copy()
    height, width, _ = self.best.shape
    self._rates = window_loss.Rates(tables, (height, width))
    self._loss = window_loss.WindowLoss(
      _view(image, objective, area, symbols),
      self._rates,
      image.model.transforms(quality_index).frozen.synthesis,
    )
    self._u = tf.constant(scaled[area.changed], tf.float32)

  def choose(self, chosen: np.ndarray) -> None:
    """Judges with these activities from then on, int [h, w]."""
    self._rates.choose(chosen)
    self._least = self._loss.real(tf.constant(self.best))

  def run(self, turn: int, seed: int, observer: StepObserver | None) -> None:
    """Takes the steps of a round.

    Args:
      turn: Number of the round.
      seed: Of the samples.
      observer: Told of every step.
    """
    steps = ROUND_STEPS[turn]
    hot, cold = _TEMPERATURES
    zeros = tf.zeros_like(self._u)
    state = window_loss.State(self._u, zeros, zeros)
    for k in range(steps):
      done = k / max(steps - 1, 1)
      temperature = hot * (cold / hot) ** done
      step = _STEP * (1 - (1 - _LAST_STEP) * done)
      state = self._loss.step(
        state, k + 1, temperature, step, (1000 * seed + turn, k)
      )
      self._u = state.u
      if observer:
        observer.on_done()
      if k + 1 == steps or (k + 1) % _CHECK_STEPS == 0:
        self._keep_if_better()

  def _keep_if_better(self) -> None:
    symbols = self._loss.nearest(self._u)
    loss = self._loss.real(symbols)
    if loss < self._least:
      self._least, self.best = loss, symbols.numpy()


def _view(
  image: analysis.AnalysedImage,
  objective: Objective,
  area: _Area,
  symbols: np.ndarray,
) -> window_loss.View:
  """What a window sees of an image with these symbols, float32 [h, w, C]."""
  inside = tuple(
    slice(changed.start - seen.start, changed.stop - seen.start)
    for changed, seen in zip(area.changed, area.seen)
  )
  judged = tuple(
    slice(
      (seen.start + judged.start) * config.DOWNSAMPLING,
      min((seen.start + judged.stop) * config.DOWNSAMPLING, size),
    )
    for seen, judged, size in zip(area.seen, area.judged, image.size)
  )
  x = image.pixels[judged].astype(np.float32)
  error_weights = np.ones((1, 1), np.float32)
  if image.error_weights is not None:
    error_weights = image.error_weights[judged]
  return window_loss.View(
    context=symbols[area.seen],
    inside=(inside[0], inside[1]),
    corner=(
      area.judged[0].start * config.DOWNSAMPLING,
      area.judged[1].start * config.DOWNSAMPLING,
    ),
    x=x,
    error_weights=error_weights[..., None],
    metric=objective.metric,
    lmbda=objective.lmbda * x.shape[0] * x.shape[1],
  )
