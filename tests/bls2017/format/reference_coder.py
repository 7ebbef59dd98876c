"""The range coder of bls2017/format/FORMAT.md in plain integers.

Written from the normative description alone, with numbers of any length, so
that it shares no trick with the implementations it is compared with.
"""

from __future__ import annotations

import numpy as np

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


class Decoder:
  """Decodes one stream of any bytes, index by index."""

  def __init__(self, stream: bytes):
    self._stream = stream
    self._base, self._size, self._words = 0, 1 << WINDOW, 0

  def decode(self, cdf: list[int]) -> int:
    length = 2 * self._words + 4
    value = int.from_bytes(self._stream[:length].ljust(length, b"\0"), "big")
    bounds = [self._size * c >> coding_tables.PRECISION for c in cdf]
    s = max(i for i, b in enumerate(bounds) if b <= value - self._base)
    self._base += bounds[s]
    self._size = bounds[s + 1] - bounds[s]
    if self._size <= 1 << WORD:
      self._base, self._size = self._base << WORD, self._size << WORD
      self._words += 1
    return s


def decode(stream: bytes, cdfs: list[list[int]]) -> list[int]:
  """The inverse of `encode`, for any bytes."""
  decoder = Decoder(stream)
  return [decoder.decode(cdf) for cdf in cdfs]


def encode_rows(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> list[bytes]:
  """One stream for each lane, as `range_coder.encode` gives them."""
  streams = []
  for start in range(0, len(rows), tables.lane_positions):
    lane = rows[start : start + tables.lane_positions].tolist()
    activities = [row[0] for row in lane]
    before = [tables.num_activities, *activities[:-1]]
    cdfs = [activity_cdf(tables, k) for k in before]
    for row in lane:
      cdfs += channel_cdfs(tables, row[0])
    symbols = activities + [s for row in lane for s in row[1:]]
    streams.append(encode(symbols, cdfs))
  return streams


def decode_rows(
  streams: list[bytes], positions: int, tables: coding_tables.QualityTables
) -> np.ndarray | None:
  """The inverse of `encode_rows`; None where it would write other bytes."""
  rows = np.zeros((positions, tables.columns), np.int32)
  for start, stream in zip(range(0, positions, tables.lane_positions), streams):
    lane = rows[start : start + tables.lane_positions]
    decoder, activity = Decoder(stream), tables.num_activities
    for row in lane:
      row[0] = activity = decoder.decode(activity_cdf(tables, activity))
    for row in lane:
      row[1:] = list(map(decoder.decode, channel_cdfs(tables, row[0])))
  return rows if encode_rows(rows, tables) == streams else None


def activity_cdf(tables: coding_tables.QualityTables, before: int) -> list[int]:
  """The whole table of an activity after another one; after K: of the first."""
  return [*tables.activity_cdf[before].tolist(), coding_tables.TOTAL]


def channel_cdfs(
  tables: coding_tables.QualityTables, activity: int
) -> list[list[int]]:
  """The whole tables of the live channels in an activity."""
  sizes = tables.maximum - tables.minimum + 1
  cdf = tables.cdf[activity].tolist()
  return [
    [*cdf[tables.starts[c] : tables.starts[c] + sizes[c]], coding_tables.TOTAL]
    for c in tables.live
  ]
