"""Which of a model's sets of tables codes each position.

The encoder is free to choose: every activity decodes to the same symbols. It
takes the activities that cost the fewest bits, with those of the activities
themselves. As the cost of an activity depends on the one before it in the lane,
this is a shortest path, found for all lanes at once (Viterbi 1967).

Code lengths are multiples of 2**-8 bits (`coding_tables`), so that their sums
are exact in 32 bits, whatever their order: NumPy, TensorFlow and an exported
graph (`export.graph.graph_activities`) choose alike.
"""

from __future__ import annotations

import numpy as np

from bls2017.common import blocks
from bls2017.format import coding_tables

_BLOCK = 256
"""Positions whose code lengths are summed up at once."""

_LANES = 256
"""Lanes whose activities are chosen at once."""


class Chooser:
  """Chooses the activities of an image's positions.

  Most symbols are the likeliest of their channels, so only what the others cost
  more is summed up. With a single activity, it is 0 and costs nothing.
  """

  def __init__(self, tables: coding_tables.QualityTables):
    """Prepares the code lengths.

    Args:
      tables: The coding tables of the quality.
    """
    self._tables = tables
    self._starts = tables.starts[tables.live]
    lengths = tables.code_lengths.astype(np.float32).T
    by_channel = np.split(lengths.sum(1), tables.starts[1:])
    likeliest = np.array([sums.argmin() for sums in by_channel], np.int32)
    least = lengths[tables.starts + likeliest]
    size = tables.maximum - tables.minimum + 1
    self._likeliest = likeliest[tables.live].astype(np.int16)
    self._least = least.sum(0)
    self._extra_lengths = lengths - np.repeat(least, size, 0)
    self._activity_lengths = tables.activity_lengths.astype(np.float32)

  def costs(self, indices: np.ndarray) -> np.ndarray:
    """The cost of each position's symbols with each set of tables, in bits.

    Args:
      indices: int16 [positions, L], table indices of the live channels.

    Returns:
      float32 [positions, K].
    """
    costs = np.tile(self._least, (len(indices), 1))
    for block in blocks.blocks(len(indices), _BLOCK):
      part = indices[block]
      costs[block] += self._extra(part, part != self._likeliest)
    return costs

  def change(self, costs: np.ndarray, old: np.ndarray, new: np.ndarray) -> None:
    """Brings costs up to date where a few symbols changed.

    Args:
      costs: float32 [positions, K], of the old symbols; changed.
      old: int16 [positions, L], their table indices.
      new: int16 [positions, L].
    """
    changed = old != new
    costs += self._extra(new, changed) - self._extra(old, changed)

  def _extra(self, indices: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The bits beyond those of the likeliest symbols: float32 [positions, K].

    Args:
      indices: int16 [positions, L].
      counted: bool [positions, L], the symbols that are summed up.
    """
    flat = np.flatnonzero(counted)
    positions = flat.astype(np.int32) // np.int32(indices.shape[1])
    starts = np.take(self._starts, flat - positions * indices.shape[1])
    rows = np.take(indices.ravel(), flat) + starts
    extra = np.zeros((len(indices), len(self._least)), np.float32)
    firsts = np.flatnonzero(np.diff(positions, prepend=-1))
    if len(firsts):
      lengths = np.take(self._extra_lengths, rows, axis=0)
      extra[positions[firsts]] = np.add.reduceat(lengths, firsts)
    return extra

  def cheapest(self, costs: np.ndarray) -> np.ndarray:
    """The activities that cost the fewest bits in all.

    Args:
      costs: float32 [positions, K], from `costs`.

    Returns:
      int [positions].
    """
    positions, activities = costs.shape
    if activities == 1:
      return np.zeros(positions, np.intp)
    steps = min(self._tables.lane_positions, positions)
    chosen = np.empty((-(-positions // steps), steps), np.intp)
    for lanes in blocks.blocks(len(chosen), _LANES):
      part = costs[lanes.start * steps : lanes.stop * steps]
      # Padding of the last lane costs nothing, and changes nothing before it.
      missing = -len(part) % steps
      part = np.pad(part, ((0, missing), (0, 0))).reshape(-1, steps, activities)
      paths = _cheapest_paths(part.transpose(1, 2, 0), self._activity_lengths)
      chosen[lanes] = paths.T
    return chosen.ravel()[:positions]

  def bits(self, costs: np.ndarray, chosen: np.ndarray) -> float:
    """The information content of symbols and of their activities.

    Args:
      costs: float32 [positions, K], of the symbols.
      chosen: int [positions], the activities.
    """
    before = np.roll(chosen, 1)
    before[:: self._tables.lane_positions] = self._tables.num_activities
    symbols = costs[np.arange(len(costs)), chosen].sum(dtype="f8")
    activities = self._activity_lengths[before, chosen].sum(dtype="f8")
    return float(symbols + activities)


def _cheapest_paths(cost: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """The cheapest activities of lanes.

  Args:
    cost: float32 [positions of a lane, K, lanes], bits of the symbols.
    lengths: float32 [K + 1, K], bits of each activity after each other one, and
      at last at the beginning of a lane.

  Returns:
    int [positions of a lane, lanes].
  """
  follows, begins = lengths[:-1], lengths[-1]
  # The least that leads to each activity; lanes stand side by side in memory.
  totals = np.empty(cost.shape, np.float32)
  totals[0] = begins[:, None] + cost[0]
  for before, here, symbols in zip(totals, totals[1:], cost[1:]):
    ways = before[:, None] + follows[:, :, None]  # [from, to, lanes]
    np.add(ways.min(0), symbols, out=here)
  path = np.empty((len(cost), cost.shape[2]), np.intp)
  path[-1] = totals[-1].argmin(0)
  for t in range(len(cost) - 1, 0, -1):
    path[t - 1] = (totals[t - 1].T + follows.T[path[t]]).argmin(1)
  return path
