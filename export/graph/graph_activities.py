"""The choice of activities of `bls2017.encode.activities` in a graph.

Code lengths are multiples of 2**-8 bits, so that their sums are exact in 32
bits in any order, and the graph chooses the same activities as the library.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.encode import activities
from bls2017.format import container
from export.graph import graph_lengths
from export.range_coder import stock_streams


class Choice(NamedTuple):
  """How the symbols of an image are coded.

  Attributes:
    activities: int32 [positions].
    num_lanes: int32 scalar.
  """

  activities: tf.Tensor
  num_lanes: tf.Tensor


def choose(
  indices: tf.Tensor, tables: stock_streams.Tables, fewest_lanes: tf.Tensor
) -> Choice:
  """Chooses the activities that cost the fewest bits in all, and the lanes.

  Args:
    indices: int32 [positions, L], table indices of the live channels.
    tables: Those of the quality.
    fewest_lanes: int32 scalar, lanes that the image must have.
  """
  contexts = tables.contexts()
  positions = tf.shape(indices)[0]
  others = indices[:, contexts:]
  last = stock_streams.last_others(others - tables.zeros[contexts:])
  ends = _ends(tables)
  costs = _extra_bits(others, tables) + tf.gather(ends.bits, last)
  classes = stock_streams.context_classes(indices, tables)
  costs += _context_bits(indices, classes, tables)
  activity_bits = _activity_bits(tables)
  totals = costs + activity_bits[-1]
  steps = tf.gather(ends.counts, last)
  steps = tf.gather(steps, tf.argmin(totals, 1), batch_dims=1)
  num_lanes = _num_lanes(
    bits=tf.reduce_sum(tf.cast(tf.reduce_min(totals, 1), tf.float64)),
    steps=positions * (1 + contexts) + tf.reduce_sum(steps),
    fewest=fewest_lanes,
    most=positions,
  )
  first = stock_streams.run_bounds(positions, num_lanes)[:-1]
  begins = tf.fill(
    tf.stack([num_lanes, tf.shape(classes)[1]]), tables.first_class()
  )
  of_first = tf.gather(indices, first)
  change = _context_bits(of_first, begins, tables)
  change -= _context_bits(of_first, tf.gather(classes, first), tables)
  costs = tf.tensor_scatter_nd_add(costs, first[:, None], change)
  return Choice(cheapest(costs, activity_bits, num_lanes), num_lanes)


class _Ends(NamedTuple):
  """What follows from the last symbol that is not 0: [R + 1, K].

  Attributes:
    counts: int32, how many of the others are coded.
    bits: float32, of them if all are 0, and of the end.
  """

  counts: tf.Tensor
  bits: tf.Tensor


def _ends(tables: stock_streams.Tables) -> _Ends:
  sets, of_a_set = tables.ends.shape
  last = tf.range(tf.size(tables.starts) + 1)
  numbers = tf.cast(tables.ends[..., None] < last, tf.int32)
  numbers = tf.reduce_sum(numbers, 1)  # [K, R + 1]
  counts = tf.gather(tables.ends, numbers, batch_dims=1)
  lengths = graph_lengths.code_lengths(tables.cdf)
  zeros = tables.starts + tables.zeros[tables.contexts() :]
  sums = tf.cumsum(tf.gather(lengths, zeros, axis=1), 1)
  bits = tf.gather(tf.pad(sums, [[0, 0], [1, 0]]), counts, batch_dims=1)
  kinds = graph_lengths.code_lengths(tables.kind_cdf[-1:])
  kinds = tf.reshape(kinds, [sets, of_a_set])
  kinds -= _activity_bits(tables)[-1, :, None]
  bits += tf.gather(kinds, numbers, batch_dims=1)
  return _Ends(tf.transpose(counts), tf.transpose(bits))


def _activity_bits(tables: stock_streams.Tables) -> tf.Tensor:
  """Bits of activities, of whatever end: float32 [K + 1, K]."""
  return graph_lengths.code_lengths(tables.kind_cdf[:, :: tables.ends.shape[1]])


def _extra_bits(others: tf.Tensor, tables: stock_streams.Tables) -> tf.Tensor:
  """What symbols cost more than zeros with each set: float32 [positions, K].

  Args:
    others: int32 [positions, R], table indices.
    tables: The tables.
  """
  zeros = tables.zeros[tables.contexts() :]
  lengths = graph_lengths.code_lengths(tables.cdf)
  of_zeros = tf.gather(lengths, tables.starts + zeros, axis=1)
  channels = graph_lengths.channels_of_entries(tables)
  extra = tf.transpose(lengths - tf.gather(of_zeros, channels, axis=1))
  places = tf.cast(tf.where(others != zeros), tf.int32)
  return tf.raw_ops.SparseSegmentSumWithNumSegments(
    data=extra,
    indices=tf.boolean_mask(others + tables.starts, others != zeros),
    segment_ids=places[:, 0],
    num_segments=tf.shape(others)[0],
  )


def _context_bits(
  indices: tf.Tensor, classes: tf.Tensor, tables: stock_streams.Tables
) -> tf.Tensor:
  """Bits of the context channels' symbols: float32 [positions, K].

  Args:
    indices: int32 [positions, L], table indices.
    classes: int32 [positions, contexts].
    tables: The tables.
  """
  lengths = graph_lengths.code_lengths(tables.context_cdf[None])[0]
  starts = tf.transpose(tables.context_starts, [0, 2, 1])  # [X, N + 1, K]
  channels = tf.range(tf.shape(classes)[1])
  places = tf.stack([tf.broadcast_to(channels, tf.shape(classes)), classes], -1)
  entries = tf.gather_nd(starts, places)  # [positions, contexts, K]
  entries += indices[:, : tf.size(channels), None]
  return tf.reduce_sum(tf.gather(lengths, entries), 1)


def _num_lanes(
  bits: tf.Tensor, steps: tf.Tensor, fewest: tf.Tensor, most: tf.Tensor
) -> tf.Tensor:
  """How many lanes an image gets: int32 scalar."""
  affordable = activities.LANE_SHARE * bits / (8 * container.LANE_BYTES)
  wanted = tf.cast(steps, tf.float64) / activities.LANE_STEPS
  wanted = tf.cast(tf.minimum(wanted, affordable), tf.int32)
  return tf.minimum(tf.maximum(wanted, tf.maximum(fewest, 1)), most)


def cheapest(
  costs: tf.Tensor, activity_bits: tf.Tensor, num_lanes: tf.Tensor
) -> tf.Tensor:
  """Chooses the activities that cost the fewest bits in all.

  Args:
    costs: float32 [positions, K], bits of each position's symbols with each
      set of tables; at least one position.
    activity_bits: float32 [K + 1, K], bits of an activity after each activity,
      and at the beginning of a lane.
    num_lanes: int32 scalar, from 1 to as many as positions.

  Returns:
    int32 [positions].
  """
  positions = tf.shape(costs)[0]
  numbers = stock_streams.steps_of_lanes(positions, num_lanes)
  steps = tf.shape(numbers)[0]
  is_real = numbers < positions  # The last position of a lane may be missing.
  costs = tf.gather(tf.pad(costs, [[0, 1], [0, 0]]), numbers)
  follows, begins = activity_bits[:-1], activity_bits[-1]

  def forward(
    t: tf.Tensor, total: tf.Tensor, totals: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    ways = total[:, :, None] + follows  # [lanes, from, to]
    total = tf.reduce_min(ways, 1) + costs[t]
    return t + 1, total, totals.write(t, total)

  first = begins + costs[0]
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
    lead = tf.where(is_real[t + 1, :, None], tf.gather(leads, after), 0.0)
    ways = totals.read(t) + lead  # [lanes, from]
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
  return stock_streams.in_order(path.stack(), numbers, positions)


def _loop_shapes(shape: tuple[None, ...]) -> tuple[tf.TensorShape, ...]:
  """Of a counter, of a tensor that is carried, and of an array of those."""
  return tf.TensorShape(()), tf.TensorShape(shape), tf.TensorShape(None)
