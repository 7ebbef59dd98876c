"""The container: fields, checks, and the order of the checks."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.bitstream import container, lanes
from tests import laws

HEADER = container.Header(33, 47, 5, b"modelid!", 2)


def _streams(header=HEADER, lane_positions=2):
  count = lanes.num_lanes(header.positions, lane_positions)
  return [bytes([i]) * (i % 3) for i in range(count)]


DATA = container.pack(HEADER, _streams())


@laws.examples(200)
@given(
  height=st.integers(1, 80),
  width=st.integers(1, 80),
  index=st.integers(0, 240),
  model_id=st.binary(min_size=8, max_size=8),
  version=st.integers(1, container.VERSION),
  lane_positions=st.integers(1, 9),
  data=st.data(),
)
def test_unpacking_inverts_packing(
  height, width, index, model_id, version, lane_positions, data
):
  header = container.Header(height, width, index, model_id, version)
  count = lanes.num_lanes(header.positions, lane_positions)
  streams = data.draw(
    st.lists(st.binary(max_size=9), min_size=count, max_size=count)
  )
  packed = container.pack(header, streams)
  assert container.unpack_header(packed) == header
  assert container.unpack_lanes(packed, header, lane_positions) == streams


def test_fields_lie_where_the_description_says():
  assert DATA[:4] == b"\x89BLS"
  assert DATA[4] == 2
  assert DATA[5] == HEADER.quality_index + 8
  assert struct.unpack_from("<HH", DATA, 6) == (33, 47)
  assert DATA[10:18] == b"modelid!"
  assert DATA[18:26] == container.checksum(DATA[:18] + DATA[26:])
  lengths = [len(s) for s in _streams()]
  assert struct.unpack_from(f"<{len(lengths)}H", DATA, 26) == tuple(lengths)
  assert DATA[26 + 2 * len(lengths) :] == b"".join(_streams())


def test_every_truncation_is_refused():
  for length in range(len(DATA)):
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(DATA[:length])


def test_every_flipped_bit_is_refused():
  for bit in range(8 * len(DATA)):
    flipped = bytearray(DATA)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.BitstreamError):
      container.unpack_header(bytes(flipped))


@pytest.mark.parametrize("extra", [1, 2, 10, 1000])
def test_appended_bytes_are_refused(extra):
  with pytest.raises(errors.BitstreamError):
    container.unpack_header(DATA + bytes(extra))


@pytest.mark.parametrize(
  ("data", "says"),
  [
    (b"", "empty"),
    (b"\x89PNG", "not a bls2017 file"),
    (b"\x89BLS\x03" + DATA[5:], "version 3"),
    (b"\x89BLS\x00" + DATA[5:], "version 0"),
    (DATA[:20], "cut off"),
    (DATA[:-1], "checksum"),
  ],
)
def test_errors_say_what_is_wrong(data, says):
  with pytest.raises(errors.BitstreamError, match=says):
    container.unpack_header(data)


def _sealed(fields: bytes, body: bytes) -> bytes:
  return fields + container.checksum(fields + body) + body


@pytest.mark.parametrize(
  ("offset", "value", "says"),
  [(6, b"\0\0", "pixels"), (8, b"\0\0", "pixels"), (5, b"\7", "below 1")],
)
def test_senseless_fields_under_a_right_checksum_are_refused(
  offset, value, says
):
  fields = bytearray(DATA[:18])
  fields[offset : offset + len(value)] = value
  with pytest.raises(errors.BitstreamError, match=says):
    container.unpack_header(_sealed(bytes(fields), DATA[26:]))


def test_lanes_must_fill_the_file_exactly():
  body = DATA[26:]
  for wrong in (body[:-1], body + b"\0", b"", b"\xff\xff" + body[2:]):
    data = _sealed(DATA[:18], wrong)
    header = container.unpack_header(data)
    with pytest.raises(errors.BitstreamError):
      container.unpack_lanes(data, header, 2)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (65536, 1), (1, 65536)])
def test_sizes_beyond_the_format_are_refused(size):
  with pytest.raises(errors.LimitError):
    container.pack(container.Header(*size, 0, bytes(8), 1), [])
