"""Which of a model's sets of tables codes each position, and how many lanes.

The encoder is free to choose: every activity decodes to the same symbols. It
takes the activities that cost the fewest bits, with those of the activities
themselves. As the cost of an activity depends on the one to the left, this is a
shortest path, found for all lanes at once (Viterbi 1967): first in the even
lines, then in the odd lines, whose surroundings are known then.

A kind is taken to cost what its activity and its end cost; the tables of kinds
say nearly the same.

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
    # By the last symbol that is not 0, and the activity.
    last = np.arange(len(zeros) + 1)[:, None, None]
    numbers = (tables.ends < last).sum(2)
    sets = np.arange(tables.num_activities)
    self._ends = tables.ends[sets, numbers].astype(np.int64)
    of_ends = coding_tables.code_lengths(tables.end_cdf).astype(np.float32)
    sums = np.cumsum(np.pad(zeros, ((1, 0), (0, 0))), axis=0)
    self._of_last = sums[self._ends, sets] + of_ends[sets, numbers]
    self._of_contexts = tables.context_lengths.astype(np.float32)
    self._transitions = _transitions(tables.activity_lengths)

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

  def choose(
    self, costs: np.ndarray, indices: np.ndarray, shape: tuple[int, int]
  ) -> Choice:
    """The activities that cost the fewest bits in all.

    Args:
      costs: float32 [positions, K], from `costs`.
      indices: int16 [positions, L], the symbols.
      shape: Positions along both sides.
    """
    tables = self._tables
    near = lanes.neighbours(*shape)
    contexts = expected_bits.contexts(tables, indices, near)
    last = np.empty(len(indices), np.intp)
    lengths = np.empty_like(costs)
    for block in blocks.blocks(len(indices), _BLOCK):
      part = indices[block]
      last[block] = tables.last_others(part)
      np.add(costs[block], self._of_last[last[block]], out=lengths[block])
      lengths[block] += self._context_bits(part, [c[block] for c in contexts])
    num_lanes = self._num_lanes(lengths, last)
    if num_lanes > 1:
      near = lanes.neighbours(*shape, num_lanes)
      cut = expected_bits.contexts(tables, indices, near)
      changed = np.flatnonzero(
        np.any([a != b for a, b in zip(contexts, cut)], axis=0)
      )
      of_changed = indices[changed]
      for found, sign in ((cut, 1), (contexts, -1)):
        bits = self._context_bits(of_changed, [c[changed] for c in found])
        lengths[changed] += sign * bits
    chosen, total = self._cheapest(lengths, near, shape, num_lanes)
    return Choice(chosen, num_lanes, total)

  def _context_bits(
    self, indices: np.ndarray, contexts: list[np.ndarray]
  ) -> np.ndarray:
    """Bits of the context channels' symbols: float32 [positions, K]."""
    tables = self._tables
    bits = np.zeros((len(indices), tables.num_activities), np.float32)
    for channel, of_channel in enumerate(contexts):
      starts = tables.context_starts[channel].T[of_channel]  # [positions, K]
      entries = starts + indices[:, channel, None]
      bits += np.take(self._of_contexts, entries)
    return bits

  def _num_lanes(self, lengths: np.ndarray, last: np.ndarray) -> int:
    """How many lanes an image gets; any number is a sound choice."""
    tables, positions = self._tables, len(lengths)
    bits, steps = 0.0, positions * (1 + tables.contexts)
    anywhere = tables.activity_lengths[-1, -1]
    for block in blocks.blocks(positions, _BLOCK):
      totals = lengths[block] + anywhere
      bits += float(totals.min(1).sum(dtype="f8"))
      steps += int(self._ends[last[block], totals.argmin(1)].sum())
    affordable = LANE_SHARE * bits / (8 * container.LANE_BYTES)
    wanted = int(min(steps / LANE_STEPS, affordable))
    fewest = lanes.fewest(positions, tables.lane_positions)
    return min(max(wanted, fewest, 1), positions)

  def _cheapest(
    self,
    lengths: np.ndarray,
    near: lanes.Neighbours,
    shape: tuple[int, int],
    num_lanes: int,
  ) -> tuple[np.ndarray, float]:
    """The cheapest activities, int [positions], and their bits with all else.

    Args:
      lengths: float32 [positions, K], bits of the symbols.
      near: The neighbours of each position.
      shape: Positions along both sides.
      num_lanes: How many lanes there are.
    """
    tables = self._tables
    positions, activities = lengths.shape
    chosen = np.zeros(positions, np.intp)
    around = np.full(positions, len(tables.activity_tables) - 1, np.intp)
    for of_pass in lanes.passes(*shape):
      if activities == 1 or not len(of_pass):
        continue
      if of_pass[0]:  # It is the second one.
        around[near.later] = tables.surroundings[
          chosen[near.above], chosen[near.below]
        ]
      bounds = lanes.bounds(len(of_pass), num_lanes)
      for group in blocks.blocks(num_lanes, _LANES):
        first, end = bounds[:-1][group], bounds[1:][group]
        places = first[:, None] + np.arange((end - first).max())
        spare = places >= end[:, None]
        part = of_pass[np.minimum(places, len(of_pass) - 1)]
        paths = _cheapest_paths(
          lengths[part].swapaxes(0, 1),
          (2 * around[part] + (near.left[part] == positions)).T,
          self._transitions,
          spare.T,
        )
        chosen[part[~spare]] = paths.T[~spare]
    before = np.append(chosen, activities)[near.left]
    bits = tables.activity_lengths[around, before, chosen].sum(dtype="f8")
    bits += lengths[np.arange(positions), chosen].sum(dtype="f8")
    return chosen, float(bits)


def _transitions(activity_lengths: np.ndarray) -> np.ndarray:
  """Bits of activities after each other one: float32 [K, 2 (V + 1), K].

  The first axis is that of the activity to the left. There are two for each of
  the surroundings: number 2 v knows that activity, number 2 v + 1 costs as much
  after any.

  Args:
    activity_lengths: As in `coding_tables.QualityTables`.
  """
  after, alone = activity_lengths[:, :-1], activity_lengths[:, -1:]
  both = np.stack([after, np.broadcast_to(alone, after.shape)], 1)
  both = both.reshape(-1, *after.shape[1:]).swapaxes(0, 1)
  return np.ascontiguousarray(both)


def _cheapest_paths(
  cost: np.ndarray,
  numbers: np.ndarray,
  transitions: np.ndarray,
  spare: np.ndarray,
) -> np.ndarray:
  """The cheapest activities of lanes.

  Args:
    cost: float32 [positions of a lane, lanes, K], bits of the symbols.
    numbers: int [positions of a lane, lanes], the transition to each position;
      first ones do not know the left.
    transitions: From `_transitions`.
    spare: bool [positions of a lane, lanes], what fills up a shorter lane: at
      most its last position.

  Returns:
    int [positions of a lane, lanes].
  """
  # The least that leads to each activity.
  totals = np.empty(cost.shape, np.float32)
  totals[0] = transitions[0, numbers[0]] + cost[0]
  for t in range(1, len(cost)):
    ways = np.take(transitions, numbers[t], axis=1)  # [from, lanes, to]
    ways += totals[t - 1].T[:, :, None]
    np.add(ways.min(0), cost[t], out=totals[t])
  path = np.empty(cost.shape[:2], np.intp)
  path[-1] = totals[-1].argmin(1)
  for t in range(len(cost) - 1, 0, -1):
    leads = transitions[:, numbers[t], path[t]].T
    leads[spare[t]] = 0
    path[t - 1] = (totals[t - 1] + leads).argmin(1)
  return path
