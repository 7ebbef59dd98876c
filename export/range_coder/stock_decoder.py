"""The range decoder; `export.range_coder` says how it works."""

from __future__ import annotations

from typing import Any, NamedTuple

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

  A table of a single table index follows them, for steps that fill up.

  Attributes:
    keys: int32 [1, n + 2], one rising row: table k is raised by k * 2**16.
    raised: int32 [n + 1], by how much each entry's table is.
    last: int32 scalar, by how much the last table is.
  """

  keys: tf.Tensor
  raised: tf.Tensor
  last: tf.Tensor

  def most(self, raised: tf.Tensor) -> tf.Tensor:
    """Gives `most` of `stock_streams.Shares`, by how much tables are raised."""
    return stock_streams.most(raised == self.last)


def decode(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  shape: stock_streams.Shape,
  tables: stock_streams.Tables,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes the lanes of an image; the inverse of `stock_encoder.encode`.

  Args:
    payload: uint8 [total], any bytes.
    lengths: int32 [lanes], not negative, of sum `total`; at least one lane.
    shape: Positions along both sides, in all at least as many as lanes.
    tables: The tables of the quality.

  Returns:
    int32 [positions, 1 + L], the activity and the table indices of the live
    channels of each position; and a bool scalar, whether the streams are those
    that `stock_encoder.encode` writes for them. If not, they mean nothing.
  """
  contexts = tables.context_starts.shape[0]
  streams = _read(payload, lengths, max(stock_streams.UNROLL, 1 + contexts))
  state, heads = _decode_heads(streams, shape, tables)
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
  return _Search((cdf + raised)[None], raised[:-1], raised[-2])


def _step(
  streams: _Streams,
  state: _State,
  raised: tf.Tensor,
  most: tf.Tensor,
  search: _Search,
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
    most,
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


class _Heads(NamedTuple):
  """The tables of heads, and what is found in each place among them.

  The table index that fills up a lane has activity K.

  Attributes:
    search: Of the tables.
    indices: int32 [n + 2], table indices: kinds, and symbols.
    activities: int32 [n + 2], of kinds.
    classes: int32 [n + 2], of symbols.
  """

  search: _Search
  indices: tf.Tensor
  activities: tf.Tensor
  classes: tf.Tensor


def _heads_of(tables: stock_streams.Tables) -> _Heads:
  cdf = tables.heads_cdf()
  search = _search(cdf)
  begins = tf.cast(tf.where(tf.pad(cdf, [[0, 1]]) == 0)[:, 0], tf.int32)
  begins = tf.gather(begins, search.raised // coding_tables.TOTAL)
  indices = tf.range(tf.size(begins)) - begins
  sets, ends = tf.unstack(tf.shape(tables.ends))
  kinds, symbols = tf.split(indices, tf.stack([tf.size(tables.kind_cdf), -1]))
  # Where the tables of a channel begin, or the first of them that is used.
  first = tf.reduce_min(tables.context_starts, [1, 2])
  more = tables.class_starts - tf.pad(tables.class_starts, [[1, 0]])[:-1]
  starts = tf.cumsum(tf.scatter_nd(first[:, None], more, tf.shape(symbols)))
  classes = tf.gather(tables.context_classes, symbols + starts)
  return _Heads(
    search,
    tf.pad(indices, [[1, 0]]),
    tf.pad(kinds // ends, [[1, tf.size(symbols)]], constant_values=sets),
    tf.pad(classes, [[1 + tf.size(kinds), 0]]),
  )


class _Pass(NamedTuple):
  """The tables of a pass, and what its turns know before it is decoded.

  A turn is a position of every lane.

  Attributes:
    follows: bool [turns, 1, lanes], whether there is a position to the left.
    around: int32 [turns, 1, lanes], where the tables of kinds stand in `kinds`.
    others: int32 [turns, X, lanes], the other classes; none in the first pass.
    kinds: int32 [(V + 2) (K + 1)], by what tables of kinds are raised, by the
      surroundings and the activity to the left.
    contexts: int32 [X (N + 1)**2 (K + 1)], likewise, of context channels, by
      the class to the left, the other one and the activity.
  """

  follows: tf.Tensor
  around: tf.Tensor
  others: tf.Tensor | None
  kinds: tf.Tensor
  contexts: tf.Tensor


def _pass_of(
  number: int,
  run: tf.Tensor,
  heads: tf.Tensor,
  near: stock_streams.Neighbours,
  search: _Search,
  tables: stock_streams.Tables,
) -> _Pass:
  """Gives what is known before a pass.

  Args:
    number: 0 or 1.
    run: int32 [turns, lanes], its positions.
    heads: int32 [positions, 1 + X], those of the pass before.
    near: The neighbours of each position.
    search: Of the tables of heads.
    tables: The tables.
  """
  sets, ends = tf.unstack(tf.shape(tables.ends))
  # Surroundings V + 1 and activity K stand for a lane without a position.
  kinds = tf.pad(
    tables.activity_tables * coding_tables.TOTAL,
    [[0, 1], [0, 0]],
    constant_values=search.last,
  )
  around = stock_streams.surroundings(heads[:, 0] // ends, near, tables)
  around = stock_streams.at(around, run, tf.shape(kinds)[0] - 1)
  starts = tf.pad(
    tables.context_starts,
    [[0, 0], [0, 1], [0, 0]],
    constant_values=tf.size(tables.context_cdf),
  )
  starts = tf.gather(
    tf.transpose(starts, [0, 2, 1]), tables.contexts_of[number], batch_dims=1
  )
  starts += tf.size(tables.kind_cdf)
  others = None
  if number:
    others = stock_streams.mean_classes(heads[:, 1:], near, tables)
    others = tf.transpose(stock_streams.at(others, run), [0, 2, 1])
  return _Pass(
    stock_streams.at(near.left < tf.size(near.left), run, False)[:, None],
    around[:, None] * (sets + 1),
    others,
    tf.reshape(kinds, [-1]),
    tf.gather(search.raised, tf.reshape(starts, [-1])),
  )


def _decode_heads(
  streams: _Streams, shape: stock_streams.Shape, tables: stock_streams.Tables
) -> tuple[_State, tf.Tensor]:
  """The state after all heads, and these: int32 [positions, 1 + X].

  They are the kind and the table indices of the context channels.
  """
  num_lanes = tf.size(streams.first)
  near = stock_streams.neighbours(shape, num_lanes)
  total = tf.size(near.left)
  of_heads = _heads_of(tables)
  state = _start(streams)
  columns = 1 + tables.context_starts.shape[0]
  heads = tf.zeros(tf.stack([total, columns]), tf.int32)
  for number, run in enumerate(stock_streams.runs(shape, num_lanes)):
    known = _pass_of(number, run, heads, near, of_heads.search, tables)
    state, places = _decode_pass(streams, state, of_heads, known, tables)
    found = tf.transpose(tf.gather(of_heads.indices, places), [0, 2, 1])
    heads += stock_streams.in_order(found, run, total)
  return state, heads


def _decode_pass(
  streams: _Streams,
  state: _State,
  heads: _Heads,
  known: _Pass,
  tables: stock_streams.Tables,
) -> tuple[_State, tf.Tensor]:
  """The state after a pass, and the places that `_step` finds.

  They are int32 [turns, 1 + X, lanes].
  """
  turns, _, num_lanes = tf.unstack(tf.shape(known.follows))
  sets, no_class = tf.shape(tables.ends)[0], tables.no_class()
  contexts, search = tables.context_starts.shape[0], heads.search
  # Where each context channel begins in known.contexts, in units of K + 1.
  channels = tf.range(contexts)[:, None] * (no_class + 1) ** 2

  def turn(
    t: tf.Tensor,
    before: _State,
    activity: tf.Tensor,
    classes: tf.Tensor,
    second: tf.Tensor,
    found: tf.TensorArray,
  ) -> tuple[Any, ...]:
    follows = tf.gather(known.follows, t)
    number = tf.gather(known.around, t) + tf.where(follows, activity, sets)
    raised = tf.gather(known.kinds, number)
    most = search.most(raised)
    state, place = _step(streams, before, raised, most, search)
    activity = tf.gather(heads.activities, place)
    left = tf.where(follows, classes, no_class)
    if known.others is None:
      other = tf.where(follows, second, no_class)
    else:
      other = tf.gather(known.others, t)
    number = (channels + left * (no_class + 1) + other) * (sets + 1) + activity
    raised = tf.gather(known.contexts, number)[:, None]
    most = search.most(raised)
    places = [place]
    of_steps = tf.unstack(raised, contexts), tf.unstack(most, contexts)
    for of_step in zip(*of_steps):
      state, place = _step(streams, state, *of_step, search)
      places.append(place)
    head = tf.concat(places, 0)
    return (
      t + 1,
      _turned(before, state, streams),
      activity,
      tf.gather(heads.classes, head[1:]),
      left,
      found.write(t, head),
    )

  def loop() -> tuple[tf.Tensor, ...]:
    no_classes = tf.fill(tf.stack([contexts, num_lanes]), no_class)
    _, after, *_, found = tf.while_loop(
      lambda t, *_: t < turns,
      turn,
      (
        tf.constant(0),
        state,
        tf.fill(tf.stack([1, num_lanes]), sets),
        no_classes,
        no_classes,
        tf.TensorArray(tf.int32, turns, element_shape=(1 + contexts, None)),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        _State(*[tf.TensorShape((1, None))] * 4),
        tf.TensorShape((1, None)),
        tf.TensorShape((contexts, None)),
        tf.TensorShape((contexts, None)),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return (*after, found.stack())

  *after, places = stock_streams.run(loop)
  return _State(*after), places


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
  raised = stock_streams.at(raised, numbers, search.last)
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
  turns = (steps + unroll - 1) // unroll
  filling = [[0, turns * unroll - steps], [0, 0]]
  raised = tf.pad(raised, filling, constant_values=search.last)
  raised = tf.reshape(raised, tf.stack([turns, unroll, 1, num_lanes]))

  def turn(
    t: tf.Tensor, before: _State, found: tf.TensorArray
  ) -> tuple[tf.Tensor, _State, tf.TensorArray]:
    state, places, of_turn = before, [], raised[t]
    most = search.most(of_turn)
    for of_step in zip(tf.unstack(of_turn, unroll), tf.unstack(most, unroll)):
      state, place = _step(streams, state, *of_step, search)
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
