"""Laws of the range coder and the checksum in C."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import coding_tables, range_coder
from tests import laws
from tests.bls2017.format import reference_coder, tables_strategy

EXAMPLES = laws.examples(100)

CHANGES = st.lists(tables_strategy.CHANGES, max_size=3)


def _decoded(streams, positions, tables):
  """The rows as a list; None if the streams are refused."""
  try:
    return range_coder.decode(streams, positions, tables).tolist()
  except errors.BitstreamError:
    return None


def _tables(cdf: list[int], channels: int, lane_positions: int):
  """One set of tables, those of all channels alike."""
  ones = np.ones(channels, np.float32)
  zeros = np.zeros(channels, np.int32)
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + len(cdf) - 1, cdf=np.array([cdf * channels], np.uint16),
    live=np.arange(channels, dtype=np.int32),
    activity_cdf=np.zeros((2, 1), np.uint16), lane_positions=lane_positions,
  )  # fmt: skip


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_streams_are_those_of_the_format_and_decode_to_their_rows(case):
  tables, rows = tables_strategy.draw(case)
  streams = range_coder.encode(rows, tables)
  assert streams == reference_coder.encode_rows(rows, tables)
  decoded = range_coder.decode(streams, len(rows), tables)
  np.testing.assert_array_equal(decoded, rows)


@EXAMPLES
@given(case=tables_strategy.CASES, changes=CHANGES)
def test_other_bytes_are_refused_unless_an_encoder_writes_them(case, changes):
  tables, rows = tables_strategy.draw(case)
  streams = range_coder.encode(rows, tables)
  for lane, content, is_appended in changes:
    lane %= len(streams)
    streams[lane] = streams[lane] + content if is_appended else content
  expected = reference_coder.decode_rows(streams, len(rows), tables)
  decoded = _decoded(streams, len(rows), tables)
  assert decoded == (None if expected is None else expected.tolist())


def test_streams_of_up_to_two_bytes():
  tables = _tables([0, 3, 40000, 65535], 2, 1)
  pairs = [bytes([a, b]) for a in range(0, 256, 5) for b in range(0, 256, 5)]
  accepted = 0
  for stream in (b"", b"\0", b"\x80", *pairs):
    expected = reference_coder.decode_rows([stream], 1, tables)
    accepted += expected is not None
    assert (_decoded([stream], 1, tables) is None) == (expected is None)
  assert 0 < accepted < len(pairs)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
  "cdf",
  [[0, 1, 65535], [0, 21845, 43690], [0, 65534, 65535], [0, 32767, 32769]],
)
def test_runs_of_one_index_with_long_carries(cdf, index):
  # Thirds keep base at 0x5555..., and one unit at the end carries through all.
  tables = _tables(cdf, 1, 97)
  rows = np.full((300, 2), index, np.int32)
  rows[:, 0] = 0
  rows[96, 1] = rows[-1, 1] = 2
  streams = range_coder.encode(rows, tables)
  assert streams == reference_coder.encode_rows(rows, tables)
  decoded = range_coder.decode(streams, 300, tables)
  np.testing.assert_array_equal(decoded, rows)


def test_short_sequences_exhaustively():
  tables = _tables([0, 1, 32768, 65535], 3, 1)
  indices = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
  rows = np.pad(indices, ((0, 0), (1, 0)))
  streams = range_coder.encode(rows, tables)
  assert streams == reference_coder.encode_rows(rows, tables)
  decoded = range_coder.decode(streams, 64, tables)
  np.testing.assert_array_equal(decoded, rows)


def test_a_thousand_bits_may_take_one_byte():
  # The middle index's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  tables = _tables([0, 1 << 14, 3 << 14], 1, 1000)
  rows = np.tile([0, 1], (1000, 1))
  assert range_coder.encode(rows, tables) == [b"\x80"]
  decoded = range_coder.decode([b"\x80"], 1000, tables)
  np.testing.assert_array_equal(decoded, rows)


def test_without_live_channels_streams_are_empty():
  tables = tables_strategy.make_tables(0, 3, 1, 0.0, 4)
  rows = np.zeros((9, 1), np.int32)
  assert range_coder.encode(rows, tables) == [b""] * 3
  assert range_coder.decode([b""] * 3, 9, tables).tolist() == rows.tolist()
  with pytest.raises(errors.BitstreamError):
    range_coder.decode([b"", b"\0", b""], 9, tables)


@pytest.mark.parametrize("activities", [1, 3])
def test_large_images_are_coded_in_groups_of_lanes(activities):
  tables = tables_strategy.make_tables(2, 500, 17, 0.5, 300, activities)
  one = tables_strategy.likely_rows(tables, 300, 2, flat=False)
  # 15 lanes of 300 positions and a short one: more than one call codes.
  rows = np.tile(one, (15, 1))[:-7]
  streams = range_coder.encode(rows, tables)
  (alone,) = range_coder.encode(one, tables)
  assert streams[:-1] == [alone] * 14
  decoded = range_coder.decode(streams, len(rows), tables)
  np.testing.assert_array_equal(decoded, rows)
  for lane in (0, 7, 14):
    longer = list(streams)
    longer[lane] += b"\0"
    with pytest.raises(errors.BitstreamError):
      range_coder.decode(longer, len(rows), tables)


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_a_stream_costs_what_the_tables_say(case):
  tables, rows = tables_strategy.draw({**case, "lane_positions": 60})
  before = np.roll(rows[:, 0], 1)
  before[0] = tables.num_activities
  bits = tables.activity_lengths[before, rows[:, 0]].sum()
  entries = tables.starts[tables.live] + rows[:, 1:]
  bits += tables.code_lengths[rows[:, :1], entries].sum()
  (stream,) = range_coder.encode(rows, tables)
  # At most two bytes at the end; a little less precision in every step.
  assert 8 * len(stream) <= bits * 1.01 + 0.01 * rows.size + 17
  assert len(stream) <= tables.max_lane_bytes(len(rows))


def test_threads_have_memories_of_their_own():
  tables = tables_strategy.make_tables(3, 20, 40, 0.5, 9, 3)
  images = [
    tables_strategy.likely_rows(tables, 90, seed, flat=False)
    for seed in range(8)
  ]
  expected = [range_coder.encode(rows, tables) for rows in images]

  def work(number):
    rows, streams = images[number % 8], expected[number % 8]
    assert range_coder.encode(rows, tables) == streams
    return (range_coder.decode(streams, 90, tables) == rows).all()

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(pool.map(work, range(400)))


def test_instances_work_on_after_a_fork():
  tables = tables_strategy.make_tables(3, 20, 40, 0.5, 9, 3)
  rows = tables_strategy.likely_rows(tables, 90, 0, flat=False)
  streams = range_coder.encode(rows, tables)
  child = os.fork()
  if not child:
    works = (range_coder.decode(streams, 90, tables) == rows).all()
    os._exit(0 if works else 1)
  assert os.waitpid(child, 0)[1] == 0


_LITTLE_ADDRESS_SPACE = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from bls2017.format import range_coder
def held():
  with open("/proc/self/statm") as f:
    return int(f.read().split()[0]) * resource.getpagesize()
range_coder.fingerprint64(b"once")
before = held()
range_coder.fingerprint64(bytes(1 << 26))
print(range_coder.fingerprint64(b""), held() - before)
"""


def test_no_gigabytes_of_addresses_are_reserved_and_memory_is_given_back():
  done = subprocess.run(
    [sys.executable, "-c", _LITTLE_ADDRESS_SPACE],
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  value, kept = map(int, done.stdout.split())
  assert value == 0x9AE16A3B2F90404F
  assert kept < 1 << 24


@pytest.mark.parametrize(
  ("length", "value"),
  [
    (0, 0x9AE16A3B2F90404F),
    (18, 0x79F8C18B091F57E6),
    (40, 0x08F45B937B49468C),
    (100, 0x3CFF0F886D8D6195),
  ],
)
def test_the_checksum_is_farmhash_fingerprint64(length, value):
  assert range_coder.fingerprint64(bytes(range(length))) == value


@pytest.mark.tfc
def test_tensorflow_gives_the_same_checksums():
  import tensorflow as tf

  data = np.random.default_rng(0).bytes(100_001)
  lengths = [*range(301), 1000, 65_535, len(data)]
  cases = [data[:n] for n in lengths] + [b"\xff" * n for n in range(130)]
  expected = tf.fingerprint(cases).numpy().view("<u8").ravel().tolist()
  assert list(map(range_coder.fingerprint64, cases)) == expected
