"""The decoder of `export.range_coder.range_coder_stock`."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from export.range_coder import stock_streams

_ACTIVITY_UNROLL = 2


class _State(NamedTuple):
  """The decoder's state; [1, lanes] each.

  Attributes:
    e: float64, value - base + 1.
    size: float64, size of the interval.
    pointer: int32, index of the next word to read.
    shifts: int32, words shifted so far.
  """

  e: tf.Tensor
  size: tf.Tensor
  pointer: tf.Tensor
  shifts: tf.Tensor


def decode(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  positions: tf.Tensor,
  tables: stock_streams.Tables,
  activities: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """The inverse of `encode`.

  Args:
    payload: uint8 [total], any bytes.
    lengths: int32 [lanes], not negative, of sum `total`, as many as an image
      of so many positions has lanes.
    positions: int32 scalar, at least 1.
    tables: As in `encode`.
    activities: As in `encode`.

  Returns:
    int32 [positions, columns], and a bool scalar: whether the streams are what
    `encode` writes for these symbols.
  """
  live = tf.size(tables.starts)
  num_lanes = tf.size(lengths)
  last = positions - (num_lanes - 1) * tables.lane_positions
  # There is no second loop where the only lane is the short one.
  longest = tf.where(num_lanes > 1, tables.lane_positions, last)
  words, first = _to_words(payload, lengths)
  # Past the end all words are zero; one turn's worth of them is stored.
  reader = _Reader(words, first + (lengths + 1) // 2)
  state = _start(words, first)
  columns = []
  chosen = None
  if activities > 1:
    choice = _Choice(
      _raised(tables.activity_cdf),
      tf.zeros((1,), tf.int32),
      tf.fill((1,), activities),
    )
    state, parts = _decode_phase(reader, choice, state, None, last, longest)
    columns.append(_raster(*parts, last, longest, tf.constant(1)))
    chosen = tf.cast(_by_position(*parts), tf.float64)
  choice = _Choice(_raised(tables.cdf), tables.starts, tables.sizes)
  if chosen is None:
    chosen = tf.zeros(tf.stack([longest, num_lanes]), tf.float64)
  state, parts = _decode_phase(
    reader, choice, state, chosen, last * live, longest * live
  )
  columns.append(_raster(*parts, last, longest, live))
  sound = _is_canonical(payload, lengths, words, first, reader.end, state)
  return tf.concat(columns, 1), sound


def _to_words(
  payload: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """The bytes of the lanes as words, followed by enough zeros for a turn.

  Returns:
    float64 [total], and int32 [lanes], the index of each lane's first word.
  """
  num_lanes = tf.size(lengths)
  width = (tf.reduce_max(lengths) + 1) // 2 + stock_streams.UNROLL + 2
  streams = tf.RaggedTensor.from_row_lengths(payload, lengths, validate=False)
  content = tf.cast(streams.to_tensor(shape=[None, None]), tf.float64)
  content = tf.pad(content, [[0, 0], [0, 2 * width - tf.shape(content)[1]]])
  pairs = tf.reshape(content, tf.stack([num_lanes * width, 2]))
  return pairs[:, 0] * 256.0 + pairs[:, 1], tf.range(num_lanes) * width


def _start(words: tf.Tensor, first: tf.Tensor) -> _State:
  """The state before the first symbol."""
  value = tf.gather(words, first) * stock_streams.WORD + tf.gather(
    words, first + 1
  )
  e = (value + 1.0)[None]
  return _State(
    e, tf.fill(tf.shape(e), tf.constant(float(stock_streams.FULL), tf.float64)),
    (first + 2)[None], tf.zeros_like(first)[None],
  )  # fmt: skip


class _Reader(NamedTuple):
  """What the streams hold.

  Attributes:
    words: float64 [total], from `_to_words`.
    end: int32 [lanes], index of the first word after each lane.
  """

  words: tf.Tensor
  end: tf.Tensor


class _Choice(NamedTuple):
  """The tables in which a phase of decoding searches.

  Attributes:
    table: float64 [sets + 1, S + 1], from `_raised`.
    starts: int32 [m], the first column of each step's tables, in turn.
    sizes: int32 [m], how many columns they have.
  """

  table: tf.Tensor
  starts: tf.Tensor
  sizes: tf.Tensor


def _raised(cdf: tf.Tensor) -> tf.Tensor:
  """Fractions, those of set k raised by k, so that sets follow each other.

  The columns of a table, read set by set, rise: set k ends at k + 1, where the
  next one begins. Up to `coding_tables.MAX_ACTIVITIES` sets that costs no more
  digits than the quotient can spare: what differs from a fraction does so by
  2**-48, and below 64 a number is rounded by 2**-49.

  Args:
    cdf: int32 [sets, S], tables one after the other.

  Returns:
    float64 [sets + 1, S + 1]; a last column, of a symbol that is certain, and
    a last row, in which the last set ends.
  """
  table = tf.pad(
    tf.cast(cdf, tf.float64) / stock_streams.WORD, [[0, 1], [0, 1]]
  )
  return table + tf.range(tf.shape(table)[0], dtype=tf.float64)[:, None]


def _decode_phase(
  reader: _Reader,
  choice: _Choice,
  state: _State,
  chosen: tf.Tensor | None,
  last: tf.Tensor,
  longest: tf.Tensor,
) -> tuple[_State, tuple[tf.Tensor, tf.Tensor]]:
  """All lanes for as many steps as the last one has, then all others.

  Args:
    reader: The streams.
    choice: The tables.
    state: Of all lanes.
    chosen: float64 [positions, lanes], the set at each position, or None.
    last: int32 scalar, steps of the last lane.
    longest: int32 scalar, steps of the others.

  Returns:
    The state, and the symbols of both parts, int32 [last, lanes] and
    [longest - last, lanes - 1].
  """
  state, together = _search(reader, choice, state, chosen, 0, last, None)
  others = _State(*(x[:, :-1] for x in state))
  before = None
  if chosen is not None:
    chosen = chosen[:, :-1]
  else:
    before = tf.reshape(together[last - 1, :-1], [1, -1])
  fewer = _Reader(reader.words, reader.end[:-1])
  others, rest = _search(fewer, choice, others, chosen, last, longest, before)
  state = _State(*(tf.concat([x, y[:, -1:]], 1) for x, y in zip(others, state)))
  return state, (together, rest)


def _by_position(together: tf.Tensor, rest: tf.Tensor) -> tf.Tensor:
  """Both parts of a phase with one step a position: [longest, lanes].

  The last lane is filled up with zeros.
  """
  return tf.concat([together, tf.pad(rest, [[0, 0], [0, 1]])], 0)


def _raster(
  together: tf.Tensor,
  rest: tf.Tensor,
  last: tf.Tensor,
  longest: tf.Tensor,
  each: tf.Tensor,
) -> tf.Tensor:
  """The symbols of a phase in the image's order.

  Args:
    together: From `_decode_phase`.
    rest: From `_decode_phase`.
    last: int32 scalar, positions of the last lane.
    longest: int32 scalar, positions of the others.
    each: int32 scalar, steps of a position.

  Returns:
    int32 [positions, each].
  """
  others = tf.shape(rest)[1]
  main = tf.concat([together[:, :-1], rest], 0)
  main = tf.reshape(main, tf.stack([longest, each, others]))
  main = tf.transpose(main, [2, 0, 1])
  return tf.concat(
    [
      tf.reshape(main, tf.stack([others * longest, each])),
      tf.reshape(together[:, -1], tf.stack([last, each])),
    ],
    0,
  )


def _search(
  reader: _Reader,
  choice: _Choice,
  state: _State,
  chosen: tf.Tensor | None,
  start: tf.Tensor | int,
  stop: tf.Tensor,
  before: tf.Tensor | None,
) -> tuple[_State, tf.Tensor]:
  """The decoder's loop: finds the table indices of steps start .. stop - 1.

  Args:
    reader: The streams.
    choice: The tables.
    state: At step `start`.
    chosen: float64 [positions, lanes], the set at each position. None where
      each table index chooses the set of the next one.
    start: int32 scalar.
    stop: int32 scalar.
    before: int32 [1, lanes], the table index before `start`; None where there
      is none, which chooses the last set.

  Returns:
    The state at step `stop`, and the table indices, int32
    [stop - start, lanes].
  """
  # Activities take few steps, which are not worth a larger graph.
  unroll = _ACTIVITY_UNROLL if chosen is None else stock_streams.UNROLL
  last_set = tf.shape(choice.table)[0] - 2
  turns = stock_streams.turns(stop - start, unroll)
  if before is None:
    before = tf.fill(tf.stack([1, tf.size(reader.end)]), last_set)
  # e becomes e * 2**16 + word - (2**16 - 1), since e - 1 is what is shifted.
  words = reader.words - float(stock_streams.WORD_MASK)

  def turn(
    t: tf.Tensor, before: tf.Tensor, state: _State, indices: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.Tensor, _State, tf.TensorArray]:
    steps = start + t * unroll + tf.range(unroll)
    rows, sets = _rows_of_turn(choice, chosen, steps, stop)
    first_pointer = state.pointer
    of_turn = []
    for i, row in enumerate(rows):
      number = before if sets is None else sets[i]
      state, index = _step(state, row, number, words)
      of_turn.append(index)
      if sets is None:
        before = tf.cast(index, tf.float64)
    state = state._replace(
      pointer=tf.minimum(state.pointer, reader.end),
      shifts=state.shifts + state.pointer - first_pointer,
    )
    return t + 1, before, state, indices.write(t, tf.concat(of_turn, 0))

  any_lanes = tf.TensorShape((1, None))
  _, _, state, indices = tf.while_loop(
    lambda t, *_: t < turns,
    turn,
    (
      tf.constant(0),
      tf.cast(before, tf.float64),
      state._replace(pointer=tf.minimum(state.pointer, reader.end)),
      tf.TensorArray(tf.int32, turns, element_shape=(unroll, None)),
    ),
    shape_invariants=(
      tf.TensorShape(()),
      any_lanes,
      _State(any_lanes, any_lanes, any_lanes, any_lanes),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )
  shape = tf.stack([turns * unroll, tf.size(reader.end)])
  return state, tf.reshape(indices.stack(), shape)[: stop - start]


class _Row(NamedTuple):
  """The tables of a step, those of all sets one after the other.

  Attributes:
    values: float64 [1, sets * width], from `_raised`.
    width: int32 scalar, table indices of each set.
  """

  values: tf.Tensor
  width: tf.Tensor


def _rows_of_turn(
  choice: _Choice,
  chosen: tf.Tensor | None,
  steps: tf.Tensor,
  stop: tf.Tensor,
) -> tuple[list[_Row], list[tf.Tensor] | None]:
  """The tables of the steps of a turn, and the sets they are taken from.

  Args:
    choice: The tables.
    chosen: As for `_search`.
    steps: int32 [unroll], numbers of the steps.
    stop: int32 scalar; from this step on, the only table index is certain.

  Returns:
    A row for each step, and for each step float64 [1, lanes], or None as in
    `chosen`.
  """
  table, starts, sizes = choice
  sets, certain = tf.shape(table)[0], tf.shape(table)[1] - 1
  steps_of_position = tf.maximum(tf.size(starts), 1)
  unroll = int(steps.shape[0])
  # The certain column comes after all others.
  starts = tf.pad(starts, [[0, 1]], constant_values=certain)
  sizes = tf.pad(sizes, [[0, 1]], constant_values=1)
  number = tf.where(
    steps < stop, steps % steps_of_position, tf.size(starts) - 1
  )
  corners = tf.stack([tf.zeros_like(number), tf.gather(starts, number)], 1)
  widths = tf.unstack(tf.gather(sizes, number), unroll)
  rows = []
  for corner, width in zip(tf.unstack(corners, unroll), widths):
    part = tf.slice(table, corner, tf.stack([sets, width]))
    rows.append(_Row(tf.reshape(part, [1, -1]), width))
  if chosen is None:
    return rows, None
  position = tf.maximum(tf.minimum(steps, stop - 1), 0) // steps_of_position
  return rows, tf.split(tf.gather(chosen, position), unroll)


def _step(
  state: _State, row: _Row, number: tf.Tensor, words: tf.Tensor
) -> tuple[_State, tf.Tensor]:
  """Decodes one table index of every lane.

  Args:
    state: Before the step.
    row: The tables.
    number: float64 [1, lanes], the set that each lane uses.
    words: float64 [total], 2**16 - 1 less than the words of the streams.

  Returns:
    The state, whose `shifts` are unchanged, and int32 [1, lanes].
  """
  e, size, pointer, shifts = state
  upper = tf.raw_ops.LowerBound(
    sorted_inputs=row.values, values=e / size + number
  )
  bounds = tf.gather(row.values[0], upper + tf.constant([[-1], [0]])) - number
  index = upper - 1 - tf.cast(number, tf.int32) * row.width
  a, b = tf.split(tf.floor(size * bounds), 2)
  e, size = e - a, b - a
  shift = size <= stock_streams.WORD
  e = tf.where(shift, e * stock_streams.WORD + tf.gather(words, pointer), e)
  size = tf.where(shift, size * stock_streams.WORD, size)
  return _State(e, size, pointer + tf.cast(shift, tf.int32), shifts), index


def _is_canonical(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  words: tf.Tensor,
  first: tf.Tensor,
  end: tf.Tensor,
  state: _State,
) -> tf.Tensor:
  """Whether every stream is the one that an encoder ends in this way."""
  w = state.shifts[0]
  advance = tf.cast(state.e[0], tf.int64) - 1
  # The words under the window; none past the end differs from the first there.
  window = [
    tf.cast(tf.gather(words, tf.minimum(first + w + i, end)), tf.int64)
    for i in (0, 1)
  ]
  low = (
    window[0] * (1 << stock_streams.WORD_BITS) + window[1] - advance
  ) % stock_streams.FULL
  ending = stock_streams.ending(low, tf.cast(state.size[0], tf.int64))
  last = tf.gather(
    tf.pad(payload, [[1, 0]]), tf.cumsum(lengths)
  )  # An empty lane finds another one's byte; it is never a cleared one.
  stripped = (lengths <= 2 * w) & (last > 0)
  exact = lengths == 2 * w + tf.cast(ending.num_bytes, tf.int32)
  return tf.reduce_all(
    (advance == ending.advance) & tf.where(ending.cleared, stripped, exact)
  )
