"""Laws of the container. Broken files are those of the conformance set."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import container, lanes
from tests import laws
from tests.bls2017.format import tables_strategy

EXIF = container.Box(container.EXIF, b"II*\0" + bytes(range(20)))
XMP = container.Box(container.XMP, b"<x:xmpmeta/>")
HEADER = container.Header(33, 47, 5, b"modelid!")

TYPES = st.binary(min_size=4, max_size=4).map(
  lambda kind: bytes(0x20 + byte % 95 for byte in kind)
)
BOXES = st.dictionaries(
  TYPES.filter(lambda kind: kind != container.EXIF),
  st.binary(min_size=1, max_size=9),
  max_size=4,
)


def _case(header=HEADER, lane_positions=2, seed=0):
  """Tables, and rows for an image of this header's size."""
  tables = tables_strategy.make_tables(seed, 6, 40, 0.5, lane_positions, 3)
  rows = tables_strategy.likely_rows(tables, header.positions, seed, flat=False)
  return tables, rows


def _packed(boxes=(EXIF, XMP)):
  tables, rows = _case()
  return container.pack(HEADER, rows, tables, boxes)


def _sealed(fields, body):
  return fields + container.checksum(fields + body) + body


@laws.examples(100)
@given(
  height=st.integers(1, 80),
  width=st.integers(1, 80),
  index=st.integers(0, 240),
  model_id=st.binary(min_size=8, max_size=8),
  lane_positions=st.integers(1, 9),
  boxes=BOXES,
  seed=st.integers(0, 1 << 20),
)
def test_unpacking_inverts_packing(
  height, width, index, model_id, lane_positions, boxes, seed
):
  header = container.Header(height, width, index, model_id)
  tables, rows = _case(header, lane_positions, seed)
  pieces = [container.Box(*item) for item in boxes.items()]
  data = container.pack(header, rows, tables, pieces)
  assert container.unpack_header(data) == header
  file = container.unpack_body(data, header, tables)
  assert file.boxes == tuple(sorted(pieces, key=lambda box: box.type))
  assert file.lane_bounds[-1] == len(data)
  found = file.rows(np.arange(file.num_lanes))
  np.testing.assert_array_equal(found, rows)
  last = file.rows(np.array([file.num_lanes - 1]))
  np.testing.assert_array_equal(last, rows[len(rows) - len(last) :])


def test_fields_lie_where_the_document_says():
  data = _packed()
  assert data[:4] == b"\x89BLS"
  assert data[4] == container.VERSION
  assert data[5] == HEADER.quality_index + 8
  assert struct.unpack_from("<HH", data, 6) == (33, 47)
  assert data[10:18] == b"modelid!"
  assert data[18:26] == container.checksum(data[:18] + data[26:])
  size = struct.pack("<I", 8 + 24 + 8 + 12)
  exif = b"Exif" + struct.pack("<I", 24) + EXIF.data
  xmp = b"XMP " + struct.pack("<I", 12) + XMP.data
  assert data[26:].startswith(size + exif + xmp)


def test_every_truncation_is_refused():
  data = _packed()
  tables, _ = _case()
  for length in range(len(data)):
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(data[:length])
  # With a right checksum, only the last lane may end sooner.
  file = container.unpack_body(data, HEADER, tables)
  for end in range(container.HEADER_BYTES, int(file.lane_bounds[-2])):
    sealed = _sealed(data[:18], data[26:end])
    with pytest.raises(errors.BitstreamError):
      container.unpack_body(sealed, container.unpack_header(sealed), tables)


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
  data = container.pack(HEADER, rows, tables, [box])
  assert container.unpack_boxes(data)[0] == (box,)
  boxes = [container.Box(b"%04d" % number, b"1") for number in range(65)]
  data = container.pack(HEADER, rows, tables, boxes[:-1])
  assert container.unpack_boxes(data)[0] == tuple(boxes[:-1])
  for many in ([container.Box(b"most", bytes(most + 1))], boxes):
    with pytest.raises(errors.LimitError, match="the limit is"):
      container.pack(HEADER, rows, tables, many)


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


@pytest.mark.parametrize("columns", [1, 2, 10, 1000])
def test_the_overhead_is_estimated_within_some_bytes(columns):
  header = container.Header(16, 16 * columns, 0, bytes(8))
  tables = tables_strategy.make_tables(1, 200, 40, 0.0, 1, 3)
  one = tables_strategy.likely_rows(tables, min(columns, 40), 1, flat=False)
  rows = np.tile(one, (-(-columns // len(one)), 1))[:columns]
  data = container.pack(header, rows, tables)
  entries = tables.starts[tables.live] + rows[:, 1:]
  bits = tables.code_lengths[rows[:, :1], entries].sum()
  bits += tables.activity_lengths[tables.num_activities, rows[:, 0]].sum()
  expected = container.overhead_bytes(columns) + bits / 8
  assert abs(len(data) - expected) < 4 + 0.6 * columns


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
  with pytest.raises(error):
    container.pack(container.Header(*size, 0, bytes(8)), rows, tables)


def test_lanes_hold_all_positions():
  for positions in range(1, 40):
    for length in range(1, 12):
      count = lanes.num_lanes(positions, length)
      last = lanes.last_lane_positions(positions, length)
      assert 1 <= last <= length
      assert (count - 1) * length + last == positions
