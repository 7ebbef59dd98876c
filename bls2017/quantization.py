"""Latents to symbols: rounding, and rounding that knows what a symbol costs.

A latent of scaled value u lies between the symbols k = floor(u) and k + 1. The
upper one is taken where u - k exceeds a threshold:

    threshold = 1/2 + strength (bits(k + 1) - bits(k))

With strength 0 this is rounding to the nearest symbol. With strength 1 / (2 w)
it minimises `bits + w (u - symbol)**2`: the cheaper symbol of both, mostly the
one closer to the middle of the table, gets more room. Decoders do not notice.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

from bls2017 import coding_tables, errors

_BLOCK = 2048
"""Positions worked on at once: what is temporary stays in the caches."""

_MOST_STEPS = 16
"""How far from the nearest symbol others are sought."""


class Quantized(NamedTuple):
  """The symbols of an image.

  Attributes:
    rows: int16 [positions, L], symbols of the live channels, counted from each
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
    with np.errstate(over="ignore", invalid="ignore"):
      return latents * self._tables.gain - self._tables.offset

  def quantize(
    self, scaled: np.ndarray, strength: float | np.ndarray = 0.0
  ) -> Quantized:
    """The symbols of scaled latents.

    Args:
      scaled: float32 [positions, C], from `scaled`.
      strength: How much a bit counts: a number, or float32 [positions] for
        one at each position. 0 is plain rounding. One at each position may be
        large: symbols are then sought further away as well.

    Raises:
      errors.ModelError: if a value is not finite.
    """
    return self._quantize(scaled, strength, lambda block: block)

  def quantize_latents(
    self, latents: np.ndarray, strength: float | np.ndarray = 0.0
  ) -> Quantized:
    """The symbols of latents, scaled block by block; else as `quantize`."""
    return self._quantize(latents, strength, self.scaled)

  def _quantize(
    self,
    values: np.ndarray,
    strength: float | np.ndarray,
    scale: Callable[[np.ndarray], np.ndarray],
  ) -> Quantized:
    strength = np.asarray(strength, np.float32)
    plain, uniform = not strength.any(), strength.ndim == 0
    each = np.broadcast_to(strength.reshape(-1, 1), (len(values), 1))
    live = self._tables.live
    minimum = np.float32(self._tables.minimum)
    maximum = np.float32(self._tables.maximum)
    rows = np.empty((len(values), len(live)), np.int16)
    bits, clipped = 0.0, 0
    for start in range(0, len(values), _BLOCK):
      block = slice(start, start + _BLOCK)
      scaled = scale(values[block])
      if not np.all(np.isfinite(scaled)):
        raise errors.ModelError(
          "the model's latents of the image are not finite"
        )
      rounded = np.rint(scaled)
      # Clipped as floats: what integers cannot hold would change its sign.
      inside = np.clip(rounded, minimum, maximum)
      clipped += int(np.count_nonzero(inside != rounded))
      if plain:
        symbols = (inside - minimum)[:, live].astype(np.int32)
      else:
        u = (scaled - minimum)[:, live]
        symbols = self._nearly_nearest(u, each[block])
        if not uniform:
          symbols = self._descended(symbols, u, each[block])
      rows[block] = symbols
      bits += self._bits(symbols)
    return Quantized(rows, bits, clipped)

  def _nearly_nearest(self, u: np.ndarray, strength: np.ndarray) -> np.ndarray:
    lower = np.clip(np.floor(u), 0, self._last - 1).astype(np.int32)
    increase = np.take(self._increases, lower + self._starts)
    return lower + (u - lower > np.float32(0.5) + strength * increase)

  def _descended(
    self, rows: np.ndarray, u: np.ndarray, strength: np.ndarray
  ) -> np.ndarray:
    """Moves symbols down and up as long as that pays."""
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


def symbols(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """Symbols of all channels of those of the live ones.

  Args:
    rows: int [..., L], counted from each table's smallest symbol.
    tables: Tables of the quality.

  Returns:
    int32 [..., C].
  """
  found = np.tile(tables.minimum, (*rows.shape[:-1], 1))
  found[..., tables.live] += rows
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
