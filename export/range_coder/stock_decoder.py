"""The range decoder; `export.range_coder` says how it works."""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

from export.range_coder import stock_streams


class _State(NamedTuple):
  """The state of the decoder, [1, lanes] each."""

  e: tf.Tensor  # float64, value - base + 1.
  size: tf.Tensor  # float64, size of the interval in units of 2**16.
  pointer: tf.Tensor  # int32, index of the next word to read.
  shifts: tf.Tensor  # int32, words shifted so far.


class _Reader(NamedTuple):
  """The words of the streams."""

  words: tf.Tensor  # float64, of each lane, and zeros for a turn after them.
  first: tf.Tensor  # int32 [lanes], index of each lane's first word.
  end: tf.Tensor  # int32 [lanes], index of the word after its last one.


def decode(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Decodes the lanes of images; the inverse of `stock_encoder.encode`.

  Args:
    payload: uint8 [total], any bytes.
    lengths: int32 [lanes], of all images, not negative, of sum `total`.
    images: The images.
    tables: The tables of their qualities.

  Returns:
    int32 [positions of all images], the activities; int32 [sum of positions x
    L], the table indices of live channels; and bool [N], whether an image's
    streams are those that `stock_encoder.encode` writes for it. Where they are
    not, its numbers mean nothing.
  """
  lanes = stock_streams.lay_out(images, tables)
  reader = _read(payload, lengths)
  state, activities = _decode_activities(reader, lanes, images, tables)
  state, indices = _decode_channels(
    reader, state, lanes, images, tables, activities
  )
  wrong = ~_is_canonical(payload, lengths, reader, state)
  faults = tf.math.unsorted_segment_sum(
    tf.cast(wrong, tf.int32), lanes.images, tf.size(images.positions)
  )
  return activities, indices, faults == 0


def _read(payload: tf.Tensor, lengths: tf.Tensor) -> _Reader:
  held = (lengths + 1) // 2
  stored = held + stock_streams.UNROLL + 2
  first = tf.cumsum(stored, exclusive=True)
  begins = tf.cumsum(lengths, exclusive=True)
  # Every byte of a lane moves by as much as the lane's first one.
  moves = stock_streams.repeated(2 * first - begins, lengths)
  places = tf.range(tf.size(payload)) + moves
  content = tf.scatter_nd(
    places[:, None], tf.cast(payload, tf.int32), 2 * tf.reduce_sum(stored)[None]
  )
  pairs = tf.cast(tf.reshape(content, [-1, 2]), tf.float64)
  return _Reader(pairs[:, 0] * 256.0 + pairs[:, 1], first, first + held)


def _start(reader: _Reader) -> _State:
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


def _raised(numbers: tf.Tensor) -> tf.Tensor:
  return tf.cast(numbers, tf.float64) * stock_streams.WORD


def _keys(cdf: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Tables as one rising row, float64 [1, n + 2]: table n raised by n * 2**16.

  A table of a single table index follows those of `cdf`, int32 [n]. Also by how
  much the entries of all are raised, float64 [n + 1].
  """
  begins = tf.cast(cdf == 0, tf.int32)
  count = tf.reduce_sum(begins)
  raised = _raised(tf.concat([tf.cumsum(begins) - 1, count[None]], 0))
  keys = tf.cast(tf.pad(cdf, [[0, 1]]), tf.float64) + raised
  return tf.concat([keys, _raised(count + 1)[None]], 0)[None], raised


def _step(
  state: _State, raised: tf.Tensor, keys: tf.Tensor, words: tf.Tensor
) -> tuple[_State, tf.Tensor]:
  """Decodes one table index of every lane, whose table is `raised` by so much.

  `words` are 2**16 - 1 less than those of the streams. Gives the state, of
  unchanged `shifts`, and the place in `keys` behind that of the table index.
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


def _parted(state: _State, count: tf.Tensor) -> tuple[_State, _State]:
  """The first lanes, and the others."""
  return (
    _State(*(x[:, :count] for x in state)),
    _State(*(x[:, count:] for x in state)),
  )


def _joined(first: _State, others: _State) -> _State:
  return _State(*(tf.concat(pair, 1) for pair in zip(first, others)))


def _of_lanes(state: _State, lanes: tf.Tensor) -> _State:
  return _State(*(tf.gather(x, lanes, axis=1) for x in state))


def _run(
  reader: _Reader,
  state: _State,
  steps: tf.Tensor,
  unroll: int,
  raised: tf.Tensor,
  decode: Callable[..., tuple[_State, tf.Tensor, tf.Tensor]],
) -> tuple[_State, tf.Tensor]:
  """The state of all lanes after so many steps, and the places of all steps.

  `decode` takes the number of a turn, the part, by how much the tables of its
  lanes are raised, and the state of those at work. It gives their state, the
  places that `_step` found, int32 [lanes, unroll], and `raised` of the next.
  """
  schedule = stock_streams.schedule(steps, unroll)
  any_lanes = tf.TensorShape((1, None))

  def loop(part: stock_streams.Part) -> tuple[tf.Tensor, ...]:
    end = tf.gather(reader.end, part.lanes)[None]
    turns = tf.size(part.active)

    def turn(
      t: tf.Tensor, raised: tf.Tensor, state: _State, found: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, _State, tf.TensorArray]:
      active = part.active[t]
      before, others = _parted(state, active)
      after, upper, raised = decode(t, part, raised, before)
      # Words past the end are zeros like the first of them.
      after = after._replace(
        pointer=tf.minimum(after.pointer, end[:, :active]),
        shifts=after.shifts + after.pointer - before.pointer,
      )
      return t + 1, raised, _joined(after, others), found.write(t, upper)

    _, _, ended, found = tf.while_loop(
      lambda t, *_: t < turns,
      turn,
      (
        tf.constant(0),
        tf.gather(raised, part.lanes)[None],
        _of_lanes(state, part.lanes),
        tf.TensorArray(
          tf.int32, turns, infer_shape=False, element_shape=(None, unroll)
        ),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        any_lanes,
        _State(*[any_lanes] * 4),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return (*ended, found.concat())

  (*first, some), (*second, others) = schedule.run(loop)
  ended = _joined(_State(*first), _State(*second))
  found = tf.concat([some, others], 0)
  return _of_lanes(ended, schedule.places), _in_order(found, schedule, steps)


def _in_order(
  found: tf.Tensor, schedule: stock_streams.Schedule, steps: tf.Tensor
) -> tf.Tensor:
  """The numbers that loops found, in the order of lanes and steps: int32 [n].

  `found` has a row for each lane at work in each turn, int32 [rows, unroll].
  """
  unroll = found.shape[1]
  first, second = schedule.parts
  rows_before = tf.cumsum(
    tf.concat([first.active, second.active], 0), exclusive=True
  )
  in_second = tf.cast(schedule.places >= tf.size(first.lanes), tf.int32)
  rank = schedule.places - in_second * tf.size(first.lanes)
  begin = in_second * tf.size(first.active)
  turns = (steps + unroll - 1) // unroll
  rows = tf.gather(
    rows_before, tf.ragged.range(begin, begin + turns).flat_values
  )
  rows += stock_streams.repeated(rank, turns)
  numbers = tf.reshape(tf.gather(found, rows), [-1])
  # Each lane's steps are followed by those that filled up its last turn.
  start = unroll * tf.cumsum(turns, exclusive=True)
  splits = tf.reshape(tf.stack([start, start + steps], 1), [-1])
  both = tf.RaggedTensor.from_row_splits(
    numbers, tf.concat([splits, tf.size(numbers)[None]], 0), validate=False
  )
  return tf.gather(both, 2 * tf.range(tf.size(steps))).flat_values


def _decode_activities(
  reader: _Reader,
  lanes: stock_streams.Lanes,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
) -> tuple[_State, tf.Tensor]:
  """The activities of all positions, and the state after them.

  An activity chooses the table of the next one, so that a turn is one step.
  """
  _, contexts, count = tf.unstack(tf.shape(tables.activity_cdf))
  keys, _ = _keys(tf.reshape(tables.activity_cdf, [-1]))
  # For each entry of the tables, by how much the next position's is raised.
  entries = tf.range(tf.size(tables.activity_cdf))
  quality = entries // (contexts * count)
  following = _raised(quality * contexts + entries % count)
  quality = tf.gather(images.qualities, lanes.images)
  words = reader.words - float(stock_streams.WORD_MASK)

  def step(
    t: tf.Tensor, part: stock_streams.Part, raised: tf.Tensor, state: _State
  ) -> tuple[_State, tf.Tensor, tf.Tensor]:
    state, upper = _step(state, raised[:, : part.active[t]], keys, words)
    return state, tf.transpose(upper), tf.gather(following, upper - 1)

  first_raised = _raised(quality * contexts + count)
  state, uppers = _run(
    reader, _start(reader), lanes.positions, 1, first_raised, step
  )
  return state, (uppers - 1) % count


def _decode_channels(
  reader: _Reader,
  state: _State,
  lanes: stock_streams.Lanes,
  images: stock_streams.Images,
  tables: stock_streams.Tables,
  activities: tf.Tensor,
) -> tuple[_State, tf.Tensor]:
  """The table indices of all live channels, and the state after them."""
  unroll = stock_streams.UNROLL
  keys, raised_entries = _keys(tables.cdf)
  starts = stock_streams.table_starts(tables)
  rows = stock_streams.table_rows(activities, images, tables)
  raised = starts.with_flat_values(
    tf.gather(raised_entries, starts.flat_values)
  )
  raised_steps = tf.concat(
    [tf.gather(raised, rows).flat_values, raised_entries[-1:]], 0
  )
  # What fills up the last turn of a lane is certain.
  certain = tf.size(raised_steps) - 1
  words = reader.words - float(stock_streams.WORD_MASK)

  def steps(
    t: tf.Tensor, part: stock_streams.Part, raised: tf.Tensor, state: _State
  ) -> tuple[_State, tf.Tensor, tf.Tensor]:
    active = part.active[t]
    step = t * unroll + tf.range(unroll)[:, None]
    numbers = tf.where(
      step < part.steps[:active], part.first[:active] + step, certain
    )
    uppers = []
    for raised_step in tf.split(tf.gather(raised_steps, numbers), unroll):
      state, upper = _step(state, raised_step, keys, words)
      uppers.append(upper)
    return state, tf.transpose(tf.concat(uppers, 0)), raised

  # `raised` is known of all steps, not handed on from turn to turn.
  unused = tf.zeros(tf.shape(lanes.steps), tf.float64)
  state, uppers = _run(reader, state, lanes.steps, unroll, unused, steps)
  return state, uppers - 1 - tf.gather(starts, rows).flat_values


def _is_canonical(
  payload: tf.Tensor, lengths: tf.Tensor, reader: _Reader, state: _State
) -> tf.Tensor:
  """True for each stream that an encoder would end in this way."""
  shifts = state.shifts[0]
  advance = tf.cast(state.e[0], tf.int64) - 1
  # The words under the window; all past the end are zero, as the first there.
  place = reader.first + shifts
  places = tf.minimum(tf.stack([place, place + 1]), reader.end)
  upper, lower = tf.unstack(tf.cast(tf.gather(reader.words, places), tf.int64))
  value = upper * (1 << stock_streams.WORD_BITS) + lower
  low = (value - advance) % stock_streams.FULL
  size = tf.cast(state.size[0] * stock_streams.WORD, tf.int64)
  ending = stock_streams.ending(low, size)
  # An empty lane finds another one's byte; it is never a cleared one.
  last = tf.gather(tf.pad(payload, [[1, 0]]), tf.cumsum(lengths))
  stripped = (lengths <= 2 * shifts) & (last > 0)
  exact = lengths == 2 * shifts + tf.cast(ending.num_bytes, tf.int32)
  return (advance == ending.advance) & tf.where(ending.cleared, stripped, exact)
