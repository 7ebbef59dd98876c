"""The range encoder; `export.range_coder` says how it works."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from export.range_coder import stock_streams


class _Narrowed(NamedTuple):
  """What the encoder's loop has done.

  Attributes:
    added: float64 [steps], what each step adds to base.
    words: int32 [steps], the word at which it counts.
    lanes: int32 [steps], the number of its lane.
    size: float64 [lanes], size of the interval at the end.
    shifts: int32 [lanes], words shifted.
  """

  added: tf.Tensor
  words: tf.Tensor
  lanes: tf.Tensor
  size: tf.Tensor
  shifts: tf.Tensor


def encode(
  activities: tf.Tensor,
  indices: tf.Tensor,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
  num_activities: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Codes the positions of images.

  Args:
    activities: int32 [positions of all images]; not used where K is 1.
    indices: int32 [sum of positions x L], table indices of live channels.
    images: The images.
    tables: The tables of their qualities.
    num_activities: K.

  Returns:
    uint8 [total], all streams one after the other, and int32 [lanes], the
    lengths of the streams.
  """
  lanes = stock_streams.lay_out(images, tables)
  entries = _channel_entries(
    activities, indices, images, tables, num_activities
  )
  cdf = tables.cdf
  activity_steps = tf.zeros_like(lanes.positions)
  if num_activities > 1:
    of_activities = tf.size(cdf) + _activity_entries(
      activities, lanes, images, num_activities
    )
    entries = tf.concat([of_activities, entries], 0)
    cdf = tf.concat([cdf, tf.reshape(tables.activity_cdf, [-1])], 0)
    activity_steps = lanes.positions
  numbers = _StepNumbers(
    activity_steps=activity_steps,
    activities=tf.cumsum(activity_steps, exclusive=True),
    channels=tf.reduce_sum(activity_steps)
    + tf.cumsum(lanes.steps, exclusive=True),
  )
  schedule = stock_streams.schedule(
    activity_steps + lanes.steps, stock_streams.UNROLL
  )
  bounds = _bounds(cdf, entries)
  narrowed = schedule.run(lambda part: _narrow(bounds, numbers, part))
  return _finish(_join([_Narrowed(*n) for n in narrowed], schedule))


def _join(
  parts: list[_Narrowed], schedule: stock_streams.Schedule
) -> _Narrowed:
  """What the loops over both parts have done, lanes in their own order."""
  added, words, lanes, size, shifts = (
    tf.concat(field, 0) for field in zip(*parts)
  )
  return _Narrowed(
    added,
    words,
    lanes,
    tf.gather(size, schedule.places),
    tf.gather(shifts, schedule.places),
  )


def _channel_entries(
  activities: tf.Tensor,
  indices: tf.Tensor,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
  num_activities: int,
) -> tf.Tensor:
  """The entry of `tables.cdf` of each table index: int32, as `indices`."""
  first_positions = tf.cumsum(images.positions, exclusive=True)

  def starts_of_image(i: tf.Tensor) -> tf.Tensor:
    channels = stock_streams.channels(
      tables, images.qualities[i], num_activities
    )
    first = first_positions[i]
    if num_activities > 1:
      chosen = activities[first : first + images.positions[i]]
    else:
      chosen = tf.zeros(images.positions[i][None], tf.int32)
    starts = chosen[:, None] * channels.entries + channels.starts
    return tf.reshape(starts, [-1])

  starts = stock_streams.of_images(images, starts_of_image, tf.int32)
  return indices + starts


def _activity_entries(
  activities: tf.Tensor,
  lanes: stock_streams.Lanes,
  images: stock_streams.Images,
  num_activities: int,
) -> tf.Tensor:
  """The entry of the flat `tables.activity_cdf` of each activity, int32."""
  begins = tf.cumsum(lanes.positions, exclusive=True)
  before = tf.tensor_scatter_nd_update(
    tf.pad(activities, [[1, 0]])[:-1],
    begins[:, None],
    tf.fill(tf.shape(begins), num_activities),
  )
  quality = tf.gather(images.qualities, stock_streams.owners(images.positions))
  row = quality * (num_activities + 1) + before
  return row * num_activities + activities


def _bounds(cdf: tf.Tensor, entries: tf.Tensor) -> tf.Tensor:
  """Both ends of what is coded as fractions, and those of a certain one.

  Args:
    cdf: int32 [n], tables one after the other.
    entries: int32 [m].

  Returns:
    float64 [2, m + 1].
  """
  # A table ends where the next one begins, with 0.
  upper = tf.gather(tf.pad(cdf[1:], [[0, 1]]), entries)
  upper = tf.where(upper == 0, 1 << stock_streams.WORD_BITS, upper)
  ends = tf.stack([tf.gather(cdf, entries), upper])
  certain = tf.constant([[0.0], [1.0]], tf.float64)
  return tf.concat([tf.cast(ends, tf.float64) / stock_streams.WORD, certain], 1)


class _StepNumbers(NamedTuple):
  """Where the steps of each lane are in `_bounds`: int32 [lanes].

  Attributes:
    activity_steps: How many activities come first.
    activities: The number of the first one.
    channels: The number of the first table index of a channel.
  """

  activity_steps: tf.Tensor
  activities: tf.Tensor
  channels: tf.Tensor

  def of_lanes(self, lanes: tf.Tensor) -> _StepNumbers:
    """Those of some lanes."""
    return _StepNumbers(*(tf.gather(x, lanes) for x in self))

  def of_steps(self, step: tf.Tensor, active: tf.Tensor) -> tf.Tensor:
    """int32 [unroll, active], the numbers of steps, int32 [unroll, 1]."""
    first = self.activity_steps[:active]
    return step + tf.where(
      step < first, self.activities[:active], self.channels[:active] - first
    )


def _narrow(
  bounds: tf.Tensor, numbers: _StepNumbers, part: stock_streams.Part
) -> _Narrowed:
  """The encoder's loop: narrows the intervals of some lanes.

  Args:
    bounds: float64 [2, m + 1], from `_bounds`.
    numbers: Of the steps of all lanes.
    part: The lanes.
  """
  unroll = stock_streams.UNROLL
  turns, count = tf.size(part.active), tf.size(part.lanes)
  numbers = numbers.of_lanes(part.lanes)
  certain = tf.shape(bounds)[1] - 1

  def turn(
    t: tf.Tensor, size: tf.Tensor, words: tf.Tensor, *records: tf.TensorArray
  ) -> tuple[tf.Tensor, ...]:
    active = part.active[t]
    step = t * unroll + tf.range(unroll)[:, None]
    number = tf.where(
      step < part.steps[:active], numbers.of_steps(step, active), certain
    )
    of_turn = tf.gather(bounds, number, axis=1)
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
  _, size, words, *recorded = tf.while_loop(
    lambda t, *_: t < turns,
    turn,
    (
      tf.constant(0),
      tf.fill(
        tf.stack([1, count]), tf.constant(float(stock_streams.FULL), tf.float64)
      ),
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
  return _Narrowed(added, at_words, lanes, size[0], words[0])


def _finish(narrowed: _Narrowed) -> tuple[tf.Tensor, tf.Tensor]:
  """Ends the streams, propagates carries and writes the bytes.

  A lane that shifted w words has w + 2 of them; each sum of what was added at a
  word is below 2**32, two words wide.

  Returns:
    As `encode`.
  """
  shifts, size = narrowed.shifts, tf.cast(narrowed.size, tf.int64)
  counts = shifts + 2
  first = tf.cumsum(counts, exclusive=True)
  sums = tf.math.unsorted_segment_sum(
    narrowed.added,
    narrowed.words + tf.gather(first, narrowed.lanes),
    tf.reduce_sum(counts),
  )
  sums = tf.cast(sums, tf.int64)
  window = first + shifts
  previous = tf.gather(sums, tf.maximum(window - 1, 0))
  previous = tf.where(shifts > 0, previous, tf.zeros_like(previous))
  low = tf.gather(sums, window) + previous * (1 << stock_streams.WORD_BITS)
  ending = stock_streams.ending(low % stock_streams.FULL, size)
  sums = tf.tensor_scatter_nd_add(sums, window[:, None], ending.advance)
  # The lower half of a sum belongs to the next word. The last word of a lane
  # has none, so that nothing moves on to the next lane.
  upper = sums // (1 << stock_streams.WORD_BITS)
  lower = sums % (1 << stock_streams.WORD_BITS)
  words = _carry(upper + tf.pad(lower, [[1, 0]])[:-1])
  pairs = tf.stack([words // 256, words % 256], axis=-1)
  content = tf.cast(tf.reshape(pairs, [-1]), tf.uint8)
  lane = stock_streams.owners(2 * counts)
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

  A word receives a carry if the first word after it that is not 2**16 - 1
  is 2**16 or more. No stream overflows, so nothing crosses from lane to lane.

  Args:
    words: int64 [n], below 2**17 - 1.

  Returns:
    int64 [n], below 2**16.
  """
  stops = words != stock_streams.WORD_MASK
  carries = tf.boolean_mask(words > stock_streams.WORD_MASK, stops)
  carries = tf.cast(tf.pad(carries, [[0, 1]]), tf.int64)
  following = tf.cumsum(tf.cast(stops, tf.int32))
  return (words + tf.gather(carries, following)) % (
    1 << stock_streams.WORD_BITS
  )
