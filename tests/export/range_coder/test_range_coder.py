"""The range coder of the export writes and accepts what FORMAT.md says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import coding_tables, lanes
from export.graph import graph_tables
from export.range_coder import stock_decoder, stock_encoder, stock_streams
from tests import laws
from tests.bls2017.format import reference_coder, tables_strategy

_CONTEXTS, _CLASSES = 12, 4
"""The room in the graphs; qualities have fewer."""

_NUMBER = tf.TensorSpec((), tf.int32)
_NUMBERS = tf.TensorSpec((None,), tf.int32)
_MATRIX = tf.TensorSpec((None, None), tf.int32)
_TABLES = stock_streams.Tables(
  ends=_MATRIX,
  kind_cdf=_MATRIX,
  cdf=_MATRIX,
  starts=_NUMBERS,
  zeros=_NUMBERS,
  context_cdf=_NUMBERS,
  context_starts=tf.TensorSpec((_CONTEXTS, None, None), tf.int32),
  context_classes=_NUMBERS,
  class_starts=tf.TensorSpec((_CONTEXTS,), tf.int32),
)
_ENCODE = tf.function(
  stock_encoder.encode,
  input_signature=[_MATRIX, _NUMBER, _TABLES],
  autograph=False,
)
_BYTES = tf.TensorSpec((None,), tf.uint8)
_DECODE = tf.function(
  stock_decoder.decode,
  input_signature=[_BYTES, _NUMBERS, _NUMBER, _TABLES],
  autograph=False,
)


def _tensors(tables: coding_tables.QualityTables) -> stock_streams.Tables:
  fields = graph_tables.arrays(tables, _CONTEXTS, _CLASSES)
  return stock_streams.Tables(*(np.int32(field) for field in fields))


def encode(
  rows: np.ndarray, num_lanes: int, tables: coding_tables.QualityTables
) -> list[bytes]:
  """The streams of an image."""
  payload, lengths = _ENCODE(np.int32(rows), num_lanes, _tensors(tables))
  ends = np.cumsum(lengths)
  data = payload.numpy().tobytes()
  assert ends[-1] == len(data)
  return [data[end - size : end] for end, size in zip(ends, lengths)]


def decode(
  streams: Sequence[bytes], positions: int, tables: coding_tables.QualityTables
) -> np.ndarray | None:
  """The rows of an image; None where the graph refuses its streams."""
  rows, sound = _DECODE(
    np.frombuffer(b"".join(streams), np.uint8),
    np.int32([len(stream) for stream in streams]),
    positions,
    _tensors(tables),
  )
  return rows.numpy() if sound else None


def _check(rows, num_lanes, tables) -> list[bytes]:
  """Asserts that an image is coded as the reference does, and comes back."""
  streams = encode(rows, num_lanes, tables)
  assert streams == reference_coder.encode_rows(rows, num_lanes, tables)
  np.testing.assert_array_equal(decode(streams, len(rows), tables), rows)
  return streams


def _check_any(streams, positions, tables) -> None:
  """Asserts that streams are accepted or refused as by the reference."""
  expected = reference_coder.decode_rows(streams, positions, tables)
  found = decode(streams, positions, tables)
  assert (found is None) == (expected is None)
  if expected is not None:
    np.testing.assert_array_equal(found, expected)


@laws.examples(150)
@given(case=tables_strategy.CASES)
def test_streams_are_those_of_the_reference(case):
  tables, rows, num_lanes = tables_strategy.draw(case)
  _check(rows, num_lanes, tables)


@laws.examples(150)
@given(
  case=tables_strategy.CASES,
  changes=st.lists(tables_strategy.CHANGES, min_size=1, max_size=4),
)
def test_any_bytes_are_refused_or_the_streams_of_an_image(case, changes):
  tables, rows, num_lanes = tables_strategy.draw(case)
  streams = reference_coder.encode_rows(rows, num_lanes, tables)
  for number, content, appended in changes:
    lane = number % num_lanes
    streams[lane] = streams[lane] + content if appended else content
  _check_any(streams, len(rows), tables)


@laws.examples(80)
@given(
  case=tables_strategy.CASES,
  data=st.data(),
)
def test_ends_that_are_longer_than_they_have_to_be_are_refused(case, data):
  tables, rows, num_lanes = tables_strategy.draw(case)
  numbers = [
    data.draw(st.integers(number, tables.ends.shape[1] - 1))
    for number in map(reference_coder.Cdfs(tables).number, rows.tolist())
  ]
  streams = reference_coder.encode_rows(rows, num_lanes, tables, numbers)
  _check_any(streams, len(rows), tables)


def _of_one_set(cdf: list[list[int]]) -> coding_tables.QualityTables:
  """Tables of others with these cumulative frequencies, the first symbol 0."""
  rows = np.array(cdf)[:, :-1]
  count, size = rows.shape
  zeros = np.zeros(count, np.int32)
  ones = np.ones(count, np.float32)
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + size - 1, live=np.arange(count, dtype=np.int32),
    ends=np.array([[count]], np.uint16), kind_cdf=np.zeros((2, 1), np.uint16),
    cdf=rows.reshape(1, -1).astype(np.uint16),
    context_cdf=np.zeros(0, np.uint16),
    context_tables=np.zeros((0, 1, 1), np.uint8),
    context_classes=np.zeros(0, np.uint8), lane_positions=1000,
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
  _check(rows, 4, _of_one_set([cdf]))


def test_all_short_sequences():
  tables = _of_one_set([[0, 1, 32768, 65535, 65536]] * 3)
  grid = np.meshgrid(*[np.arange(4)] * 3)
  rows = _rows(np.stack(grid, -1).reshape(-1, 3))
  _check(rows, len(rows), tables)


def test_all_streams_of_two_bytes():
  tables = _of_one_set([[0, 3, 40000, 65535, 65536]] * 2)
  pairs = [bytes([a, b]) for a in range(0, 256, 15) for b in range(0, 256, 15)]
  for stream in (b"", b"\0", b"\x80", *pairs):
    _check_any([stream], 1, tables)


def test_a_thousand_symbols_may_take_one_byte():
  # The middle symbol's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  tables = _of_one_set([[0, 1 << 14, 3 << 14, 1 << 16]])
  assert _check(_rows(np.ones((1000, 1))), 1, tables) == [b"\x80"]


def test_the_most_tables_need_no_more_digits_than_there_are():
  sets = coding_tables.MAX_ACTIVITIES
  others = stock_streams.MAX_TABLES // sets
  one = _of_one_set([[0, 40000, 65536]] * others)
  tables = dataclasses.replace(
    one,
    ends=np.full((sets, 1), others, np.uint16),
    kind_cdf=np.tile(np.arange(sets, dtype=np.uint16), (sets + 1, 1)),
    cdf=np.tile(one.cdf, (sets, 1)),
    context_tables=np.zeros((0, sets, 1), np.uint8),
  )
  rows = _rows(np.random.default_rng(0).integers(0, 2, (4, others)))
  rows[:, 0] = 0, sets - 1, 1, sets - 1
  _check(rows, 3, tables)


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0)
  rows = _rows(np.zeros((9, 0)))
  assert _check(rows, 3, tables) == [b""] * 3
  assert decode([b"", b"\0", b""], 9, tables) is None


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
  rows = tables_strategy.likely_rows(tables, 1500, 1000, 0, False)
  streams = _check(rows, 1000, tables)
  streams[500] += b"\0"
  assert decode(streams, 1500, tables) is None
