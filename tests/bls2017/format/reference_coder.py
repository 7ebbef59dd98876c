"""The range coder of bls2017/format/FORMAT.md in plain integers.

Written from the normative description alone, with numbers of any length, so
that it shares no trick with the runtimes it is compared with.
"""

from __future__ import annotations

from bls2017.format import coding_tables

WORD = 16
WINDOW = 32


def encode(symbols: list[int], cdfs: list[list[int]]) -> bytes:
  """One stream of symbols, each with its own cumulative frequencies."""
  base, size, words = 0, 1 << WINDOW, 0
  for s, cdf in zip(symbols, cdfs):
    a = size * cdf[s] >> coding_tables.PRECISION
    b = size * cdf[s + 1] >> coding_tables.PRECISION
    base, size = base + a, b - a
    if size <= 1 << WORD:
      base, size, words = base << WORD, size << WORD, words + 1
  low = base % (1 << WINDOW)
  total = WORD * words + WINDOW
  if low + size > 1 << WINDOW:
    v = (base // (1 << WINDOW) + 1) << WINDOW
    return v.to_bytes(total // 8, "big").rstrip(b"\0")
  if low == 0:
    v, length = base, 2 * words
  else:
    v, length = _round_up(base, 24), 2 * words + 1
    if v >= base + size:
      v, length = _round_up(base, 16), 2 * words + 2
  return v.to_bytes(total // 8, "big")[:length]


def _round_up(value: int, bits: int) -> int:
  return -(-value >> bits) << bits


def decode(stream: bytes, cdfs: list[list[int]]) -> list[int]:
  """The inverse of `encode`, for any bytes."""
  base, size, words = 0, 1 << WINDOW, 0
  symbols = []
  for cdf in cdfs:
    length = 2 * words + 4
    value = int.from_bytes(stream[:length].ljust(length, b"\0"), "big") - base
    bounds = [size * c >> coding_tables.PRECISION for c in cdf]
    s = max(i for i, bound in enumerate(bounds) if bound <= value)
    symbols.append(s)
    base, size = base + bounds[s], bounds[s + 1] - bounds[s]
    if size <= 1 << WORD:
      base, size, words = base << WORD, size << WORD, words + 1
  return symbols
