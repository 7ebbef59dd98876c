"""The range coder in NumPy, vectorised over lanes.

bls2017/format/FORMAT.md describes the streams. A step codes one table
index of every lane by a dozen calls on small arrays, whose cost is mostly that
of calling NumPy. Hence operands have the same shape and type, and results go to
buffers that are there: a scalar operand, broadcasting or `where=` would take
twice as long.

Numbers are float64, which holds all of them exactly: a product of a size (33
bits) and a frequency (17 bits) has 50 bits, and frequencies are scaled by
2**-16, so that `floor` does what the shift of the description does.

The decoder follows e = value - base + 1, for which 1 <= e <= size. It finds the
s with cdf[s] * size < e * 2**16 <= cdf[s + 1] * size by searching for e / size
among the tables of all activities, of which those of activity k are raised by
k. Rounding cannot move the quotient past a frequency: where they differ, they
do so by 2**-48 at least, and below 32 a number is rounded by 2**-49 at most.
Only the first activity of a lane adds 32, while size is 2**32, which is exact.

Numbers that go together, the two ends of a share and the state of a lane, lie
side by side as the parts of a complex number, so that one call moves both.

The encoder's steps follow the size alone. What they add to base is summed up
afterwards, by words, and the carries are left to Python's long integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.format import coding_tables, lanes

_GROUP_SYMBOLS = 2**20
"""Table indices coded at once: the buffers of no more than these are made."""

_WORD_BITS = 16
_WORD = 1 << _WORD_BITS
_WINDOW = 1 << 32
_WINDOW_WORDS = 2


class NumpyRangeCoder:
  """`range_coder.RangeCoder` that needs nothing but NumPy."""

  def __init__(self) -> None:
    """Threads may share a coder."""
    self._latest: tuple[coding_tables.QualityTables, _Fractions] | None = None

  def _fractions(self, tables: coding_tables.QualityTables) -> _Fractions:
    """`_Fractions` of tables, kept until others are used."""
    latest = self._latest
    if latest is None or latest[0] is not tables:
      latest = tables, _Fractions(tables)
      self._latest = latest
    return latest[1]

  def encode(
    self, symbols: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """See `range_coder.RangeCoder.encode`."""
    if not tables.columns:
      return [b""] * lanes.num_lanes(len(symbols), tables.lane_positions)
    fractions = self._fractions(tables)
    streams: list[bytes] = []
    for start, end in _groups(len(symbols), tables):
      places = fractions.places(symbols[start:end])
      streams.extend(_encoded(places, fractions))
    return streams

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """See `range_coder.RangeCoder.decode`."""
    rows = np.empty((positions, tables.columns), np.int32)
    if not tables.columns:
      _require(not any(streams))
      return rows
    fractions = self._fractions(tables)
    first = 0
    for start, end in _groups(positions, tables):
      count = lanes.num_lanes(end - start, tables.lane_positions)
      group = streams[first : first + count]
      rows[start:end] = _decoded(group, end - start, fractions)
      first += count
    return rows


def _require(canonical: bool) -> None:
  if not canonical:
    raise errors.BitstreamError(
      "the payload is not what an encoder of this format writes"
    )


def _groups(
  positions: int, tables: coding_tables.QualityTables
) -> Iterator[tuple[int, int]]:
  """Runs of whole lanes to be coded at once: first position, and the end."""
  lane = tables.lane_positions
  group = max(_GROUP_SYMBOLS // (tables.columns * lane), 1) * lane
  for start in range(0, positions, group):
    yield start, min(start + group, positions)


class _Channel(NamedTuple):
  """The tables of a live channel, or those of the activities.

  The tables of all activities follow each other.

  Attributes:
    first: Where their entries begin among those of `_Fractions`.
    size: Entries of one table.
    raised: int64 [n - 1], the bits of the fractions among which a decoder
      searches: where the entries begin, each raised by the activity whose table
      it is of. The first one is left out: nothing lies below it. Bits of
      positive numbers have their order, and are compared faster.
    shares: complex128 [n], as in `_Fractions`.
  """

  first: int
  size: int
  raised: np.ndarray
  shares: np.ndarray


class _Fractions:
  """All tables of a quality, as fractions of the interval.

  Attributes:
    tables: Of the quality.
    channels: The live ones.
    activity: The tables of the activities, one for each activity before.
    shares: complex128 [N + 1], where the share of each entry begins (real) and
      ends (imaginary), channel after channel, then those of the activities. The
      last entry is certain: coding it changes nothing.
  """

  def __init__(self, tables: coding_tables.QualityTables):
    """Puts the tables in the order of the channels."""
    self.tables = tables
    sizes = tables.maximum - tables.minimum + 1
    live = list(zip(tables.starts[tables.live], sizes[tables.live]))
    parts = [tables.cdf[:, start : start + size] for start, size in live]
    parts.append(tables.activity_cdf)
    certain = np.zeros((1, 1), np.int32)
    cdf = np.concatenate([part.ravel() for part in (*parts, certain)])
    self.shares = np.empty(len(cdf), np.complex128)
    self.shares.real = cdf / coding_tables.TOTAL
    upper = coding_tables.upper_ends(cdf[None])[0]
    self.shares.imag = upper / coding_tables.TOTAL
    raised = self.shares.real[:-1] + np.concatenate(
      [np.repeat(np.arange(len(part)), part.shape[1]) for part in parts]
    )
    channels, first = [], 0
    for part in parts:
      end = first + part.size
      channels.append(
        _Channel(
          first,
          part.shape[1],
          raised[first + 1 : end].view(np.int64),
          self.shares[first:end],
        )
      )
      first = end
    *self.channels, self.activity = channels

  def lane_positions(self, positions: int) -> int:
    """Positions of the longest of the lanes of so many positions."""
    return min(self.tables.lane_positions, positions)

  def places(self, rows: np.ndarray) -> np.ndarray:
    """Where the entries of table indices stand, in the order of coding.

    Args:
      rows: Integers [positions, columns], of whole lanes but for the last one.

    Returns:
      int [steps, lanes], filled up with the certain entry.
    """
    sets, positions = len(self.tables.cdf), len(rows)
    lane = self.lane_positions(positions)
    count = lanes.num_lanes(positions, lane)
    padded = np.full(
      (count * lane, rows.shape[1]), len(self.shares) - 1, np.intp
    )
    has_activity = rows.shape[1] - len(self.channels)
    first = np.array([channel.first for channel in self.channels], np.intp)
    size = np.array([channel.size for channel in self.channels], np.intp)
    indices = padded[:positions, has_activity:]
    np.add(rows[:, has_activity:], first, out=indices)
    if has_activity:
      activity = rows[:, 0].astype(np.intp)
      indices += activity[:, None] * size
      before = np.roll(activity, 1)
      before[::lane] = sets
      padded[:positions, 0] = self.activity.first + before * sets + activity
    padded = padded.reshape(count, lane, -1)
    parts = padded[..., :has_activity], padded[..., has_activity:]
    return np.concatenate(
      [part.transpose(1, 2, 0).reshape(-1, count) for part in parts]
    )


def _encoded(places: np.ndarray, fractions: _Fractions) -> list[bytes]:
  """The streams of lanes, from `_Fractions.places`."""
  count = places.shape[1]
  shares = fractions.shares.take(places)
  added = shares.real  # In the end, what each step adds to base,
  shifted = np.empty(places.shape, bool)  # and whether it shifts a word.
  size, wide = np.full(count, float(_WINDOW)), np.empty(count)
  word = np.full(count, float(_WORD))
  multiply, floor, subtract = np.multiply, np.floor, np.subtract
  less_equal, putmask = np.less_equal, np.putmask
  steps = zip(added, shares.imag, shares.view(np.float64), shifted)
  for below, above, both, shift in steps:
    multiply(below, size, below)
    multiply(above, size, above)
    floor(both, both)
    subtract(above, below, size)
    less_equal(size, word, shift)
    multiply(size, word, wide)
    putmask(size, shift, wide)
  shifts = shifted.sum(0)
  # Sums of 32 bits, of which each counts 2**-16 of the one before. Every other
  # one of them is a digit of a number of 32-bit digits.
  width = 2 * (int(shifts.max()) // 2 + 1)
  word_number = np.cumsum(shifted, 0, dtype=np.intp)
  word_number -= shifted
  word_number += np.arange(count) * width
  sums = np.bincount(word_number.ravel(), added.ravel(), count * width)
  digits = sums.reshape(count, width // 2, 2).astype(">u4")
  streams = []
  for pair, n, s in zip(digits, shifts.tolist(), size.tolist()):
    high, low = (int.from_bytes(pair[:, i].tobytes(), "big") for i in range(2))
    base = (high << _WORD_BITS) + low >> _WORD_BITS * (width - 1 - n)
    streams.append(_ended(base, int(s), n))
  return streams


def _ended(base: int, size: int, shifts: int) -> bytes:
  """The stream of the interval that is left, after so many shifts."""
  advance, length = _ending(base % _WINDOW, size)
  v = (base + advance).to_bytes(2 * (shifts + _WINDOW_WORDS), "big")
  return v.rstrip(b"\0") if length is None else v[: 2 * shifts + length]


def _ending(low: int, size: int) -> tuple[int, int | None]:
  """The rule for the end of a stream, for encoder and decoder.

  Args:
    low: base mod 2**32.
    size: Of the interval.

  Returns:
    v - base, and how many bytes follow those of the shifted words; None where
    the trailing zeros are left out instead.
  """
  if low + size > _WINDOW:
    return _WINDOW - low, None
  if low == 0:
    return 0, 0
  to_byte = -low % 2**24
  if to_byte < size:
    return to_byte, 1
  return -low % 2**16, 2


def _decoded(
  streams: list[bytes], positions: int, fractions: _Fractions
) -> np.ndarray:
  """The rows of whole lanes but for the last one: int32 [positions, columns].

  Raises:
    errors.BitstreamError: if a stream is not an encoder's.
  """
  tables, count = fractions.tables, len(streams)
  sets, lane = len(tables.cdf), fractions.lane_positions(positions)
  # The last lane ends here, the others go on.
  last = positions - (count - 1) * lane
  counts = [count - (position >= last) for position in range(lane)]
  most = lane * tables.columns
  decoder = _Decoder(streams, most, fractions)
  rows = np.zeros((count, lane, tables.columns), np.int32)
  activities = np.zeros((lane, count), np.intp)
  if sets > 1:
    before = np.full(count, sets)
    for position, n in enumerate(counts):
      before = decoder.step([fractions.activity], before[:n])[:, 0]
      activities[position, :n] = before
    rows[..., 0] = activities.T
  if fractions.channels:
    for position, n in enumerate(counts):
      indices = decoder.step(fractions.channels, activities[position, :n])
      rows[:n, position, tables.columns - indices.shape[1] :] = indices
  decoder.check()
  return rows.reshape(count * lane, -1)[:positions]


class _Decoder:
  """The state of lanes that are decoded side by side."""

  def __init__(self, streams: list[bytes], most: int, fractions: _Fractions):
    """Reads the streams.

    Args:
      streams: Of the lanes.
      most: Steps of the longest lane, each of which shifts a word at most.
      fractions: Of the quality.
    """
    self._streams = streams
    # Zeros follow each stream: the steps of a call do not reach beyond.
    zeros = 2 * (max(len(fractions.channels), 1) + _WINDOW_WORDS)
    longest = 2 * (most + _WINDOW_WORDS)
    parts = [
      stream[:longest] + bytes(zeros + len(stream[:longest]) % 2)
      for stream in streams
    ]
    words = np.frombuffer(b"".join(parts), ">u2").astype(np.float64)
    num_words = np.array([len(part) // 2 for part in parts])
    end = np.cumsum(num_words)
    self._first = end - num_words
    self._end = end - zeros // 2
    self._words = words
    self._shifts = np.zeros(len(streams), np.intp)
    # e becomes e * 2**16 + word - (2**16 - 1), since e - 1 is what is shifted.
    self._increments = words - (_WORD - 1)
    # e (real), and the size (imaginary).
    self._state = np.empty(len(streams), np.complex128)
    first, second = words[self._first], words[self._first + 1]
    self._state.real = first * _WORD + second + 1
    self._state.imag = _WINDOW

  def _pointer(self) -> np.ndarray:
    """Where the words of the windows begin, int [lanes]."""
    return np.minimum(self._first + self._shifts, self._end)

  def step(self, channels: Sequence[_Channel], sets: np.ndarray) -> np.ndarray:
    """Decodes a table index for each of some channels, in the first lanes.

    Args:
      channels: From `_Fractions`, one at least.
      sets: int [lanes], the activity whose tables are used.

    Returns:
      int [lanes, channels].
    """
    count = len(sets)
    # Lanes of one activity stand together: the processor foresees the search.
    order = np.argsort(sets, kind="stable")
    sets = sets[order]
    state = self._state[order]
    next_word = self._pointer()[order] + _WINDOW_WORDS
    first_word = next_word.copy()
    wide, share = np.empty_like(state), np.empty_like(state)
    e, size, wide_e = state.real, state.imag, wide.real
    lower, upper = share.real, share.imag
    all_state, all_wide, all_share = (
      a.view(np.float64) for a in (state, wide, share)
    )
    word, shift = np.full(2 * count, float(_WORD)), np.empty(count, bool)
    one_word = word[:count]
    key, increment = np.empty(count), np.empty(count)
    key_bits = key.view(np.int64)
    raise_by = sets.astype(np.float64)
    take_increment = self._increments.take
    divide, add, multiply, floor = np.divide, np.add, np.multiply, np.floor
    subtract, less_equal, putmask = np.subtract, np.less_equal, np.putmask
    entries = []
    for _, _, raised, shares in channels:
      divide(e, size, key)
      add(key, raise_by, key)
      entry = raised.searchsorted(key_bits)
      entries.append(entry)
      shares.take(entry, 0, share, "clip")
      multiply(lower, size, lower)
      multiply(upper, size, upper)
      floor(all_share, all_share)
      subtract(e, lower, e)
      subtract(upper, lower, size)
      less_equal(size, one_word, shift)
      multiply(all_state, word, all_wide)
      take_increment(next_word, 0, increment, "clip")
      add(wide_e, increment, wide_e)
      putmask(state, shift, wide)
      add(next_word, shift, next_word)
    self._state[order] = state
    self._shifts[order] += next_word - first_word
    sizes = np.array([channel.size for channel in channels])
    indices = np.empty((count, len(channels)), np.intp)
    indices[order] = np.stack(entries, 1) - sets[:, None] * sizes
    return indices

  def check(self) -> None:
    """Raises errors.BitstreamError unless an encoder would end like this."""
    window = self._pointer()
    value = self._words[window] * _WORD + self._words[window + 1]
    lanes_left = zip(
      self._streams, value.tolist(), self._state.real.tolist(),
      self._state.imag.tolist(), self._shifts.tolist(),
    )  # fmt: skip
    for stream, v, e, size, shifts in lanes_left:
      advance = int(e) - 1
      expected, length = _ending((int(v) - advance) % _WINDOW, int(size))
      _require(advance == expected)
      if length is None:
        _require(len(stream) <= 2 * shifts and not stream.endswith(b"\0"))
      else:
        _require(len(stream) == 2 * shifts + length)
