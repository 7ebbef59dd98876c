"""The range coder of the export writes and accepts what FORMAT.md says."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import coding_tables
from export.range_coder import stock_decoder, stock_encoder, stock_streams
from tests import laws
from tests.bls2017.format import tables_strategy
from tests.export.range_coder import reference

_NUMBERS = tf.TensorSpec((None,), tf.int32)
_IMAGES = stock_streams.Images(_NUMBERS, _NUMBERS)
_TABLES = stock_streams.Tables(
  cdf=_NUMBERS,
  activity_cdf=tf.TensorSpec((None, None, None), tf.int32),
  totals=_NUMBERS,
  live=_NUMBERS,
  live_starts=_NUMBERS,
  live_counts=_NUMBERS,
  lane_positions=_NUMBERS,
  channels=tf.TensorSpec((), tf.int32),
)


@functools.cache
def _graph(function, num_activities, *arguments):
  return tf.function(
    functools.partial(function, num_activities=num_activities),
    input_signature=[*arguments, _IMAGES, _TABLES],
    autograph=False,
  )


def _tables(tables: Sequence[coding_tables.QualityTables]):
  return stock_streams.Tables(
    cdf=np.concatenate([t.cdf.ravel() for t in tables]),
    activity_cdf=np.stack([t.activity_cdf for t in tables]),
    totals=np.int32([t.cdf.shape[1] for t in tables]),
    live=np.concatenate([t.live for t in tables]),
    live_starts=np.concatenate([t.starts[t.live] for t in tables]),
    live_counts=np.int32([len(t.live) for t in tables]),
    lane_positions=np.int32([t.lane_positions for t in tables]),
    channels=np.int32(len(tables[0].gain)),
  )


def _images(positions: Sequence[int]):
  return stock_streams.Images(np.arange(len(positions)), np.int32(positions))


def encode(
  rows: Sequence[np.ndarray], tables: Sequence[coding_tables.QualityTables]
) -> list[list[bytes]]:
  """The streams of images, in one run of the graph."""
  columns = tables[0].activity_columns
  activities = [
    r[:, 0] if columns else np.zeros(len(r), np.int32) for r in rows
  ]
  graph = _graph(
    stock_encoder.encode, tables[0].num_activities, _NUMBERS, _NUMBERS
  )
  payload, lengths = graph(
    np.concatenate(activities),
    np.concatenate([r[:, columns:].ravel() for r in rows]),
    _images([len(r) for r in rows]),
    _tables(tables),
  )
  ends = np.cumsum(lengths)
  data = payload.numpy().tobytes()
  streams = iter([data[e - n : e] for e, n in zip(ends, lengths)])
  return [
    [next(streams) for _ in range(-(-len(r) // t.lane_positions))]
    for r, t in zip(rows, tables)
  ]


def decode(
  streams: Sequence[list[bytes]],
  positions: Sequence[int],
  tables: Sequence[coding_tables.QualityTables],
) -> list[np.ndarray | None]:
  """The rows of images, in one run of the graph; None where it refuses."""
  lanes = [stream for of_image in streams for stream in of_image]
  graph = _graph(
    stock_decoder.decode,
    tables[0].num_activities,
    tf.TensorSpec((None,), tf.uint8),
    _NUMBERS,
  )
  activities, indices, sound = (
    x.numpy()
    for x in graph(
      np.frombuffer(b"".join(lanes), np.uint8),
      np.int32([len(lane) for lane in lanes]),
      _images(positions),
      _tables(tables),
    )
  )
  found: list[np.ndarray | None] = []
  for count, t, is_sound in zip(positions, tables, sound):
    size = count * len(t.live)
    rows = [indices[:size].reshape(count, -1)]
    if t.activity_columns:
      rows.insert(0, activities[:count, None])
    found.append(np.concatenate(rows, 1) if is_sound else None)
    activities, indices = activities[count:], indices[size:]
  return found


def _check(rows, tables) -> list[list[bytes]]:
  """Asserts that images are coded as the reference does, and come back."""
  streams = encode(rows, tables)
  assert streams == [reference.encode(r, t) for r, t in zip(rows, tables)]
  decoded = decode(streams, [len(r) for r in rows], tables)
  for found, expected in zip(decoded, rows):
    np.testing.assert_array_equal(found, expected)
  return streams


def _check_any(streams, positions, tables) -> None:
  """Asserts that streams are accepted or refused as by the reference."""
  decoded = decode(streams, positions, tables)
  for found, *of_image in zip(decoded, streams, positions, tables):
    expected = reference.decode(*of_image)
    assert (found is None) == (expected is None)
    np.testing.assert_array_equal(found, expected)


@st.composite
def _batches(draw):
  """Images of one model and of several qualities."""
  channels = draw(st.integers(1, 8))
  activities = draw(st.sampled_from([1, 3]))
  images = []
  for _ in range(draw(st.integers(1, 4))):
    seed = draw(st.integers(0, 2**32 - 1))
    largest = draw(st.sampled_from([1, 2, 3, 17, 300]))
    skew = draw(st.sampled_from([0.0, 0.5, 0.999, 1.0]))
    tables = tables_strategy.make_tables(
      seed, channels, largest, skew, draw(st.integers(1, 20)), activities
    )
    flat, positions = draw(st.booleans()), draw(st.integers(1, 40))
    rows = tables_strategy.likely_symbols(tables, positions, seed, flat)
    images.append((rows, tables))
  return tuple(zip(*images))


@laws.examples(150)
@given(batch=_batches())
def test_streams_are_those_of_the_reference(batch):
  _check(*batch)


@laws.examples(150)
@given(
  batch=_batches(),
  changes=st.lists(
    st.tuples(
      st.integers(0, 100),
      st.one_of(
        st.binary(max_size=6),
        st.integers(1, 4).map(bytes),
        st.lists(st.sampled_from([0, 255]), max_size=6).map(bytes),
      ),
      st.booleans(),
    ),
    min_size=1,
    max_size=4,
  ),
)
def test_any_bytes_are_refused_or_the_streams_of_an_image(batch, changes):
  rows, tables = batch
  streams = [reference.encode(r, t) for r, t in zip(rows, tables)]
  for number, content, appended in changes:
    of_image = streams[number % len(streams)]
    lane = number % len(of_image)
    of_image[lane] = of_image[lane] + content if appended else content
  _check_any(streams, [len(r) for r in rows], tables)


def _one_quality(cdf: list[list[int]], lane_positions: int):
  """Tables of channels with these cumulative frequencies."""
  rows = np.array(cdf, np.int32)[:, :-1]
  ones = np.ones(len(rows), np.float32)
  zeros = np.zeros(len(rows), np.int32)
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + rows.shape[1] - 1, cdf=rows.reshape(1, -1),
    live=np.arange(len(rows), dtype=np.int32),
    activity_cdf=np.zeros((2, 1), np.int32), lane_positions=lane_positions,
  )  # fmt: skip


@pytest.mark.parametrize(
  "cdf",
  [
    [0, 1, 65535, 65536],
    [0, 21845, 43690, 65536],
    [0, 65534, 65535, 65536],
    [0, 32767, 32769, 65536],
  ],
)
def test_runs_of_one_symbol_with_long_carries(cdf):
  # Thirds keep base at 0x5555..., and one unit at the end carries through all.
  rows = [np.full((300, 1), symbol, np.int32) for symbol in (0, 1, 2)]
  for row in rows:
    row[96] = row[-1] = 2
  _check(rows, [_one_quality([cdf], 97)] * 3)


def test_all_short_sequences():
  tables = _one_quality([[0, 1, 32768, 65535, 65536]] * 3, 1)
  grid = np.meshgrid(*[np.arange(4, dtype=np.int32)] * 3)
  _check([np.stack(grid, -1).reshape(-1, 3)], [tables])


def test_all_streams_of_two_bytes():
  tables = _one_quality([[0, 3, 40000, 65535, 65536]] * 2, 1)
  pairs = [bytes([a, b]) for a in range(0, 256, 5) for b in range(0, 256, 5)]
  streams = [b"", b"\0", b"\x80", *pairs]
  ones = [1] * len(streams)
  _check_any([[s] for s in streams], ones, [tables] * len(streams))


def test_a_thousand_symbols_may_take_one_byte():
  # The middle symbol's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  tables = _one_quality([[0, 1 << 14, 3 << 14, 1 << 16]], 1000)
  streams = _check([np.ones((1000, 1), np.int32)], [tables])
  assert streams == [[b"\x80"]]


def test_the_most_sets_of_tables_need_no_more_digits_than_there_are():
  tables = [
    tables_strategy.make_tables(
      seed, 6, 300, skew, 50, coding_tables.MAX_ACTIVITIES
    )
    for seed, skew in ((0, 0.0), (1, 1.0))
  ]
  _check(
    [tables_strategy.likely_symbols(t, 120, 0, flat=True) for t in tables],
    tables,
  )


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0, 4)
  assert _check([np.zeros((9, 0), np.int32)], [tables]) == [[b""] * 3]
  assert decode([[b"", b"\0", b""]], [9], [tables]) == [None]


def test_many_lanes_are_shared_by_two_threads():
  many = stock_streams.PARTED_LANES
  tables = [
    tables_strategy.make_tables(seed, 4, 30, 0.5, lane_positions, 3)
    for seed, lane_positions in enumerate((7, 1, 30, 2))
  ]
  rows = [
    tables_strategy.likely_symbols(t, positions, 0, flat=False)
    for t, positions in zip(tables, (40, many, 70, 300))
  ]
  streams = _check(rows, tables)
  streams[1][many // 2] += b"\0"
  decoded = decode(streams, [len(r) for r in rows], tables)
  assert [found is None for found in decoded] == [False, True, False, False]
