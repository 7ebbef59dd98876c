"""Images coded by the slow reference coder, as FORMAT.md orders their lanes.

Rows are int32 [positions, 1 + L]: the activity of each position, and the table
indices of its live channels.
"""

from __future__ import annotations

import numpy as np

from bls2017.format import coding_tables
from tests.bls2017.format import reference_coder, tables_strategy


def likely_rows(
  tables: coding_tables.QualityTables, positions: int, seed: int, flat: bool
) -> np.ndarray:
  """Rows that are drawn from the tables, or uniformly."""
  rows = tables_strategy.likely_symbols(tables, positions, seed, flat)
  missing = 1 + len(tables.live) - rows.shape[1]
  return np.pad(rows, ((0, 0), (missing, 0))).astype(np.int32)


def encode_rows(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> list[bytes]:
  """One stream for each lane."""
  step = tables.lane_positions
  return [
    _encode_lane(rows[first : first + step], tables)
    for first in range(0, len(rows), step)
  ]


def decode_rows(
  streams: list[bytes], positions: int, tables: coding_tables.QualityTables
) -> np.ndarray | None:
  """The inverse of `encode_rows`; None where it would write other bytes."""
  step = tables.lane_positions
  lanes = [
    _decode_lane(stream, min(step, positions - i * step), tables)
    for i, stream in enumerate(streams)
  ]
  rows = np.concatenate(lanes)
  return rows if encode_rows(rows, tables) == streams else None


def _encode_lane(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> bytes:
  activities = rows[:, 0].tolist()
  symbols = activities + rows[:, 1:].ravel().tolist()
  return reference_coder.encode(symbols, _cdfs(activities, tables))


def _decode_lane(
  stream: bytes, positions: int, tables: coding_tables.QualityTables
) -> np.ndarray:
  activities: list[int] = []
  # Only what was decoded says which table is next: prefixes are decoded anew.
  for _ in range(positions):
    cdfs = _cdfs([*activities, 0], tables)[: len(activities) + 1]
    activities = reference_coder.decode(stream, cdfs)
  symbols = reference_coder.decode(stream, _cdfs(activities, tables))
  indices = np.reshape(symbols[positions:], (positions, len(tables.live)))
  return np.column_stack([activities, indices]).astype(np.int32)


def _cdfs(
  activities: list[int], tables: coding_tables.QualityTables
) -> list[list[int]]:
  """The table of each symbol of a lane: of its activities, of its channels."""
  before = [tables.num_activities, *activities][:-1]
  own = [tables.activity_cdf[k].tolist() for k in before]
  size = tables.maximum - tables.minimum + 1
  channels = [
    tables.cdf[k, tables.starts[c] : tables.starts[c] + size[c]].tolist()
    for k in activities
    for c in tables.live
  ]
  return [[*cdf, coding_tables.TOTAL] for cdf in own + channels]
