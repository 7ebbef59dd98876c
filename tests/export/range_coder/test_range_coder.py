"""The range coder of the export writes and accepts what FORMAT.md says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import coding_tables
from export.range_coder import stock_decoder, stock_encoder, stock_streams
from tests import laws
from tests.bls2017.format import reference_coder, tables_strategy

_NUMBERS = tf.TensorSpec((None,), tf.int32)
_IMAGES = stock_streams.Images(_NUMBERS, _NUMBERS)
_TABLES = stock_streams.Tables(
  cdf=_NUMBERS,
  activity_cdf=tf.TensorSpec((None, None, None), tf.int32),
  totals=_NUMBERS,
  live_starts=_NUMBERS,
  live_counts=_NUMBERS,
  lane_positions=_NUMBERS,
)
_ENCODE = tf.function(
  stock_encoder.encode,
  input_signature=[_NUMBERS, _NUMBERS, _IMAGES, _TABLES],
  autograph=False,
)
_BYTES = tf.TensorSpec((None,), tf.uint8)
_DECODE = tf.function(
  stock_decoder.decode,
  input_signature=[_BYTES, _NUMBERS, _IMAGES, _TABLES],
  autograph=False,
)

Tables = Sequence[coding_tables.QualityTables]


def _tensors(tables: Tables) -> stock_streams.Tables:
  cdf = np.concatenate([t.cdf.ravel() for t in tables])
  return stock_streams.Tables(
    cdf=cdf.astype(np.int32),
    activity_cdf=np.stack([t.activity_cdf for t in tables]).astype(np.int32),
    totals=np.int32([t.cdf.shape[1] for t in tables]),
    live_starts=np.concatenate([t.starts[t.live] for t in tables]),
    live_counts=np.int32([len(t.live) for t in tables]),
    lane_positions=np.int32([t.lane_positions for t in tables]),
  )


def _images(positions: Sequence[int]) -> stock_streams.Images:
  return stock_streams.Images(np.arange(len(positions)), np.int32(positions))


def encode(rows: Sequence[np.ndarray], tables: Tables) -> list[list[bytes]]:
  """The streams of images, in one run of the graph."""
  payload, lengths = _ENCODE(
    np.concatenate([r[:, 0] for r in rows]),
    np.concatenate([r[:, 1:].ravel() for r in rows]),
    _images([len(r) for r in rows]),
    _tensors(tables),
  )
  ends = np.cumsum(lengths)
  data = payload.numpy().tobytes()
  streams = iter([data[e - n : e] for e, n in zip(ends, lengths)])
  return [
    [next(streams) for _ in range(-(-len(r) // t.lane_positions))]
    for r, t in zip(rows, tables)
  ]


def decode(
  streams: Sequence[list[bytes]], positions: Sequence[int], tables: Tables
) -> list[np.ndarray | None]:
  """The rows of images, in one run of the graph; None where it refuses."""
  lanes = [stream for of_image in streams for stream in of_image]
  decoded = _DECODE(
    np.frombuffer(b"".join(lanes), np.uint8),
    np.int32([len(lane) for lane in lanes]),
    _images(positions),
    _tensors(tables),
  )
  activities, indices, sound = (x.numpy() for x in decoded)
  found: list[np.ndarray | None] = []
  for count, t, is_sound in zip(positions, tables, sound):
    size = count * len(t.live)
    columns = indices[:size].reshape(count, len(t.live))
    rows = np.column_stack([activities[:count], columns])
    found.append(rows if is_sound else None)
    activities, indices = activities[count:], indices[size:]
  return found


def _check(rows, tables) -> list[list[bytes]]:
  """Asserts that images are coded as the reference does, and come back."""
  streams = encode(rows, tables)
  assert streams == [
    reference_coder.encode_rows(r, t) for r, t in zip(rows, tables)
  ]
  decoded = decode(streams, [len(r) for r in rows], tables)
  for found, expected in zip(decoded, rows):
    np.testing.assert_array_equal(found, expected)
  return streams


def _check_any(streams, positions, tables) -> None:
  """Asserts that streams are accepted or refused as by the reference."""
  decoded = decode(streams, positions, tables)
  for found, *of_image in zip(decoded, streams, positions, tables):
    expected = reference_coder.decode_rows(*of_image)
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
    positions, flat = draw(st.integers(1, 40)), draw(st.booleans())
    rows = tables_strategy.likely_rows(tables, positions, seed, flat)
    images.append((rows, tables))
  return tuple(zip(*images))


@laws.examples(150)
@given(batch=_batches())
def test_streams_are_those_of_the_reference(batch):
  _check(*batch)


@laws.examples(150)
@given(
  batch=_batches(),
  changes=st.lists(tables_strategy.CHANGES, min_size=1, max_size=4),
)
def test_any_bytes_are_refused_or_the_streams_of_an_image(batch, changes):
  rows, tables = batch
  streams = [reference_coder.encode_rows(r, t) for r, t in zip(rows, tables)]
  for number, content, appended in changes:
    of_image = streams[number % len(streams)]
    lane = number % len(of_image)
    of_image[lane] = of_image[lane] + content if appended else content
  _check_any(streams, [len(r) for r in rows], tables)


def _one_set(cdf: list[list[int]], lane_positions: int):
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


def _rows(indices: np.ndarray) -> np.ndarray:
  """Rows of the only activity, of table indices [positions, L]."""
  return np.pad(indices, ((0, 0), (1, 0))).astype(np.int32)


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
  rows = [_rows(np.full((300, 1), symbol)) for symbol in (0, 1, 2)]
  for row in rows:
    row[[96, -1], 1] = 2
  _check(rows, [_one_set([cdf], 97)] * 3)


def test_all_short_sequences():
  tables = _one_set([[0, 1, 32768, 65535, 65536]] * 3, 1)
  grid = np.meshgrid(*[np.arange(4)] * 3)
  _check([_rows(np.stack(grid, -1).reshape(-1, 3))], [tables])


def test_all_streams_of_two_bytes():
  tables = _one_set([[0, 3, 40000, 65535, 65536]] * 2, 1)
  pairs = [bytes([a, b]) for a in range(0, 256, 5) for b in range(0, 256, 5)]
  streams = [b"", b"\0", b"\x80", *pairs]
  ones = [1] * len(streams)
  _check_any([[s] for s in streams], ones, [tables] * len(streams))


def test_a_thousand_symbols_may_take_one_byte():
  # The middle symbol's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  tables = _one_set([[0, 1 << 14, 3 << 14, 1 << 16]], 1000)
  streams = _check([_rows(np.ones((1000, 1)))], [tables])
  assert streams == [[b"\x80"]]


def test_the_most_sets_of_tables_need_no_more_digits_than_there_are():
  most = coding_tables.MAX_ACTIVITIES
  tables = [
    tables_strategy.make_tables(seed, 6, 300, skew, 50, most)
    for seed, skew in ((0, 0.0), (1, 1.0))
  ]
  _check([tables_strategy.likely_rows(t, 120, 0, True) for t in tables], tables)


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0, 4)
  assert _check([_rows(np.zeros((9, 0)))], [tables]) == [[b""] * 3]
  assert decode([[b"", b"\0", b""]], [9], [tables]) == [None]


def test_many_lanes_are_shared_by_two_threads():
  many = stock_streams.PARTED_LANES
  tables = [
    tables_strategy.make_tables(seed, 4, 30, 0.5, lane_positions, 3)
    for seed, lane_positions in enumerate((7, 1, 30, 2))
  ]
  counts = 40, many, 70, 300
  rows = [
    tables_strategy.likely_rows(t, n, 0, False) for t, n in zip(tables, counts)
  ]
  streams = _check(rows, tables)
  streams[1][many // 2] += b"\0"
  decoded = decode(streams, counts, tables)
  assert [found is None for found in decoded] == [False, True, False, False]
