"""NumPy's range coder against tfc's: the same bytes, the same refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import (
  coding_tables,
  lanes,
  range_coder_numpy,
  range_coder_tfc,
)
from tests import laws
from tests.bls2017.format import tables_strategy

NUMPY = range_coder_numpy.NumpyRangeCoder()
TFC = range_coder_tfc.TfcRangeCoder()
EXAMPLES = laws.examples(150)

CHANGES = st.lists(
  st.tuples(
    st.integers(0, 100),
    st.one_of(
      st.binary(max_size=6),
      st.integers(1, 4).map(bytes),
      st.lists(st.sampled_from([0, 255]), max_size=6).map(bytes),
      st.integers(200, 400).map(bytes),
    ),
    st.booleans(),
  ),
  max_size=3,
)


def _outcome(coder, streams, positions, tables):
  try:
    return coder.decode(streams, positions, tables).tolist()
  except errors.BitstreamError:
    return None


def _table(cdf: list[int], channels: int, lane_positions: int):
  """Tables of channels that are all alike."""
  ones = np.ones(channels, np.float32)
  zeros = np.zeros(channels, np.int32)
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + len(cdf) - 1, cdf=np.array([cdf * channels], np.int32),
    live=np.arange(channels, dtype=np.int32),
    activity_cdf=np.zeros((2, 1), np.int32), lane_positions=lane_positions,
  )  # fmt: skip


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_both_runtimes_write_the_same_bytes(case):
  tables, symbols = tables_strategy.draw(case)
  streams = NUMPY.encode(symbols.astype(np.int16), tables)
  assert streams == TFC.encode(symbols, tables)
  decoded = NUMPY.decode(streams, len(symbols), tables)
  assert decoded.dtype == np.int32
  np.testing.assert_array_equal(decoded, symbols)


@EXAMPLES
@given(case=tables_strategy.CASES, changes=CHANGES)
def test_both_runtimes_accept_the_same_streams(case, changes):
  tables, symbols = tables_strategy.draw(case)
  streams = TFC.encode(symbols, tables)
  for lane, content, appended in changes:
    lane %= len(streams)
    streams[lane] = streams[lane] + content if appended else content
  positions = len(symbols)
  decoded = _outcome(NUMPY, streams, positions, tables)
  assert decoded == _outcome(TFC, streams, positions, tables)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
  "cdf",
  [[0, 1, 65535], [0, 21845, 43690], [0, 65534, 65535], [0, 32767, 32769]],
)
def test_runs_of_one_index_with_long_carries(cdf, index):
  # Thirds keep base at 0x5555..., and one unit at the end carries through all.
  tables = _table(cdf, 1, 97)
  rows = np.full((300, 1), index, np.int32)
  rows[96] = rows[-1] = 2
  streams = NUMPY.encode(rows, tables)
  assert streams == TFC.encode(rows, tables)
  np.testing.assert_array_equal(NUMPY.decode(streams, 300, tables), rows)


def test_short_sequences_exhaustively():
  tables = _table([0, 1, 32768, 65535], 3, 1)
  rows = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
  streams = NUMPY.encode(rows, tables)
  assert streams == TFC.encode(rows.astype(np.int32), tables)
  np.testing.assert_array_equal(NUMPY.decode(streams, 64, tables), rows)


def test_streams_of_up_to_two_bytes():
  tables = _table([0, 3, 40000, 65535], 2, 1)
  pairs = [bytes([a, b]) for a in range(0, 256, 5) for b in range(0, 256, 5)]
  for stream in (b"", b"\0", b"\x80", *pairs):
    decoded = _outcome(NUMPY, [stream], 1, tables)
    assert decoded == _outcome(TFC, [stream], 1, tables)


@pytest.mark.parametrize(("seed", "skew"), [(0, 0.0), (1, 1.0)])
def test_the_most_activities_need_no_more_digits_than_there_are(seed, skew):
  most = coding_tables.MAX_ACTIVITIES
  tables = tables_strategy.make_tables(seed, 6, 300, skew, 50, most)
  rows = tables_strategy.likely_symbols(tables, 120, seed, flat=True)
  streams = NUMPY.encode(rows, tables)
  assert streams == TFC.encode(rows, tables)
  np.testing.assert_array_equal(NUMPY.decode(streams, 120, tables), rows)


@pytest.mark.parametrize("activities", [1, 3])
def test_large_images_are_coded_in_groups_of_lanes(monkeypatch, activities):
  tables = tables_strategy.make_tables(2, 5, 17, 0.5, 7, activities)
  rows = tables_strategy.likely_symbols(tables, 100, 2, flat=False)
  streams = NUMPY.encode(rows, tables)
  # Three lanes each, and the short last lane alone.
  monkeypatch.setattr(
    range_coder_numpy, "_GROUP_SYMBOLS", 3 * 7 * tables.columns
  )
  assert NUMPY.encode(rows, tables) == streams
  np.testing.assert_array_equal(NUMPY.decode(streams, 100, tables), rows)
  for lane in range(lanes.num_lanes(100, 7)):
    longer = list(streams)
    longer[lane] += b"\0"
    with pytest.raises(errors.BitstreamError):
      NUMPY.decode(longer, 100, tables)


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0, 4)
  rows = np.zeros((9, 0), np.int32)
  assert NUMPY.encode(rows, tables) == [b""] * 3
  assert NUMPY.decode([b""] * 3, 9, tables).shape == (9, 0)
  with pytest.raises(errors.BitstreamError):
    NUMPY.decode([b"", b"\0", b""], 9, tables)


def test_tensorflow_is_not_imported():
  script = (
    "import sys; sys.modules['tensorflow'] = None\n"
    "from bls2017.format import range_coder_numpy\n"
    "range_coder_numpy.NumpyRangeCoder()"
  )
  subprocess.run([sys.executable, "-c", script], check=True)
