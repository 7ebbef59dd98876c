"""The range encoder; `export.range_coder` says how it works."""

from __future__ import annotations

import tensorflow as tf

from export.range_coder import stock_streams


def encode(
  rows: tf.Tensor,
  shape: stock_streams.Shape,
  num_lanes: tf.Tensor,
  tables: stock_streams.Tables,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Codes the positions of an image.

  Args:
    rows: int32 [positions, 1 + L], the activity and the table indices of the
      live channels of each position.
    shape: Positions along both sides.
    num_lanes: int32 scalar, from 1 to as many as positions.
    tables: The tables of the quality.

  Returns:
    uint8 [total], all streams one after the other, and int32 [lanes], the
    lengths of the streams.
  """
  unroll = stock_streams.UNROLL
  kinds = _kinds(rows, tables)
  heads = _heads(rows, kinds, shape, num_lanes, tables)
  others = _others(rows, kinds, num_lanes, tables)
  places = tf.concat([heads, others], 0)
  places = tf.pad(places, [[0, -tf.shape(places)[0] % unroll], [0, 0]])
  cdf = tf.concat([tables.heads_cdf(), tf.reshape(tables.cdf, [-1])], 0)
  shares = stock_streams.shares(cdf, places)
  sizes, size = _sizes(shares)
  added, shift, *_ = stock_streams.narrow(sizes, shares)
  return _finish(added, tf.cast(shift, tf.int32), size)


def _kinds(rows: tf.Tensor, tables: stock_streams.Tables) -> tf.Tensor:
  """The kind of each position: int32 [positions]."""
  contexts = tables.contexts()
  activities, others = rows[:, 0], rows[:, 1 + contexts :]
  last = stock_streams.last_others(others - tables.zeros[contexts:])
  too_few = tf.gather(tables.ends, activities) < last[:, None]
  numbers = tf.reduce_sum(tf.cast(too_few, tf.int32), 1)
  return activities * tf.shape(tables.ends)[1] + numbers


def _heads(
  rows: tf.Tensor,
  kinds: tf.Tensor,
  shape: stock_streams.Shape,
  num_lanes: tf.Tensor,
  tables: stock_streams.Tables,
) -> tf.Tensor:
  """The places of the steps of heads among the tables' shares.

  They are int32 [steps, lanes]. What fills up a lane stands in place 0.
  """
  sets, kinds_of_table = tf.shape(tables.ends)[0], tf.shape(tables.kind_cdf)[1]
  activities, indices = rows[:, 0], rows[:, 1:]
  near = stock_streams.neighbours(shape, num_lanes)
  around = stock_streams.surroundings(activities, near, tables)
  left = stock_streams.at(activities, near.left, sets)
  numbers = tf.gather_nd(tables.activity_tables, tf.stack([around, left], -1))
  kinds += numbers * kinds_of_table
  contexts = stock_streams.contexts(indices, near, tables)
  starts = stock_streams.context_starts(activities, contexts, tables)
  starts += tf.size(tables.kind_cdf) + indices[:, : tables.contexts()]
  heads = 1 + tf.concat([kinds[:, None], starts], 1)
  runs = tf.concat(stock_streams.runs(shape, num_lanes), 0)
  heads = tf.transpose(stock_streams.at(heads, runs), [0, 2, 1])
  return tf.reshape(heads, tf.stack([-1, num_lanes]))


def _others(
  rows: tf.Tensor,
  kinds: tf.Tensor,
  num_lanes: tf.Tensor,
  tables: stock_streams.Tables,
) -> tf.Tensor:
  """The places of the steps of the others, as those of `_heads`."""
  others = rows[:, 1 + tables.contexts() :]
  coded = tf.gather(tf.reshape(tables.ends, [-1]), kinds)[:, None]
  places = rows[:, :1] * tf.shape(tables.cdf)[1] + tables.starts + others
  places = 1 + tf.size(tables.heads_cdf()) + places
  numbers = tf.range(tf.size(tables.starts))
  places = tf.boolean_mask(places, numbers < coded)
  numbers = stock_streams.steps_of_lanes(tf.size(places), num_lanes)
  return stock_streams.at(places, numbers)


def _sizes(shares: stock_streams.Shares) -> tuple[tf.Tensor, tf.Tensor]:
  """The sizes of intervals before all steps, and those behind the last one.

  Args:
    shares: Of [steps, lanes].

  Returns:
    float64 [steps, lanes] and [lanes], in units of 2**16.
  """
  unroll = stock_streams.UNROLL
  steps, num_lanes = tf.unstack(tf.shape(shares.lower))
  turns = steps // unroll
  shape = tf.stack([turns, unroll, 1, num_lanes])
  of_turns = [tf.reshape(x, shape) for x in shares]

  def turn(
    t: tf.Tensor, size: tf.Tensor, sizes: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
    before = []
    for share in zip(*(tf.unstack(x[t], unroll) for x in of_turns)):
      before.append(size)
      size = stock_streams.narrow(size, stock_streams.Shares(*share)).size
    return t + 1, size, sizes.write(t, tf.concat(before, 0))

  def loop() -> tuple[tf.Tensor, tf.Tensor]:
    full = tf.constant(stock_streams.FULL / stock_streams.WORD, tf.float64)
    _, size, sizes = tf.while_loop(
      lambda t, *_: t < turns,
      turn,
      (
        tf.constant(0),
        tf.fill(tf.stack([1, num_lanes]), full),
        tf.TensorArray(tf.float64, turns, element_shape=(unroll, None)),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        tf.TensorShape((1, None)),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return sizes.concat(), size[0]

  return stock_streams.run(loop)


def _finish(
  added: tf.Tensor,  # float64 [steps, lanes], added to base by each step.
  shifted: tf.Tensor,  # int32 [steps, lanes], words shifted behind each step.
  size: tf.Tensor,  # float64 [lanes], the interval at the end.
) -> tuple[tf.Tensor, tf.Tensor]:
  """Ends the streams, propagates carries and writes the bytes.

  A lane that shifted w words has w + 2 of them; each sum of what was added at a
  word is below 2**32, two words wide.
  """
  shifts = tf.reduce_sum(shifted, 0)
  counts = shifts + 2
  first = tf.cumsum(counts, exclusive=True)
  sums = tf.math.unsorted_segment_sum(
    added,
    first + tf.cumsum(shifted, 0, exclusive=True),
    tf.reduce_sum(counts),
  )
  sums = tf.cast(sums, tf.int64)
  window = first + shifts
  previous = tf.gather(sums, tf.maximum(window - 1, 0))
  previous = tf.where(shifts > 0, previous, tf.zeros_like(previous))
  low = tf.gather(sums, window) + previous * (1 << stock_streams.WORD_BITS)
  size = tf.cast(size * stock_streams.WORD, tf.int64)
  ending = stock_streams.ending(low % stock_streams.FULL, size)
  sums = tf.tensor_scatter_nd_add(sums, window[:, None], ending.advance)
  # The lower half of a sum belongs to the next word. The last word of a lane
  # has none, so that nothing moves on to the next lane.
  upper = sums // (1 << stock_streams.WORD_BITS)
  lower = sums % (1 << stock_streams.WORD_BITS)
  words = _carry(upper + tf.pad(lower, [[1, 0]])[:-1])
  pairs = tf.stack([words // 256, words % 256], axis=-1)
  content = tf.cast(tf.reshape(pairs, [-1]), tf.uint8)
  lane = stock_streams.repeated(tf.range(tf.size(counts)), 2 * counts)
  offset = tf.range(tf.size(content)) - tf.gather(2 * first, lane)
  nonzero = tf.math.unsorted_segment_max(
    tf.where(content > 0, offset + 1, 0), lane, tf.size(counts)
  )
  lengths = 2 * shifts + tf.cast(ending.num_bytes, tf.int32)
  lengths = tf.where(ending.cleared, nonzero, lengths)
  payload = tf.boolean_mask(content, offset < tf.gather(lengths, lane))
  return payload, lengths


def _carry(words: tf.Tensor) -> tf.Tensor:
  """Propagates carries from each word to the one before it.

  Words are below 2**17 - 1. One receives a carry if the first word after it
  that is not 2**16 - 1 is 2**16 or more. No stream overflows, so nothing
  crosses from lane to lane.
  """
  stops = words != stock_streams.WORD_MASK
  carries = tf.boolean_mask(words > stock_streams.WORD_MASK, stops)
  carries = tf.cast(tf.pad(carries, [[0, 1]]), tf.int64)
  following = tf.cumsum(tf.cast(stops, tf.int32))
  return (words + tf.gather(carries, following)) % (
    1 << stock_streams.WORD_BITS
  )
