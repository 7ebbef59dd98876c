"""Which of a model's sets of tables each position is coded with.

The encoder is free to choose: every activity decodes to the same symbols. It
takes those that cost the fewest bits, their own included. As an activity's own
cost depends on the one before it in the lane, this is a shortest path, found
for all lanes at once (Viterbi 1967).

Code lengths are multiples of 2**-8 bits (`coding_tables`), so that their sums
are exact in 32 bits, whatever their order: the library and an exported graph,
which both run these functions, choose alike.
"""

from __future__ import annotations

import tensorflow as tf


def costs(place: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  """What each position's symbols cost with each set of tables.

  Args:
    place: int32 [positions, L], of each symbol in `lengths`.
    lengths: float32 [S, K], bits of each symbol of each channel.

  Returns:
    float32 [positions, K].
  """
  half = tf.shape(place)[0] // 2
  # The operation runs on one core; the graph runs both parts at once.
  return tf.concat(
    [_sums(place[:half], lengths), _sums(place[half:], lengths)], 0
  )


def _sums(place: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
  positions, live = tf.unstack(tf.shape(place))
  return tf.raw_ops.SparseSegmentSumWithNumSegments(
    data=lengths,
    indices=tf.reshape(place, [-1]),
    segment_ids=tf.repeat(tf.range(positions), live),
    num_segments=positions,
  )


def cheapest(
  cost: tf.Tensor, own: tf.Tensor, lane_positions: tf.Tensor
) -> tf.Tensor:
  """The activities that cost the fewest bits in all.

  Args:
    cost: float32 [positions, K], from `costs`; at least one position.
    own: float32 [K + 1, K], bits of an activity after each, and at the
      beginning of a lane.
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
  follows, begins = own[:-1], own[-1]

  def forward(
    t: tf.Tensor, total: tf.Tensor, origin: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    ways = total[:, :, None] + follows  # [lanes, from, to]
    origin = origin.write(t - 1, tf.argmin(ways, 1, tf.int32))
    return t + 1, tf.reduce_min(ways, 1) + cost[t], origin

  _, total, origins = tf.while_loop(
    lambda t, *_: t < steps,
    forward,
    (
      tf.constant(1),
      begins + cost[0],
      tf.TensorArray(
        tf.int32, tf.maximum(steps - 1, 1), element_shape=(None, None)
      ),
    ),
    shape_invariants=(
      tf.TensorShape(()),
      tf.TensorShape((None, None)),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )

  def backward(
    t: tf.Tensor, chosen: tf.Tensor, path: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    path = path.write(t, chosen)
    before = tf.cond(
      t > 0,
      lambda: tf.gather(origins.read(t - 1), chosen, batch_dims=1),
      lambda: chosen,
    )
    return t - 1, before, path

  _, _, path = tf.while_loop(
    lambda t, *_: t >= 0,
    backward,
    (
      steps - 1,
      tf.argmin(total, 1, tf.int32),
      tf.TensorArray(tf.int32, steps, element_shape=(None,)),
    ),
    shape_invariants=(
      tf.TensorShape(()),
      tf.TensorShape((None,)),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )
  chosen = tf.transpose(path.stack())
  return tf.reshape(chosen, [-1])[:positions]
