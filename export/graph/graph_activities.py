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
  indices: tf.Tensor,
  shape: stock_streams.Shape,
  tables: stock_streams.Tables,
  fewest_lanes: tf.Tensor,
) -> Choice:
  """Chooses the activities that cost the fewest bits in all, and the lanes.

  Args:
    indices: int32 [positions, L], table indices of the live channels.
    shape: Positions along both sides.
    tables: Those of the quality.
    fewest_lanes: int32 scalar, lanes that the image must have.
  """
  positions = tf.shape(indices)[0]
  others = indices[:, tables.contexts() :]
  zeros = tables.zeros[tables.contexts() :]
  last = stock_streams.last_others(others - zeros)
  ends = _ends(tables)
  costs = _extra_bits(others, tables) + tf.gather(ends.bits, last)
  near = stock_streams.neighbours(shape, num_lanes=tf.constant(1))
  contexts = stock_streams.contexts(indices, near, tables)
  costs += _context_bits(indices, contexts, tables)
  activity_bits = _activity_bits(tables)
  totals = costs + activity_bits[-1, -1]
  steps = tf.gather(ends.counts, last)
  steps = tf.gather(steps, tf.argmin(totals, 1), batch_dims=1)
  num_lanes = _num_lanes(
    bits=tf.reduce_sum(tf.cast(tf.reduce_min(totals, 1), tf.float64)),
    steps=positions * (1 + tables.contexts()) + tf.reduce_sum(steps),
    fewest=fewest_lanes,
    most=positions,
  )
  near = stock_streams.neighbours(shape, num_lanes)
  cut = stock_streams.contexts(indices, near, tables)
  changed = tf.where(tf.reduce_any(cut != contexts, 1))
  indices, contexts, cut = (
    tf.gather_nd(x, changed) for x in (indices, contexts, cut)
  )
  change = _context_bits(indices, cut, tables)
  change -= _context_bits(indices, contexts, tables)
  costs = tf.tensor_scatter_nd_add(costs, changed, change)
  chosen = tf.zeros_like(last)
  for run in stock_streams.runs(shape, num_lanes):
    around = stock_streams.surroundings(chosen, near, tables)
    numbers = 2 * around + tf.cast(near.left == positions, tf.int32)
    chosen += cheapest(costs, numbers, _transitions(activity_bits), run)
  return Choice(chosen, num_lanes)


class _Ends(NamedTuple):
  """What follows from the last symbol that is not 0: [R + 1, K].

  Attributes:
    counts: int32, how many of the others are coded.
    bits: float32, of them if all are 0, and of the end.
  """

  counts: tf.Tensor
  bits: tf.Tensor


def _ends(tables: stock_streams.Tables) -> _Ends:
  last = tf.range(tf.size(tables.starts) + 1)
  numbers = tf.cast(tables.ends[..., None] < last, tf.int32)
  numbers = tf.reduce_sum(numbers, 1)  # [K, R + 1]
  counts = tf.gather(tables.ends, numbers, batch_dims=1)
  lengths = graph_lengths.code_lengths(tables.cdf)
  zeros = tables.starts + tables.zeros[tables.contexts() :]
  sums = tf.cumsum(tf.gather(lengths, zeros, axis=1), 1)
  bits = tf.gather(tf.pad(sums, [[0, 0], [1, 0]]), counts, batch_dims=1)
  of_ends = graph_lengths.code_lengths(tables.end_cdf)
  bits += tf.gather(of_ends, numbers, batch_dims=1)
  return _Ends(tf.transpose(counts), tf.transpose(bits))


def _activity_bits(tables: stock_streams.Tables) -> tf.Tensor:
  """As `coding_tables.QualityTables.activity_lengths`."""
  lengths = graph_lengths.code_lengths(tables.activity_cdf)
  return tf.gather(lengths, tables.activity_tables)


def _transitions(activity_bits: tf.Tensor) -> tf.Tensor:
  """Bits of activities after each other one: float32 [2 (V + 1), K, K].

  There are two for each of the surroundings: number 2 v knows the activity to
  the left, and number 2 v + 1 costs as much after any.

  Args:
    activity_bits: float32 [V + 1, K + 1, K].
  """
  after, alone = activity_bits[:, :-1], activity_bits[:, -1:]
  both = tf.stack([after, tf.broadcast_to(alone, tf.shape(after))], 1)
  return tf.reshape(both, tf.concat([[-1], tf.shape(after)[1:]], 0))


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
  indices: tf.Tensor, contexts: tf.Tensor, tables: stock_streams.Tables
) -> tf.Tensor:
  """Bits of the context channels' symbols: float32 [positions, K].

  Args:
    indices: int32 [positions, L], table indices.
    contexts: int32 [positions, contexts].
    tables: The tables.
  """
  lengths = graph_lengths.code_lengths(tables.context_cdf[None])[0]
  starts = tf.transpose(tables.context_starts, [0, 2, 1])  # [X, J, K]
  shape = tf.shape(contexts)
  channels = tf.broadcast_to(tf.range(shape[1]), shape)
  # [positions, contexts, K]
  entries = tf.gather_nd(starts, tf.stack([channels, contexts], -1))
  entries += indices[:, : shape[1], None]
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
  costs: tf.Tensor, numbers: tf.Tensor, transitions: tf.Tensor, run: tf.Tensor
) -> tf.Tensor:
  """Chooses the activities of a pass that cost the fewest bits in all.

  Args:
    costs: float32 [positions, K], bits of each position's symbols with each
      set of tables.
    numbers: int32 [positions], the transition to each; first ones of lanes do
      not know the left.
    transitions: float32 [n, K, K], bits of each activity after each other one.
    run: int32 [turns, lanes], the positions of the pass, from
      `stock_streams.runs`.

  Returns:
    int32 [positions], 0 outside the pass.
  """
  positions, turns = tf.shape(costs)[0], tf.shape(run)[0]
  is_real = run < positions  # The last position of a lane may be missing.
  costs, numbers = stock_streams.at(costs, run), stock_streams.at(numbers, run)
  all_leads = tf.transpose(transitions, [0, 2, 1])

  def forward(
    t: tf.Tensor, total: tf.Tensor, totals: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    # [lanes, from, to]
    ways = total[:, :, None] + tf.gather(transitions, numbers[t])
    total = tf.reduce_min(ways, 1) + costs[t]
    return t + 1, total, totals.write(t, total)

  first = tf.gather(transitions[:, 0], numbers[0]) + costs[0]
  totals = tf.TensorArray(tf.float32, turns, element_shape=(None, None))
  _, total, totals = tf.while_loop(
    lambda t, *_: t < turns,
    forward,
    (tf.constant(1), first, totals.write(0, first)),
    shape_invariants=_loop_shapes((None, None)),
    parallel_iterations=1,
  )

  def backward(
    t: tf.Tensor, after: tf.Tensor, path: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    lead = tf.gather_nd(all_leads, tf.stack([numbers[t + 1], after], -1))
    lead = tf.where(is_real[t + 1, :, None], lead, 0.0)
    ways = totals.read(t) + lead  # [lanes, from]
    chosen = tf.argmin(ways, 1, tf.int32)
    return t - 1, chosen, path.write(t, chosen)

  last = tf.argmin(total, 1, tf.int32)
  path = tf.TensorArray(tf.int32, turns, element_shape=(None,))
  _, _, path = tf.while_loop(
    lambda t, *_: t >= 0,
    backward,
    (turns - 2, last, path.write(turns - 1, last)),
    shape_invariants=_loop_shapes((None,)),
    parallel_iterations=1,
  )
  return stock_streams.in_order(path.stack(), run, positions)


def _loop_shapes(shape: tuple[None, ...]) -> tuple[tf.TensorShape, ...]:
  """Of a counter, of a tensor that is carried, and of an array of those."""
  return tf.TensorShape(()), tf.TensorShape(shape), tf.TensorShape(None)
