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

from bls2017 import errors
from bls2017.bitstream import coding_tables
from bls2017.common import config
from bls2017.encoder import (
  activities,
  image_encoding,
  quantization,
  window_loss,
)
from bls2017.images import metrics

ROUND_STEPS = (10, 20, 50, 100, 180, 360)
"""Steps of the rounds; effort `FIRST_EFFORT` has the first round only."""

FIRST_EFFORT = 4

METRICS = ("mse", "ms_ssim")

WINDOW = 48
"""Latents along a side of a window, at most: 0.6 megapixels."""

_REACH = 2
"""Latents around its own block that a pixel depends on: 1 + 1/2 + 1/4."""

_TEMPERATURES = (0.5, 0.2)
_STEP = 0.03
_LAST_STEP = 0.2
_CHECK_STEPS = 10


class Observer(Protocol):
  """Told how refining goes on; may raise KeyboardInterrupt to end it."""

  def on_start(self, what: str, total: int, done: int) -> None:
    """So many steps lie ahead."""

  def on_done(self) -> None:
    """A step was taken."""


@dataclasses.dataclass(frozen=True)
class Objective:
  """What refining minimises.

  Attributes:
    metric: The distortion, one of `METRICS`.
    lmbda: Its weight against bpp: of the mean squared error on the 0-255
      scale, or of 1 - MS-SSIM.
  """

  metric: str
  lmbda: float


@dataclasses.dataclass(frozen=True)
class Refined:
  """The result.

  Attributes:
    symbols: float32 [positions, C], whole numbers inside the tables.
    interrupted: Whether it was ended early.
  """

  symbols: np.ndarray
  interrupted: bool


def lmbda_of(index: int, lmbdas: tuple[float, ...]) -> float:
  """The multiplier of a quality: trained, or geometrically in between."""
  level, step = divmod(index, config.QUALITY_STEPS)
  above = min(level + 1, len(lmbdas) - 1)
  fraction = step / config.QUALITY_STEPS
  return float(lmbdas[level] ** (1 - fraction) * lmbdas[above] ** fraction)


def total_steps(effort: int, shape: tuple[int, int]) -> int:
  """How many steps refining takes.

  Args:
    effort: `FIRST_EFFORT` to 9.
    shape: Positions along both sides of the latents.
  """
  rounds = ROUND_STEPS[: effort - FIRST_EFFORT + 1]
  return sum(rounds) * len(list(_windows(shape)))


def check(metric: str, size: tuple[int, int], weighted: bool) -> None:
  """Raises errors.UsageError unless an image can be refined.

  Args:
    metric: One of `METRICS`.
    size: Height and width of the image.
    weighted: Whether errors count more in some places.
  """
  if metric == "ms_ssim":
    if min(size) < metrics.MS_SSIM_MINIMUM_SIDE:
      raise errors.UsageError(
        "MS-SSIM is not defined for images with a side below"
        f" {metrics.MS_SSIM_MINIMUM_SIDE} pixels"
      )
    if weighted:
      raise errors.UsageError("a region of interest needs the metric mse")


def refine(
  image: image_encoding.ImageEncoding,
  start: image_encoding.Attempt,
  objective: Objective,
  effort: int,
  observer: Observer | None = None,
) -> Refined:
  """Improves the symbols of an image at its quality.

  Args:
    image: The image.
    start: What to improve on; never made worse.
    objective: What to minimise.
    effort: `FIRST_EFFORT` to 9.
    observer: Told of every step.

  Returns:
    The best symbols, interrupted or not.
  """
  if observer:
    observer.on_start("refining", total_steps(effort, image.shape), 0)
  shape = (*image.shape, -1)
  tables = image.primitives.tables(start.index)
  values = quantization.symbols(start.rows, tables)
  best = values.astype(np.float32).reshape(shape)
  chooser = activities.Chooser(tables)
  scaled = image.scaled(start.index).reshape(shape)
  interrupted = False
  try:
    for number, window in enumerate(_windows(image.shape)):
      part = _Window(image, start.index, objective, window, best, scaled)
      for turn in range(effort - FIRST_EFFORT + 1):
        part.choose(_activities(best, tables, chooser)[window.own])
        try:
          part.run(turn, number, observer)
        finally:
          best[window.own] = part.best
  except KeyboardInterrupt:
    interrupted = True
  return Refined(best.reshape(len(start.rows), -1), interrupted)


def _activities(
  symbols: np.ndarray,
  tables: coding_tables.QualityTables,
  chooser: activities.Chooser,
) -> np.ndarray:
  """The cheapest activities of symbols, float32 [h, w, C]: int [h, w]."""
  rows = (symbols - tables.minimum)[..., tables.live].astype(np.int16)
  found = chooser.cheapest(chooser.costs(rows.reshape(-1, rows.shape[2])))
  return found.reshape(rows.shape[:2])


@dataclasses.dataclass(frozen=True)
class _Place:
  """Where a window lies, as slices of the image's latents.

  Attributes:
    own: The latents it may change.
    seen: Those whose pixels they reach, and what these pixels depend on.
    judged: Of the latents `seen`, those whose pixels they reach.
  """

  own: tuple[slice, slice]
  seen: tuple[slice, slice]
  judged: tuple[slice, slice]


def _windows(shape: tuple[int, int]) -> Iterator[_Place]:
  rows, columns = (_along(size) for size in shape)
  for top in rows:
    for left in columns:
      yield _Place(*zip(top, left))


def _along(size: int) -> list[tuple[slice, slice, slice]]:
  """Own, seen and judged latents along a side, in windows of equal size."""
  count = -(-size // WINDOW)
  edges = [size * i // count for i in range(count + 1)]
  reach = _REACH
  found = []
  for start, stop in zip(edges, edges[1:]):
    first, last = max(start - reach, 0), min(stop + reach, size)
    seen = max(first - reach, 0), min(last + reach, size)
    found.append(
      (slice(start, stop), slice(*seen), slice(first - seen[0], last - seen[0]))
    )
  return found


class _Window:
  """One window on its way to better symbols.

  Attributes:
    best: float32 [h, w, C], the best symbols of its own latents so far.
  """

  def __init__(
    self,
    image: image_encoding.ImageEncoding,
    index: int,
    objective: Objective,
    place: _Place,
    symbols: np.ndarray,
    scaled: np.ndarray,
  ):
    tables = image.primitives.tables(index)
    self.best = symbols[place.own].copy()
    inside = tuple(
      slice(own.start - seen.start, own.stop - seen.start)
      for own, seen in zip(place.own, place.seen)
    )
    pixels = tuple(
      slice(
        (seen.start + judged.start) * config.DOWNSAMPLING,
        min((seen.start + judged.stop) * config.DOWNSAMPLING, size),
      )
      for seen, judged, size in zip(
        place.seen, place.judged, image.image.shape[:2]
      )
    )
    x = image.image[pixels].astype(np.float32)
    weight = np.ones((1, 1), np.float32)
    if image.weight is not None:
      weight = image.weight[pixels]
    view = window_loss.View(
      context=symbols[place.seen],
      inside=(inside[0], inside[1]),
      corner=(
        place.judged[0].start * config.DOWNSAMPLING,
        place.judged[1].start * config.DOWNSAMPLING,
      ),
      x=x,
      weight=weight[..., None],
      metric=objective.metric,
      lmbda=objective.lmbda * x.shape[0] * x.shape[1],
    )
    height, width, _ = self.best.shape
    self._rates = window_loss.Rates(tables, (height, width))
    self._loss = window_loss.WindowLoss(
      view, self._rates, image.primitives.transforms.frozen.synthesis
    )
    self._u = tf.constant(scaled[place.own], tf.float32)

  def choose(self, chosen: np.ndarray) -> None:
    """Judges with these activities from now on, int [h, w]."""
    self._rates.choose(chosen)
    self._least = self._loss.real(tf.constant(self.best))

  def run(self, number: int, seed: int, observer: Observer | None) -> None:
    """Takes the steps of a round."""
    steps = ROUND_STEPS[number]
    hot, cold = _TEMPERATURES
    zeros = tf.zeros_like(self._u)
    state = window_loss.State(self._u, zeros, zeros)
    for k in range(steps):
      done = k / max(steps - 1, 1)
      temperature = hot * (cold / hot) ** done
      step = _STEP * (1 - (1 - _LAST_STEP) * done)
      state = self._loss.step(
        state, k + 1, temperature, step, (1000 * seed + number, k)
      )
      self._u = state.u
      if observer:
        observer.on_done()
      if k + 1 == steps or (k + 1) % _CHECK_STEPS == 0:
        self._keep()

  def _keep(self) -> None:
    symbols = self._loss.nearest(self._u)
    value = self._loss.real(symbols)
    if value < self._least:
      self._least, self.best = value, symbols.numpy()
