"""Which of a model's sets of tables codes each position, and how many lanes.

The encoder is free to choose: every activity decodes to the same symbols. It
takes the activities that cost the fewest bits, with those of the activities
themselves. As the cost of an activity depends on the one before it in the lane,
this is a shortest path, found for all lanes at once (Viterbi 1967).

A kind is taken to cost what its activity costs after the one before, and what
its end costs where a lane begins; the tables of kinds say nearly the same.

Lanes are as many as give each `LANE_STEPS` table indices, unless that costs
more than `LANE_SHARE` of the file.

Code lengths are multiples of 2**-8 bits (`coding_tables`), so that their sums
are exact in 32 bits, whatever their order: NumPy, TensorFlow and an exported
graph (`export.graph.graph_activities`) choose alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017.common import blocks
from bls2017.encode import expected_bits
from bls2017.format import coding_tables, container, lanes

LANE_STEPS = 1350
"""Table indices of a lane, which take a vectorised decoder its time."""

LANE_SHARE = 0.0065
"""Share of the expected file that lanes may cost."""

_BLOCK = 256
"""Positions whose code lengths are summed up at once."""

_LANES = 256
"""Lanes whose activities are chosen at once."""


class Choice(NamedTuple):
  """How the symbols of an image are coded.

  Attributes:
    activities: int [positions].
    num_lanes: How many lanes there are.
    bits: Information content of the symbols and of the kinds.
  """

  activities: np.ndarray
  num_lanes: int
  bits: float


class Chooser:
  """Chooses the activities of an image's positions.

  Most symbols of the other channels are 0, so what all of a position's zeros
  cost is looked up, and what the other symbols cost more is summed up. With a
  single activity, it is 0 and costs nothing.
  """

  def __init__(self, tables: coding_tables.QualityTables):
    """Prepares the code lengths.

    Args:
      tables: The coding tables of the quality.
    """
    self._tables = tables
    x = tables.contexts
    lengths = tables.code_lengths.astype(np.float32).T
    zeros = lengths[tables.starts + tables.zeros[x:]]
    self._extra_lengths = lengths - np.repeat(zeros, tables.sizes[x:], 0)
    kinds = tables.kind_lengths.astype(np.float32)
    self._activity_lengths = activity_lengths(tables.kind_cdf, kinds.shape[1])
    # By the last symbol that is not 0, and the activity.
    last = np.arange(len(zeros) + 1)[:, None, None]
    self._numbers = (tables.ends < last).sum(2)
    sets = np.arange(kinds.shape[1])
    self._ends = tables.ends[sets, self._numbers].astype(np.int64)
    of_ends = kinds[-1, sets, self._numbers] - self._activity_lengths[-1]
    sums = np.cumsum(np.pad(zeros, ((1, 0), (0, 0))), axis=0)
    self._of_last = sums[self._ends, sets] + of_ends
    self._of_contexts = tables.context_lengths.astype(np.float32)

  def costs(self, indices: np.ndarray) -> np.ndarray:
    """What other channels' symbols cost more than zeros, with each set.

    Args:
      indices: int16 [positions, L], table indices of the live channels.

    Returns:
      float32 [positions, K], in bits.
    """
    zeros = self._tables.zeros.astype(indices.dtype)
    costs = np.empty((len(indices), self._tables.num_activities), np.float32)
    for block in blocks.blocks(len(indices), _BLOCK):
      part = indices[block]
      costs[block] = self._extra(part, part != zeros)
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
    """The bits beyond those of zeros: float32 [positions, K].

    Args:
      indices: int16 [positions, L].
      counted: bool [positions, L], the symbols that are summed up.
    """
    x = self._tables.contexts
    others = indices[:, x:]
    flat = np.flatnonzero(counted[:, x:])
    width = max(others.shape[1], 1)
    positions = flat.astype(np.int32) // np.int32(width)
    starts = np.take(self._tables.starts, flat - positions * width)
    rows = np.take(others.ravel(), flat) + starts
    extra = np.zeros((len(indices), self._extra_lengths.shape[1]), np.float32)
    firsts = np.flatnonzero(np.diff(positions, prepend=-1))
    if len(firsts):
      lengths = np.take(self._extra_lengths, rows, axis=0)
      extra[positions[firsts]] = np.add.reduceat(lengths, firsts)
    return extra

  def choose(self, costs: np.ndarray, indices: np.ndarray) -> Choice:
    """The activities that cost the fewest bits in all.

    Args:
      costs: float32 [positions, K], from `costs`.
      indices: int16 [positions, L], the symbols.
    """
    classes = expected_bits.context_classes(self._tables, indices)
    last = np.empty(len(indices), np.intp)
    lengths = np.empty_like(costs)
    for block in blocks.blocks(len(indices), _BLOCK):
      part = indices[block]
      last[block] = self._tables.last_others(part)
      np.add(costs[block], self._of_last[last[block]], out=lengths[block])
      lengths[block] += self._context_bits(part, [c[block] for c in classes])
    num_lanes = self._num_lanes(lengths, last)
    bounds = lanes.bounds(len(indices), num_lanes)
    first = bounds[:-1]
    inner = [of_channel[first] for of_channel in classes]
    begins = [np.full(num_lanes, self._tables.context_tables.shape[2] - 1)]
    begins *= len(classes)
    lengths[first] += self._context_bits(indices[first], begins)
    lengths[first] -= self._context_bits(indices[first], inner)
    chosen = self._cheapest(lengths, bounds)
    before = np.roll(chosen, 1)
    before[first] = self._tables.num_activities
    places = np.arange(len(chosen))
    numbers = self._numbers[last, chosen]
    bits = lengths[places, chosen].sum(dtype="f8")
    kinds = self._tables.kind_lengths
    bits += kinds[before, chosen, numbers].sum()
    counted = kinds[-1, chosen, numbers] - self._activity_lengths[-1, chosen]
    return Choice(chosen, num_lanes, float(bits - counted.sum()))

  def _context_bits(
    self, indices: np.ndarray, classes: list[np.ndarray]
  ) -> np.ndarray:
    """Bits of the context channels' symbols: float32 [positions, K]."""
    tables = self._tables
    bits = np.zeros((len(indices), tables.num_activities), np.float32)
    for channel, of_channel in enumerate(classes):
      starts = tables.context_starts[channel].T[of_channel]  # [positions, K]
      entries = starts + indices[:, channel, None]
      bits += np.take(self._of_contexts, entries)
    return bits

  def _num_lanes(self, lengths: np.ndarray, last: np.ndarray) -> int:
    """How many lanes an image gets; any number is a sound choice."""
    tables, positions = self._tables, len(lengths)
    bits, steps = 0.0, positions * (1 + tables.contexts)
    for block in blocks.blocks(positions, _BLOCK):
      totals = lengths[block] + self._activity_lengths[-1]
      bits += float(totals.min(1).sum(dtype="f8"))
      steps += int(self._ends[last[block], totals.argmin(1)].sum())
    affordable = LANE_SHARE * bits / (8 * container.LANE_BYTES)
    wanted = int(min(steps / LANE_STEPS, affordable))
    fewest = lanes.fewest(positions, tables.lane_positions)
    return min(max(wanted, fewest, 1), positions)

  def _cheapest(self, lengths: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The cheapest activities, int [positions], of lanes that begin at bounds.

    Args:
      lengths: float32 [positions, K], bits of the symbols.
      bounds: int64 [lanes + 1].
    """
    positions, activities = lengths.shape
    if activities == 1:
      return np.zeros(positions, np.intp)
    chosen = np.empty(positions, np.intp)
    for group in blocks.blocks(len(bounds) - 1, _LANES):
      first, end = bounds[:-1][group], bounds[1:][group]
      places = first[:, None] + np.arange((end - first).max())
      spare = places >= end[:, None]
      part = lengths[np.minimum(places, positions - 1)].transpose(1, 2, 0)
      paths = _cheapest_paths(part, self._activity_lengths, spare.T)
      chosen[places[~spare]] = paths.T[~spare]
    return chosen


def activity_lengths(kind_cdf: np.ndarray, activities: int) -> np.ndarray:
  """Bits of activities, of whatever end: float32 [K + 1, K].

  Args:
    kind_cdf: uint16 [K + 1, K G], from `coding_tables.QualityTables`.
    activities: K.
  """
  ends = kind_cdf.shape[1] // activities
  return coding_tables.code_lengths(kind_cdf[:, ::ends]).astype(np.float32)


def _cheapest_paths(
  cost: np.ndarray, lengths: np.ndarray, spare: np.ndarray
) -> np.ndarray:
  """The cheapest activities of lanes.

  Args:
    cost: float32 [positions of a lane, K, lanes], bits of the symbols.
    lengths: float32 [K + 1, K], bits of each activity after each other one, and
      at last at the beginning of a lane.
    spare: bool [positions of a lane, lanes], what fills up a shorter lane: at
      most its last position.

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
    leads = follows.T[path[t]]
    leads[spare[t]] = 0
    path[t - 1] = (totals[t - 1].T + leads).argmin(1)
  return path
