"""Latents to symbols: rounding, and rounding that knows what a symbol costs.

A latent of scaled value u lies between the symbols k = floor(u) and k + 1. The
upper one is taken where u - k exceeds a threshold:

    threshold = 1/2 + strength (bits(k + 1) - bits(k))

With strength 0 this is rounding to the nearest symbol. With strength 1 / (2 w)
it minimises `bits + w (u - symbol)**2`: the cheaper symbol of both, mostly the
one closer to the middle of the table, gets more room. Decoders do not notice.

Optimised quantization adds `BEND increase |increase|`, where increase is
bits(k + 1) - bits(k). That gives the best curve of rate and distortion on
average: what is very rare where it stands is worth its bits less than
a squared error says, what is common more. Tables of a single activity do
not tell well enough what a symbol costs, and are left to rounding.

Where tables know several activities (`bls2017.activities`), those of rounded
latents say what a symbol costs, and are then chosen anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import activities, coding_tables, errors

_BLOCK = 2048
"""Positions worked on at once: what is temporary stays in the caches."""

_MOST_STEPS = 16
"""How far from the nearest symbol others are sought."""


BEND = 0.005
"""Of the thresholds of optimised quantization, found by trying others."""


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
    lengths = tables.code_lengths.astype(np.float32)
    self._lengths = lengths.ravel()
    self._by_activity = np.ascontiguousarray(lengths.T)
    self._own = tables.activity_lengths.astype(np.float32)
    self._starts = tables.starts[tables.live]
    # What the step from each symbol to the next one costs; none leads on from
    # the last one.
    self._increases = np.where(
      coding_tables.upper_ends(tables.cdf) == coding_tables.TOTAL,
      np.float32(0),
      np.roll(lengths, -1, axis=1) - lengths,
    ).ravel()
    bends = np.float32(BEND) * self._increases * np.abs(self._increases)
    self._bends = bends if tables.leading else np.zeros_like(bends)
    self._last = (tables.maximum - tables.minimum)[tables.live]

  def scaled(self, latents: np.ndarray) -> np.ndarray:
    """The latents in the unit of the symbols.

    Args:
      latents: float32 [positions, C].

    Returns:
      float32 [positions, C]; a symbol of value k stands for k.
    """
    with np.errstate(over="ignore", invalid="ignore"):
      return latents * self._tables.gain - self._tables.offset

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
    leading = self._tables.leading
    plain = not strength.any() and not (optimised and leading)
    rows = np.empty((len(values), self._tables.columns), np.int16)
    clipped = 0
    if plain or leading:
      for block in _blocks(len(values)):
        rounded, outside = self._rounded(scale(values[block]))
        rows[block, leading:] = rounded
        clipped += outside
      self._choose(rows)
    if not plain:
      bends = self._bends if optimised else np.zeros_like(self._bends)
      uniform = strength.ndim == 0
      each = np.broadcast_to(strength.reshape(-1, 1), (len(values), 1))
      for block in _blocks(len(values)):
        scaled = scale(values[block])
        if not leading:
          clipped += self._rounded(scaled)[1]
        u = (scaled - np.float32(self._tables.minimum))[:, self._tables.live]
        starts = self._starts_of(rows[block])
        costs = _Costs(each[block], self._increases, bends, starts)
        symbols = self._nearly_nearest(u, costs)
        if not uniform:
          symbols = self._descended(symbols, u, costs)
        rows[block, leading:] = symbols
      self._choose(rows)
    return Quantized(rows, self.bits(rows), clipped)

  def _rounded(self, scaled: np.ndarray) -> tuple[np.ndarray, int]:
    """The nearest symbols of the live channels, and how many were clipped."""
    if not np.all(np.isfinite(scaled)):
      raise errors.ModelError("the model's latents of the image are not finite")
    minimum = np.float32(self._tables.minimum)
    rounded = np.rint(scaled)
    # Clipped as floats: what integers cannot hold would change its sign.
    inside = np.clip(rounded, minimum, np.float32(self._tables.maximum))
    clipped = int(np.count_nonzero(inside != rounded))
    return (inside - minimum)[:, self._tables.live].astype(np.int32), clipped

  def _choose(self, rows: np.ndarray) -> None:
    """Writes the cheapest activities before their symbols."""
    if not self._tables.leading:
      return
    cost = [
      _costs(rows[block, 1:] + self._starts, self._by_activity)
      for block in _blocks(len(rows))
    ]
    chosen = _cheapest(
      tf.concat(cost, 0), self._own, self._tables.lane_positions
    )
    rows[:, 0] = chosen.numpy()

  def _starts_of(self, rows: np.ndarray) -> np.ndarray:
    """Where the lengths of each symbol's table begin, int32 [.., L]."""
    if not self._tables.leading:
      return self._starts
    return self._starts + rows[:, :1].astype(np.int32) * len(self._by_activity)

  def bits(self, rows: np.ndarray) -> float:
    """The information content of symbols and activities under the tables."""
    leading = self._tables.leading
    total = 0.0
    for block in _blocks(len(rows)):
      place = rows[block, leading:] + self._starts_of(rows[block])
      total += float(np.take(self._lengths, place).sum(dtype="f8"))
    if leading:
      chosen = rows[:, 0].astype(np.int32)
      before = np.roll(chosen, 1)
      before[:: self._tables.lane_positions] = self._tables.activities
      total += float(self._own[before, chosen].sum(dtype="f8"))
    return total

  def _nearly_nearest(self, u: np.ndarray, costs: _Costs) -> np.ndarray:
    lower = np.clip(np.floor(u), 0, self._last - 1).astype(np.int32)
    return lower + (u - lower > np.float32(0.5) + costs.upwards(lower))

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
    strength: float32 [positions, 1].
    increases: float32, bits of the steps, flat.
    bends: Likewise, what is added.
    starts: int32 [.., L], where the tables begin.
  """

  strength: np.ndarray
  increases: np.ndarray
  bends: np.ndarray
  starts: np.ndarray

  def upwards(self, lower: np.ndarray) -> np.ndarray:
    """Of the steps from these symbols, int32 [positions, L], upwards."""
    place = lower + self.starts
    return self.strength * np.take(self.increases, place) + np.take(
      self.bends, place
    )


def _blocks(positions: int) -> Iterator[slice]:
  for start in range(0, positions, _BLOCK):
    yield slice(start, start + _BLOCK)


@tf.function(
  input_signature=[
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.float32),
  ],
  autograph=False,
)
def _costs(place: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  return activities.costs(place, lengths)


@tf.function(
  input_signature=[
    tf.TensorSpec((None, None), tf.float32),
    tf.TensorSpec((None, None), tf.float32),
    tf.TensorSpec((), tf.int32),
  ],
  autograph=False,
)
def _cheapest(
  cost: tf.Tensor, own: tf.Tensor, lane_positions: tf.Tensor
) -> tf.Tensor:
  return activities.cheapest(cost, own, lane_positions)


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
  found = np.tile(tables.minimum, (*rows.shape[:-1], 1))
  found[..., tables.live] += rows[..., tables.leading :]
  return found


def latents(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """What a decoder makes of symbols: float32 [..., C].

  Args:
    rows: As for `symbols`.
    tables: Tables of the quality.
  """
  y_hat = symbols(rows, tables).astype(np.float32)
  # In 32 bits as in the export, so that both see the same latents.
  return (y_hat + tables.offset) * tables.inverse_gain
