"""The range decoder; `export.range_coder` says how it works."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.format import coding_tables
from export.range_coder import stock_streams

_REST = 1 - 2.0**-16
"""What `_State.f` holds beyond value - base."""

_LOWERED = _REST * stock_streams.WORD_MASK
"""A word w that is shifted in makes f * 2**16 + w - _LOWERED of f."""


class _Streams(NamedTuple):
  """The words of the streams.

  Attributes:
    words: float64, those of each lane, and zeros for a turn after them; all
      less `_LOWERED`, as a step needs them.
    first: int32 [1, lanes], index of each lane's first word.
    end: int32 [1, lanes], index of the word after its last one.
  """

  words: tf.Tensor
  first: tf.Tensor
  end: tf.Tensor


class _State(NamedTuple):
  """The state of the decoder, [1, lanes] each.

  Attributes:
    f: float64, value - base + 1 - 2**-16.
    size: float64, size of the interval in units of 2**16.
    pointer: int32, index of the next word to read.
    shifts: int32, words shifted so far.
  """

  f: tf.Tensor
  size: tf.Tensor
  pointer: tf.Tensor
  shifts: tf.Tensor


class _Search(NamedTuple):
  """Tables one after the other, of n entries in all, to look table indices up.

  A table of a single, certain table index follows them.

  Attributes:
    keys: int32 [1, n + 2], one rising row: table k is raised by k * 2**16.
    raised: int32 [n + 1], by how much each entry's table is.
  """

  keys: tf.Tensor
  raised: tf.Tensor


def decode(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  positions: tf.Tensor,
  tables: stock_streams.Tables,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes the lanes of an image; the inverse of `stock_encoder.encode`.

  Args:
    payload: uint8 [total], any bytes.
    lengths: int32 [lanes], not negative, of sum `total`; at least one lane.
    positions: int32 scalar, at least as many as lanes.
    tables: The tables of the quality.

  Returns:
    int32 [positions, 1 + L], the activity and the table indices of the live
    channels of each position; and a bool scalar, whether the streams are those
    that `stock_encoder.encode` writes for them. If not, they mean nothing.
  """
  contexts = tables.context_starts.shape[0]
  streams = _read(payload, lengths, max(stock_streams.UNROLL, 1 + contexts))
  state, heads = _decode_heads(streams, positions, tables)
  kinds = heads[:, 0]
  state, others = _decode_others(streams, state, kinds, tables)
  activities = kinds // tf.shape(tables.ends)[1]
  contexts = tables.contexts()
  indices = others + tables.zeros[contexts:]
  rows = [activities[:, None], heads[:, 1 : 1 + contexts], indices]
  sound = _kinds_are_shortest(kinds, others, tables)
  sound &= _are_canonical(payload, lengths, streams, state)
  return tf.concat(rows, 1), sound


def _read(payload: tf.Tensor, lengths: tf.Tensor, spare: int) -> _Streams:
  held = (lengths + 1) // 2
  stored = held + spare + 2
  first = tf.cumsum(stored, exclusive=True)
  begins = tf.cumsum(lengths, exclusive=True)
  # Every byte of a lane moves by as much as the lane's first one.
  moves = stock_streams.repeated(2 * first - begins, lengths)
  places = tf.range(tf.size(payload)) + moves
  content = tf.scatter_nd(
    places[:, None], tf.cast(payload, tf.int32), 2 * tf.reduce_sum(stored)[None]
  )
  pairs = tf.cast(tf.reshape(content, [-1, 2]), tf.float64)
  words = pairs[:, 0] * 256.0 + pairs[:, 1] - _LOWERED
  return _Streams(words, first[None], (first + held)[None])


def _two_words(streams: _Streams, place: tf.Tensor) -> tf.Tensor:
  """The number that the words at `place` and behind it make: int64."""
  # All words past the end are zero, as the first there.
  places = tf.minimum(tf.stack([place, place + 1]), streams.end)
  words = tf.gather(streams.words, places) + _LOWERED
  upper, lower = tf.unstack(tf.cast(words, tf.int64))
  return upper * (1 << stock_streams.WORD_BITS) + lower


def _start(streams: _Streams) -> _State:
  first = streams.first
  value = tf.cast(_two_words(streams, first), tf.float64)
  size = tf.constant(stock_streams.FULL / stock_streams.WORD, tf.float64)
  return _State(
    value + _REST,
    tf.fill(tf.shape(first), size),
    tf.minimum(first + 2, streams.end),
    tf.zeros_like(first),
  )


def _search(cdf: tf.Tensor) -> _Search:
  """Prepares tables, int32 [n], one after the other."""
  # What follows the tables begins with 0 as they do.
  cdf = tf.pad(cdf, [[0, 2]])
  raised = (tf.cumsum(tf.cast(cdf == 0, tf.int32)) - 1) * coding_tables.TOTAL
  return _Search((cdf + raised)[None], raised[:-1])


def _step(
  streams: _Streams, state: _State, raised: tf.Tensor, search: _Search
) -> tuple[_State, tf.Tensor]:
  """Decodes one table index of every lane, whose table is `raised` by so much.

  Gives the state, of unchanged `shifts`, and the place in `keys` behind that of
  the table index.
  """
  f, size, pointer, shifts = state
  keys = search.keys[0]
  place = tf.raw_ops.UpperBound(
    sorted_inputs=search.keys, values=tf.cast(f / size, tf.int32) + raised
  )
  share = stock_streams.Shares(
    tf.cast(tf.gather(keys, place - 1) - raised, tf.float64),
    tf.cast(tf.gather(keys, place) - raised, tf.float64),
  )
  added, shift, scale, size = stock_streams.narrow(size, share)
  word = tf.cast(shift, tf.float64) * tf.gather(streams.words, pointer)
  f = (f - added) * (scale * stock_streams.WORD) + word
  pointer += tf.cast(shift, tf.int32)
  return _State(f, size, pointer, shifts), place


def _turned(before: _State, after: _State, streams: _Streams) -> _State:
  """The state after the steps of a turn."""
  # Words past the end are zeros like the first of them.
  return after._replace(
    pointer=tf.minimum(after.pointer, streams.end),
    shifts=after.shifts + after.pointer - before.pointer,
  )


def _decode_heads(
  streams: _Streams, positions: tf.Tensor, tables: stock_streams.Tables
) -> tuple[_State, tf.Tensor]:
  """The state after all heads, and these: int32 [positions, 1 + X].

  They are the kind and the table indices of the context channels. A turn is a
  position of every lane.
  """
  num_lanes = tf.size(streams.first)
  sets, kinds_of_set = tf.unstack(tf.shape(tables.ends))
  kinds = sets * kinds_of_set
  contexts = tables.context_starts.shape[0]
  row = tables.first_class() + 1  # Of context_starts.
  search = _search(tables.heads_cdf())
  certain = tf.size(search.raised) - 1
  context_starts = tf.size(tables.kind_cdf) + tf.reshape(
    tables.context_starts, [-1]
  )
  # Where each context channel begins in context_starts.
  channels = tf.range(contexts)[:, None] * (sets * row)
  class_starts = tables.class_starts[:, None]
  numbers = stock_streams.steps_of_lanes(positions, num_lanes)
  turns = tf.shape(numbers)[0]

  def turn(
    t: tf.Tensor,
    before: _State,
    kind_starts: tf.Tensor,
    classes: tf.Tensor,
    found: tf.TensorArray,
  ) -> tuple[tf.Tensor, _State, tf.Tensor, tf.Tensor, tf.TensorArray]:
    at_work = numbers[t] < positions
    start = tf.where(at_work, kind_starts, certain)
    raised = tf.gather(search.raised, start)
    state, place = _step(streams, before, raised, search)
    kind = place - 1 - start
    activity = kind // kinds_of_set
    starts = tf.gather(context_starts, channels + activity * row + classes)
    starts = tf.where(at_work, starts, certain)
    places = [place]
    for raised in tf.unstack(tf.gather(search.raised, starts)[:, None]):
      state, place = _step(streams, state, raised, search)
      places.append(place)
    head = tf.concat(places, 0) - 1 - tf.concat([start, starts], 0)
    return (
      t + 1,
      _turned(before, state, streams),
      activity * kinds,
      tf.gather(tables.context_classes, head[1:] + class_starts),
      found.write(t, head),
    )

  def loop() -> tuple[tf.Tensor, ...]:
    _, state, _, _, found = tf.while_loop(
      lambda t, *_: t < turns,
      turn,
      (
        tf.constant(0),
        _start(streams),
        tf.fill(tf.stack([1, num_lanes]), sets * kinds),
        tf.fill(tf.stack([contexts, num_lanes]), row - 1),
        tf.TensorArray(tf.int32, turns, element_shape=(1 + contexts, None)),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        _State(*[tf.TensorShape((1, None))] * 4),
        tf.TensorShape((1, None)),
        tf.TensorShape((contexts, None)),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return (*state, found.stack())

  *state, found = stock_streams.run(loop)
  heads = stock_streams.in_order(
    tf.transpose(found, [0, 2, 1]), numbers, positions
  )
  return _State(*state), heads


def _decode_others(
  streams: _Streams,
  state: _State,
  kinds: tf.Tensor,
  tables: stock_streams.Tables,
) -> tuple[_State, tf.Tensor]:
  """The state at the end, and the symbols of all others: [positions, R]."""
  sets, entries = tf.unstack(tf.shape(tables.cdf))
  search = _search(tf.reshape(tables.cdf, [-1]))
  starts = tf.range(sets)[:, None] * entries + tables.starts
  raised = stock_streams.coded_by_kind(tf.gather(search.raised, starts), tables)
  raised = tf.gather(raised, kinds).flat_values
  total = tf.size(raised)
  numbers = stock_streams.steps_of_lanes(total, tf.size(streams.first))
  raised = tf.gather(tf.concat([raised, search.raised[-1:]], 0), numbers)
  state, places = _decode_steps(streams, state, raised, search)
  places = stock_streams.in_order(places, numbers, total)
  zeros = stock_streams.coded_by_kind(
    1 + starts + tables.zeros[tables.contexts() :], tables
  )
  zeros = tf.gather(zeros, kinds)
  symbols = zeros.with_flat_values(places - zeros.flat_values)
  shape = tf.stack([-1, tf.size(tables.starts)])
  return state, symbols.to_tensor(shape=shape)


def _decode_steps(
  streams: _Streams, state: _State, raised: tf.Tensor, search: _Search
) -> tuple[_State, tf.Tensor]:
  """The state after steps, and the places that `_step` finds in each.

  `raised`, float64 [steps, lanes], tells the tables of all steps.
  """
  unroll = stock_streams.UNROLL
  steps, num_lanes = tf.unstack(tf.shape(raised))
  # An empty TensorArray has no shape.
  turns = tf.maximum((steps + unroll - 1) // unroll, 1)
  filling = [[0, turns * unroll - steps], [0, 0]]
  raised = tf.pad(raised, filling, constant_values=search.raised[-1])
  raised = tf.reshape(raised, tf.stack([turns, unroll, 1, num_lanes]))

  def turn(
    t: tf.Tensor, before: _State, found: tf.TensorArray
  ) -> tuple[tf.Tensor, _State, tf.TensorArray]:
    state, places = before, []
    for of_step in tf.unstack(raised[t], unroll):
      state, place = _step(streams, state, of_step, search)
      places.append(place)
    state = _turned(before, state, streams)
    return t + 1, state, found.write(t, tf.concat(places, 0))

  def loop() -> tuple[tf.Tensor, ...]:
    _, after, found = tf.while_loop(
      lambda t, *_: t < turns,
      turn,
      (
        tf.constant(0),
        state,
        tf.TensorArray(tf.int32, turns, element_shape=(unroll, None)),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        _State(*[tf.TensorShape((1, None))] * 4),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return (*after, found.concat())

  *after, places = stock_streams.run(loop)
  return _State(*after), places[:steps]


def _kinds_are_shortest(
  kinds: tf.Tensor, others: tf.Tensor, tables: stock_streams.Tables
) -> tf.Tensor:
  """True if no position codes more of the others than it has to.

  Args:
    kinds: int32 [positions].
    others: int32 [positions, R], symbols.
    tables: The tables.
  """
  last = stock_streams.last_others(others)
  # What the end before each one covers; nothing is less than the first needs.
  before = tf.pad(tables.ends[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
  return tf.reduce_all(last > tf.gather(tf.reshape(before, [-1]), kinds))


def _are_canonical(
  payload: tf.Tensor, lengths: tf.Tensor, streams: _Streams, state: _State
) -> tf.Tensor:
  """True if an encoder would end all streams in this way."""
  shifts = state.shifts[0]
  advance = tf.cast(state.f[0], tf.int64)
  value = _two_words(streams, streams.first + shifts)[0]
  low = (value - advance) % stock_streams.FULL
  size = tf.cast(state.size[0] * stock_streams.WORD, tf.int64)
  ending = stock_streams.ending(low, size)
  # An empty lane finds another one's byte; it is never a cleared one.
  last = tf.gather(tf.pad(payload, [[1, 0]]), tf.cumsum(lengths))
  stripped = (lengths <= 2 * shifts) & (last > 0)
  exact = lengths == 2 * shifts + tf.cast(ending.num_bytes, tf.int32)
  return tf.reduce_all(
    (advance == ending.advance) & tf.where(ending.cleared, stripped, exact)
  )
