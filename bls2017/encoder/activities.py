"""Which of a model's sets of tables each position is coded with.

The encoder is free to choose: every activity decodes to the same symbols. It
takes those that cost the fewest bits, their own included. As an activity's own
cost depends on the one before it in the lane, this is a shortest path, found
for all lanes at once (Viterbi 1967).

Code lengths are multiples of 2**-8 bits (`coding_tables`), so that their sums
are exact in 32 bits, whatever their order: the library and an exported graph
(`export.graph.graph_activities`) choose alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from bls2017.bitstream import coding_tables

_BLOCK = 1024
"""Positions whose symbols are worked on at once."""

_LANES = 256
"""Likewise, lanes whose activities are chosen at once."""


class Chooser:
  """Chooses the activities of an image's symbols, for NumPy's arrays.

  Most symbols are the likeliest of their channels, so that only what the others
  cost more is summed up; and a step of a path takes NumPy a quarter of the time
  that it takes a graph. With a single activity, it is 0 and costs nothing.
  """

  def __init__(self, tables: coding_tables.QualityTables):
    """Prepares the code lengths.

    Args:
      tables: Tables of the quality.
    """
    self._tables = tables
    self._starts = tables.starts[tables.live]
    lengths = tables.code_lengths.astype(np.float32).T
    each = np.split(lengths.sum(1), tables.starts[1:])
    likeliest = np.array([part.argmin() for part in each], np.int32)
    least = lengths[tables.starts + likeliest]
    size = tables.maximum - tables.minimum + 1
    self._likeliest = likeliest[tables.live].astype(np.int16)
    self._least = least.sum(0)
    self._more = tf.constant(lengths - np.repeat(least, size, 0))
    self._own = tables.activity_lengths.astype(np.float32)

  def costs(self, symbols: np.ndarray) -> np.ndarray:
    """What each position's symbols cost with each set of tables.

    Args:
      symbols: int16 [positions, L], of the live channels, counted from each
        table's smallest.

    Returns:
      float32 [positions, K].
    """
    found = np.tile(self._least, (len(symbols), 1))
    for block in _blocks(len(symbols), _BLOCK):
      part = symbols[block]
      place = np.flatnonzero(part != self._likeliest)
      found[block] += self._sums(part, place)
    return found

  def change(self, costs: np.ndarray, old: np.ndarray, new: np.ndarray) -> None:
    """Brings costs up to date where a few symbols changed.

    Args:
      costs: float32 [positions, K], of the old symbols; changed.
      old: int16 [positions, L].
      new: int16 [positions, L].
    """
    place = np.flatnonzero(old != new)
    costs += self._sums(new, place) - self._sums(old, place)

  def _sums(self, symbols: np.ndarray, place: np.ndarray) -> np.ndarray:
    """What symbols cost more than the likeliest: float32 [positions, K].

    Args:
      symbols: int16 [positions, L].
      place: int64, those that are summed up, in the flattened array.
    """
    position = place.astype(np.int32) // np.int32(symbols.shape[1])
    starts = np.take(self._starts, place - position * symbols.shape[1])
    return tf.raw_ops.SparseSegmentSumWithNumSegments(
      data=self._more,
      indices=np.take(symbols.ravel(), place) + starts,
      segment_ids=position,
      num_segments=len(symbols),
    ).numpy()

  def cheapest(self, costs: np.ndarray) -> np.ndarray:
    """The activities that cost the fewest bits in all.

    Args:
      costs: float32 [positions, K], from `costs`.

    Returns:
      int [positions].
    """
    positions, sets = costs.shape
    if sets == 1:
      return np.zeros(positions, np.intp)
    steps = min(self._tables.lane_positions, positions)
    chosen = np.empty((-(-positions // steps), steps), np.intp)
    for lanes in _blocks(len(chosen), _LANES):
      part = costs[lanes.start * steps : lanes.stop * steps]
      # What fills up the last lane costs nothing: it changes nothing before it.
      missing = -len(part) % steps
      part = np.pad(part, ((0, missing), (0, 0))).reshape(-1, steps, sets)
      chosen[lanes] = _paths(part.transpose(1, 2, 0), self._own).T
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
    return float(symbols + self._own[before, chosen].sum(dtype="f8"))


def _blocks(length: int, size: int) -> Iterator[slice]:
  for start in range(0, length, size):
    yield slice(start, start + size)


def _paths(cost: np.ndarray, own: np.ndarray) -> np.ndarray:
  """The cheapest activities of lanes.

  Args:
    cost: float32 [positions of a lane, K, lanes].
    own: float32 [K + 1, K], as for `cheapest`.

  Returns:
    int [positions of a lane, lanes].
  """
  follows, begins = own[:-1], own[-1]
  # The least that leads to each activity; lanes stand side by side in memory.
  totals = np.empty(cost.shape, np.float32)
  totals[0] = begins[:, None] + cost[0]
  for before, here, more in zip(totals, totals[1:], cost[1:]):
    ways = before[:, None] + follows[:, :, None]  # [from, to, lanes]
    np.add(ways.min(0), more, out=here)
  path = np.empty((len(cost), cost.shape[2]), np.intp)
  path[-1] = totals[-1].argmin(0)
  for t in range(len(cost) - 1, 0, -1):
    path[t - 1] = (totals[t - 1].T + follows.T[path[t]]).argmin(1)
  return path


def costs(symbol_places: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  """What each position's symbols cost with each set of tables.

  Args:
    symbol_places: int32 [positions, L], the row of `lengths` of each symbol.
    lengths: float32 [S, K], bits of each symbol of each channel.

  Returns:
    float32 [positions, K].
  """
  half = tf.shape(symbol_places)[0] // 2
  # The operation runs on one core; the graph runs both parts at once.
  return tf.concat(
    [
      _sums(symbol_places[:half], lengths),
      _sums(symbol_places[half:], lengths),
    ],
    0,
  )


def _sums(symbol_places: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  positions, live = tf.unstack(tf.shape(symbol_places))
  return tf.raw_ops.SparseSegmentSumWithNumSegments(
    data=lengths,
    indices=tf.reshape(symbol_places, [-1]),
    segment_ids=tf.repeat(tf.range(positions), live),
    num_segments=positions,
  )
