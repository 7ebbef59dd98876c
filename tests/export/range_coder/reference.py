"""Images coded by the slow reference coder, as FORMAT.md orders their lanes."""

from __future__ import annotations

import numpy as np

from bls2017.format import coding_tables
from tests.bls2017.format import reference_coder, tables_strategy


def encode(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> list[bytes]:
  """The streams of an image, whose rows are int32 [positions, columns]."""
  step = tables.lane_positions
  return [
    _encode_lane(rows[first : first + step], tables)
    for first in range(0, len(rows), step)
  ]


def decode(
  streams: list[bytes], positions: int, tables: coding_tables.QualityTables
) -> np.ndarray | None:
  """The rows of streams, or None where `encode` does not give them."""
  step = tables.lane_positions
  rows = [
    _decode_lane(stream, min(step, positions - i * step), tables)
    for i, stream in enumerate(streams)
  ]
  found = np.concatenate(rows)
  return found if encode(found, tables) == streams else None


def _encode_lane(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> bytes:
  columns = tables.activity_columns
  activities = rows[:, :columns].ravel().tolist()
  indices = rows[:, columns:].ravel().tolist()
  chosen = activities or [0] * len(rows)
  return reference_coder.encode(
    activities + indices,
    _activity_cdfs(activities, tables) + _channel_cdfs(chosen, tables),
  )


def _decode_lane(
  stream: bytes, positions: int, tables: coding_tables.QualityTables
) -> np.ndarray:
  activities: list[int] = []
  # Only what was decoded says which table is next: prefixes are decoded anew.
  for _ in range(positions * tables.activity_columns):
    cdfs = _activity_cdfs([*activities, 0], tables)
    activities = reference_coder.decode(stream, cdfs)
  chosen = activities or [0] * positions
  cdfs = _activity_cdfs(activities, tables) + _channel_cdfs(chosen, tables)
  indices = reference_coder.decode(stream, cdfs)[len(activities) :]
  columns = [np.reshape(x, (positions, -1)) for x in (activities, indices)]
  return np.concatenate(columns, 1).astype(np.int32)


def _activity_cdfs(
  activities: list[int], tables: coding_tables.QualityTables
) -> list[list[int]]:
  """The tables of a lane's activities: each is chosen by the one before."""
  first = tables.num_activities * len(tables.live)
  cdfs = tables_strategy.all_cdfs(tables)[first:]
  before = [tables.num_activities, *activities][: len(activities)]
  return [cdfs[k] for k in before]


def _channel_cdfs(
  activities: list[int], tables: coding_tables.QualityTables
) -> list[list[int]]:
  cdfs = tables_strategy.all_cdfs(tables)
  live = len(tables.live)
  return [cdfs[k * live + c] for k in activities for c in range(live)]
