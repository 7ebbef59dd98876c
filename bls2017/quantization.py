"""Latents to symbols: rounding, and rounding that knows what a symbol costs.

A latent of scaled value u lies between the symbols k = floor(u) and k + 1. The
upper one is taken where u - k exceeds a threshold:

    threshold = 1/2 + strength (bits(k + 1) - bits(k))

With strength 0 this is rounding to the nearest symbol. With strength 1 / (2 w)
it minimises `bits + w (u - symbol)**2`: the cheaper symbol of both, mostly the
one closer to the middle of the table, gets more room. Decoders do not notice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017 import coding_tables

_BLOCK = 2048
"""Positions worked on at once: what is temporary stays in the caches."""

_MOST_STEPS = 16
"""How far from the nearest symbol others are sought."""


class Quantized(NamedTuple):
  """The symbols of an image.

  Attributes:
    rows: int32 [positions, L], symbols of the live channels, counted from each
      table's smallest, as a range coder takes them.
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
    self._starts = np.arange(len(lengths), dtype=np.int32) * lengths.shape[1]
    # What the step from each symbol to the next one costs; none leads on from
    # the last one.
    finite = np.where(np.isfinite(lengths), lengths, 0)
    increases = np.zeros_like(lengths)
    increases[:, :-1] = np.diff(finite, axis=1)
    self._increases = increases.ravel()
    self._last = (tables.maximum - tables.minimum)[tables.live]

  def scaled(self, latents: np.ndarray) -> np.ndarray:
    """The latents in the unit of the symbols.

    Args:
      latents: float32 [positions, C].

    Returns:
      float32 [positions, C]; a symbol of value k stands for k.
    """
    return latents * self._tables.gain - self._tables.offset

  def quantize(
    self, scaled: np.ndarray, strength: float | np.ndarray = 0.0
  ) -> Quantized:
    """The symbols of scaled latents.

    Args:
      scaled: float32 [positions, C], finite.
      strength: How much a bit counts: a number, or float32 [positions] for
        one at each position. 0 is plain rounding. One at each position may be
        large: symbols are then sought further away as well.
    """
    strength = np.asarray(strength, np.float32)
    plain, uniform = not strength.any(), strength.ndim == 0
    each = np.broadcast_to(strength.reshape(-1, 1), (len(scaled), 1))
    live = self._tables.live
    rows = np.empty((len(scaled), len(live)), np.int32)
    bits, clipped = 0.0, 0
    for start in range(0, len(scaled), _BLOCK):
      block = slice(start, start + _BLOCK)
      rounded = np.rint(scaled[block])
      beyond = (rounded < self._tables.minimum) | (
        rounded > self._tables.maximum
      )
      clipped += int(np.count_nonzero(beyond))
      if plain:
        symbols = rounded[:, live] - self._tables.minimum[live]
        rows[block] = np.clip(symbols, 0, self._last)
      else:
        rows[block] = self._nearly_nearest(scaled[block][:, live], each[block])
        if not uniform:
          rows[block] = self._descended(
            rows[block], scaled[block][:, live], each[block]
          )
      bits += self._bits(rows[block])
    return Quantized(rows, bits, clipped)

  def _nearly_nearest(self, u: np.ndarray, strength: np.ndarray) -> np.ndarray:
    u = u - self._tables.minimum[self._tables.live].astype(np.float32)
    lower = np.clip(np.floor(u), 0, self._last - 1).astype(np.int32)
    increase = np.take(self._increases, lower + self._starts)
    return lower + (u - lower > np.float32(0.5) + strength * increase)

  def _descended(
    self, rows: np.ndarray, u: np.ndarray, strength: np.ndarray
  ) -> np.ndarray:
    """Moves symbols down and up as long as that pays."""
    u = u - self._tables.minimum[self._tables.live].astype(np.float32)
    for step in (1, -1):
      for _ in range(_MOST_STEPS):
        moved = np.clip(rows + step, 0, self._last)
        lower = np.minimum(rows, moved)
        increase = step * np.take(self._increases, lower + self._starts)
        further = (u - moved) ** 2 - (u - rows) ** 2
        pays = (moved != rows) & (further + 2 * strength * increase < 0)
        if not pays.any():
          break
        rows = np.where(pays, moved, rows)
    return rows

  def _bits(self, rows: np.ndarray) -> float:
    return float(np.take(self._lengths, rows + self._starts).sum(dtype="f8"))

  def latents(self, rows: np.ndarray) -> np.ndarray:
    """What a decoder makes of symbols: float32 [positions, C].

    Args:
      rows: int32 [positions, L], as in `Quantized`.
    """
    tables = self._tables
    symbols = np.tile(tables.minimum, (len(rows), 1))
    symbols[:, tables.live] += rows
    # In 32 bits as in the export, so that both see the same latents.
    return (symbols.astype(np.float32) + tables.offset) * tables.inverse_gain

  def all_lengths(self) -> tuple[np.ndarray, int]:
    """Code lengths of all channels, those that are not coded at no cost.

    Returns:
      float32 [C n], finite, and n.
    """
    width = len(self._lengths) // max(len(self._starts), 1)
    width = max(width, 1)
    lengths = np.zeros((len(self._tables.gain), width), np.float32)
    own = self._lengths.reshape(-1, width)
    lengths[self._tables.live] = np.where(np.isfinite(own), own, 0)
    return lengths.ravel(), width
