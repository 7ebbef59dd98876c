"""The range decoder; `export.range_coder` says how it works."""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

from export.range_coder import stock_streams


class Decoded(NamedTuple):
  """What the streams of images hold.

  Attributes:
    activities: int32 [positions of all images]; zeros where K is 1.
    indices: int32 [sum of positions x L], table indices of live channels.
    sound: bool [N], whether an image's streams are what `stock_encoder.encode`
      writes for it.
  """

  activities: tf.Tensor
  indices: tf.Tensor
  sound: tf.Tensor


class _State(NamedTuple):
  """The state of the decoder, [1, lanes] each.

  Attributes:
    e: float64, value - base + 1.
    size: float64, size of the interval in units of 2**16.
    pointer: int32, index of the next word to read.
    shifts: int32, words shifted so far.
  """

  e: tf.Tensor
  size: tf.Tensor
  pointer: tf.Tensor
  shifts: tf.Tensor


class _Reader(NamedTuple):
  """The words of the streams.

  Attributes:
    words: float64 [total]; each lane's, and enough zeros for a turn after them.
    first: int32 [lanes], index of each lane's first word.
    end: int32 [lanes], index of the first word after those of each lane.
  """

  words: tf.Tensor
  first: tf.Tensor
  end: tf.Tensor


def decode(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
  num_activities: int,
) -> Decoded:
  """The inverse of `stock_encoder.encode`.

  Args:
    payload: uint8 [total], any bytes.
    lengths: int32 [lanes], of all images, not negative, of sum `total`.
    images: The images.
    tables: The tables of their qualities.
    num_activities: K.
  """
  lanes = stock_streams.lay_out(images, tables)
  reader = _read(payload, lengths)
  state = _start(reader)
  activities = tf.zeros(tf.reduce_sum(images.positions)[None], tf.int32)
  if num_activities > 1:
    state, activities = _decode_activities(reader, state, lanes, images, tables)
  state, indices = _decode_channels(
    reader, state, lanes, images, tables, activities, num_activities
  )
  wrong = ~_is_canonical(payload, lengths, reader, state)
  faults = tf.math.unsorted_segment_sum(
    tf.cast(wrong, tf.int32), lanes.images, tf.size(images.positions)
  )
  return Decoded(activities, indices, faults == 0)


def _read(payload: tf.Tensor, lengths: tf.Tensor) -> _Reader:
  """The bytes of the lanes as words."""
  held = (lengths + 1) // 2
  stored = held + stock_streams.UNROLL + 2
  first = tf.cumsum(stored, exclusive=True)
  begins = tf.cumsum(lengths, exclusive=True)
  # Every byte of a lane moves by as much as the lane's first one.
  moves = 2 * first - begins
  changes = moves - tf.pad(moves, [[1, 0]])[:-1]
  count = tf.size(payload)
  moved = tf.scatter_nd(begins[:, None], changes, count[None] + 1)
  places = tf.range(count) + tf.cumsum(moved)[:-1]
  content = tf.scatter_nd(
    places[:, None], tf.cast(payload, tf.int32), 2 * tf.reduce_sum(stored)[None]
  )
  pairs = tf.cast(tf.reshape(content, [-1, 2]), tf.float64)
  return _Reader(pairs[:, 0] * 256.0 + pairs[:, 1], first, first + held)


def _start(reader: _Reader) -> _State:
  """The state before the first step."""
  words, first = reader.words, reader.first
  value = tf.gather(words, first) * stock_streams.WORD + tf.gather(
    words, first + 1
  )
  size = tf.constant(stock_streams.FULL / stock_streams.WORD, tf.float64)
  return _State(
    (value + 1.0)[None],
    tf.fill(tf.stack([1, tf.size(first)]), size),
    tf.minimum(first + 2, reader.end)[None],
    tf.zeros_like(first)[None],
  )


def _keys(cdf: tf.Tensor, numbers: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  """Tables as one rising row: those of table n are raised by n * 2**16.

  Args:
    cdf: int32 [n], tables one after the other.
    numbers: int32 [n], the number of each entry's table.
    count: int32 scalar, how many tables there are.

  Returns:
    float64 [1, n + 2]. Behind the tables comes one of a single table index.
  """
  keys = tf.cast(cdf, tf.float64) + _raised(numbers)
  return tf.concat([keys, _raised(tf.stack([count, count + 1]))], 0)[None]


def _table_numbers(
  tables: stock_streams.Tables, num_activities: int
) -> tf.Tensor:
  """The number of the table of each entry of `tables.cdf`, int32."""
  activities = tf.range(num_activities)[:, None]
  begins = num_activities * tf.cumsum(tables.totals, exclusive=True)

  def of_quality(i: tf.Tensor) -> tuple[tf.Tensor]:
    # The tables of all activities of a channel have the same length.
    first = tables.cdf[begins[i] : begins[i] + tables.totals[i]]
    channels = tf.cumsum(tf.cast(first == 0, tf.int32)) - 1
    rows = i * num_activities + activities
    return (tf.reshape(rows * tables.channels + channels, [-1]),)

  (numbers,) = stock_streams.for_images(
    tf.size(tables.totals), of_quality, (tf.int32,)
  )
  return numbers


def _raised(numbers: tf.Tensor) -> tf.Tensor:
  return tf.cast(numbers, tf.float64) * stock_streams.WORD


def _step(
  state: _State, raised: tf.Tensor, keys: tf.Tensor, words: tf.Tensor
) -> tuple[_State, tf.Tensor]:
  """Decodes one table index of every lane.

  Args:
    state: Before the step.
    raised: float64 [1, lanes], by how much the table of each lane is raised.
    keys: From `_keys`.
    words: float64 [total], 2**16 - 1 less than the words of the streams.

  Returns:
    The state, of unchanged `shifts`, and int32 [1, lanes], the place in `keys`
    behind that of the table index.
  """
  e, size, pointer, shifts = state
  upper = tf.raw_ops.LowerBound(
    sorted_inputs=keys, values=tf.math.ceil(e / size) + raised
  )
  bounds = tf.gather(keys[0], upper + tf.constant([[-1], [0]])) - raised
  a, b = tf.split(tf.floor(size * bounds), 2)
  e, width = e - a, b - a
  shift = width <= stock_streams.WORD
  # Products with 1 or 2**-16 take less time than choosing with `tf.where`.
  shifted = tf.cast(shift, tf.float64)
  scale = tf.maximum(shifted, 1 / stock_streams.WORD)
  # e becomes e * 2**16 + word - (2**16 - 1), since e - 1 is what is shifted.
  e = e * (scale * stock_streams.WORD) + shifted * tf.gather(words, pointer)
  pointer += tf.cast(shift, tf.int32)
  return _State(e, width * scale, pointer, shifts), upper


def _turn_ended(
  state: _State, first_pointer: tf.Tensor, end: tf.Tensor
) -> _State:
  """Counts the words of a turn, and stays within those that are stored."""
  return state._replace(
    pointer=tf.minimum(state.pointer, end),
    shifts=state.shifts + state.pointer - first_pointer,
  )


def _parted(state: _State, count: tf.Tensor) -> tuple[_State, _State]:
  """The first lanes, and the others."""
  return (
    _State(*(x[:, :count] for x in state)),
    _State(*(x[:, count:] for x in state)),
  )


def _joined(first: _State, others: _State) -> _State:
  return _State(*(tf.concat(pair, 1) for pair in zip(first, others)))


_ANY_LANES = tf.TensorShape((1, None))
_STATE_SHAPES = _State(_ANY_LANES, _ANY_LANES, _ANY_LANES, _ANY_LANES)


def _of_lanes(state: _State, lanes: tf.Tensor) -> _State:
  return _State(*(tf.gather(x, lanes, axis=1) for x in state))


def _decode_activities(
  reader: _Reader,
  state: _State,
  lanes: stock_streams.Lanes,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
) -> tuple[_State, tf.Tensor]:
  """The activities of all positions, and the state after them.

  An activity chooses the table of the next one, so that a turn is one step.
  """
  qualities, contexts, count = tf.unstack(tf.shape(tables.activity_cdf))
  rows = tf.range(qualities * contexts)
  keys = _keys(
    tf.reshape(tables.activity_cdf, [-1]), tf.repeat(rows, count), tf.size(rows)
  )
  # For each entry of the tables, by how much the next position's is raised.
  following = tf.range(qualities)[:, None, None] * contexts + tf.range(count)
  following = tf.broadcast_to(following, tf.shape(tables.activity_cdf))
  following = _raised(tf.reshape(following, [-1]))
  quality = tf.gather(images.qualities, lanes.images)
  first_raised = _raised(quality * contexts + count)
  words = reader.words - float(stock_streams.WORD_MASK)

  def loop(part: stock_streams.Part) -> tuple[tf.Tensor, ...]:
    end = tf.gather(reader.end, part.lanes)[None]
    steps = tf.size(part.active)

    def turn(
      t: tf.Tensor, raised: tf.Tensor, state: _State, uppers: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, _State, tf.TensorArray]:
      active = part.active[t]
      at_work, others = _parted(state, active)
      first_pointer = at_work.pointer
      at_work, upper = _step(at_work, raised[:, :active], keys, words)
      at_work = _turn_ended(at_work, first_pointer, end[:, :active])
      raised = tf.gather(following, upper - 1)
      uppers = uppers.write(t, upper[0])
      return t + 1, raised, _joined(at_work, others), uppers

    _, _, ended, uppers = tf.while_loop(
      lambda t, *_: t < steps,
      turn,
      (
        tf.constant(0),
        tf.gather(first_raised, part.lanes)[None],
        _of_lanes(state, part.lanes),
        _record(steps),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        _ANY_LANES,
        _STATE_SHAPES,
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return (*ended, uppers.concat())

  schedule = stock_streams.schedule(lanes.positions, 1)
  ended, uppers = _run(schedule, loop)
  places = _places(schedule, 1, lanes.positions, images, tables)
  return ended, (tf.gather(uppers, places) - 1) % count


def _record(turns: tf.Tensor) -> tf.TensorArray:
  """Holds numbers of each turn, as many as there were lanes at work."""
  return tf.TensorArray(
    tf.int32, turns, infer_shape=False, element_shape=(None,)
  )


def _run(
  schedule: stock_streams.Schedule,
  loop: Callable[[stock_streams.Part], tuple[tf.Tensor, ...]],
) -> tuple[_State, tf.Tensor]:
  """Runs the loop over all lanes.

  Args:
    schedule: Of the lanes.
    loop: From a part to the state of its lanes, and what it recorded.

  Returns:
    The state of all lanes in their own order, and all that was recorded.
  """
  (*first, some), (*second, others) = schedule.run(loop)
  state = _joined(_State(*first), _State(*second))
  return _of_lanes(state, schedule.places), tf.concat([some, others], 0)


def _decode_channels(
  reader: _Reader,
  state: _State,
  lanes: stock_streams.Lanes,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
  activities: tf.Tensor,
  num_activities: int,
) -> tuple[_State, tf.Tensor]:
  """The table indices of all live channels, and the state after them."""
  unroll = stock_streams.UNROLL
  first_positions = tf.cumsum(images.positions, exclusive=True)

  def of_image(i: tf.Tensor) -> tuple[tf.Tensor, stock_streams.Channels]:
    first = first_positions[i]
    chosen = activities[first : first + images.positions[i]]
    channels = stock_streams.channels(
      tables, images.qualities[i], num_activities
    )
    return chosen[:, None], channels

  def raised_of_image(i: tf.Tensor) -> tf.Tensor:
    chosen, channels = of_image(i)
    numbers = _raised(chosen * channels.tables) + _raised(channels.numbers)
    return tf.reshape(numbers, [-1])

  def starts_of_image(i: tf.Tensor) -> tf.Tensor:
    chosen, channels = of_image(i)
    return tf.reshape(chosen * channels.entries + channels.starts, [-1])

  numbers = _table_numbers(tables, num_activities)
  count = tf.size(tables.totals) * num_activities * tables.channels
  keys = _keys(tables.cdf, numbers, count)
  raised = stock_streams.of_images(images, raised_of_image, tf.float64)
  # What fills up the last turn of a lane is certain.
  certain = tf.size(raised)
  raised = tf.concat([raised, _raised(count)[None]], 0)
  words = reader.words - float(stock_streams.WORD_MASK)

  def loop(part: stock_streams.Part) -> tuple[tf.Tensor, ...]:
    end = tf.gather(reader.end, part.lanes)[None]
    turns = tf.size(part.active)

    def turn(
      t: tf.Tensor, state: _State, uppers: tf.TensorArray
    ) -> tuple[tf.Tensor, _State, tf.TensorArray]:
      active = part.active[t]
      at_work, others = _parted(state, active)
      first_pointer = at_work.pointer
      step = t * unroll + tf.range(unroll)[:, None]
      numbers = tf.where(
        step < part.steps[:active], part.first[:active] + step, certain
      )
      of_turn = []
      for raised_of_step in tf.split(tf.gather(raised, numbers), unroll):
        at_work, upper = _step(at_work, raised_of_step, keys, words)
        of_turn.append(upper)
      at_work = _turn_ended(at_work, first_pointer, end[:, :active])
      uppers = uppers.write(t, tf.reshape(tf.concat(of_turn, 0), [-1]))
      return t + 1, _joined(at_work, others), uppers

    _, ended, uppers = tf.while_loop(
      lambda t, *_: t < turns,
      turn,
      (tf.constant(0), _of_lanes(state, part.lanes), _record(turns)),
      shape_invariants=(
        tf.TensorShape(()),
        _STATE_SHAPES,
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return (*ended, uppers.concat())

  schedule = stock_streams.schedule(lanes.steps, unroll)
  ended, uppers = _run(schedule, loop)
  places = _places(schedule, unroll, lanes.steps, images, tables)
  starts = stock_streams.of_images(images, starts_of_image, tf.int32)
  return ended, tf.gather(uppers, places) - 1 - starts


def _places(
  schedule: stock_streams.Schedule,
  unroll: int,
  steps: tf.Tensor,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
) -> tf.Tensor:
  """Where the loop has recorded each step, in the order of images and lanes.

  Args:
    schedule: Of the loop.
    unroll: Steps of a turn.
    steps: int32 [lanes], those of each lane.
    images: The images.
    tables: The tables of their qualities.

  Returns:
    int32 [steps of all lanes].
  """
  first, second = schedule.parts
  first_rows, second_rows = _rows(first, unroll), _rows(second, unroll)
  # No lane of the second part has more steps than the longest of the first.
  second_rows += unroll * tf.reduce_sum(first.active)
  missing = tf.size(first_rows) - tf.size(second_rows)
  rows = tf.stack([first_rows, tf.pad(second_rows, [[0, missing]])])
  in_second = tf.cast(schedule.places >= tf.size(first.lanes), tf.int32)
  ranks = schedule.places - in_second * tf.size(first.lanes)
  counts = stock_streams.num_lanes(images, tables)
  first_lanes = tf.cumsum(counts, exclusive=True)

  def of_lanes(lanes: slice, steps: tf.Tensor) -> tf.Tensor:
    places = tf.gather(rows[:, :steps], in_second[lanes])
    return tf.reshape(places + ranks[lanes][:, None], [-1])

  def of_image(i: tf.Tensor) -> tf.Tensor:
    start, end = first_lanes[i], first_lanes[i] + counts[i]
    # All lanes but the last one have the same number of steps.
    return tf.concat(
      [
        of_lanes(slice(start, end - 1), steps[start]),
        of_lanes(slice(end - 1, end), steps[end - 1]),
      ],
      0,
    )

  return stock_streams.of_images(
    images,
    lambda i: tf.cond(
      counts[i] > 0, lambda: of_image(i), lambda: tf.zeros((0,), tf.int32)
    ),
    tf.int32,
  )


def _rows(part: stock_streams.Part, unroll: int) -> tf.Tensor:
  """Where what a part records of each step begins: int32 [turns * unroll]."""
  begins = unroll * tf.cumsum(part.active, exclusive=True)[:, None]
  return tf.reshape(begins + part.active[:, None] * tf.range(unroll), [-1])


def _is_canonical(
  payload: tf.Tensor, lengths: tf.Tensor, reader: _Reader, state: _State
) -> tf.Tensor:
  """Whether each stream is the one that an encoder ends in this way."""
  shifts = state.shifts[0]
  advance = tf.cast(state.e[0], tf.int64) - 1
  # The words under the window; all past the end are zero, as the first there.
  window = [
    tf.cast(
      tf.gather(
        reader.words, tf.minimum(reader.first + shifts + i, reader.end)
      ),
      tf.int64,
    )
    for i in (0, 1)
  ]
  low = (
    window[0] * (1 << stock_streams.WORD_BITS) + window[1] - advance
  ) % stock_streams.FULL
  size = tf.cast(state.size[0] * stock_streams.WORD, tf.int64)
  ending = stock_streams.ending(low, size)
  last = tf.gather(
    tf.pad(payload, [[1, 0]]), tf.cumsum(lengths)
  )  # An empty lane finds another one's byte; it is never a cleared one.
  stripped = (lengths <= 2 * shifts) & (last > 0)
  exact = lengths == 2 * shifts + tf.cast(ending.num_bytes, tf.int32)
  return (advance == ending.advance) & tf.where(ending.cleared, stripped, exact)
