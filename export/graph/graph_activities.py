"""The choice of activities of `bls2017.encoder.activities` in a graph.

Code lengths are multiples of 2**-8 bits, so that their sums are exact in 32
bits in any order, and the graph chooses the same activities as the library.
"""

from __future__ import annotations

import tensorflow as tf


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


def cheapest(
  cost: tf.Tensor, activity_lengths: tf.Tensor, lane_positions: tf.Tensor
) -> tf.Tensor:
  """The activities that cost the fewest bits in all.

  Args:
    cost: float32 [positions, K], from `costs`; at least one
      position.
    activity_lengths: float32 [K + 1, K], bits of an activity after each
      activity, and at the beginning of a lane.
    lane_positions: int32 scalar, positions of a lane.

  Returns:
    int32 [positions].
  """
  positions, sets = tf.unstack(tf.shape(cost))
  lanes = (positions + lane_positions - 1) // lane_positions
  steps = tf.minimum(lane_positions, positions)
  # What fills up the last lane costs nothing, and changes nothing before it.
  cost = tf.pad(cost, [[0, lanes * steps - positions], [0, 0]])
  cost = tf.reshape(cost, tf.stack([lanes, steps, sets]))
  cost = tf.transpose(cost, [1, 0, 2])
  follows, begins = activity_lengths[:-1], activity_lengths[-1]

  def forward(
    t: tf.Tensor, total: tf.Tensor, totals: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    ways = total[:, :, None] + follows  # [lanes, from, to]
    total = tf.reduce_min(ways, 1) + cost[t]
    return t + 1, total, totals.write(t, total)

  first = begins + cost[0]
  totals = tf.TensorArray(tf.float32, steps, element_shape=(None, None))
  _, total, totals = tf.while_loop(
    lambda t, *_: t < steps,
    forward,
    (tf.constant(1), first, totals.write(0, first)),
    shape_invariants=_loop_shapes((None, None)),
    parallel_iterations=1,
  )
  leads = tf.transpose(follows)

  def backward(
    t: tf.Tensor, after: tf.Tensor, path: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    ways = totals.read(t) + tf.gather(leads, after)  # [lanes, from]
    chosen = tf.argmin(ways, 1, tf.int32)
    return t - 1, chosen, path.write(t, chosen)

  last = tf.argmin(total, 1, tf.int32)
  path = tf.TensorArray(tf.int32, steps, element_shape=(None,))
  _, _, path = tf.while_loop(
    lambda t, *_: t >= 0,
    backward,
    (steps - 2, last, path.write(steps - 1, last)),
    shape_invariants=_loop_shapes((None,)),
    parallel_iterations=1,
  )
  chosen = tf.transpose(path.stack())
  return tf.reshape(chosen, [-1])[:positions]


def _loop_shapes(shape: tuple[None, ...]) -> tuple[tf.TensorShape, ...]:
  """Of a counter, of what is carried, and of an array of those."""
  return tf.TensorShape(()), tf.TensorShape(shape), tf.TensorShape(None)
