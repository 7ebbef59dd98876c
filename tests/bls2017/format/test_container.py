"""Laws of the container. Broken files are those of the conformance set."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import coding_tables, container, lanes
from tests import forging, laws
from tests.bls2017.format import reference_coder, tables_strategy

EXIF = container.Box(container.EXIF, b"II*\0" + bytes(range(20)))
XMP = container.Box(container.XMP, b"<x:xmpmeta/>")
HEADER = container.Header(33, 60, 5, b"modelid!")

TYPES = st.binary(min_size=4, max_size=4).map(
  lambda kind: bytes(0x20 + byte % 95 for byte in kind)
)
BOXES = st.dictionaries(
  TYPES.filter(lambda kind: kind != container.EXIF),
  st.binary(min_size=1, max_size=9),
  max_size=4,
)


def _case(header=HEADER, lane_positions=3, lanes=4, seed=0):
  """Tables, and rows for an image of this header's size."""
  tables = tables_strategy.make_tables(
    seed, 9, 40, 0.5, lane_positions, 3, 2, 2, 3
  )
  rows = tables_strategy.likely_rows(
    tables, header.shape, lanes, seed, flat=False
  )
  return tables, rows


def _packed(boxes=(EXIF, XMP), lanes=4):
  tables, rows = _case(lanes=lanes)
  return container.pack(HEADER, rows, lanes, tables, boxes)


def _sealed(fields, body):
  return fields + container.checksum(fields + body) + body


def _opened(data, tables=None):
  header = container.unpack_header(data)
  return container.unpack_body(data, header, tables or _case()[0])


@laws.examples(100)
@given(
  height=st.integers(1, 80),
  width=st.integers(1, 80),
  index=st.integers(0, 240),
  model_id=st.binary(min_size=8, max_size=8),
  lane_positions=st.integers(1, 9),
  more_lanes=st.integers(0, 24),
  boxes=BOXES,
  seed=st.integers(0, 1 << 20),
)
def test_unpacking_inverts_packing(
  height, width, index, model_id, lane_positions, more_lanes, boxes, seed
):
  header = container.Header(height, width, index, model_id)
  fewest = lanes.fewest(header.positions, lane_positions)
  num_lanes = min(fewest + more_lanes, header.positions)
  tables, rows = _case(header, lane_positions, num_lanes, seed)
  pieces = [container.Box(*item) for item in boxes.items()]
  data = container.pack(header, rows, num_lanes, tables, pieces)
  assert container.unpack_header(data) == header
  file = _opened(data, tables)
  assert file.boxes == tuple(sorted(pieces, key=lambda box: box.type))
  assert file.num_lanes == num_lanes
  assert file.lane_bounds[-1] == len(data)
  np.testing.assert_array_equal(file.rows(), rows)
  first = seed % len(rows)
  np.testing.assert_array_equal(file.rows(first, first + 1), rows[[first]])


def test_fields_lie_where_the_document_says():
  data = _packed()
  assert data[:4] == b"\x89BLS"
  assert data[4] == container.VERSION
  assert data[5] == HEADER.quality_index + 8
  assert struct.unpack_from("<HH", data, 6) == (33, 60)
  assert data[10:18] == b"modelid!"
  assert data[18:26] == container.checksum(data[:18] + data[26:])
  size = bytes([8 + 24 + 8 + 12])
  exif = b"Exif" + struct.pack("<I", 24) + EXIF.data
  xmp = b"XMP " + struct.pack("<I", 12) + XMP.data
  assert data[26:].startswith(size + exif + xmp + b"\4")


def test_every_truncation_is_refused():
  data = _packed()
  for length in range(len(data)):
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(data[:length])
  # With a right checksum, only the last lane may end sooner.
  file = _opened(data)
  for end in range(container.HEADER_BYTES, int(file.lane_bounds[-2])):
    with pytest.raises(errors.BitstreamError):
      _opened(_sealed(data[:18], data[26:end]))
  assert _opened(_sealed(data[:18], data[26 : file.lane_bounds[-2]]))


@pytest.mark.parametrize(
  ("number", "spelling"),
  [
    (0, b"\0"),
    (127, b"\x7f"),
    (128, b"\x80\1"),
    (300, b"\xac\2"),
    (1 << 24, b"\x80\x80\x80\x08"),
    ((1 << 28) - 1, b"\xff\xff\xff\x7f"),
  ],
)
def test_numbers_have_seven_bits_a_byte(number, spelling):
  assert forging.number(number) == spelling
  assert container.unpack_number(b"_" + spelling + b"_", 1) == (
    number,
    1 + len(spelling),
  )


@laws.examples(200)
@given(data=st.binary(max_size=6))
def test_a_number_has_one_spelling(data):
  try:
    number, end = container.unpack_number(data, 0)
  except errors.BitstreamError:
    return
  assert forging.number(number) == data[:end]


@pytest.mark.parametrize(
  ("spelling", "says"),
  [
    (b"", "too short"),
    (b"\x80", "too short"),
    (b"\xff\xff\xff", "too short"),
    (b"\x80\0", "misspelt"),
    (b"\xff\x80\0", "misspelt"),
    (b"\xff\xff\xff\xff", "misspelt"),
    (b"\xff\xff\xff\xff\0", "misspelt"),
  ],
)
def test_other_numbers_are_refused(spelling, says):
  with pytest.raises(errors.BitstreamError, match=says):
    container.unpack_number(spelling, 0)


@pytest.mark.parametrize("lanes", [0, 3, 13, 127, 128, (1 << 28) - 1])
def test_other_numbers_of_lanes_are_refused(lanes):
  # There are 12 positions, 3 at most in a lane.
  data = _packed(())
  assert data[26:28] == b"\0\4"
  changed = data[27:28] + forging.number(lanes)
  with pytest.raises(errors.BitstreamError, match=f"cannot have {lanes} lanes"):
    _opened(_sealed(data[:18], data[26:27] + changed[1:] + data[28:]))


def test_an_image_may_have_fewest_lanes_and_one_a_position():
  for count in (4, 12):
    assert _opened(_packed(lanes=count)).num_lanes == count


def test_a_lane_may_have_as_many_bytes_as_its_symbols_can_need():
  tables, _ = _case()
  most = tables.max_lane_bytes(3)
  for sizes, says in (
    ([most] * 4, None),
    ([1, most + 1, 1, 1], "longer than its symbols"),
    ([1, 1, 1, most + 1], "longer than its symbols"),
    ([0, 0, 0, 1 << 16], "do not fill"),
    ([1, 1 << 16, 1, 1], "misspelt"),
  ):
    data = _packed(())
    body = b"\0" + forging.lanes_field(sizes) + bytes(sum(sizes))
    sealed = _sealed(data[:18], body)
    if says:
      with pytest.raises(errors.BitstreamError, match=says):
        _opened(sealed)
    else:
      assert np.diff(_opened(sealed).lane_bounds).tolist() == sizes


def test_every_flipped_bit_is_refused():
  data = _packed()
  for bit in range(8 * len(data)):
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(bytes(flipped))


@pytest.mark.parametrize(
  ("data", "says"),
  [
    (b"", "empty"),
    (b"\x89PNG", "not a bls2017 file"),
    (b"\x89BLS\xff" + _packed()[5:], "version 255"),
    (b"\x89BLS\x00" + _packed()[5:], "version 0"),
    (_packed()[:20], "cut off"),
    (_packed()[:-1], "checksum"),
    (_packed() + b"\0", "checksum"),
    (_sealed(_packed()[:5] + b"\7" + _packed()[6:18], b""), "below 1"),
  ],
)
def test_errors_say_what_is_wrong(data, says):
  with pytest.raises(errors.BitstreamError, match=says):
    container.unpack_header(data)


def test_the_most_metadata_is_written_and_more_is_refused():
  tables, rows = _case()
  most = container.MAX_BOXES_BYTES - container.BOX_HEADER_BYTES
  box = container.Box(b"most", bytes(most))
  data = container.pack(HEADER, rows, 4, tables, [box])
  assert container.unpack_boxes(data)[0] == (box,)
  boxes = [container.Box(b"%04d" % number, b"1") for number in range(65)]
  data = container.pack(HEADER, rows, 4, tables, boxes[:-1])
  assert container.unpack_boxes(data)[0] == tuple(boxes[:-1])
  for many in ([container.Box(b"most", bytes(most + 1))], boxes):
    with pytest.raises(errors.LimitError, match="the limit is"):
      container.pack(HEADER, rows, 4, tables, many)


@pytest.mark.parametrize(
  "boxes",
  [
    [container.Box(b"abc", b"1")],
    [container.Box(b"abcde", b"1")],
    [container.Box(b"ab\n ", b"1")],
    [container.Box(b"abcd", b"")],
    [container.Box(container.EXIF, b"Exif\0\0II*\0")],
    [XMP, container.Box(container.XMP, b"another")],
  ],
)
def test_boxes_that_are_not_sound_are_not_written(boxes):
  with pytest.raises(errors.UsageError):
    _packed(boxes)


@pytest.mark.parametrize("positions", [1, 2, 10, 1000])
def test_the_overhead_is_estimated_within_some_bytes(positions):
  header = container.Header(16, 16 * positions, 0, bytes(8))
  tables = tables_strategy.make_tables(1, 200, 40, 0.0, 1, 3)
  one = tables_strategy.likely_rows(
    tables, (1, min(positions, 40)), 1, 1, flat=True
  )
  rows = np.tile(one, (-(-positions // len(one)), 1))[:positions]
  data = container.pack(header, rows, positions, tables)
  every = reference_coder.lane_steps(rows, header.shape, positions, tables)
  bits = sum(
    16 - np.log2(cdf[s + 1] - cdf[s]) for steps in every for s, cdf in steps
  )
  expected = container.overhead_bytes(positions) + bits / 8
  assert abs(len(data) - expected) < 4 + 0.6 * positions


@laws.examples(50)
@given(
  side=st.integers(1, 400), other=st.integers(1, 400), columns=st.integers(1, 9)
)
def test_no_file_is_longer_than_its_bound(side, other, columns):
  header = container.Header(side, other, 0, bytes(8))
  longest = header.positions * (2 * columns + coding_tables.MAX_LANE_END_BYTES)
  lengths = 4 + 4 + 1 + 2 * (header.positions - 1)
  boxes = 4 + container.MAX_BOXES_BYTES
  longest += container.HEADER_BYTES + boxes + lengths
  assert longest <= container.max_file_bytes(side * other, columns)


@pytest.mark.parametrize(
  ("size", "error"),
  [
    ((0, 5), errors.UsageError),
    ((5, 0), errors.UsageError),
    ((65536, 1), errors.LimitError),
    ((1, 65536), errors.LimitError),
  ],
)
def test_sizes_beyond_the_format_are_refused(size, error):
  tables, rows = _case()
  header = container.Header(*size, 0, bytes(8))
  with pytest.raises(error):
    container.pack(header, rows, 4, tables)


@laws.examples(200)
@given(total=st.integers(0, 500), count=st.integers(1, 100))
def test_runs_of_lanes_hold_everything_and_differ_by_one(total, count):
  bounds = lanes.bounds(total, count)
  lengths = np.diff(bounds)
  assert (bounds[0], bounds[-1], len(lengths)) == (0, total, count)
  assert set(lengths.tolist()) <= {total // count, -(-total // count)}


@laws.examples(200)
@given(
  shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
  num_lanes=st.integers(1, 400),
)
def test_neighbours_are_those_of_the_format(shape, num_lanes):
  count = 1 + num_lanes % (shape[0] * shape[1])
  near = lanes.neighbours(*shape, count)
  later = near.later.tolist()
  longest = [0] * count
  for lane, position, expected in reference_coder.heads(shape, count):
    longest[lane] += 1
    found = [near.left[position], near.second[position], None, None]
    if position in later:
      place = later.index(position)
      found[2:] = near.above[place], near.below[place]
    none = shape[0] * shape[1]
    assert [None if n == none else n for n in found] == list(expected)
  assert max(longest) <= lanes.most_positions(*shape, count)
