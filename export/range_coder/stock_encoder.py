"""The range encoder; `export.range_coder` says how it works."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from export.range_coder import stock_streams


class _Steps(NamedTuple):
  """Where the steps of each lane are in `_bounds`: int32 [lanes]."""

  positions: tf.Tensor  # How many activities come first.
  activities: tf.Tensor  # The number of the first one.
  channels: tf.Tensor  # The number of the first table index of a channel.

  def numbers(self, step: tf.Tensor, active: tf.Tensor) -> tf.Tensor:
    """int32 [unroll, active], of the steps, int32 [unroll, 1], of each lane."""
    first = self.positions[:active]
    return step + tf.where(
      step < first, self.activities[:active], self.channels[:active] - first
    )


def encode(
  activities: tf.Tensor,
  indices: tf.Tensor,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Codes the positions of images.

  Args:
    activities: int32 [positions of all images].
    indices: int32 [sum of positions x L], table indices of live channels.
    images: The images.
    tables: The tables of their qualities.

  Returns:
    uint8 [total], all streams one after the other, and int32 [lanes], the
    lengths of the streams.
  """
  lanes = stock_streams.lay_out(images, tables)
  activity_cdf = tf.reshape(tables.activity_cdf, [-1])
  starts = stock_streams.table_starts(tables)
  rows = stock_streams.table_rows(activities, images, tables)
  entries = tf.concat(
    [
      tf.size(tables.cdf)
      + _activity_entries(activities, lanes, images, tables),
      indices + tf.gather(starts, rows).flat_values,
    ],
    0,
  )
  bounds = _bounds(tf.concat([tables.cdf, activity_cdf], 0), entries)
  steps = _Steps(
    positions=lanes.positions,
    activities=tf.cumsum(lanes.positions, exclusive=True),
    channels=tf.size(activities) + tf.cumsum(lanes.steps, exclusive=True),
  )
  schedule = stock_streams.schedule(
    lanes.positions + lanes.steps, stock_streams.UNROLL
  )
  parts = schedule.run(lambda part: _narrow(bounds, steps, part))
  # The lanes of both parts, in their own order.
  fields = [tf.concat(field, 0) for field in zip(*parts)]
  added, at_words, of_lanes, size, shifts = fields
  size, shifts = (tf.gather(x, schedule.places) for x in (size, shifts))
  return _finish(added, at_words, of_lanes, size, shifts)


def _activity_entries(
  activities: tf.Tensor,
  lanes: stock_streams.Lanes,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
) -> tf.Tensor:
  """The entry of the flat `tables.activity_cdf` of each activity, int32."""
  _, contexts, sets = tf.unstack(tf.shape(tables.activity_cdf))
  begins = tf.cumsum(lanes.positions, exclusive=True)
  before = tf.tensor_scatter_nd_update(
    tf.pad(activities, [[1, 0]])[:-1],
    begins[:, None],
    tf.fill(tf.shape(begins), sets),
  )
  quality = stock_streams.repeated(images.qualities, images.positions)
  return (quality * contexts + before) * sets + activities


def _bounds(cdf: tf.Tensor, entries: tf.Tensor) -> tf.Tensor:
  """Both ends of m coded table indices as fractions: float64 [2, m + 1].

  The last ones are those of a certain table index.
  """
  # A table ends where the next one begins, with 0.
  upper = tf.gather(tf.pad(cdf[1:], [[0, 1]]), entries)
  upper = tf.where(upper == 0, 1 << stock_streams.WORD_BITS, upper)
  ends = tf.stack([tf.gather(cdf, entries), upper])
  certain = tf.constant([[0.0], [1.0]], tf.float64)
  return tf.concat([tf.cast(ends, tf.float64) / stock_streams.WORD, certain], 1)


def _narrow(
  bounds: tf.Tensor, steps: _Steps, part: stock_streams.Part
) -> tuple[tf.Tensor, ...]:
  """The encoder's loop over some lanes; gives the arguments of `_finish`."""
  unroll = stock_streams.UNROLL
  turns, count = tf.size(part.active), tf.size(part.lanes)
  steps = _Steps(*(tf.gather(x, part.lanes) for x in steps))
  certain = tf.shape(bounds)[1] - 1

  def turn(
    t: tf.Tensor, size: tf.Tensor, words: tf.Tensor, *records: tf.TensorArray
  ) -> tuple[tf.Tensor, ...]:
    active = part.active[t]
    step = t * unroll + tf.range(unroll)[:, None]
    numbers = tf.where(
      step < part.steps[:active], steps.numbers(step, active), certain
    )
    of_turn = tf.gather(bounds, numbers, axis=1)
    at_work, word = size[:, :active], words[:, :active]
    added, shifted = [], []
    for bound in tf.unstack(of_turn, unroll, axis=1):  # [2, active]
      a, b = tf.split(tf.floor(at_work * bound), 2)
      at_work = b - a
      # Products with 1 or 2**16 take less time than choosing with `tf.where`.
      shift = tf.cast(at_work <= stock_streams.WORD, tf.float64)
      at_work *= tf.maximum(shift * stock_streams.WORD, 1.0)
      added.append(a)
      shifted.append(shift)
    after = word + tf.cumsum(tf.cast(tf.concat(shifted, 0), tf.int32))
    before = tf.concat([word, after[:-1]], 0)
    lanes = tf.tile(part.lanes[:active], [unroll])
    written = (tf.concat(added, 0), before, lanes)
    return (
      t + 1,
      tf.concat([at_work, size[:, active:]], 1),
      tf.concat([after[-1:], words[:, active:]], 1),
      *(r.write(t, tf.reshape(x, [-1])) for r, x in zip(records, written)),
    )

  records = (
    tf.TensorArray(dtype, turns, infer_shape=False, element_shape=(None,))
    for dtype in (tf.float64, tf.int32, tf.int32)
  )
  full = tf.constant(float(stock_streams.FULL), tf.float64)
  _, size, words, *recorded = tf.while_loop(
    lambda t, *_: t < turns,
    turn,
    (
      tf.constant(0),
      tf.fill(tf.stack([1, count]), full),
      tf.zeros(tf.stack([1, count]), tf.int32),
      *records,
    ),
    shape_invariants=(
      tf.TensorShape(()),
      tf.TensorShape((1, None)),
      tf.TensorShape((1, None)),
      *([tf.TensorShape(None)] * 3),
    ),
    parallel_iterations=1,
  )
  added, at_words, lanes = (r.concat() for r in recorded)
  return added, at_words, lanes, size[0], words[0]


def _finish(
  added: tf.Tensor,  # float64 [steps], added to base by each step.
  at_words: tf.Tensor,  # int32 [steps], the word at which that counts.
  lanes: tf.Tensor,  # int32 [steps], the number of the step's lane.
  size: tf.Tensor,  # float64 [lanes], size of the interval at the end.
  shifts: tf.Tensor,  # int32 [lanes], words shifted.
) -> tuple[tf.Tensor, tf.Tensor]:
  """Ends the streams, propagates carries and writes the bytes.

  A lane that shifted w words has w + 2 of them; each sum of what was added at a
  word is below 2**32, two words wide.
  """
  counts = shifts + 2
  first = tf.cumsum(counts, exclusive=True)
  sums = tf.math.unsorted_segment_sum(
    added, at_words + tf.gather(first, lanes), tf.reduce_sum(counts)
  )
  sums = tf.cast(sums, tf.int64)
  window = first + shifts
  previous = tf.gather(sums, tf.maximum(window - 1, 0))
  previous = tf.where(shifts > 0, previous, tf.zeros_like(previous))
  low = tf.gather(sums, window) + previous * (1 << stock_streams.WORD_BITS)
  size = tf.cast(size, tf.int64)
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
