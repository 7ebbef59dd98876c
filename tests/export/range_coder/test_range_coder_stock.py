"""The stock runtime against the library's: the same bytes and refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import coding_tables
from bls2017.model import runtimes
from export.range_coder import range_coder_stock, stock_streams
from tests import laws
from tests.bls2017.format import tables_strategy

STOCK = range_coder_stock.StockRangeCoder()
# tfc's, where there is tfc.
LIBRARY = runtimes.make_coder(runtimes.TENSORFLOW)
EXAMPLES = laws.examples(150)

CHANGES = st.lists(
  st.tuples(
    st.integers(0, 100),
    st.one_of(
      st.binary(max_size=6),
      st.integers(1, 4).map(bytes),
      st.lists(st.sampled_from([0, 255]), max_size=6).map(bytes),
    ),
    st.booleans(),
  ),
  max_size=3,
)


def _tables(cdf: list[list[int]], lane_positions: int):
  rows = np.array(cdf, np.int32)[:, :-1]
  ones = np.ones(len(rows), np.float32)
  zeros = np.zeros(len(rows), np.int32)
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + rows.shape[1] - 1, cdf=rows.reshape(1, -1),
    live=np.arange(len(rows), dtype=np.int32),
    activity_cdf=np.zeros((2, 1), np.int32), lane_positions=lane_positions,
  )  # fmt: skip


def _outcome(coder, streams, positions, tables):
  try:
    return coder.decode(streams, positions, tables).tolist()
  except errors.BitstreamError:
    return None


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_both_runtimes_write_the_same_bytes(case):
  tables, symbols = tables_strategy.draw(case)
  streams = STOCK.encode(symbols, tables)
  assert streams == LIBRARY.encode(symbols, tables)
  decoded = STOCK.decode(streams, len(symbols), tables)
  assert decoded.dtype == np.int32
  np.testing.assert_array_equal(decoded, symbols)


@EXAMPLES
@given(case=tables_strategy.CASES, changes=CHANGES)
def test_both_runtimes_accept_the_same_streams(case, changes):
  tables, symbols = tables_strategy.draw(case)
  streams = LIBRARY.encode(symbols, tables)
  for lane, content, appended in changes:
    lane %= len(streams)
    streams[lane] = streams[lane] + content if appended else content
  positions = len(symbols)
  found = _outcome(STOCK, streams, positions, tables)
  assert found == _outcome(LIBRARY, streams, positions, tables)


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
  tables = _tables([cdf], 97)
  symbols = np.full((300, 1), symbol, np.int32)
  symbols[96] = symbols[-1] = 2
  streams = STOCK.encode(symbols, tables)
  assert streams == LIBRARY.encode(symbols, tables)
  np.testing.assert_array_equal(STOCK.decode(streams, 300, tables), symbols)


def test_short_sequences_exhaustively():
  tables = _tables([[0, 1, 32768, 65535, 65536]], 1)
  symbols = np.arange(4, dtype=np.int32)[:, None]
  assert STOCK.encode(symbols, tables) == LIBRARY.encode(symbols, tables)
  two = _tables([[0, 1, 32768, 65535, 65536]] * 3, 1)
  symbols = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
  symbols = symbols.astype(np.int32)
  streams = STOCK.encode(symbols, two)
  assert streams == LIBRARY.encode(symbols, two)
  np.testing.assert_array_equal(STOCK.decode(streams, 64, two), symbols)


def test_all_streams_of_two_bytes():
  tables = _tables([[0, 3, 40000, 65535, 65536]] * 2, 1)
  streams = [bytes([a, b]) for a in range(0, 256, 5) for b in range(0, 256, 5)]
  for stream in (b"", b"\0", b"\x80", *streams[::7]):
    found = _outcome(STOCK, [stream], 1, tables)
    assert found == _outcome(LIBRARY, [stream], 1, tables)


def test_the_most_sets_of_tables_need_no_more_digits_than_there_are():
  most = coding_tables.MAX_ACTIVITIES
  for seed, skew in ((0, 0.0), (1, 1.0)):
    tables = tables_strategy.make_tables(seed, 6, 300, skew, 50, most)
    symbols = tables_strategy.likely_symbols(tables, 120, seed, flat=True)
    streams = STOCK.encode(symbols, tables)
    assert streams == LIBRARY.encode(symbols, tables)
    np.testing.assert_array_equal(STOCK.decode(streams, 120, tables), symbols)


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0, 4)
  symbols = np.zeros((9, 0), np.int32)
  assert STOCK.encode(symbols, tables) == [b""] * 3
  assert STOCK.decode([b""] * 3, 9, tables).shape == (9, 0)
  with pytest.raises(errors.BitstreamError):
    STOCK.decode([b"", b"\0", b""], 9, tables)


@st.composite
def _batches(draw):
  """Images of one model and of several qualities."""
  channels = draw(st.integers(1, 6))
  activities = draw(st.sampled_from([1, 3]))
  images = []
  for _ in range(draw(st.integers(1, 5))):
    seed = draw(st.integers(0, 2**32 - 1))
    largest = draw(st.sampled_from([1, 2, 17, 300]))
    lane_positions = draw(st.integers(1, 20))
    skew = draw(st.sampled_from([0.0, 0.5, 0.999]))
    tables = tables_strategy.make_tables(
      seed, channels, largest, skew, lane_positions, activities
    )
    positions = draw(st.integers(1, 40))
    rows = tables_strategy.likely_symbols(tables, positions, seed, flat=False)
    images.append((rows, tables))
  return images


@laws.examples(60)
@given(images=_batches(), changes=CHANGES)
def test_images_coded_together_are_those_coded_alone(images, changes):
  rows, tables = zip(*images)
  streams = STOCK.encode_together(rows, tables)
  assert streams == [LIBRARY.encode(r, t) for r, t in images]
  for number, content, appended in changes:
    of_image = streams[number % len(streams)]
    lane = number % len(of_image)
    of_image[lane] = of_image[lane] + content if appended else content
  positions = [len(r) for r in rows]
  decoded = STOCK.decode_together(streams, positions, tables)
  for found, s, n, t in zip(decoded, streams, positions, tables):
    expected = _outcome(LIBRARY, s, n, t)
    assert (None if found is None else found.tolist()) == expected


def test_so_many_lanes_that_two_threads_share_them():
  images = []
  for seed, (positions, lane_positions) in enumerate(
    ((40, 7), (stock_streams.PARTED_LANES, 1), (70, 30), (300, 2))
  ):
    tables = tables_strategy.make_tables(seed, 4, 30, 0.5, lane_positions, 3)
    rows = tables_strategy.likely_symbols(tables, positions, seed, flat=False)
    images.append((rows, tables))
  rows, tables = zip(*images)
  streams = STOCK.encode_together(rows, tables)
  assert streams == [LIBRARY.encode(r, t) for r, t in images]
  streams[1][stock_streams.PARTED_LANES // 2] += b"\0"
  decoded = STOCK.decode_together(streams, [len(r) for r in rows], tables)
  assert decoded[1] is None
  for number in (0, 2, 3):
    np.testing.assert_array_equal(decoded[number], rows[number])


def test_tensorflow_compression_is_not_imported():
  script = (
    "import sys; sys.modules['tensorflow_compression'] = None\n"
    "from export.range_coder import range_coder_stock\n"
    "range_coder_stock.StockRangeCoder()"
  )
  subprocess.run([sys.executable, "-c", script], check=True)
