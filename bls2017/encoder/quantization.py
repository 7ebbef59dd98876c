"""Latents to symbols: rounding, and rounding that knows what a symbol costs.

A latent of scaled value u lies between the symbols k = floor(u) and k + 1. The
upper one is taken where u - k exceeds a threshold:

    threshold = 1/2 + strength (bits(k + 1) - bits(k))

With strength 0 this is rounding to the nearest symbol. With strength 1 / (2 w)
it minimises `bits + w (u - symbol)**2`: the cheaper symbol of both, mostly the
one closer to the middle of the table, gets more room. Decoders do not notice.

Optimised quantization bends thresholds instead, as gave the best curve of rate
and distortion on average. With increase = bits(k + 1) - bits(k), it adds

    BEND increase |increase|     between 0 and its neighbours,
    -OUTWARD or OUTWARD          above and below: away from 0.

What is very rare where it stands is worth its bits less than a squared error
says, what is common more. And as the decoder amplifies latents by the energy
around them, those that stay make up a little for those that became 0. Tables of
a single activity do not tell well enough what a symbol costs, and are left to
rounding.

Where tables know several activities (`bls2017.encoder.activities`), those of
rounded latents say what a symbol costs, and are then chosen anew. Optimised
quantization expects to make small latents 0, and rounds them so at first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.bitstream import coding_tables
from bls2017.encoder import activities

_BLOCK = 256
"""Positions worked on at once: what is temporary stays in the caches."""

_MOST_STEPS = 16
"""How far from the nearest symbol others are sought."""


BEND = 0.0035
OUTWARD = 0.03
"""Of the thresholds of optimised quantization, found by trying others."""

DEAD_ZONE = 0.6
"""Below it, optimised quantization expects a latent to become 0."""


class Quantized(NamedTuple):
  """The symbols of an image.

  Attributes:
    rows: int16 [positions, columns], as a range coder takes them: where the
      tables know several activities the position's, then the symbols of the
      live channels, counted from each table's smallest.
    bits: Their information content under the tables.
    clipped: Latents that lay beyond the ends of their tables.
  """

  rows: np.ndarray
  bits: float
  clipped: int


class Quantizer:
  """Quantizes the latents of images at one quality."""

  def __init__(self, tables: coding_tables.QualityTables):
    """Prepares the code lengths.

    Args:
      tables: Tables of the quality.
    """
    self._tables = tables
    self._chooser = activities.Chooser(tables)
    self._minimum = tables.minimum.astype(np.float32)
    self._maximum = tables.maximum.astype(np.float32)
    self._first = self._minimum[tables.live]
    self._last = (tables.maximum - tables.minimum)[tables.live]
    self._last_lower = (self._last - 1).astype(np.float32)
    self._starts = tables.starts[tables.live]
    lengths = tables.code_lengths.astype(np.float32)
    symbols = np.arange(lengths.shape[1]) - np.repeat(
      tables.starts - tables.minimum, tables.maximum - tables.minimum + 1
    )
    # What the step from each symbol to the next one costs; none leads on from
    # the last one.
    increases = np.where(
      coding_tables.upper_ends(tables.cdf) == coding_tables.TOTAL,
      np.float32(0),
      np.roll(lengths, -1, axis=1) - lengths,
    )
    self._increases = increases.ravel()
    self._bends = np.zeros_like(self._increases)
    if tables.activity_columns:
      self._bends = bends(increases, symbols).numpy().ravel()

  def scaled(self, latents: np.ndarray) -> np.ndarray:
    """The latents in the unit of the symbols.

    Args:
      latents: float32 [positions, C].

    Returns:
      float32 [positions, C]; a symbol of value k stands for k.
    """
    with np.errstate(over="ignore", invalid="ignore"):
      found = latents * self._tables.gain
      found -= self._tables.offset
      return found

  def quantize(
    self,
    scaled: np.ndarray,
    strength: float | np.ndarray = 0.0,
    optimised: bool = False,
  ) -> Quantized:
    """The symbols of scaled latents.

    Args:
      scaled: float32 [positions, C], from `scaled`.
      strength: How much a bit counts: a number, or float32 [positions] for
        one at each position. 0 is plain rounding. One at each position may be
        large: symbols are then sought further away as well.
      optimised: Whether thresholds are bent.

    Raises:
      errors.ModelError: if a value is not finite.
    """
    return self._quantize(scaled, strength, optimised, lambda block: block)

  def quantize_latents(
    self,
    latents: np.ndarray,
    strength: float | np.ndarray = 0.0,
    optimised: bool = False,
  ) -> Quantized:
    """The symbols of latents, scaled block by block; else as `quantize`."""
    return self._quantize(latents, strength, optimised, self.scaled)

  def _quantize(
    self,
    values: np.ndarray,
    strength: float | np.ndarray,
    optimised: bool,
    scale: Callable[[np.ndarray], np.ndarray],
  ) -> Quantized:
    strength = np.asarray(strength, np.float32)
    activity_columns = self._tables.activity_columns
    optimised = optimised and bool(activity_columns)
    rows = np.empty((len(values), self._tables.columns), np.int16)
    symbols = rows[:, activity_columns:]
    clipped = 0
    for block in _blocks(len(values)):
      symbols[block], outside = self._rounded(scale(values[block]), optimised)
      clipped += outside
    lengths = self._chooser.costs(symbols)
    chosen = self._chooser.cheapest(lengths)
    if strength.any() or optimised:
      costs_of = self._costs(strength, optimised, chosen)
      for block in _blocks(len(values)):
        found = self._weighed(scale(values[block]), costs_of(block))
        self._chooser.change(lengths[block], symbols[block], found)
        symbols[block] = found
      chosen = self._chooser.cheapest(lengths)
    if activity_columns:
      rows[:, 0] = chosen
    return Quantized(rows, self._chooser.bits(lengths, chosen), clipped)

  def bits(self, rows: np.ndarray) -> float:
    """The information content of symbols and activities under the tables."""
    first = self._tables.activity_columns
    chosen = rows[:, 0] if first else np.zeros(len(rows), np.int16)
    return self._chooser.bits(self._chooser.costs(rows[:, first:]), chosen)

  def _rounded(
    self, scaled: np.ndarray, optimised: bool
  ) -> tuple[np.ndarray, int]:
    """The nearest symbols of the live channels, and how many were clipped."""
    rounded = np.rint(scaled)
    if optimised:
      rounded *= np.abs(scaled) >= np.float32(DEAD_ZONE)
    # Clipped as floats: what integers cannot hold would change its sign.
    inside = np.maximum(rounded, self._minimum)
    np.minimum(inside, self._maximum, out=inside)
    outside = inside != rounded  # Also what is infinite, or not a number.
    clipped = int(np.count_nonzero(outside))
    if clipped and not np.all(np.isfinite(scaled[outside])):
      raise errors.ModelError("the model's latents of the image are not finite")
    inside -= self._minimum
    return np.take(inside.astype(np.int16), self._tables.live, axis=1), clipped

  def _costs(
    self, strength: np.ndarray, optimised: bool, chosen: np.ndarray
  ) -> Callable[[slice], _Costs]:
    """The costs of steps, for each block of positions."""
    steps = self._bends if optimised else np.zeros_like(self._bends)
    each = None
    if strength.ndim:
      each = strength[:, None]
    else:
      steps = steps + strength * self._increases
    # Where the sets of tables begin among all their entries.
    sets = chosen[:, None].astype(np.int32) * self._tables.cdf.shape[1]

    def of_block(block: slice) -> _Costs:
      part = None if each is None else each[block]
      return _Costs(steps, self._increases, part, self._starts + sets[block])

    return of_block

  def _weighed(self, scaled: np.ndarray, costs: _Costs) -> np.ndarray:
    """The symbols of the live channels by their costs, int16."""
    u = np.take(scaled, self._tables.live, axis=1)
    u -= self._first
    symbols = self._nearly_nearest(u, costs)
    if costs.strength is not None:
      symbols = self._descended(symbols, u, costs)
    return symbols.astype(np.int16)

  def _nearly_nearest(self, u: np.ndarray, costs: _Costs) -> np.ndarray:
    lower = np.floor(u)
    np.maximum(lower, 0, out=lower)
    np.minimum(lower, self._last_lower, out=lower)
    symbols = lower.astype(np.int32)
    threshold = costs.upwards(symbols)
    threshold += np.float32(0.5)
    symbols += np.subtract(u, lower, out=lower) > threshold
    return symbols

  def _descended(
    self, rows: np.ndarray, u: np.ndarray, costs: _Costs
  ) -> np.ndarray:
    """Moves symbols down and up as long as that pays."""
    for step in (1, -1):
      for _ in range(_MOST_STEPS):
        moved = np.clip(rows + step, 0, self._last)
        lower = np.minimum(rows, moved)
        further = (u - moved) ** 2 - (u - rows) ** 2
        pays = (moved != rows) & (further + 2 * step * costs.upwards(lower) < 0)
        if not pays.any():
          break
        rows = np.where(pays, moved, rows)
    return rows


class _Costs(NamedTuple):
  """What the step to the next symbol costs, in units of half a squared error.

  Attributes:
    steps: float32, of each symbol of each table, flat.
    increases: Likewise, bits that cost `strength` each besides.
    strength: float32 [positions, 1]; None for 0.
    starts: int [.., L], where the tables begin.
  """

  steps: np.ndarray
  increases: np.ndarray
  strength: np.ndarray | None
  starts: np.ndarray

  def upwards(self, lower: np.ndarray) -> np.ndarray:
    """Of the steps from these symbols, int [positions, L], upwards."""
    place = lower + self.starts
    found = np.take(self.steps, place)
    if self.strength is not None:
      found += self.strength * np.take(self.increases, place)
    return found


def bends(increase: tf.Tensor, lower: tf.Tensor) -> tf.Tensor:
  """What optimised quantization adds to thresholds.

  Args:
    increase: float32 [...], bits that the upper symbol costs more.
    lower: [...], the lower symbol; 0 is the middle of its table.

  Returns:
    float32 [...].
  """
  beside_zero = (lower == 0) | (lower == -1)
  outward = tf.where(lower < 0, OUTWARD, -OUTWARD)
  return tf.where(beside_zero, BEND * increase * tf.abs(increase), outward)


def _blocks(positions: int) -> Iterator[slice]:
  for start in range(0, positions, _BLOCK):
    yield slice(start, start + _BLOCK)


def symbols(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """Symbols of all channels of those of the live ones.

  Args:
    rows: int [..., columns], as a range coder takes them.
    tables: Tables of the quality.

  Returns:
    int32 [..., C].
  """
  # Dead channels take a column of zeros: gathering is four times as fast as
  # writing to the places of the live ones.
  zeros = np.zeros((*rows.shape[:-1], 1), rows.dtype)
  columns = np.full(len(tables.minimum), tables.columns)
  columns[tables.live] = np.arange(tables.activity_columns, tables.columns)
  found = np.take(np.concatenate([rows, zeros], -1), columns, axis=-1)
  return found + tables.minimum


def latents(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """What a decoder makes of symbols: float32 [..., C].

  Args:
    rows: As for `symbols`.
    tables: Tables of the quality.
  """
  # In 32 bits as in the export, so that both see the same latents.
  y_hat = symbols(rows, tables).astype(np.float32)
  y_hat += tables.offset
  y_hat *= tables.inverse_gain
  return y_hat
