"""The container: fields, boxes, checks, and the order of the checks."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import container, lanes
from tests import laws

VERSIONS = range(1, container.VERSION + 1)
EXIF = container.Box(container.EXIF, b"II*\0" + bytes(range(20)))
XMP = container.Box(container.XMP, b"<x:xmpmeta/>")


def _header(version):
  return container.Header(33, 47, 5, b"modelid!", version)


def _streams(lane_positions=2):
  count = lanes.num_lanes(_header(1).positions, lane_positions)
  return [bytes([i]) * (3 + i % 3) for i in range(count)]


def _boxes(version):
  return (EXIF, XMP) if version >= container.BOXES_VERSION else ()


def _packed(version):
  return container.pack(_header(version), _streams(), _boxes(version))


def _unpacked(data, lane_positions=2):
  """Everything that a reader checks."""
  header = container.unpack_header(data)
  boxes = container.unpack_boxes(data, header)
  return header, boxes, container.unpack_lanes(data, header, lane_positions)


def _sealed(fields, body):
  return fields + container.checksum(fields + body) + body


TYPES = st.binary(min_size=4, max_size=4).map(
  lambda kind: bytes(0x20 + byte % 95 for byte in kind)
)
BOXES = st.dictionaries(
  TYPES.filter(lambda kind: kind != container.EXIF),
  st.binary(min_size=1, max_size=9),
  max_size=4,
)


@laws.examples(300)
@given(
  height=st.integers(1, 80),
  width=st.integers(1, 80),
  index=st.integers(0, 240),
  model_id=st.binary(min_size=8, max_size=8),
  version=st.sampled_from(VERSIONS),
  lane_positions=st.integers(1, 9),
  longest=st.sampled_from([0, 1, 9, 300]),
  boxes=BOXES,
  seed=st.integers(0, 1 << 32),
)
def test_unpacking_inverts_packing(
  height, width, index, model_id, version, lane_positions, longest, boxes, seed
):
  header = container.Header(height, width, index, model_id, version)
  count = lanes.num_lanes(header.positions, lane_positions)
  rng = np.random.default_rng(seed)
  streams = [
    rng.bytes(n) for n in rng.integers(longest // 2, longest + 1, count)
  ]
  pieces = [container.Box(*item) for item in boxes.items()]
  if version < container.BOXES_VERSION:
    pieces = []
  data = container.pack(header, streams, pieces)
  in_order = sorted(pieces, key=lambda box: box.type)
  assert _unpacked(data, lane_positions) == (header, in_order, streams)


@pytest.mark.parametrize("version", VERSIONS)
def test_fields_lie_where_the_description_says(version):
  data = _packed(version)
  header = _header(version)
  assert data[:4] == b"\x89BLS"
  assert data[4] == version
  assert data[5] == header.quality_index + 8
  assert struct.unpack_from("<HH", data, 6) == (33, 47)
  assert data[10:18] == b"modelid!"
  assert data[18:26] == container.checksum(data[:18] + data[26:])


@pytest.mark.parametrize("version", [1, 2])
def test_lengths_of_two_bytes_precede_the_lanes(version):
  data = _packed(version)
  lengths = [len(s) for s in _streams()]
  assert struct.unpack_from(f"<{len(lengths)}H", data, 26) == tuple(lengths)
  assert data[26 + 2 * len(lengths) :] == b"".join(_streams())


def test_boxes_and_packed_lengths_precede_the_lanes():
  streams = [bytes(n) for n in (5, 7, 6, 5, 400)]
  header = container.Header(16, 16 * 5, 0, bytes(8), 3)
  data = container.pack(header, streams, [XMP, EXIF])
  size = struct.pack("<I", 8 + 24 + 8 + 12)
  exif = b"Exif" + struct.pack("<I", 24) + EXIF.data
  xmp = b"XMP " + struct.pack("<I", 12) + XMP.data
  # The numbers 0, 2, 1, 0 of two bits each: 0b00_01_10_00.
  lengths = b"\5\0" + b"\2" + b"\x18"
  assert data[26:] == size + exif + xmp + lengths + b"".join(streams)
  # A single lane has no lengths; nor do lanes that are all alike have numbers.
  header = container.Header(16, 16, 0, bytes(8), 3)
  assert container.pack(header, [b"abc"])[26:] == bytes(4) + b"abc"
  header = container.Header(16, 48, 0, bytes(8), 3)
  assert container.pack(header, [b"a", b"b", b"c"])[30:] == b"\1\0\0abc"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_truncation_is_refused(version):
  data = _packed(version)
  for length in range(len(data)):
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(data[:length])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_truncation_under_a_right_checksum_is_refused(version):
  data = _packed(version)
  for end in range(26, len(data)):
    # The last lane's length is not stored from version 3 on: it may be shorter.
    if version >= 3 and end >= len(data) - len(_streams()[-1]):
      continue
    with pytest.raises(errors.BitstreamError):
      _unpacked(_sealed(data[:18], data[26:end]))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flipped_bit_is_refused(version):
  data = _packed(version)
  for bit in range(8 * len(data)):
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(bytes(flipped))


@pytest.mark.parametrize("extra", [1, 2, 10, 1000])
def test_appended_bytes_are_refused(extra):
  with pytest.raises(errors.BitstreamError):
    container.unpack_header(_packed(2) + bytes(extra))


@pytest.mark.parametrize(
  ("data", "says"),
  [
    (b"", "empty"),
    (b"\x89PNG", "not a bls2017 file"),
    (b"\x89BLS\x04" + _packed(2)[5:], "version 4"),
    (b"\x89BLS\x00" + _packed(2)[5:], "version 0"),
    (_packed(2)[:20], "cut off"),
    (_packed(2)[:-1], "checksum"),
  ],
)
def test_errors_say_what_is_wrong(data, says):
  with pytest.raises(errors.BitstreamError, match=says):
    container.unpack_header(data)


@pytest.mark.parametrize(
  ("offset", "value", "says"),
  [(6, b"\0\0", "pixels"), (8, b"\0\0", "pixels"), (5, b"\7", "below 1")],
)
def test_senseless_fields_under_a_right_checksum_are_refused(
  offset, value, says
):
  data = _packed(2)
  fields = bytearray(data[:18])
  fields[offset : offset + len(value)] = value
  with pytest.raises(errors.BitstreamError, match=says):
    container.unpack_header(_sealed(bytes(fields), data[26:]))


def test_lanes_must_fill_the_file_exactly():
  data = _packed(2)
  body = data[26:]
  for wrong in (body[:-1], body + b"\0", b"", b"\xff\xff" + body[2:]):
    with pytest.raises(errors.BitstreamError):
      _unpacked(_sealed(data[:18], wrong))


def _box(kind, content):
  return kind + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize(
  "content",
  [
    _box(b"b   ", b"1") + _box(b"a   ", b"1"),
    _box(b"a   ", b"1") + _box(b"a   ", b"2"),
    _box(b"a   ", b""),
    _box(b"a\x1f  ", b"1"),
    _box(b"a\x7f  ", b"1"),
    _box(b"a   ", b"1")[:-1],
    _box(b"a   ", b"1") + b"b   ",
    _box(b"a   ", b"1") + bytes(8),
    b"a   " + struct.pack("<I", 2) + b"1",
    b"a   " + struct.pack("<I", 0xFFFFFFFF) + b"1",
  ],
)
def test_boxes_have_one_spelling(content):
  body = struct.pack("<I", len(content)) + content
  data = _sealed(_packed(3)[:18], body + _packed(3)[26 + 56 :])
  header = container.unpack_header(data)
  with pytest.raises(errors.BitstreamError):
    container.unpack_boxes(data, header)


@pytest.mark.parametrize("size", [1, 1 << 24, (1 << 24) + 1, 0xFFFFFFFF])
def test_more_metadata_than_file_is_refused(size):
  data = _sealed(_packed(3)[:18], struct.pack("<I", size))
  with pytest.raises(errors.BitstreamError, match="longer"):
    _unpacked(data)


def test_more_metadata_than_the_format_allows_is_refused():
  most = container.MAX_BOXES_BYTES - container.BOX_HEADER_BYTES
  header = _header(3)
  box = container.Box(b"most", bytes(most))
  data = container.pack(header, _streams(), [box])
  assert container.unpack_boxes(data, header) == [box]
  more = container.Box(b"most", bytes(most + 1))
  with pytest.raises(errors.LimitError):
    container.pack(header, _streams(), [more])
  content = _box(b"most", bytes(most + 1))
  body = struct.pack("<I", len(content)) + content
  with pytest.raises(errors.BitstreamError, match="longer"):
    container.unpack_boxes(_sealed(data[:18], body), header)


def test_more_boxes_than_the_format_allows_are_refused():
  header, types = _header(3), [b"%04d" % number for number in range(65)]
  boxes = [container.Box(kind, b"1") for kind in types]
  most = boxes[: container.MAX_BOXES]
  data = container.pack(header, _streams(), most)
  assert container.unpack_boxes(data, header) == most
  with pytest.raises(errors.LimitError, match="the limit is 64"):
    container.pack(header, _streams(), boxes)
  content = b"".join(_box(kind, b"1") for kind in types)
  # The box too many decides, whatever it holds.
  for end in (content, content[: -len(_box(types[-1], b"1"))] + b"x"):
    body = struct.pack("<I", len(end)) + end
    with pytest.raises(errors.BitstreamError, match="more than 64"):
      container.unpack_boxes(_sealed(data[:18], body), header)


@pytest.mark.parametrize(
  "lengths",
  [
    b"\1\0\1\3",  # A smaller smallest length: the least number is not 0.
    b"\2\0\3\1\0",  # More bits than the largest number needs.
    b"\2\0\1\5",  # A bit beyond the last number.
    b"\2\0\1",  # No numbers.
    b"\2\0",
    b"",
    b"\2\0\x11" + bytes(8),  # More bits than a length has.
    b"\xff\xff\1\2",  # A length of more than 65535.
  ],
)
def test_lengths_of_lanes_have_one_spelling(lengths):
  header = container.Header(16, 48, 0, bytes(8), 3)
  sound = container.pack(header, [b"ab", b"abc", b"a"])
  assert sound[30:] == b"\2\0\1\2" + b"ababca"
  fields = sound[:18]
  streams = b"ababca" if len(lengths) >= 4 else b""
  data = _sealed(fields, bytes(4) + lengths + streams)
  with pytest.raises(errors.BitstreamError):
    container.unpack_lanes(data, header, 1)


def test_the_last_lane_has_a_limit_too():
  header = container.Header(16, 16, 0, bytes(8), 3)
  for length in (0xFFFF, 0x10000):
    data = container.pack(header, [bytes(length)])
    if length <= 0xFFFF:
      assert container.unpack_lanes(data, header, 1) == [bytes(length)]
    else:
      with pytest.raises(errors.BitstreamError):
        container.unpack_lanes(data, header, 1)


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
    container.pack(_header(3), _streams(), boxes)


@pytest.mark.parametrize("version", [1, 2])
def test_files_before_version_3_hold_no_boxes(version):
  with pytest.raises(errors.UsageError, match="metadata"):
    container.pack(_header(version), _streams(), [XMP])
  data = _packed(version)
  assert container.unpack_boxes(data, _header(version)) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_the_overhead_is_estimated_within_some_bytes(version, count):
  header = container.Header(16, 16 * count, 0, bytes(8), version)
  rng = np.random.default_rng(count)
  streams = [bytes(n) for n in rng.integers(100, 300, count)]
  data = container.pack(header, streams)
  ends = 0.3 * count
  overhead = len(data) - sum(map(len, streams)) + ends
  expected = container.overhead_bytes(count, version)
  assert abs(overhead - expected) < 4


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (65536, 1), (1, 65536)])
def test_sizes_beyond_the_format_are_refused(size):
  with pytest.raises(errors.LimitError):
    container.pack(container.Header(*size, 0, bytes(8), 1), [])
