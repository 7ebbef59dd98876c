"""Laws of the range coder and the checksum in C."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
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


def _decode(streams, shape, tables, first=0, end=None):
  heads = range_coder.decode_heads(streams, shape, tables)
  end = math.prod(shape) if end is None else end
  return range_coder.decode(streams, heads, first, end, tables)


def _decoded(streams, shape, tables, first=0, end=None):
  """The rows as a list; None if the streams are refused."""
  try:
    return _decode(streams, shape, tables, first, end).tolist()
  except errors.BitstreamError:
    return None


def _check_verdict(streams, shape, tables):
  """Holds the decoder to the reference; True if both accept the streams."""
  expected = reference_coder.decode_rows(streams, shape, tables)
  expected = None if expected is None else expected.tolist()
  assert _decoded(streams, shape, tables) == expected
  return expected is not None


def _tables(
  cdf: list[int], channels: int, ends: tuple[int, ...] = (), contexts: int = 0
):
  """One activity, the tables of all channels alike, 0 the first symbol.

  Kinds are as likely as each other.
  """
  ends = (*ends, channels - contexts)
  size, g = len(cdf), len(ends)
  ones = np.ones(channels, np.float32)
  zeros = np.zeros(channels, np.int32)
  return coding_tables.QualityTables(
    gain=ones, inverse_gain=ones, offset=0 * ones, minimum=zeros,
    maximum=zeros + size - 1, live=np.arange(channels, dtype=np.int32),
    ends=np.array([ends], np.uint16),
    end_cdf=(np.arange(g) * 65536 // g).astype(np.uint16)[None],
    activity_cdf=np.zeros((1, 1), np.uint16),
    activity_tables=np.zeros((2, 2), np.uint8),
    surroundings=np.zeros((1, 1), np.uint8),
    cdf=np.array([cdf * (channels - contexts)], np.uint16),
    context_cdf=np.array(cdf * contexts, np.uint16),
    context_tables=np.zeros((contexts, 1, 1), np.uint8),
    contexts_of=np.zeros((2, contexts, 2, 2), np.uint8),
    context_classes=np.zeros(contexts * size, np.uint8), lane_positions=1,
  )  # fmt: skip


def _check(rows, shape, num_lanes, tables):
  """Encodes as the reference does, and decodes again; returns the streams."""
  streams = range_coder.encode(rows, shape, num_lanes, tables)
  assert streams == reference_coder.encode_rows(rows, shape, num_lanes, tables)
  np.testing.assert_array_equal(_decode(streams, shape, tables), rows)
  return streams


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_streams_are_those_of_the_format_and_decode_to_their_rows(case):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  streams = _check(rows, shape, num_lanes, tables)
  found = reference_coder.decode_rows(streams, shape, tables)
  np.testing.assert_array_equal(found, rows)


@EXAMPLES
@given(case=tables_strategy.CASES, data=st.data())
def test_any_run_of_positions_is_that_part_of_all(case, data):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  streams = range_coder.encode(rows, shape, num_lanes, tables)
  first = data.draw(st.integers(0, len(rows)))
  end = data.draw(st.integers(first, len(rows)))
  part = _decode(streams, shape, tables, first, end)
  np.testing.assert_array_equal(part, rows[first:end])


@EXAMPLES
@given(case=tables_strategy.CASES, changes=CHANGES)
def test_other_bytes_are_refused_unless_an_encoder_writes_them(case, changes):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  streams = range_coder.encode(rows, shape, num_lanes, tables)
  for lane, content, is_appended in changes:
    lane %= len(streams)
    streams[lane] = streams[lane] + content if is_appended else content
  _check_verdict(streams, shape, tables)


@EXAMPLES
@given(case=tables_strategy.CASES, change=st.tuples(*[st.integers(0)] * 4))
def test_a_changed_bit_is_refused_unless_an_encoder_writes_it(case, change):
  tables, rows, shape, num_lanes = tables_strategy.draw(case)
  streams = range_coder.encode(rows, shape, num_lanes, tables)
  lane, place, bit, end = change
  lane %= num_lanes
  content = bytearray(streams[lane] or b"\0")
  content[place % len(content)] ^= 1 << bit % 8
  streams[lane] = bytes(content)
  if _check_verdict(streams, shape, tables):
    end %= len(rows) + 1
    whole = _decoded(streams, shape, tables)
    assert _decoded(streams, shape, tables, 0, end) == whole[:end]


def test_a_run_does_not_depend_on_lanes_that_hold_none_of_it():
  tables = tables_strategy.make_tables(1, 12, 30, 0.5, 64, 3, 3, 2, 3)
  shape = (5, 8)
  rows = tables_strategy.likely_rows(tables, shape, 4, 1, flat=False)
  streams = range_coder.encode(rows, shape, 4, tables)
  streams[3] += b"\0"
  assert _decoded(streams, shape, tables) is None
  for first, end in ((0, 20), (3, 4), (20, 20)):
    found = _decode(streams, shape, tables, first, end)
    np.testing.assert_array_equal(found, rows[first:end])
  assert _decoded(streams, shape, tables, 39, 40) is None


def test_streams_of_up_to_two_bytes():
  tables = _tables([0, 3, 40000, 65535], 2, ends=(0,))
  pairs = [bytes([a, b]) for a in range(0, 256, 7) for b in range(0, 256, 7)]
  tried = [b"", b"\0", b"\x80", *pairs]
  accepted = sum(_check_verdict([stream], (1, 1), tables) for stream in tried)
  assert 0 < accepted < len(tried)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
  "cdf",
  [[0, 1, 65535], [0, 21845, 43690], [0, 65534, 65535], [0, 32767, 32769]],
)
def test_runs_of_one_index_with_long_carries(cdf, index):
  # Thirds keep base at 0x5555..., and one unit at the end carries through all.
  rows = np.full((300, 2), index, np.int32)
  rows[:, 0] = 0
  rows[74, 1] = rows[-1, 1] = 2
  _check(rows, (3, 100), 4, _tables(cdf, 1))


@pytest.mark.parametrize("contexts", [0, 2])
def test_short_sequences_exhaustively(contexts):
  tables = _tables([0, 1, 32768, 65535], 3, (0,) * (3 - contexts), contexts)
  indices = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
  _check(np.pad(indices, ((0, 0), (1, 0))), (8, 8), 64, tables)


def test_a_thousand_bits_may_take_one_byte():
  # The middle index's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  rows = np.tile([0, 1], (1000, 1))
  tables = _tables([0, 1 << 14, 3 << 14], 1)
  assert _check(rows, (20, 50), 1, tables) == [b"\x80"]


@pytest.mark.parametrize("ends", [(), (0,), (0, 0)])
def test_without_live_channels_all_that_is_coded_is_the_first_kind(ends):
  tables = _tables([0], 0, ends)
  rows = np.zeros((9, 1), np.int32)
  streams = _check(rows, (3, 3), 3, tables)
  assert not any(b"".join(streams))
  with pytest.raises(errors.BitstreamError):
    _decode([b"", b"\xff", b""], (3, 3), tables)


@EXAMPLES
@given(case=tables_strategy.CASES, longer=st.dictionaries(
  st.integers(0, 60), st.integers(0, 3), max_size=3
))  # fmt: skip
def test_a_position_has_one_end(case, longer):
  tables, rows, shape, num_lanes = tables_strategy.draw({**case, "ends": 4})
  smallest = list(map(reference_coder.Cdfs(tables).number, rows.tolist()))
  numbers = list(smallest)
  for position, number in longer.items():
    position %= len(rows)
    numbers[position] = max(numbers[position], number)
  streams = reference_coder.encode_rows(rows, shape, num_lanes, tables, numbers)
  decoded = _decoded(streams, shape, tables)
  assert decoded == (rows.tolist() if numbers == smallest else None)


@pytest.mark.parametrize(
  ("ends", "number", "index", "is_sound"),
  [
    ((0, 2), 1, 1, True),
    ((0, 2), 1, 0, False),  # The end before would have done.
    ((2, 2), 1, 1, False),  # This end repeats the one before.
    ((0, 0, 2), 2, 1, True),
    ((0, 0, 2), 1, 0, False),
  ],
)
def test_an_end_is_no_longer_than_it_has_to_be(ends, number, index, is_sound):
  tables = _tables([0, 30000], 3, ends)
  row = [0] + [index] * tables.ends[0, number]
  row = np.pad(row, (0, 4 - len(row)))
  streams = reference_coder.encode_rows(row[None], (1, 1), 1, tables, [number])
  assert _check_verdict(streams, (1, 1), tables) == is_sound


@pytest.mark.parametrize(("last", "is_sound"), [(1, True), (0, False)])
def test_an_end_is_too_long_though_lanes_split_its_position(last, is_sound):
  # 4 others of position 0 and 9 of position 1: the second lane has the last 7.
  tables = _tables([0, 30000], 9, ends=(4,))
  rows = np.array([[0, *[1] * 4, *[0] * 5], [0, *[1] * 4, *[0] * 4, last]])
  streams = reference_coder.encode_rows(rows, (1, 2), 2, tables, [0, 1])
  assert _check_verdict(streams, (1, 2), tables) == is_sound
  assert _decoded(streams, (1, 2), tables, 0, 1) == rows[:1].tolist()
  part = _decoded(streams, (1, 2), tables, 1, 2)
  assert part == (rows[1:].tolist() if is_sound else None)


@pytest.mark.parametrize("activities", [1, 3])
def test_large_images_are_coded_in_groups_of_lanes(activities):
  tables = tables_strategy.make_tables(2, 500, 17, 0.5, 64, activities, 3, 4)
  ends = tables.ends * np.array([0, 1, 1], np.uint16)
  tables = dataclasses.replace(tables, ends=ends)
  rng = np.random.default_rng(0)
  rows = np.pad(
    rng.integers(tables.sizes, size=(4493, len(tables.sizes))), ((0, 0), (1, 0))
  )
  rows[:, 0] = rng.integers(activities, size=len(rows))
  # Few that are not 0, since the reference is slow.
  rows[rng.random(len(rows)) < 0.98, 5:] = tables.zeros[4:]
  assert rows.size > 2 * range_coder.GROUP_INDICES
  shape = (1, len(rows))
  streams = _check(rows, shape, 15, tables)
  for lane in (0, 7, 14):
    longer = list(streams)
    longer[lane] += b"\0"
    with pytest.raises(errors.BitstreamError):
      _decode(longer, shape, tables)


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_a_stream_costs_what_the_tables_say(case):
  tables, rows, shape, _ = tables_strategy.draw({**case, "lanes": 0})
  (steps,) = reference_coder.lane_steps(rows, shape, 1, tables)
  bits = sum(16 - np.log2(cdf[s + 1] - cdf[s]) for s, cdf in steps)
  (stream,) = range_coder.encode(rows, shape, 1, tables)
  # At most two bytes at the end; a little less precision in every step.
  assert 8 * len(stream) <= bits * 1.01 + 0.01 * len(steps) + 17
  assert len(stream) <= tables.max_lane_bytes(len(rows))


def test_threads_have_memories_of_their_own():
  tables = tables_strategy.make_tables(3, 20, 40, 0.5, 64, 3, 2, 3)
  images = [
    tables_strategy.likely_rows(tables, (9, 10), 10, seed, flat=False)
    for seed in range(8)
  ]
  expected = [range_coder.encode(rows, (9, 10), 10, tables) for rows in images]

  def work(number):
    rows, streams = images[number % 8], expected[number % 8]
    assert range_coder.encode(rows, (9, 10), 10, tables) == streams
    return (_decode(streams, (9, 10), tables) == rows).all()

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(pool.map(work, range(400)))


def test_instances_work_on_after_a_fork():
  tables = tables_strategy.make_tables(3, 20, 40, 0.5, 64, 3, 2, 3)
  rows = tables_strategy.likely_rows(tables, (9, 10), 10, 0, flat=False)
  streams = range_coder.encode(rows, (9, 10), 10, tables)
  child = os.fork()
  if not child:
    works = (_decode(streams, (9, 10), tables) == rows).all()
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
