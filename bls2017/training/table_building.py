"""The coding tables of a trained model, from its prior and its gains.

At a whole number a quality is a trained level. In between, gains are
interpolated geometrically, and the density of a latent is the mixture of its
two neighbours' densities, each rescaled to the gain in between:

    gain_t = gain_a**(1 - f) gain_b**f
    F_t(v) = (1 - f) F_a(v gain_a / gain_t) + f F_b(v gain_b / gain_t)

Training takes the gain of a channel that does not pay at a level towards 0.
Interpolated from there, it would sleep nearly up to the next level. Where b
uses a channel that sleeps at a, gain_a is therefore what the other channels'
step from a to b makes of gain_b, and F_t(v) = F_b(v gain_b / gain_t).

These tables know one activity; `bls2017.training.calibration` makes others from
the symbols of photographs.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.format import coding_tables, container
from bls2017.training import priors

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

LANE_OVERHEAD = 0.005
"""Share of the expected file that the lanes may cost."""

MAX_LANE_OVERHEAD = 0.0065
"""Likewise, where a lane would have more than `MANY_STEPS` steps otherwise.

With so much, files are at most 0.3% larger than those of version 2.
"""

MANY_STEPS = 1500
"""Table indices of a lane that a vectorised decoder is better off without.

It takes a step for each, for all lanes at once.
"""

MAX_LANE_POSITIONS = 4096

# Halves 2 * MAX_HALF_WIDTH down to 1e-4, far below any quantization step.
_BISECTIONS = 26


@dataclasses.dataclass(frozen=True)
class Neighbours:
  """Lambdas next to those of a pair of transforms, in a model of several pairs.

  Half of the qualities between two pairs are each pair's; its gains are
  extrapolated to them.

  Attributes:
    below: Lambda of the last level of the pair below; None for the lowest pair.
    above: Lambda of the first level of the pair above; None for the highest.
  """

  below: float | None = None
  above: float | None = None


def qualities_below(quality_steps: int) -> int:
  """How many of the qualities between two pairs are the upper pair's."""
  return quality_steps - 1 - quality_steps // 2


def build(
  prior: priors.Prior,
  gain: np.ndarray,
  inverse_gain: np.ndarray,
  model_config: config.ModelConfig,
  neighbours: Neighbours | None = None,
) -> coding_tables.CodingTables:
  """Makes the tables of a trained model.

  Args:
    prior: Densities of the latents.
    gain: float32 [levels, C].
    inverse_gain: float32 [levels, C].
    model_config: Of the model.
    neighbours: Of a model that becomes a pair of a larger one.

  Returns:
    Tables for every quality, with lanes for files of the newest version.
  """
  levels, steps = model_config.num_levels, model_config.quality_steps
  cumulative = prior.cumulative()
  is_awake = awake(gain)
  wakes, stays = ~is_awake & _above(is_awake), is_awake & _above(is_awake)
  lower, lower_inverse = (_woken(g, wakes, stays) for g in (gain, inverse_gain))
  rows: dict[int, dict[str, np.ndarray]] = {}
  # All qualities with the same fraction are evaluated at once: each of them
  # takes its lower neighbour from one row of the prior, its upper from the
  # next. The last level has no quality above it.
  for step in range(steps if levels > 1 else 1):
    fraction = step / steps
    gains = gain, inverse_gain
    if step:
      gains = (
        _between(lower, _above(gain), fraction),
        _between(lower_inverse, _above(inverse_gain), fraction),
      )
    share = np.where(wakes & (step > 0), 1.0, fraction)
    blended = _Blend(cumulative, gain, gains[0], share)
    of_levels = _rows(blended, *gains)
    for level in range(levels - (step > 0)):
      rows[level * steps + step] = of_levels[level]
  log_lmbdas = np.log(model_config.lmbdas)
  for level, index, log_lmbda in _beyond(model_config, neighbours):
    change = log_lmbda - log_lmbdas[level]
    factor = np.exp(change * _slope(np.log(gain), stays, log_lmbdas, level))
    gains = gain * factor, inverse_gain / factor
    blended = _Blend(cumulative, gain, gains[0], np.zeros(gain.shape))
    rows[index] = _rows(blended, *gains)[level]
  return _joined([rows[index] for index in sorted(rows)])


def _beyond(
  model_config: config.ModelConfig, neighbours: Neighbours | None
) -> Iterator[tuple[int, int, float]]:
  """Level, index and logarithm of lambda of each quality beyond the ends."""
  neighbours = neighbours or Neighbours()
  steps, last = model_config.quality_steps, model_config.num_levels - 1
  lower = qualities_below(steps)
  for level, other, direction, count in (
    (0, neighbours.below, -1, lower),
    (last, neighbours.above, 1, steps - 1 - lower),
  ):
    if other is not None:
      start, end = math.log(model_config.lmbdas[level]), math.log(other)
      for step in range(1, count + 1):
        log_lmbda = start + (end - start) * step / steps
        yield level, level * steps + direction * step, log_lmbda


def _slope(
  log_gain: np.ndarray, stays: np.ndarray, log_lmbdas: np.ndarray, level: int
) -> float:
  """How gains grow with lambda at the first or the last level.

  Args:
    log_gain: float32 [levels, C].
    stays: bool [levels, C], channels awake at a level and the one above.
    log_lmbdas: float64 [levels].
    level: 0 or the last one.

  Returns:
    The change of the logarithm of the gain with that of lambda; in a model of
    one level 1/2, with which quantization steps of the least cost go.
  """
  lower = max(level - 1, 0)
  if len(log_gain) == 1 or not stays[lower].any():
    return 0.5
  change = (log_gain[lower + 1] - log_gain[lower])[stays[lower]]
  return float(np.median(change) / (log_lmbdas[lower + 1] - log_lmbdas[lower]))


def _rows(
  blended: _Blend, gain: np.ndarray, inverse_gain: np.ndarray
) -> list[dict[str, np.ndarray]]:
  """Rows of the fields of `CodingTables`, a quality for each level.

  Args:
    blended: Densities of the latents times their gain.
    gain: float [levels, C], at these qualities.
    inverse_gain: Likewise.
  """
  offset = blended.median()
  start, mass = _masses(blended, offset)
  return [
    {
      "gain": gain[level].astype(np.float32),
      "inverse_gain": inverse_gain[level].astype(np.float32),
      "offset": offset[level],
      **_quantize_channels(mass[:, level], start),
    }
    for level in range(len(gain))
  ]


def _joined(rows: list[dict[str, np.ndarray]]) -> coding_tables.CodingTables:
  """The tables of qualities, from their `_rows`."""
  fields = {
    name: np.stack([r[name] for r in rows]) for name in rows[0] if name != "cdf"
  }
  tables = coding_tables.CodingTables(
    **fields,
    cdfs=[r["cdf"][None] for r in rows],
    lane_positions=np.ones(len(rows), np.uint16),
  )
  tables = with_lanes(tables, container.VERSION)
  tables.check()
  return tables


def awake(gain: np.ndarray) -> np.ndarray:
  """Which channels are used at each level, bool [levels, C].

  Args:
    gain: float32 [levels, C].
  """
  return gain > AWAKE * gain.max(axis=1, keepdims=True)


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
    Rows of those fields of `CodingTables` that follow from the masses.
  """
  tables = [_quantize(column, start) for column in mass.T]
  cdfs = [cdf for _, cdf in tables]
  return {
    "minimum": np.array([minimum for minimum, _ in tables], np.int16),
    "size": np.array([len(cdf) for cdf in cdfs], np.uint16),
    "cdf": np.concatenate(cdfs),
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
  frequency = np.maximum(np.rint(probability * coding_tables.TOTAL), 1).tolist()
  excess = int(sum(frequency)) - coding_tables.TOTAL
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


def with_lanes(
  tables: coding_tables.CodingTables, format_version: int
) -> coding_tables.CodingTables:
  """The same tables, with the lanes that suit a version of the format.

  Args:
    tables: Of a model, with any lanes.
    format_version: Version of the files.
  """
  qualities = map(tables.for_quality, range(len(tables)))
  positions = [lane_positions(q, format_version) for q in qualities]
  return dataclasses.replace(
    tables, lane_positions=np.array(positions, np.uint16)
  )


def lane_positions(
  tables: coding_tables.QualityTables, format_version: int
) -> int:
  """Positions of a lane: as few as the lanes' cost allows.

  Args:
    tables: Of the quality, with any lanes.
    format_version: Version of the files.
  """
  share = _masses_of(tables.activity_cdf)
  activity_bits = (share * tables.activity_lengths).sum(1)
  symbol_bits = (_masses_of(tables.cdf) * tables.code_lengths).sum(1)
  # A lane's first activity is coded without one before it.
  anywhere, first_bits = share[-1], activity_bits[-1]
  later_bits = float(anywhere @ activity_bits[:-1])
  bits = max(float(anywhere @ symbol_bits) + later_bits, 1e-3)
  costs = [container.overhead_bytes(n, format_version) for n in (0, 1)]
  cost = 8 * (costs[1] - costs[0]) + float(first_bits) - later_bits
  columns = max(tables.columns, 1)
  positions = math.ceil(cost / (LANE_OVERHEAD * bits))
  if positions * columns > MANY_STEPS:
    fewest = math.ceil(cost / (MAX_LANE_OVERHEAD * bits))
    positions = max(fewest, MANY_STEPS // columns)
  room = coding_tables.MAX_LANE_BYTES - coding_tables.MAX_LANE_END_BYTES
  longest = room // (2 * columns)
  return max(1, min(positions, longest, MAX_LANE_POSITIONS))


def _masses_of(cdf: np.ndarray) -> np.ndarray:
  """The share of each table index in its table: float64, shaped as `cdf`."""
  return (coding_tables.upper_ends(cdf) - cdf) / coding_tables.TOTAL
