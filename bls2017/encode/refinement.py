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
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.encode import (
  activities,
  candidates,
  expected_bits,
  quantization,
  window_loss,
)
from bls2017.encode import request as request_lib
from bls2017.format import lanes
from bls2017.model import frozen_transforms

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

_SHARE_USED = 0.999
"""Share of the bits of a size that refining uses: lanes end in whole bytes."""

_MOST_EXCESS = 10.0
"""How many dB more than asked for refining gives away at most."""

_AS_GOOD = 10**0.005
"""Factor of a distortion that nobody sees: 0.05 dB."""

_BISECTIONS = 5
"""Halvings of the interval in which the strength is sought."""


class Result(NamedTuple):
  """The end of refining.

  Attributes:
    candidate: The best one.
    stopped: True if the caller ended it early.
  """

  candidate: candidates.Candidate
  stopped: bool


def refined(
  image: candidates.AnalysedImage,
  start: candidates.Candidate,
  request: request_lib.Request,
  progress: request_lib.Progress | None = None,
) -> Result:
  """Improves a candidate as far as the effort goes.

  A higher effort passes through the results of all lower ones. So what holds
  from each result to the next better one holds between any two efforts: at a
  quality, the file does not grow and the distortion grows by 0.05 dB at most;
  at a size, the distortion falls; at a PSNR, the file does not grow.

  Args:
    image: The image.
    start: What to improve on; it meets the request.
    request: The quality or target, and the effort.
    progress: Told of the steps.
  """
  metric = request.metric
  index = start.quality_index
  max_bytes = request.byte_limit(math.prod(image.size))
  best, best_bytes = start, len(image.file(start))
  least = image.distortion(start, metric)
  work = _Work(image, start, metric, _DISTORTION)
  if max_bytes is not None:
    work.bounded = _BITS
    spare = 8 * (max_bytes - best_bytes)
    work.slack = _SHARE_USED * (start.bits + spare) - start.bits
  elif request.target_psnr is not None:
    excess = min(image.psnr(start) - request.target_psnr, _MOST_EXCESS)
    work.slack = (10 ** (excess / 10) - 1) * least * math.prod(image.size)
  ended = False
  for symbols, stopped in _rounds(work, request.effort, progress):
    ended = stopped
    candidate = image.candidate_of(index, symbols)
    num_bytes = len(image.file(candidate))
    distortion = image.distortion(candidate, metric)
    if max_bytes is not None:
      is_better = num_bytes <= max_bytes and distortion < least
    elif request.target_psnr is not None:
      reaches = image.psnr(candidate) >= request.target_psnr
      is_better = num_bytes <= best_bytes and reaches
    else:
      is_as_good = distortion <= least * _AS_GOOD
      is_better = num_bytes <= best_bytes and is_as_good
    if is_better:
      best, best_bytes = candidate, num_bytes
      least = min(least, distortion)
  return Result(best, ended)


def total_steps(effort: int, shape: tuple[int, int]) -> int:
  """How many steps refining takes.

  Args:
    effort: `request.REFINING_EFFORT` to `request.MAX_EFFORT`.
    shape: Positions along both sides of the image.
  """
  return sum(_round_steps(effort)) * len(list(_areas(shape)))


def _round_steps(effort: int) -> tuple[int, ...]:
  return ROUND_STEPS[: effort - request_lib.REFINING_EFFORT + 1]


def _rounds(
  work: _Work,
  effort: int,
  progress: request_lib.Progress | None,
) -> Iterator[tuple[np.ndarray, bool]]:
  """The best symbols after each round, and whether the caller stopped it.

  Symbols are float32 [positions, C], whole numbers inside the tables; the next
  round changes them.
  """
  shape = work.image.shape
  total, done = total_steps(effort, shape), 0
  stopped = False

  def step() -> bool:
    nonlocal done, stopped
    done += 1
    stopped = bool(progress and progress(done, total))
    return stopped

  for turn, steps in enumerate(_round_steps(effort)):
    for number, area in enumerate(_areas(shape)):
      if not stopped:
        _Visit(work, area, number).run(steps, turn, step)
    yield work.best.reshape(-1, work.best.shape[2]), stopped
    if stopped:
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


class _Work:
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
    image: candidates.AnalysedImage,
    start: candidates.Candidate,
    metric: str,
    bounded: int,
  ):
    index = start.quality_index
    self.image = image
    self._synthesis = frozen_transforms.FrozenTransforms(
      image.model.pair_of(index).weights, image.model.config.num_latents
    ).synthesis
    self.tables = image.model.quality_tables(index)
    self.lmbda = image.lmbda(start, metric)
    self.bounded = bounded
    self.slack = 0.0
    symbols = self.tables.symbols(start.rows)
    self.best = symbols.astype(np.float32).reshape(*image.shape, -1)
    quantizer = quantization.quantizer(self.tables)
    scaled = quantizer.scaled(image.latents(index)).reshape(self.best.shape)
    self.u = self.best + np.clip(scaled - self.best, -_LEAN, _LEAN)
    self.pressures: dict[int, float] = {}
    self._metric = metric
    self._chooser = activities.Chooser(self.tables)
    self._losses: dict[window_loss.Geometry, window_loss.WindowLoss] = {}

  def loss(self, area: _Area) -> window_loss.WindowLoss:
    """The graphs for a window."""
    step = lanes.DOWNSAMPLING
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
    """The part of the image that a window sees, its activities cheapest."""
    tables, step = self.tables, lanes.DOWNSAMPLING
    indices = (self.best - tables.minimum)[..., tables.live].astype(np.int16)
    indices = indices.reshape(-1, indices.shape[2])
    shape = self.image.shape
    chosen = self._chooser.choose(self._chooser.costs(indices), indices, shape)
    # Symbols of dead channels cost nothing.
    nothing = tables.cdf.size + tables.context_cdf.size
    starts = np.full(self.best.shape, nothing, np.int32)
    starts[..., tables.live] = expected_bits.table_starts(
      tables,
      chosen.activities,
      expected_bits.contexts(tables, indices, lanes.neighbours(*shape)),
    ).reshape(*starts.shape[:2], -1)
    rows, columns = (slice(step * j.start, step * j.stop) for j in area.judged)
    x = self.image.pixels[rows, columns].astype(np.float32)
    error_weights = np.ones((*x.shape[:2], 1), np.float32)
    if self.image.error_weights is not None:
      error_weights = self.image.error_weights[rows, columns, None]
    return window_loss.View(
      tf.constant(self.best[area.seen]),
      tf.constant(starts[area.changed]),
      tf.constant(x),
      tf.constant(error_weights, tf.float32),
    )


class _Visit:
  """One round in one window."""

  def __init__(self, work: _Work, area: _Area, number: int):
    self._work = work
    self._area = area
    self._number = number
    self._loss = work.loss(area)
    self._view = work.view(area)
    best = tf.constant(work.best[area.changed])
    self._best = self._loss.measures(best, self._view)
    self._limit = self._best[work.bounded] + work.slack

  def run(self, steps: int, turn: int, step: Callable[[], bool]) -> None:
    """Takes the steps of a round, unless a call of `step` returns True."""
    work, area = self._work, self._area
    u = tf.constant(work.u[area.changed])
    state = window_loss.State(u, tf.zeros_like(u), tf.zeros_like(u))
    hot, cold = _TEMPERATURES
    pressure = work.pressures.get(self._number, _PRESSURE)
    sign = 1 if work.bounded == _DISTORTION else -1
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
          weight=pressure * work.lmbda,
          seed=(1000 * self._number + turn, k),
        )
        if step():
          return
        if k + 1 == steps or (k + 1) % _CHECK_STEPS == 0:
          excess = self._judged(state.u, 0.0)
          pressure *= excess ** (sign * _RESPONSE)
          pressure = min(max(pressure, _PRESSURES[0]), _PRESSURES[1])
      self._use_up(state.u, excess)
    finally:
      work.u[area.changed] = state.u.numpy()
      work.pressures[self._number] = pressure
      work.slack = self._limit - self._best[work.bounded]

  def _use_up(self, u: tf.Tensor, excess: float) -> None:
    """Seeks the strength of the rounding that just meets the bound.

    Args:
      u: float32 [h', w', C], the latents.
      excess: What `_judged` says of them at strength 0.
    """
    bounds_distortion = self._work.bounded == _DISTORTION
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
    bounded = self._work.bounded
    symbols = self._loss.rounded(u, self._view, strength)
    measures = self._loss.measures(symbols, self._view)
    fits = measures[bounded] <= self._limit
    if fits and measures[1 - bounded] < self._best[1 - bounded]:
      self._best = measures
      self._work.best[self._area.changed] = symbols.numpy()
    return min(max(measures[bounded] / max(self._limit, 1e-9), 0.5), 2.0)
