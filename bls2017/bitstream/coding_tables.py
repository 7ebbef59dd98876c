"""Integer coding tables for every quality, made once when a model is frozen.

Quality is a scale from 1 to the number of trained levels in steps of 1/8. At a
whole number it is a trained level. In between, gains are interpolated
geometrically, and the density of a latent is the mixture of its two neighbours'
densities, each rescaled to the gain in between:

    gain_t = gain_a**(1 - f) gain_b**f
    F_t(v) = (1 - f) F_a(v gain_a / gain_t) + f F_b(v gain_b / gain_t)

Training takes the gain of a channel that does not pay at a level towards 0.
Interpolated from there, it would sleep nearly up to the next level. Where b
uses a channel that sleeps at a, gain_a is therefore what the other channels'
step from a to b makes of gain_b, and F_t(v) = F_b(v gain_b / gain_t).

A table holds the cumulative frequencies of a channel's symbols, of precision 16
bits: 0 = cdf[0] < cdf[1] < ... < cdf[n] = 65536. Symbols outside are clipped to
the table's ends, so there is no escape code, and hostile bytes always decode in
a bounded number of steps. A channel with a single symbol is dead: it is not
coded at all.

A model may hold several sets of tables, one for each activity: smooth places,
busy ones, edges of one kind or another. Every position then says its activity
first, and its symbols are coded with that set. The sets share each channel's
range of symbols, so that symbols do not depend on activities. The activity
itself is coded with a table that the activity of the position before it in the
lane chooses. `bls2017.training.calibration` makes the sets; other models have
one.

Tables are never rebuilt from floating point when a file is decoded: another
processor would round some entry differently and lose the stream.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config

if TYPE_CHECKING:
  from bls2017.training import priors

PRECISION = 16
TOTAL = 1 << PRECISION

TAIL_MASS = 2.0**-20
"""Symbols reach out to where each tail of the prior holds less than this."""

DEAD_MASS = 1 - 2.0**-17
"""A channel whose most likely symbol is likelier than this is not coded."""

AWAKE = 0.25
"""A channel of a gain below this share of the largest one sleeps.

In the packaged model, all that are coded have half of it or more, the others
less than a tenth.
"""

MAX_HALF_WIDTH = 2047
"""Largest distance of a table's end from its middle."""

LENGTH_UNITS = 256
"""Units of a code length in a bit; so fine that they add less than 0.01%."""

LANE_COST_BITS = 8 * 2.3
"""What a lane costs: two bytes of length and a third of a byte at its end."""

LANE_OVERHEAD = 0.005
"""Share of the expected file that the lanes may cost."""

MAX_ACTIVITIES = 32
"""Sets of tables. More would cost the decoder of `range_coder_stock` digits."""

MAX_LANE_POSITIONS = 4096
MAX_LANE_BYTES = 0xFFFF
LANE_END_BYTES = 4

# Halves 2 * MAX_HALF_WIDTH down to 1e-4, far below any quantization step.
_BISECTIONS = 26


def num_qualities(num_levels: int) -> int:
  """How many qualities a model of so many trained levels has."""
  return (num_levels - 1) * config.QUALITY_STEPS + 1


def quality_index(quality: float, num_levels: int) -> int:
  """Index of the nearest quality; quality 1 has index 0.

  Raises:
    errors.UsageError: if the quality is not between 1 and `num_levels`.
  """
  if not 1 <= quality <= num_levels:
    raise errors.UsageError(
      f"quality must be between 1 and {num_levels}, not {quality}"
    )
  return round((quality - 1) * config.QUALITY_STEPS)


def index_quality(index: int) -> float:
  """The inverse of `quality_index`."""
  return 1 + index / config.QUALITY_STEPS


@dataclasses.dataclass(frozen=True)
class QualityTables:
  """What coding at one quality needs.

  Attributes:
    gain: float32 [C], latents times gain are what is rounded.
    inverse_gain: float32 [C], rounded latents times it are what is decoded.
    offset: float32 [C], subtracted before rounding and added after it.
    minimum: int32 [C], smallest symbol.
    maximum: int32 [C], largest symbol; equal to the smallest in dead channels.
    live: int32 [L], the channels that are coded, increasing.
    cdf: int32 [K, S], for each activity and, one channel after the other, each
      symbol of each channel the cumulative frequency below it. S symbols in
      all; the end of a table, 65536, is left out.
    activity_cdf: int32 [K + 1, K], likewise of the activity itself, for each
      activity of the position before, and for the first position of a lane.
    lane_positions: Spatial positions of a lane.
  """

  gain: np.ndarray
  inverse_gain: np.ndarray
  offset: np.ndarray
  minimum: np.ndarray
  maximum: np.ndarray
  live: np.ndarray
  cdf: np.ndarray
  activity_cdf: np.ndarray
  lane_positions: int

  @property
  def activities(self) -> int:
    """K, sets of tables."""
    return len(self.cdf)

  @property
  def leading(self) -> int:
    """Columns before the channels' in the symbols of a position.

    One, the activity, where there are several activities; none where not.
    """
    return int(self.activities > 1)

  @property
  def columns(self) -> int:
    """Symbols of a position: those of the live channels, and the activity."""
    return self.leading + len(self.live)

  def max_lane_bytes(self, positions: int) -> int:
    """The longest stream that so many positions can need.

    A symbol narrows the interval at most by 2**16, that is by two bytes.
    """
    return 2 * positions * self.columns + LANE_END_BYTES

  @functools.cached_property
  def starts(self) -> np.ndarray:
    """int32 [C]: where each channel's symbols begin among the S."""
    size = self.maximum - self.minimum + 1
    return (np.cumsum(size) - size).astype(np.int32)

  @functools.cached_property
  def code_lengths(self) -> np.ndarray:
    """float64 [K, S]: bits of each symbol; see `code_lengths`."""
    return code_lengths(self.cdf)

  @functools.cached_property
  def activity_lengths(self) -> np.ndarray:
    """float64 [K + 1, K]: bits of each activity."""
    return code_lengths(self.activity_cdf)


def upper_ends(cdf: np.ndarray) -> np.ndarray:
  """What each cumulative frequency rises to: int32, shaped as `cdf`.

  Args:
    cdf: int32 [n, S], tables one after the other, each beginning with 0.
  """
  ends = np.roll(cdf, -1, axis=1)
  return np.where(ends == 0, TOTAL, ends)


def code_lengths(cdf: np.ndarray) -> np.ndarray:
  """Bits of each symbol, float64, shaped as `cdf`.

  Multiples of 1 / `LENGTH_UNITS`, so that sums of them are exact.

  Args:
    cdf: As for `upper_ends`.
  """
  bits = PRECISION - np.log2(upper_ends(cdf) - cdf)
  return np.rint(bits * LENGTH_UNITS) / LENGTH_UNITS


@dataclasses.dataclass(frozen=True)
class CodingTables:
  """The tables of all Q qualities of a model with C channels.

  Attributes:
    gain: float32 [Q, C].
    inverse_gain: float32 [Q, C].
    offset: float32 [Q, C].
    minimum: int16 [Q, C].
    size: uint16 [Q, C], symbols of each table.
    cdf: uint16 [K * sum of size], for each quality, activity and channel the
      cumulative frequencies cdf[0] .. cdf[size - 1]; the last one, 65536, is
      left out.
    lane_positions: uint16 [Q].
    activity_cdf: uint16 [Q, K + 1, K], likewise, of the activity itself, for
      each activity of the position before, and for the first of a lane. None
      stands for a single activity.
  """

  gain: np.ndarray
  inverse_gain: np.ndarray
  offset: np.ndarray
  minimum: np.ndarray
  size: np.ndarray
  cdf: np.ndarray
  lane_positions: np.ndarray
  activity_cdf: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.gain)

  @property
  def activities(self) -> int:
    """K, sets of tables of every quality."""
    return 1 if self.activity_cdf is None else self.activity_cdf.shape[-1]

  def check(self) -> None:
    """Raises errors.ModelError unless these are sound tables."""
    shape = self.gain.shape
    sound = (
      len(shape) == 2
      and all(
        getattr(self, name).shape == shape
        for name in ("inverse_gain", "offset", "minimum", "size")
      )
      and self._activities_are_sound()
      and self.cdf.shape == (self.activities * int(self.size.sum()),)
      and self.lane_positions.shape == shape[:1]
      and all(
        np.all(np.isfinite(a))
        for a in (self.gain, self.inverse_gain, self.offset)
      )
      and bool(np.all(self.size >= 1))
      and bool(np.all(self.lane_positions >= 1))
    )
    if sound:
      size = np.repeat(self.size[:, None], self.activities, axis=1).ravel()
      starts = np.cumsum(size, dtype=np.int64) - size
      rises = np.diff(self.cdf.astype(np.int32), append=0) > 0
      rises[starts - 1] = True  # From the end of a table to the next one.
      sound = bool(np.all(rises)) and not np.any(self.cdf[starts])
    if not sound:
      raise errors.ModelError("the coding tables are damaged")

  def _activities_are_sound(self) -> bool:
    cdf = self.activity_cdf
    if cdf is None:
      return True
    k = cdf.shape[-1]
    return bool(
      cdf.shape == (len(self.gain), k + 1, k)
      and 2 <= k <= MAX_ACTIVITIES
      and np.all(cdf[..., 0] == 0)
      and np.all(np.diff(cdf.astype(np.int32)) > 0)
    )

  def for_quality(self, index: int) -> QualityTables:
    """The tables of one quality, by its index."""
    size = self.size[index].astype(np.int32)
    minimum = self.minimum[index].astype(np.int32)
    sets, total = self.activities, int(size.sum())
    start = sets * int(self.size[:index].sum(dtype=np.int64))
    cdf = self.cdf[start : start + sets * total].reshape(sets, total)
    own = np.zeros((sets + 1, sets), np.int32)
    if self.activity_cdf is not None:
      own[:] = self.activity_cdf[index]
    return QualityTables(
      gain=self.gain[index],
      inverse_gain=self.inverse_gain[index],
      offset=self.offset[index],
      minimum=minimum,
      maximum=minimum + size - 1,
      live=np.flatnonzero(size > 1).astype(np.int32),
      cdf=cdf.astype(np.int32),
      activity_cdf=own,
      lane_positions=int(self.lane_positions[index]),
    )

  def arrays(self) -> dict[str, np.ndarray]:
    """The fields by name, those that are None left out."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return {name: a for name, a in fields.items() if a is not None}


def build(
  prior: priors.Prior, gain: np.ndarray, inverse_gain: np.ndarray
) -> CodingTables:
  """Makes the tables of a trained model.

  Args:
    prior: Densities of the latents.
    gain: float32 [levels, C].
    inverse_gain: float32 [levels, C].

  Returns:
    Tables for every quality.
  """
  levels = len(gain)
  cumulative = prior.cumulative()
  awake = gain > AWAKE * gain.max(axis=1, keepdims=True)
  wakes, stays = ~awake & _above(awake), awake & _above(awake)
  lower, lower_inverse = (_woken(g, wakes, stays) for g in (gain, inverse_gain))
  parts: dict[int, dict[str, np.ndarray]] = {}
  # All qualities with the same fraction are evaluated at once: each of them
  # takes its lower neighbour from one row of the prior, its upper from the
  # next. The last level has no quality above it.
  for step in range(config.QUALITY_STEPS):
    fraction = step / config.QUALITY_STEPS
    with_fraction = range(levels if step == 0 else levels - 1)
    if not with_fraction:
      break
    gain_t, inverse_gain_t = gain, inverse_gain
    if step:
      gain_t = _between(lower, _above(gain), fraction)
      inverse_gain_t = _between(lower_inverse, _above(inverse_gain), fraction)
    share = np.where(wakes & (step > 0), 1.0, fraction)
    blended = _Blend(cumulative, gain, gain_t, share)
    offset = blended.median()
    start, mass = _masses(blended, offset)
    for level in with_fraction:
      parts[level * config.QUALITY_STEPS + step] = {
        "gain": gain_t[level].astype(np.float32),
        "inverse_gain": inverse_gain_t[level].astype(np.float32),
        "offset": offset[level],
        **_quantize_channels(mass[:, level], start),
      }
  rows = [parts[index] for index in range(num_qualities(levels))]
  fields = {
    name: np.stack([r[name] for r in rows]) for name in rows[0] if name != "cdf"
  }
  tables = CodingTables(**fields, cdf=np.concatenate([r["cdf"] for r in rows]))
  tables.check()
  return tables


def _above(gain: np.ndarray) -> np.ndarray:
  """The gains of the next level for each level; the last one's is its own."""
  return np.concatenate([gain[1:], gain[-1:]])


def _woken(
  gain: np.ndarray, wakes: np.ndarray, stays: np.ndarray
) -> np.ndarray:
  """Gains or inverse gains from which those above each level are interpolated.

  Args:
    gain: float32 [levels, C].
    wakes: bool [levels, C], channels that sleep at a level and not at the next;
      they follow the step of those that stay.
    stays: Likewise, channels that are awake at both.
  """
  above = _above(gain)
  steps = np.ma.array(gain / above, mask=~stays)
  step = np.ma.median(steps, axis=1, keepdims=True).filled(1.0)
  return np.where(wakes, above * step, gain).astype(gain.dtype)


def _between(
  lower: np.ndarray, upper: np.ndarray, fraction: float
) -> np.ndarray:
  """Geometric interpolation."""
  return lower ** (1 - fraction) * upper**fraction


class _Blend:
  """The mixture F_t of the module's description, for all levels at once.

  `share` holds the f of each level and channel.
  """

  def __init__(
    self,
    cumulative: priors.Cumulative,
    gain: np.ndarray,
    gain_t: np.ndarray,
    share: np.ndarray,
  ):
    self._cumulative = cumulative
    self._share = share
    self._to_lower = gain / gain_t
    self._to_upper = _above(gain) / gain_t
    self.shape = gain.shape

  def __call__(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F_t(v) and 1 - F_t(v), float64 [n, levels, C]."""
    below, above = self._evaluate(v * self._to_lower)
    if not self._share.any():
      return below, above
    # Row k + 1 of the prior is asked for the quality above level k. What stands
    # above the last level is not used.
    scaled = v * self._to_upper
    rows = np.concatenate([np.zeros_like(scaled[:, :1]), scaled[:, :-1]], 1)
    upper_below, upper_above = (
      np.concatenate([u[:, 1:], u[:, -1:]], 1) for u in self._evaluate(rows)
    )
    f = self._share
    return (
      (1 - f) * below + f * upper_below,
      (1 - f) * above + f * upper_above,
    )

  def _evaluate(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    below, above = self._cumulative(tf.constant(v, tf.float32))
    return below.numpy().astype(np.float64), above.numpy().astype(np.float64)

  def median(self) -> np.ndarray:
    """The median's distance from an integer: float32 [levels, C], within 1/2.

    Rounding around it puts the likeliest value into the middle of a bin.
    """
    low = np.full((1, *self.shape), -float(MAX_HALF_WIDTH))
    high = -low
    for _ in range(_BISECTIONS):
      middle = (low + high) / 2
      below, _ = self(middle)
      low, high = (
        np.where(below < 0.5, middle, low),
        np.where(below < 0.5, high, middle),
      )
    median = ((low + high) / 2)[0].astype(np.float32)
    return median - np.round(median)


def _masses(blended: _Blend, offset: np.ndarray) -> tuple[int, np.ndarray]:
  """Masses of the symbols start, start + 1, ...: float64 [n, levels, C].

  The range is wide enough for both tails of every channel.
  """
  half_width = 31
  while True:
    edges = np.arange(-half_width, half_width + 2) - 0.5
    below, above = blended(edges[:, None, None] + offset)
    tails = max(below[0].max(), above[-1].max())
    if tails < TAIL_MASS or half_width >= MAX_HALF_WIDTH:
      break
    half_width = min(2 * half_width + 1, MAX_HALF_WIDTH)
  # Differences of the smaller of both sides keep the precision of the tails.
  mass = np.where(
    below[:-1] < 0.5, below[1:] - below[:-1], above[:-1] - above[1:]
  )
  return -half_width, np.maximum(mass, 0)


def _quantize_channels(mass: np.ndarray, start: int) -> dict[str, np.ndarray]:
  """The tables of one quality.

  Args:
    mass: float64 [n, C], masses of the symbols start, start + 1, ...
    start: The first of them.

  Returns:
    Rows of the fields of `CodingTables` that follow from the masses.
  """
  tables = [_quantize(column, start) for column in mass.T]
  cdfs = [cdf for _, cdf in tables]
  return {
    "minimum": np.array([minimum for minimum, _ in tables], np.int16),
    "size": np.array([len(cdf) for cdf in cdfs], np.uint16),
    "cdf": np.concatenate(cdfs),
    "lane_positions": _lane_positions(cdfs),
  }


def _quantize(mass: np.ndarray, start: int) -> tuple[int, np.ndarray]:
  """One table: its smallest symbol, and uint16 [size] cumulative counts."""
  mass = mass / mass.sum()
  if mass.max() > DEAD_MASS:
    return start + int(mass.argmax()), np.zeros(1, np.uint16)
  below = np.cumsum(mass)
  first = int(np.searchsorted(below, TAIL_MASS))
  last = len(mass) - 1 - int(np.searchsorted(np.cumsum(mass[::-1]), TAIL_MASS))
  mass = mass[first : last + 1]
  if len(mass) == 1:
    return start + first, np.zeros(1, np.uint16)
  frequency = frequencies(mass / mass.sum())
  cdf = np.concatenate([[0], np.cumsum(frequency)[:-1]])
  return start + first, cdf.astype(np.uint16)


def frequencies(probability: np.ndarray) -> np.ndarray:
  """Integers of at least 1 that sum to 65536 and cost the fewest bits.

  Starts from the rounded values and corrects their sum one unit at a time,
  where the expected code length changes least (the cost of symbol i is
  -p_i log2 f_i).

  Args:
    probability: float64 [n], their sum 1, n at most 65536.

  Returns:
    int64 [n].
  """
  frequency = np.maximum(np.rint(probability * TOTAL), 1).tolist()
  excess = int(sum(frequency)) - TOTAL
  step = -1 if excess > 0 else 1
  p = probability.tolist()

  def cost(i: int) -> float:
    moved = frequency[i] + step
    return -p[i] * math.log2(moved / frequency[i]) if moved >= 1 else math.inf

  # The cheapest correction first; a symbol's next one costs more.
  corrections = [(cost(i), i) for i in range(len(p))] if excess else []
  heapq.heapify(corrections)
  for _ in range(abs(excess)):
    _, i = corrections[0]
    frequency[i] += step
    heapq.heapreplace(corrections, (cost(i), i))
  return np.array(frequency, np.int64)


def _lane_positions(cdfs: list[np.ndarray]) -> np.ndarray:
  """Positions of a lane, from the tables of one quality."""
  bits, live = 0.0, 0
  for cdf in cdfs:
    if len(cdf) > 1:
      p = np.diff(cdf.astype(np.int64), append=TOTAL) / TOTAL
      bits -= float(np.sum(p * np.log2(p)))
      live += 1
  return np.array(lane_positions(bits, live), np.uint16)


def lane_positions(bits: float, columns: int) -> int:
  """Positions of a lane: as few as the lanes' own cost allows.

  Args:
    bits: What a position takes on average.
    columns: Its symbols.
  """
  longest = (MAX_LANE_BYTES - LANE_END_BYTES) // (2 * max(columns, 1))
  wanted = math.ceil(LANE_COST_BITS / (LANE_OVERHEAD * max(bits, 1e-3)))
  return max(1, min(wanted, longest, MAX_LANE_POSITIONS))
