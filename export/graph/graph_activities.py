"""The choice of activities of `bls2017.encode.activities` in a graph.

Code lengths are multiples of 2**-8 bits, so that their sums are exact in 32
bits in any order, and the graph chooses the same activities as the library.
"""

from __future__ import annotations

import tensorflow as tf


def costs(symbol_places: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  """Sums up the bits of each position's symbols with each set of tables.

  Args:
    symbol_places: int32 [positions, L], the row of `lengths` of each symbol.
    lengths: float32 [S, K], bits of each symbol of each channel.

  Returns:
    float32 [positions, K].
  """
  half = tf.shape(symbol_places)[0] // 2
  # The operation runs on one core; the graph runs both parts at once.
  parts = symbol_places[:half], symbol_places[half:]
  return tf.concat([_sums(part, lengths) for part in parts], 0)


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
  """Chooses the activities that cost the fewest bits in all.

  Args:
    cost: float32 [positions, K], from `costs`; at least one position.
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
  """Of a counter, of a tensor that is carried, and of an array of those."""
  return tf.TensorShape(()), tf.TensorShape(shape), tf.TensorShape(None)
