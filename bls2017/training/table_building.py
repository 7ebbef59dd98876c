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
import functools
import heapq
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.encode import activities, expected_bits
from bls2017.format import coding_tables, container
from bls2017.training import priors

TAIL_MASS = 2.0**-20
"""Symbols reach out to where each tail of the prior holds less than this."""

DEAD_MASS = 1 - 2.0**-17
"""A channel whose most likely symbol is likelier than this is not coded."""

AWAKE = 0.25
"""A channel of a gain below this share of the largest one sleeps. In packaged
models all that are coded have half of it or more, the others under a tenth."""

MAX_HALF_WIDTH = 2047
"""Largest distance of a table's end from its middle."""

MOST_LANE = 2.0
"""How many times as long as usual a lane may be."""

MAX_LANE_POSITIONS = 4096

_DIGITS = 5
"""Binary digits of a frequency: 0.01% more bits than with all 16, and a byte
instead of two."""

ACTIVITY_WEIGHT = 5.0
"""Pairs of activities that the overall shares of the activities count as."""

ALONE: dict[str, np.ndarray] = {
  "activity_cdf": np.zeros((1, 1), np.uint16),
  "activity_tables": np.zeros((2, 2), np.uint8),
  "surroundings": np.zeros((1, 1), np.uint8),
  "context_cdf": np.zeros(0, np.uint16),
  "context_tables": np.zeros((0, 1, 1), np.uint8),
  "contexts_of": np.zeros((2, 0, 1, 1), np.uint8),
  "context_classes": np.zeros(0, np.uint8),
}
"""What `coding_tables.Frequencies` has beside `cdf` where there is a single
activity and no context."""

# Halves 2 * MAX_HALF_WIDTH down to 1e-4, far below any quantization step.
_BISECTIONS = 26


class Share(NamedTuple):
  """The part of a run in a model of several pairs of transforms.

  Half of the qualities between two pairs are each pair's. A run whose own
  levels do not reach there extrapolates its gains.

  Attributes:
    levels: How many levels, from the run's lowest one on.
    below: Lambda of the last level of the pair below; None for the lowest pair.
    above: Lambda of the first level of the pair above; None for the highest.
  """

  levels: int
  below: float | None = None
  above: float | None = None


class _Coded(NamedTuple):
  """How latents are coded at each level, or some steps away from it."""

  gain: np.ndarray  # float32 [levels, C]
  inverse_gain: np.ndarray  # float32 [levels, C]
  offset: np.ndarray  # float32 [levels, C]
  start: int
  mass: np.ndarray  # float64 [n, levels, C], of the symbols from `start` on


def build(
  prior: priors.Prior,
  gain: np.ndarray,
  inverse_gain: np.ndarray,
  model_config: config.ModelConfig,
  share: Share,
) -> coding_tables.CodingTables:
  """Makes the tables of a trained model, for every quality it contributes.

  Args:
    prior: Densities of the latents.
    gain: float32 [levels, C].
    inverse_gain: float32 [levels, C].
    model_config: Of the model.
    share: How much of it counts.

  Returns:
    The tables, with lanes of one position (`with_lanes` chooses others).
  """
  levels, steps = model_config.num_levels, model_config.quality_steps
  cumulative = prior.cumulative()
  above = _levels_above(levels)
  is_awake = awake(gain)
  wakes, stays = ~is_awake & is_awake[above], is_awake & is_awake[above]
  log_lmbdas = np.log(model_config.lmbdas)

  @functools.cache
  def between(step: int) -> _Coded:
    if not step:
      return _coded(cumulative, gain, gain, inverse_gain, np.zeros(gain.shape))
    fraction = step / steps
    gain_t, inverse_gain_t = (
      _woken(g, wakes, stays) ** (1 - fraction) * g[above] ** fraction
      for g in (gain, inverse_gain)
    )
    of_above = np.where(wakes, 1.0, fraction)
    return _coded(cumulative, gain, gain_t, inverse_gain_t, of_above)

  def beyond(level: int, lmbda: float, step: int) -> _Coded:
    change = (math.log(lmbda) - log_lmbdas[level]) * step / steps
    factor = np.exp(change * _slope(np.log(gain), stays, log_lmbdas, level))
    gain_t, inverse_gain_t = gain * factor, inverse_gain / factor
    return _coded(
      cumulative, gain, gain_t, inverse_gain_t, np.zeros(gain.shape)
    )

  rows = []
  first = 0 if share.below is None else -((steps - 1) // 2)
  last = (share.levels - 1) * steps
  last += 0 if share.above is None else steps // 2
  for quality in range(first, last + 1):
    level, step = divmod(quality, steps)
    if share.below and quality < 0:
      level, coded = 0, beyond(0, share.below, -quality)
    elif share.above and step and level == levels - 1:
      coded = beyond(level, share.above, step)
    else:
      coded = between(step)
    rows.append(_row(coded, level))
  count, channels = len(rows), len(rows[0]["size"])
  others = np.array([(r["size"] > 1).sum() for r in rows], np.uint16)
  tables = coding_tables.CodingTables(
    **{n: np.stack([r[n] for r in rows]) for n in rows[0] if n != "cdf"},
    order=np.tile(np.arange(channels, dtype=np.uint16), (count, 1)),
    ends=others[:, None, None],
    end_cdf=np.zeros((count, 1, 1), np.uint16),
    lane_positions=np.ones(count, np.uint16),
    pair=np.zeros(count, np.uint8),
    frequencies=[
      coding_tables.Frequencies(r["cdf"][None], **ALONE) for r in rows
    ],
  )
  tables.check()
  return tables


def awake(gain: np.ndarray) -> np.ndarray:
  """The channels that each level uses: bool from float32 gains [levels, C]."""
  return gain > AWAKE * gain.max(axis=1, keepdims=True)


def _levels_above(levels: int) -> np.ndarray:
  """The level above each one; the last one stands for its own."""
  return np.minimum(np.arange(levels) + 1, levels - 1)


def _woken(
  gain: np.ndarray, wakes: np.ndarray, stays: np.ndarray
) -> np.ndarray:
  """Gains or inverse gains from which those above each level are interpolated.

  Channels that wake follow the median step of those that stay awake.
  """
  above = gain[_levels_above(len(gain))]
  steps = np.ma.array(gain / above, mask=~stays)
  step = np.ma.median(steps, axis=1, keepdims=True).filled(1.0)
  return np.where(wakes, above * step, gain).astype(gain.dtype)


def _slope(
  log_gain: np.ndarray, stays: np.ndarray, log_lmbdas: np.ndarray, level: int
) -> float:
  """How log gains grow with log lambda at the first or the last level."""
  lower = max(level - 1, 0)
  if len(log_gain) == 1 or not stays[lower].any():
    return 0.5  # Quantization steps of the least cost go with the root.
  change = (log_gain[lower + 1] - log_gain[lower])[stays[lower]]
  return float(np.median(change) / (log_lmbdas[lower + 1] - log_lmbdas[lower]))


def _coded(
  cumulative: priors.Cumulative,
  gain: np.ndarray,
  gain_t: np.ndarray,
  inverse_gain_t: np.ndarray,
  fraction: np.ndarray,
) -> _Coded:
  """How latents are coded with gains gain_t, for a prior trained with `gain`.

  The module's text says how; fraction is float64 [levels, C].
  """
  above = _levels_above(len(gain))
  below = np.maximum(np.arange(len(gain)) - 1, 0)

  def evaluate(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = cumulative(tf.constant(v, tf.float32))
    return lower.numpy().astype(np.float64), upper.numpy().astype(np.float64)

  def mixture(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F_t(v) and 1 - F_t(v), float64 [n, levels, C]."""
    f_lower, rest_lower = evaluate(v * (gain / gain_t))
    if not fraction.any():
      return f_lower, rest_lower
    # The prior's row for level k + 1 is asked for what lies above level k.
    v_upper = v * (gain[above] / gain_t)
    f_upper, rest_upper = (e[:, above] for e in evaluate(v_upper[:, below]))
    return (
      (1 - fraction) * f_lower + fraction * f_upper,
      (1 - fraction) * rest_lower + fraction * rest_upper,
    )

  # Rounding around the median puts the likeliest value into a bin's middle.
  low = np.full((1, *gain.shape), -float(MAX_HALF_WIDTH))
  high = -low
  for _ in range(_BISECTIONS):
    middle = (low + high) / 2
    is_lower = mixture(middle)[0] < 0.5
    low = np.where(is_lower, middle, low)
    high = np.where(is_lower, high, middle)
  median = ((low + high) / 2)[0].astype(np.float32)
  offset = median - np.round(median)
  half_width = 31
  while True:
    edges = np.arange(-half_width, half_width + 2) - 0.5
    lower, upper = mixture(edges[:, None, None] + offset)
    tails = max(lower[0].max(), upper[-1].max())
    if tails < TAIL_MASS or half_width >= MAX_HALF_WIDTH:
      break
    half_width = min(2 * half_width + 1, MAX_HALF_WIDTH)
  # Differences of the smaller of both sides keep the precision of the tails.
  mass = np.where(
    lower[:-1] < 0.5, lower[1:] - lower[:-1], upper[:-1] - upper[1:]
  )
  mass = np.maximum(mass, 0)
  return _Coded(gain_t, inverse_gain_t, offset, -half_width, mass)


def _row(coded: _Coded, level: int) -> dict[str, np.ndarray]:
  """A row of fields of `CodingTables`, and the `cdf` of live channels."""
  tables = [_quantize(mass, coded.start) for mass in coded.mass[:, level].T]
  cdfs = [cdf for _, cdf in tables]
  of_live = [cdf for cdf in cdfs if len(cdf) > 1]
  return {
    "gain": coded.gain[level].astype(np.float32),
    "inverse_gain": coded.inverse_gain[level].astype(np.float32),
    "offset": coded.offset[level],
    "minimum": np.array([minimum for minimum, _ in tables], np.int16),
    "size": np.array([len(cdf) for cdf in cdfs], np.uint16),
    "cdf": np.concatenate([np.zeros(0, np.uint16), *of_live]),
  }


def _quantize(mass: np.ndarray, start: int) -> tuple[int, np.ndarray]:
  """One table: its smallest symbol, and uint16 [size] cumulative counts."""
  mass = mass / mass.sum()
  first = int(np.searchsorted(np.cumsum(mass), TAIL_MASS))
  last = len(mass) - 1 - int(np.searchsorted(np.cumsum(mass[::-1]), TAIL_MASS))
  # What need not be coded is 0.
  first, last = min(first, -start), max(last, -start)
  if mass.max() > DEAD_MASS:
    first = last = int(mass.argmax())
  mass = mass[first : last + 1]
  return start + first, cdf(mass / mass.sum())


def cdf(probability: np.ndarray) -> np.ndarray:
  """A table as `coding_tables.packed` takes it: uint16 [n].

  Args:
    probability: As for `frequencies`.
  """
  frequency = _shortened(frequencies(probability))
  return (np.cumsum(frequency) - frequency).astype(np.uint16)


def frequencies(probability: np.ndarray) -> np.ndarray:
  """Frequencies int64 [n], at least 1, of sum 65536, that cost the fewest bits.

  Starts from the rounded values and corrects their sum one unit at a time,
  where the expected code length changes least.

  Args:
    probability: float64 [n], their sum 1, n at most 65536.
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


def _shortened(frequency: np.ndarray) -> np.ndarray:
  """Frequencies of fewer digits, int64 [n], of the same sum and at least 1.

  Those that lose most by rounding down are rounded up, as many as the sum
  allows; the largest makes up for the rest. Rounding each to its nearest would
  not do: those of a wide, flat table all err to one side.
  """
  units = 2 ** np.maximum(np.ceil(np.log2(frequency + 1)) - _DIGITS, 0)
  units = units.astype(np.int64)
  short = frequency // units * units
  order = np.argsort((short - frequency) / units, kind="stable")
  upwards = order[np.cumsum(units[order]) <= (frequency - short).sum()]
  short[upwards] += units[upwards]
  short[short.argmax()] += frequency.sum() - short.sum()
  return short


def activity_density(chosen: np.ndarray, sets: int) -> np.ndarray:
  """Masses of activities after each other one, and of any, [sets + 1, sets].

  Lanes begin anywhere, so that any stands for their first ones.

  Args:
    chosen: int [positions], the activities of images one after the other.
    sets: How many there are.
  """
  anywhere = np.bincount(chosen, minlength=sets) + 1.0
  anywhere /= anywhere.sum()
  pairs = sets * chosen[:-1] + chosen[1:]
  seen = np.bincount(pairs, minlength=sets * sets)
  after = seen.reshape(sets, sets) + ACTIVITY_WEIGHT * anywhere
  after /= after.sum(1, keepdims=True)
  return np.concatenate([after, anywhere[None]])


def with_lanes(
  tables: coding_tables.CodingTables,
) -> coding_tables.CodingTables:
  """The same tables, with the longest lanes that suit them."""
  qualities = map(tables.for_quality, range(len(tables)))
  positions = [_lane_positions(quality) for quality in qualities]
  return dataclasses.replace(
    tables, lane_positions=np.array(positions, np.uint16)
  )


def _lane_positions(tables: coding_tables.QualityTables) -> int:
  """The most positions of a lane: some more than it usually has."""
  shares = 2.0 ** -tables.activity_lengths[-1, -1].astype(np.float64)
  coded = (_masses_of(tables.end_cdf) * tables.ends).sum(1)
  steps = 1 + tables.contexts + float(shares @ coded)
  x, sets = tables.contexts, tables.num_activities
  lengths = expected_bits.of_symbols(tables)[: tables.cdf.size]
  lengths = lengths.reshape(sets, -1)
  bits = float(shares @ (2.0**-lengths * lengths).sum(1))
  if x:
    masses = _masses_of(tables.context_cdf[None])[0]
    mean = float((masses * tables.context_lengths).sum())
    bits += x * mean / (tables.context_cdf == 0).sum()
  bits += float(tables.activity_lengths[-1, :-1].mean(0) @ shares)
  affordable = (
    8 * container.LANE_BYTES / (activities.LANE_SHARE * max(bits, 1e-3))
  )
  positions = math.ceil(
    MOST_LANE * max(activities.LANE_STEPS / steps, affordable)
  )
  room = coding_tables.MAX_LANE_BYTES - coding_tables.MAX_LANE_END_BYTES
  # Both passes may end with a position that not all lanes have.
  longest = room // (2 * tables.columns) - 1
  return max(1, min(positions, longest, MAX_LANE_POSITIONS))


def _masses_of(cdf: np.ndarray) -> np.ndarray:
  """The share of each table index in its table: float64, shaped as `cdf`."""
  return coding_tables.frequencies(cdf) / coding_tables.TOTAL
