"""How an image's symbols are cut into lanes.

The latents of an image are h x w positions in raster order, each with the
symbols of the live channels in increasing order. A lane is a run of
`lane_positions` consecutive positions (the last lane may be shorter), coded as
a stream of its own. Lanes make decoding parallel: a vectorised decoder takes
one step for all of them.

A stream holds the symbols of its lane over (position, channel), each coded with
the channel's table. Where the tables know several activities
(`bls2017.bitstream.coding_tables`), the activities of the lane's positions come
before all these, and each symbol's table is that of its position's activity.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017.bitstream import coding_tables
from bls2017.common import config


class Streams(NamedTuple):
  """What the streams of equally long lanes hold, in their order.

  Attributes:
    symbols: int32 [lanes, steps].
    tables: int32 [lanes, steps], the number of each symbol's table: those of
      the live channels count from 0, activity after activity; then follow those
      of the activities themselves.
  """

  symbols: np.ndarray
  tables: np.ndarray


def latent_shape(height: int, width: int) -> tuple[int, int]:
  """Positions along both sides of an image's latents."""
  return -(-height // config.DOWNSAMPLING), -(-width // config.DOWNSAMPLING)


def num_lanes(positions: int, lane_positions: int) -> int:
  """How many lanes an image of so many positions has."""
  return -(-positions // lane_positions)


def last_lane_positions(positions: int, lane_positions: int) -> int:
  """Positions of the last lane, from 1 to `lane_positions`."""
  return positions - (num_lanes(positions, lane_positions) - 1) * lane_positions


def streams(
  symbols: np.ndarray, positions: int, tables: coding_tables.QualityTables
) -> Streams:
  """The contents of equally long lanes.

  Args:
    symbols: Integers [n * positions, columns], of n lanes.
    positions: Of a lane.
    tables: Of the quality.
  """
  live = len(tables.live)
  lanes = len(symbols) // positions
  symbols = symbols.astype(np.int32, copy=False)
  symbols = symbols.reshape(lanes, positions, tables.columns)
  values = symbols[..., tables.leading :].reshape(lanes, positions * live)
  if not tables.leading:
    nowhere = np.zeros((lanes, positions), np.int32)
    return Streams(values, symbol_tables(nowhere, tables))
  activities = symbols[..., 0]
  before = np.full_like(activities, tables.activities)
  before[:, 1:] = activities[:, :-1]
  own = tables.activities * live + before
  return Streams(
    np.concatenate([activities, values], 1),
    np.concatenate([own, symbol_tables(activities, tables)], 1),
  )


def symbol_tables(
  activities: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """The numbers of the tables that code the symbols of the live channels.

  Args:
    activities: int32 [lanes, positions], 0 where there is a single one.
    tables: Of the quality.

  Returns:
    int32 [lanes, positions * L].
  """
  live = np.arange(len(tables.live), dtype=np.int32)
  numbers = activities[..., None] * np.int32(len(live)) + live
  return numbers.reshape(len(activities), activities.shape[1] * len(live))
