"""How an image's symbols are cut into lanes.

The latents of an image are h x w positions in raster order, each with the
symbols of the live channels in the order of the channels. A lane is a run of
`lane_positions` consecutive positions (the last lane may be shorter), coded as
a stream of its own. Lanes make decoding parallel: a vectorised decoder takes
one step for all of them.

A stream codes the table indices of its lane over (position, channel), each with
the channel's table. Where the tables know several activities
(`bls2017.format.coding_tables`), the activities of the lane's positions come
before all these, and a channel's table is that of its position's activity.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017.common import config
from bls2017.format import coding_tables


class Contents(NamedTuple):
  """What the streams of equally long lanes code, in their order.

  Attributes:
    indices: int32 [lanes, steps], the table indices.
    table_numbers: int32 [lanes, steps], the number of each index's table. The
      tables of the live channels count from 0, activity after activity; those
      of the activity itself follow.
  """

  indices: np.ndarray
  table_numbers: np.ndarray


def latent_shape(height: int, width: int) -> tuple[int, int]:
  """Positions along both sides of an image's latents."""
  return -(-height // config.DOWNSAMPLING), -(-width // config.DOWNSAMPLING)


def num_lanes(positions: int, lane_positions: int) -> int:
  """How many lanes an image of so many positions has."""
  return -(-positions // lane_positions)


def last_lane_positions(positions: int, lane_positions: int) -> int:
  """Positions of the last lane, from 1 to `lane_positions`."""
  return positions - (num_lanes(positions, lane_positions) - 1) * lane_positions


def contents(
  rows: np.ndarray, positions: int, tables: coding_tables.QualityTables
) -> Contents:
  """What the streams of equally long lanes code.

  Args:
    rows: Integers [lanes * positions, columns].
    positions: Of a lane.
    tables: Of the quality.
  """
  lanes = len(rows) // positions
  rows = rows.astype(np.int32, copy=False)
  rows = rows.reshape(lanes, positions, tables.columns)
  indices = rows[..., tables.activity_columns :].reshape(lanes, -1)
  if not tables.activity_columns:
    zeros = np.zeros((lanes, positions), np.int32)
    return Contents(indices, channel_tables(zeros, tables))
  activities = rows[..., 0]
  before = np.full_like(activities, tables.num_activities)
  before[:, 1:] = activities[:, :-1]
  numbers = activity_tables(before, tables), channel_tables(activities, tables)
  return Contents(
    np.concatenate([activities, indices], 1), np.concatenate(numbers, 1)
  )


def activity_tables(
  before: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """The numbers of the tables that code activities.

  Args:
    before: int32 of any shape, the activities of the positions before; K at the
      first position of a lane.
    tables: Of the quality, of K activities.

  Returns:
    int32, shaped as `before`.
  """
  return before + np.int32(tables.num_activities * len(tables.live))


def channel_tables(
  activities: np.ndarray, tables: coding_tables.QualityTables
) -> np.ndarray:
  """The numbers of the tables that code the live channels.

  Args:
    activities: int32 [lanes, positions], 0 where there is a single one.
    tables: Of the quality.

  Returns:
    int32 [lanes, positions * L].
  """
  live = np.arange(len(tables.live), dtype=np.int32)
  numbers = activities[..., None] * np.int32(len(live)) + live
  return numbers.reshape(len(activities), activities.shape[1] * len(live))
