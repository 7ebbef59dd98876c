"""The range coder in TensorFlow's own operations, vectorised over lanes.

`encode` and `decode` are built into graphs that any TensorFlow runs;
`StockRangeCoder` offers them to numpy. `bls2017.range_coder` describes the
streams.

A loop takes one step for all lanes at a time. Its steps are a few tiny
operations each, whose cost is mostly that of starting them, hence:

- a turn of the loop is unrolled over `_UNROLL` steps;
- numbers are float64, which holds all of them exactly: a product of a size
  (33 bits) and a frequency (17 bits) has 50 bits, and frequencies are scaled
  by 2**-16, so that `floor` does what the shift does;
- the encoder knows no carries. Its loop follows the size of the interval; what
  is added to base, and at which word, is summed up afterwards, and carries are
  propagated once over all words;
- the decoder follows e = value - base + 1, for which 1 <= e <= size. Symbol s
  is the one with cdf[s] * size < e * 2**16 <= cdf[s + 1] * size, so a binary
  search for e / size finds it. The quotient is rounded to 53 bits, which cannot
  move it past a frequency: where they differ, they do so by 2**-48 at least.

Rows that fill up a turn are coded with a table of one symbol, which changes
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors

if TYPE_CHECKING:
  from bls2017 import coding_tables

_UNROLL = 16
_WORD = 2.0**16
_WORD_BITS = 16
_WORD_MASK = 0xFFFF
_FULL = 1 << 32
_TOP_BYTE = 1 << 24


class _Ending(NamedTuple):
  """How streams end: int64 or bool, [lanes] each.

  Attributes:
    cleared: Whether v is the multiple of 2**32, without its trailing zeros.
    advance: v - base.
    num_bytes: Bytes after the first 2 w, unless `cleared`.
  """

  cleared: tf.Tensor
  advance: tf.Tensor
  num_bytes: tf.Tensor


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


def encode(
  symbols: tf.Tensor, cdf: tf.Tensor, lane_positions: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Codes the positions of an image.

  Args:
    symbols: int32 [positions, L], inside the tables; at least one position.
    cdf: int32 [L, n + 1], as in `coding_tables.QualityTables`.
    lane_positions: int32 scalar, positions of a lane.

  Returns:
    uint8 [total], all streams one after the other, and int32 [lanes], the
    lengths of the streams.
  """
  scaled = _scale(cdf)
  index, num_lanes = _encoder_index(
    symbols, tf.shape(scaled)[1], lane_positions
  )
  added, shifted, size = _narrow(tf.reshape(scaled, [-1]), index)
  place = tf.cumsum(shifted, exclusive=True)
  shifts = tf.reduce_sum(shifted, axis=0)
  width = tf.reduce_max(shifts) + 2
  # Each addition to base, [turns * _UNROLL, lanes], counts at its word.
  sums = tf.math.unsorted_segment_sum(
    added, tf.range(num_lanes) * width + place, num_lanes * width
  )
  return _finish(
    tf.cast(tf.reshape(sums, [num_lanes, width]), tf.int64),
    tf.cast(size, tf.int64),
    shifts,
  )


def decode(
  payload: tf.Tensor,
  lengths: tf.Tensor,
  positions: tf.Tensor,
  cdf: tf.Tensor,
  lane_positions: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """The inverse of `encode`.

  Args:
    payload: uint8 [total], any bytes.
    lengths: int32 [lanes], not negative, of sum `total`, as many as an image
      of so many positions has lanes.
    positions: int32 scalar, at least 1.
    cdf: As in `encode`.
    lane_positions: As in `encode`.

  Returns:
    int32 [positions, L], and a bool scalar: whether the streams are what
    `encode` writes for these symbols.
  """
  live = tf.shape(cdf)[0]
  num_lanes = tf.size(lengths)
  last = positions - (num_lanes - 1) * lane_positions
  # There is no second loop where the only lane is the short one.
  longest = tf.where(num_lanes > 1, lane_positions, last) * live
  scaled = _scale(cdf)
  words, first = _to_words(payload, lengths)
  end = first + (lengths + 1) // 2
  state = _start(words, first)
  state, together = _search(scaled, words, end, state, 0, last * live)
  others = _State(*(x[:, :-1] for x in state))
  others, rest = _search(scaled, words, end[:-1], others, last * live, longest)
  state = _State(*(tf.concat([x, y[:, -1:]], 1) for x, y in zip(others, state)))
  main = tf.concat([together[:, :-1], rest], 0)
  main = tf.reshape(
    main, tf.stack([longest // tf.maximum(live, 1), live, num_lanes - 1])
  )
  symbols = tf.concat(
    [
      tf.reshape(
        tf.transpose(main, [2, 0, 1]), tf.stack([positions - last, live])
      ),
      tf.reshape(together[:, -1], tf.stack([last, live])),
    ],
    0,
  )
  sound = _is_canonical(payload, lengths, words, first, end, state)
  return symbols, sound


def _scale(cdf: tf.Tensor) -> tf.Tensor:
  """Frequencies as fractions, with a table of one symbol below.

  Args:
    cdf: int32 [L, n + 1].

  Returns:
    float64 [L + 1, n + 1].
  """
  table = tf.cast(cdf, tf.float64) / _WORD
  certain = tf.minimum(tf.range(tf.shape(cdf)[1]), 1)
  return tf.concat([table, tf.cast(certain, tf.float64)[None]], 0)


def _turns(steps: tf.Tensor) -> tf.Tensor:
  """Turns of a loop: at least one, as an empty TensorArray has no shape."""
  return tf.maximum((steps + _UNROLL - 1) // _UNROLL, 1)


def _encoder_index(
  symbols: tf.Tensor, width: tf.Tensor, lane_positions: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Where each step of each lane finds its symbol in the flat tables.

  Returns:
    int32 [turns, _UNROLL, lanes], and the number of lanes.
  """
  positions, live = tf.unstack(tf.shape(symbols))
  certain = live * width
  index = symbols + tf.range(live) * width
  lanes = (positions + lane_positions - 1) // lane_positions
  # A single lane is as long as the image.
  lane_positions = tf.minimum(lane_positions, positions)
  index = tf.pad(
    index,
    [[0, lanes * lane_positions - positions], [0, 0]],
    constant_values=certain,
  )
  steps = lane_positions * live
  index = tf.transpose(tf.reshape(index, tf.stack([lanes, steps])))
  turns = _turns(steps)
  index = tf.pad(
    index, [[0, turns * _UNROLL - steps], [0, 0]], constant_values=certain
  )
  return tf.reshape(index, tf.stack([turns, _UNROLL, lanes])), lanes


def _narrow(
  table: tf.Tensor, index: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """The encoder's loop: narrows the intervals of all lanes.

  Args:
    table: float64 [(L + 1) (n + 1)], from `_scale`.
    index: int32 [turns, _UNROLL, lanes].

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
    bounds = tf.gather(table, index[t][:, None] + tf.constant([[0], [1]]))
    additions, shifts = [], []
    for bound in tf.unstack(bounds, _UNROLL):  # [2, lanes]
      a, b = tf.split(tf.floor(size * bound), 2)
      size = b - a
      shift = size <= _WORD
      size = tf.where(shift, size * _WORD, size)
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
      tf.fill(tf.stack([1, lanes]), tf.constant(float(_FULL), tf.float64)),
      tf.TensorArray(tf.float64, turns, element_shape=(_UNROLL, None)),
      tf.TensorArray(tf.bool, turns, element_shape=(_UNROLL, None)),
    ),
    parallel_iterations=1,
  )
  shape = tf.stack([turns * _UNROLL, lanes])
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
  low = tf.gather(sums, shifts, batch_dims=1) + previous * (1 << _WORD_BITS)
  ending = _end(low % _FULL, size)
  sums += tf.where(
    tf.range(width) == shifts[:, None],
    ending.advance[:, None],
    tf.zeros_like(sums),
  )
  # Each sum is 32 bits wide, two words; the lower one belongs to the next word.
  upper, lower = sums // (1 << _WORD_BITS), sums % (1 << _WORD_BITS)
  words = _carry(upper + tf.pad(lower[:, :-1], [[0, 0], [1, 0]]))
  pairs = tf.stack([words // 256, words % 256], axis=-1)
  content = tf.cast(tf.reshape(pairs, tf.stack([-1, 2 * width])), tf.uint8)
  place = tf.range(1, 2 * width + 1)
  nonzero = tf.reduce_max(tf.where(content > 0, place, 0), axis=1)
  lengths = 2 * shifts + tf.cast(ending.num_bytes, tf.int32)
  lengths = tf.where(ending.cleared, nonzero, lengths)
  payload = tf.boolean_mask(content, tf.sequence_mask(lengths, 2 * width))
  return payload, lengths


def _end(low: tf.Tensor, size: tf.Tensor) -> _Ending:
  """The rule for the end of a stream, for encoder and decoder.

  Args:
    low: int64 [lanes], base mod 2**32.
    size: int64 [lanes], size of the interval.
  """
  zero = tf.zeros_like(low)
  to_byte, to_word = -low % _TOP_BYTE, -low % (1 << _WORD_BITS)
  one_byte = to_byte < size
  advance = tf.where(one_byte, to_byte, to_word)
  cleared = low + size > _FULL
  return _Ending(
    cleared=cleared,
    advance=tf.where(cleared, _FULL - low, advance),
    num_bytes=tf.where(low == 0, zero, tf.where(one_byte, zero + 1, zero + 2)),
  )


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
  stops = flat != _WORD_MASK
  carries = tf.boolean_mask(flat > _WORD_MASK, stops)
  carries = tf.cast(tf.pad(carries, [[0, 1]]), tf.int64)
  following = tf.cumsum(tf.cast(stops, tf.int32))
  flat = (flat + tf.gather(carries, following)) % (1 << _WORD_BITS)
  return tf.reshape(flat, tf.shape(words))


def _to_words(
  payload: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """The bytes of the lanes as words, followed by enough zeros for a turn.

  Returns:
    float64 [total], and int32 [lanes], the index of each lane's first word.
  """
  num_lanes = tf.size(lengths)
  width = (tf.reduce_max(lengths) + 1) // 2 + _UNROLL + 2
  streams = tf.RaggedTensor.from_row_lengths(payload, lengths, validate=False)
  content = tf.cast(streams.to_tensor(shape=[None, None]), tf.float64)
  content = tf.pad(content, [[0, 0], [0, 2 * width - tf.shape(content)[1]]])
  pairs = tf.reshape(content, tf.stack([num_lanes * width, 2]))
  return pairs[:, 0] * 256.0 + pairs[:, 1], tf.range(num_lanes) * width


def _start(words: tf.Tensor, first: tf.Tensor) -> _State:
  """The state before the first symbol."""
  value = tf.gather(words, first) * _WORD + tf.gather(words, first + 1)
  e = (value + 1.0)[None]
  return _State(
    e, tf.fill(tf.shape(e), tf.constant(float(_FULL), tf.float64)),
    (first + 2)[None], tf.zeros_like(first)[None],
  )  # fmt: skip


def _search(
  table: tf.Tensor,
  words: tf.Tensor,
  end: tf.Tensor,
  state: _State,
  start: tf.Tensor | int,
  stop: tf.Tensor,
) -> tuple[_State, tf.Tensor]:
  """The decoder's loop: finds the symbols of steps start .. stop - 1.

  Args:
    table: float64 [L + 1, n + 1], from `_scale`.
    words: float64 [total], from `_to_words`.
    end: int32 [lanes], index of the first word after each lane.
    state: At step `start`.
    start: int32 scalar.
    stop: int32 scalar.

  Returns:
    The state at step `stop`, and the symbols, int32 [stop - start, lanes].
  """
  live = tf.shape(table)[0] - 1
  turns = _turns(stop - start)
  # e becomes e * 2**16 + word - (2**16 - 1), since e - 1 is what is shifted.
  words = words - float(_WORD_MASK)

  def turn(
    t: tf.Tensor, state: _State, found: tf.TensorArray
  ) -> tuple[tf.Tensor, _State, tf.TensorArray]:
    steps = start + t * _UNROLL + tf.range(_UNROLL)
    rows = tf.where(steps < stop, steps % tf.maximum(live, 1), live)
    e, size, pointer, shifts = state
    before = pointer
    ends = []
    for row in tf.unstack(tf.gather(table, rows), _UNROLL):  # [n + 1]
      upper = tf.raw_ops.LowerBound(sorted_inputs=row[None], values=e / size)
      bounds = tf.gather(row, upper + tf.constant([[-1], [0]]))  # [2, lanes]
      a, b = tf.split(tf.floor(size * bounds), 2)
      e, size = e - a, b - a
      shift = size <= _WORD
      e = tf.where(shift, e * _WORD + tf.gather(words, pointer), e)
      size = tf.where(shift, size * _WORD, size)
      pointer += tf.cast(shift, tf.int32)
      ends.append(upper)
    shifts += pointer - before
    # Past the end all words are zero; one turn's worth of them is stored.
    state = _State(e, size, tf.minimum(pointer, end), shifts)
    return t + 1, state, found.write(t, tf.concat(ends, 0))

  any_lanes = tf.TensorShape((1, None))
  _, state, found = tf.while_loop(
    lambda t, *_: t < turns,
    turn,
    (
      tf.constant(0),
      state._replace(pointer=tf.minimum(state.pointer, end)),
      tf.TensorArray(tf.int32, turns, element_shape=(_UNROLL, None)),
    ),
    shape_invariants=(
      tf.TensorShape(()),
      _State(any_lanes, any_lanes, any_lanes, any_lanes),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )
  shape = tf.stack([turns * _UNROLL, tf.size(end)])
  return state, tf.reshape(found.stack(), shape)[: stop - start] - 1


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
  low = (window[0] * (1 << _WORD_BITS) + window[1] - advance) % _FULL
  ending = _end(low, tf.cast(state.size[0], tf.int64))
  last = tf.gather(
    tf.pad(payload, [[1, 0]]), tf.cumsum(lengths)
  )  # An empty lane finds another one's byte; it is never a cleared one.
  stripped = (lengths <= 2 * w) & (last > 0)
  exact = lengths == 2 * w + tf.cast(ending.num_bytes, tf.int32)
  return tf.reduce_all(
    (advance == ending.advance) & tf.where(ending.cleared, stripped, exact)
  )


_ANY_TABLE = tf.TensorSpec((None, None), tf.int32)
_SCALAR = tf.TensorSpec((), tf.int32)

_encode = tf.function(
  encode,
  input_signature=[_ANY_TABLE, _ANY_TABLE, _SCALAR],
  autograph=False,
)
_decode = tf.function(
  decode,
  input_signature=[
    tf.TensorSpec((None,), tf.uint8),
    tf.TensorSpec((None,), tf.int32),
    _SCALAR,
    _ANY_TABLE,
    _SCALAR,
  ],
  autograph=False,
)


class StockRangeCoder:
  """`range_coder.RangeCoder` on TensorFlow's own operations."""

  def encode(
    self, symbols: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """See `range_coder.RangeCoder.encode`."""
    payload, lengths = _encode(
      symbols.astype(np.int32), tables.cdf, tables.lane_positions
    )
    data = payload.numpy().tobytes()
    ends = np.cumsum(lengths.numpy())
    return [data[e - n : e] for e, n in zip(ends, lengths.numpy())]

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """See `range_coder.RangeCoder.decode`."""
    payload = np.frombuffer(b"".join(streams), np.uint8)
    lengths = np.array([len(stream) for stream in streams], np.int32)
    symbols, sound = _decode(
      payload, lengths, positions, tables.cdf, tables.lane_positions
    )
    if not sound:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
    return np.asarray(symbols)
