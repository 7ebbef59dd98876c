"""The range coder of the export writes and accepts what FORMAT.md says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import coding_tables, lanes
from bls2017.training import table_building
from export.graph import graph_tables
from export.range_coder import stock_decoder, stock_encoder, stock_streams
from tests import laws
from tests.bls2017.format import reference_coder, tables_strategy

_ROOM = graph_tables.Room(channels=12, contexts=8, classes=4)
"""In the graphs; qualities need less."""

_NUMBER = tf.TensorSpec((), tf.int32)
_NUMBERS = tf.TensorSpec((None,), tf.int32)
_MATRIX = tf.TensorSpec((None, None), tf.int32)
_SHAPE = _NUMBER, _NUMBER
_TABLES = stock_streams.Tables(
  ends=_MATRIX,
  end_cdf=_MATRIX,
  kind_cdf=_MATRIX,
  activity_cdf=_MATRIX,
  activity_tables=_MATRIX,
  surroundings=_MATRIX,
  cdf=_MATRIX,
  starts=_NUMBERS,
  zeros=_NUMBERS,
  context_cdf=_NUMBERS,
  context_starts=tf.TensorSpec((_ROOM.channels, None, None), tf.int32),
  contexts_of=tf.TensorSpec((2, _ROOM.channels, None, None), tf.int32),
  context_classes=_NUMBERS,
  class_starts=tf.TensorSpec((_ROOM.channels,), tf.int32),
)
_ENCODE = tf.function(
  stock_encoder.encode,
  input_signature=[_MATRIX, _SHAPE, _NUMBER, _TABLES],
  autograph=False,
)
_BYTES = tf.TensorSpec((None,), tf.uint8)
_DECODE = tf.function(
  stock_decoder.decode,
  input_signature=[_BYTES, _NUMBERS, _SHAPE, _TABLES],
  autograph=False,
)


def _tensors(tables: coding_tables.QualityTables) -> stock_streams.Tables:
  fields = graph_tables.arrays(tables, _ROOM)
  return stock_streams.Tables(*(np.int32(field) for field in fields))


def encode(
  rows: np.ndarray,
  shape: tuple[int, int],
  num_lanes: int,
  tables: coding_tables.QualityTables,
) -> list[bytes]:
  """The streams of an image."""
  payload, lengths = _ENCODE(np.int32(rows), shape, num_lanes, _tensors(tables))
  ends = np.cumsum(lengths)
  data = payload.numpy().tobytes()
  assert ends[-1] == len(data)
  return [data[end - size : end] for end, size in zip(ends, lengths)]


def decode(
  streams: Sequence[bytes],
  shape: tuple[int, int],
  tables: coding_tables.QualityTables,
) -> np.ndarray | None:
  """The rows of an image; None where the graph refuses its streams."""
  rows, sound = _DECODE(
    np.frombuffer(b"".join(streams), np.uint8),
    np.int32([len(stream) for stream in streams]),
    shape,
    _tensors(tables),
  )
  return rows.numpy() if sound else None


def _check(rows, shape, num_lanes, tables) -> list[bytes]:
  """Asserts that an image is coded as the reference does, and comes back."""
  streams = encode(rows, shape, num_lanes, tables)
  assert streams == reference_coder.encode_rows(rows, shape, num_lanes, tables)
  np.testing.assert_array_equal(decode(streams, shape, tables), rows)
  return streams


def _check_any(streams, shape, tables) -> None:
  """Asserts that streams are accepted or refused as by the reference."""
  expected = reference_coder.decode_rows(streams, shape, tables)
  found = decode(streams, shape, tables)
  assert (found is None) == (expected is None)
  if expected is not None:
    np.testing.assert_array_equal(found, expected)


@laws.examples(150)
@given(case=tables_strategy.CASES)
def test_streams_are_those_of_the_reference(case):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  _check(rows, shape, num_lanes, tables)


@laws.examples(150)
@given(
  case=tables_strategy.CASES,
  changes=st.lists(tables_strategy.CHANGES, min_size=1, max_size=4),
)
def test_any_bytes_are_refused_or_the_streams_of_an_image(case, changes):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  streams = reference_coder.encode_rows(rows, shape, num_lanes, tables)
  for number, content, appended in changes:
    lane = number % num_lanes
    streams[lane] = streams[lane] + content if appended else content
  _check_any(streams, shape, tables)


@laws.examples(80)
@given(
  case=tables_strategy.CASES,
  data=st.data(),
)
def test_ends_that_are_longer_than_they_have_to_be_are_refused(case, data):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  numbers = [
    data.draw(st.integers(number, tables.ends.shape[1] - 1))
    for number in map(reference_coder.Cdfs(tables).number, rows.tolist())
  ]
  streams = reference_coder.encode_rows(rows, shape, num_lanes, tables, numbers)
  _check_any(streams, shape, tables)


def _of_one_set(
  cdf: list[list[int]], contexts: int = 0
) -> coding_tables.QualityTables:
  """Tables with these cumulative frequencies, the first symbol 0.

  Args:
    cdf: Of each channel.
    contexts: The context channels.
  """
  rows = np.array(cdf)[:, :-1]
  count, size = rows.shape
  zeros = np.zeros(count, np.int32)
  ones = np.ones(count, np.float32)
  others = count - contexts
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + size - 1, live=np.arange(count, dtype=np.int32),
    ends=np.array([[others]], np.uint16), end_cdf=np.zeros((1, 1), np.uint16),
    cdf=rows[contexts:].reshape(1, -1).astype(np.uint16), lane_positions=1000,
    **table_building.ALONE | {
      "context_cdf": rows[:contexts].ravel().astype(np.uint16),
      "context_tables": np.zeros((contexts, 1, 1), np.uint8),
      "contexts_of": np.zeros((2, contexts, 2, 2), np.uint8),
      "context_classes": np.zeros(contexts * size, np.uint8),
    },
  )  # fmt: skip


def _rows(indices: np.ndarray) -> np.ndarray:
  """Rows of the only activity, of table indices [positions, L]."""
  return np.pad(indices, ((0, 0), (1, 0))).astype(np.int32)


@pytest.mark.parametrize("symbol", [0, 1, 2])
@pytest.mark.parametrize(
  "cdf",
  [
    [0, 1, 65535, 65536],
    [0, 21845, 43690, 65536],
    [0, 65534, 65535, 65536],
    [0, 32767, 32769, 65536],
  ],
)
def test_runs_of_one_symbol_with_long_carries(cdf, symbol):
  # Thirds keep base at 0x5555..., and one unit at the end carries through all.
  rows = _rows(np.full((300, 1), symbol))
  rows[[96, -1], 1] = 2
  _check(rows, (3, 100), 4, _of_one_set([cdf]))


@pytest.mark.parametrize("contexts", [0, 3])
@pytest.mark.parametrize("num_lanes", [1, 2])
def test_what_fills_up_a_lane_leaves_the_smallest_interval(contexts, num_lanes):
  tables = _of_one_set(
    [[0, 65535, 65536], [0, 2, 65536], [0, 1, 65536]], contexts
  )
  cdfs = reference_coder.Cdfs(tables)
  steps = cdfs.others([0] * 4, 0)
  if contexts:
    nowhere = reference_coder.Near(None, None, None, None)
    steps = cdfs.head([0] * 4, 0, nowhere)
  assert reference_coder.narrowed(steps).size == 1 << 16
  # The first of two lanes is a position shorter.
  rows = _rows(np.zeros((2 * num_lanes - 1, 3)))
  streams = _check(rows, (1, len(rows)), num_lanes, tables)
  for more in (b"\0", b"\0\0"):
    _check_any([streams[0] + more, *streams[1:]], (1, len(rows)), tables)


@pytest.mark.parametrize("num_lanes", [1, 2, 3])
def test_lanes_of_several_rows(num_lanes):
  tables = tables_strategy.make_tables(
    5, 8, 30, 0.0, activities=3, ends=2, contexts=3, classes=4
  )
  assert tables.contexts == 3
  for shape in ((1, 9), (9, 1), (2, 2), (6, 7), (7, 6)):
    if num_lanes <= math.prod(shape):
      rows = tables_strategy.likely_rows(tables, shape, num_lanes, 0, True)
      _check(rows, shape, num_lanes, tables)


def test_all_short_sequences():
  tables = _of_one_set([[0, 1, 32768, 65535, 65536]] * 3)
  grid = np.meshgrid(*[np.arange(4)] * 3)
  rows = _rows(np.stack(grid, -1).reshape(-1, 3))
  _check(rows, (8, 8), len(rows), tables)


def test_all_streams_of_two_bytes():
  tables = _of_one_set([[0, 3, 40000, 65535, 65536]] * 2)
  pairs = [bytes([a, b]) for a in range(0, 256, 15) for b in range(0, 256, 15)]
  for stream in (b"", b"\0", b"\x80", *pairs):
    _check_any([stream], (1, 1), tables)


def test_a_thousand_symbols_may_take_one_byte():
  # The middle symbol's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  tables = _of_one_set([[0, 1 << 14, 3 << 14, 1 << 16]])
  rows = _rows(np.ones((1000, 1)))
  assert _check(rows, (20, 50), 1, tables) == [b"\x80"]


def test_the_most_tables_need_no_more_digits_than_there_are():
  sets = coding_tables.MAX_ACTIVITIES
  others = stock_streams.MAX_TABLES // sets
  one = _of_one_set([[0, 40000, 65536]] * others)
  tables = dataclasses.replace(
    one,
    ends=np.full((sets, 1), others, np.uint16),
    end_cdf=np.zeros((sets, 1), np.uint16),
    activity_cdf=np.arange(sets, dtype=np.uint16)[None],
    activity_tables=np.zeros((2, sets + 1), np.uint8),
    surroundings=np.zeros((sets, sets), np.uint8),
    cdf=np.tile(one.cdf, (sets, 1)),
    context_tables=np.zeros((0, sets, 1), np.uint8),
  )
  rows = _rows(np.random.default_rng(0).integers(0, 2, (4, others)))
  rows[:, 0] = 0, sets - 1, 1, sets - 1
  _check(rows, (2, 2), 3, tables)


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0)
  rows = _rows(np.zeros((9, 0)))
  assert _check(rows, (3, 3), 3, tables) == [b""] * 3
  assert decode([b"", b"\0", b""], (3, 3), tables) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (5, 7), (6, 4)])
def test_positions_have_the_neighbours_of_the_library(shape):
  total = math.prod(shape)
  for num_lanes in range(1, total + 1):
    found = stock_streams.neighbours(
      tuple(map(tf.constant, shape)), tf.constant(num_lanes)
    )
    expected = lanes.neighbours(*shape, num_lanes)
    for name in ("left", "second"):
      np.testing.assert_array_equal(
        getattr(found, name), getattr(expected, name)
      )
    for name in ("above", "below"):
      of_all = np.full(total, total)
      of_all[expected.later] = getattr(expected, name)
      np.testing.assert_array_equal(getattr(found, name), of_all)


def test_the_largest_images_have_the_runs_of_the_library():
  total, num_lanes = 1 << 23, 6000
  np.testing.assert_array_equal(
    stock_streams.run_bounds(tf.constant(total), tf.constant(num_lanes)),
    lanes.bounds(total, num_lanes),
  )


def test_an_image_may_have_a_thousand_lanes():
  tables = tables_strategy.make_tables(
    3, 8, 30, 0.5, activities=3, ends=2, contexts=2, classes=4
  )
  shape = (30, 50)
  rows = tables_strategy.likely_rows(tables, shape, 1000, 0, False)
  streams = _check(rows, shape, 1000, tables)
  streams[500] += b"\0"
  assert decode(streams, shape, tables) is None
