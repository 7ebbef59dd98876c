"""The encoder of `export.range_coder.range_coder_stock`."""

from __future__ import annotations

import tensorflow as tf

from export.range_coder import stock_streams


def encode(
  symbols: tf.Tensor, tables: stock_streams.Tables, activities: int
) -> tuple[tf.Tensor, tf.Tensor]:
  """Codes the positions of an image.

  Args:
    symbols: int32 [positions, columns], inside the tables; at least one
      position.
    tables: Of the quality.
    activities: K.

  Returns:
    uint8 [total], all streams one after the other, and int32 [lanes], the
    lengths of the streams.
  """
  index = _encoder_index(symbols, tables, activities)
  num_lanes = tf.shape(index)[2]
  added, shifted, size = _narrow(_all_bounds(tables), index)
  place = tf.cumsum(shifted, exclusive=True)
  shifts = tf.reduce_sum(shifted, axis=0)
  width = tf.reduce_max(shifts) + 2
  # Each addition to base, [steps, lanes], counts at its word.
  sums = tf.math.unsorted_segment_sum(
    added, tf.range(num_lanes) * width + place, num_lanes * width
  )
  return _finish(
    tf.cast(tf.reshape(sums, [num_lanes, width]), tf.int64),
    tf.cast(size, tf.int64),
    shifts,
  )


def _all_bounds(tables: stock_streams.Tables) -> tf.Tensor:
  """Both ends of every symbol as fractions, a certain one at the end.

  Returns:
    float64 [2, K * S + (K + 1) * K + 1].
  """
  cdf = tf.concat(
    [
      tf.reshape(tables.cdf, [-1]),
      tf.reshape(tables.activity_cdf, [-1]),
      tf.zeros((1,), tf.int32),
    ],
    0,
  )
  lower = tf.cast(cdf, tf.float64) / stock_streams.WORD
  # A table ends where the next one begins, with 0.
  upper = tf.roll(lower, -1, 0)
  return tf.stack([lower, tf.where(upper == 0, tf.ones_like(upper), upper)])


def _encoder_index(
  symbols: tf.Tensor, tables: stock_streams.Tables, activities: int
) -> tf.Tensor:
  """Where each step of each lane finds its symbol in `_all_bounds`.

  Returns:
    int32 [turns, stock_streams.UNROLL, lanes].
  """
  total = tf.shape(tables.cdf)[1]
  own = activities * total
  certain = own + (activities + 1) * activities
  positions = tf.shape(symbols)[0]
  lane_positions = tables.lane_positions
  lanes = (positions + lane_positions - 1) // lane_positions
  # A single lane is as long as the image.
  lane_positions = tf.minimum(lane_positions, positions)
  padding = lanes * lane_positions - positions

  def by_lanes(index: tf.Tensor) -> tf.Tensor:
    """Numbers of positions, [positions, m], to [lanes, lane_positions * m]."""
    index = tf.pad(index, [[0, padding], [0, 0]], constant_values=certain)
    steps = lane_positions * tf.shape(index)[1]
    return tf.reshape(index, tf.stack([lanes, steps]))

  if activities == 1:
    index = by_lanes(symbols + tables.starts)
  else:
    activity, symbols = symbols[:, :1], symbols[:, 1:]
    before = tf.pad(activity[:-1], [[1, 0], [0, 0]])
    begins = tf.range(positions)[:, None] % lane_positions == 0
    before = tf.where(begins, activities, before)
    index = tf.concat(
      [
        by_lanes(own + before * activities + activity),
        by_lanes(activity * total + tables.starts + symbols),
      ],
      1,
    )
  index = tf.transpose(index)
  steps = tf.shape(index)[0]
  turns = stock_streams.turns(steps)
  index = tf.pad(
    index,
    [[0, turns * stock_streams.UNROLL - steps], [0, 0]],
    constant_values=certain,
  )
  return tf.reshape(index, tf.stack([turns, stock_streams.UNROLL, lanes]))


def _narrow(
  ends: tf.Tensor, index: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """The encoder's loop: narrows the intervals of all lanes.

  Args:
    ends: float64 [2, n], from `_all_bounds`.
    index: int32 [turns, stock_streams.UNROLL, lanes].

  Returns:
    float64 [steps, lanes], what each step adds to base; int32 [steps, lanes],
    whether it shifts a word; and float64 [lanes], the sizes at the end.
  """
  turns, _, lanes = tf.unstack(tf.shape(index))

  def turn(
    t: tf.Tensor,
    size: tf.Tensor,
    added: tf.TensorArray,
    shifted: tf.TensorArray,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
    bounds = tf.gather(ends, index[t], axis=1)
    additions, shifts = [], []
    for bound in tf.unstack(bounds, stock_streams.UNROLL, axis=1):  # [2, lanes]
      a, b = tf.split(tf.floor(size * bound), 2)
      size = b - a
      shift = size <= stock_streams.WORD
      size = tf.where(shift, size * stock_streams.WORD, size)
      additions.append(a)
      shifts.append(shift)
    added = added.write(t, tf.concat(additions, 0))
    shifted = shifted.write(t, tf.concat(shifts, 0))
    return t + 1, size, added, shifted

  _, size, added, shifted = tf.while_loop(
    lambda t, *_: t < turns,
    turn,
    (
      tf.constant(0),
      tf.fill(
        tf.stack([1, lanes]), tf.constant(float(stock_streams.FULL), tf.float64)
      ),
      tf.TensorArray(
        tf.float64, turns, element_shape=(stock_streams.UNROLL, None)
      ),
      tf.TensorArray(
        tf.bool, turns, element_shape=(stock_streams.UNROLL, None)
      ),
    ),
    parallel_iterations=1,
  )
  shape = tf.stack([turns * stock_streams.UNROLL, lanes])
  return (
    tf.reshape(added.stack(), shape),
    tf.cast(tf.reshape(shifted.stack(), shape), tf.int32),
    size[0],
  )


def _finish(
  sums: tf.Tensor, size: tf.Tensor, shifts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Ends the streams, propagates carries and writes the bytes.

  Args:
    sums: int64 [lanes, width], what was added to base; the sum at word w counts
      2**-16 of the one before it, and each is below 2**32.
    size: int64 [lanes], size of the interval at the end.
    shifts: int32 [lanes], words shifted.

  Returns:
    As `encode`.
  """
  width = tf.shape(sums)[1]
  previous = tf.gather(sums, tf.maximum(shifts - 1, 0), batch_dims=1)
  previous = tf.where(shifts > 0, previous, tf.zeros_like(previous))
  low = tf.gather(sums, shifts, batch_dims=1) + previous * (
    1 << stock_streams.WORD_BITS
  )
  ending = stock_streams.ending(low % stock_streams.FULL, size)
  sums += tf.where(
    tf.range(width) == shifts[:, None],
    ending.advance[:, None],
    tf.zeros_like(sums),
  )
  # Each sum is 32 bits wide, two words; the lower one belongs to the next word.
  upper, lower = (
    sums // (1 << stock_streams.WORD_BITS),
    sums % (1 << stock_streams.WORD_BITS),
  )
  words = _carry(upper + tf.pad(lower[:, :-1], [[0, 0], [1, 0]]))
  pairs = tf.stack([words // 256, words % 256], axis=-1)
  content = tf.cast(tf.reshape(pairs, tf.stack([-1, 2 * width])), tf.uint8)
  place = tf.range(1, 2 * width + 1)
  nonzero = tf.reduce_max(tf.where(content > 0, place, 0), axis=1)
  lengths = 2 * shifts + tf.cast(ending.num_bytes, tf.int32)
  lengths = tf.where(ending.cleared, nonzero, lengths)
  payload = tf.boolean_mask(content, tf.sequence_mask(lengths, 2 * width))
  return payload, lengths


def _carry(words: tf.Tensor) -> tf.Tensor:
  """Propagates carries from each word to the one before it.

  A word receives a carry if the first word after it that is not 2**16 - 1
  is 2**16 or more. No stream overflows, so nothing crosses from lane to lane.

  Args:
    words: int64 [lanes, width], below 2**17 - 1.

  Returns:
    int64 [lanes, width], below 2**16.
  """
  flat = tf.reshape(words, [-1])
  stops = flat != stock_streams.WORD_MASK
  carries = tf.boolean_mask(flat > stock_streams.WORD_MASK, stops)
  carries = tf.cast(tf.pad(carries, [[0, 1]]), tf.int64)
  following = tf.cumsum(tf.cast(stops, tf.int32))
  flat = (flat + tf.gather(carries, following)) % (1 << stock_streams.WORD_BITS)
  return tf.reshape(flat, tf.shape(words))
