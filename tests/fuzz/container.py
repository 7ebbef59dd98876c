"""Coverage-guided fuzzing of the container's parser.

    pip install -e '.[fuzz]'
    python -m tests.fuzz.container -runs=10000000 [libFuzzer's flags]

The checksum is replaced by a quick one, as a hash in plain integers would slow
the fuzzer down, and is recomputed over what it makes, so that it gets past it.
The short form, with the real checksum, is `test_fuzz.py`.
"""

from __future__ import annotations

import pathlib
import struct
import sys
import tempfile
import zlib

from bls2017 import errors

if __name__ == "__main__":
  import atheris

  # Only what is fuzzed: TensorFlow would take minutes.
  with atheris.instrument_imports(
    include=["bls2017.format.container", "bls2017.format.lanes"]
  ):
    from bls2017.format import container, lanes
else:
  from bls2017.format import container, lanes

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
LANE_POSITIONS = (1, 35, 4096)

_MAX_PACKED_POSITIONS = 64
_MAX_LANES = 1 << 14
"""Lanes that may all be empty take time and no bytes: more only slow this."""


def check(data: bytes) -> None:
  """The laws of the parser for one input; raises where one does not hold.

  Bytes are refused by `errors.BitstreamError`, or are what packing what was
  read from them gives: one image, one byte string.
  """
  _check_parser(data)
  if len(data) >= container.HEADER_BYTES:
    _check_parser(seal(data))
    _check_round_trip(data)


def seal(data: bytes) -> bytes:
  """The bytes with magic, version and checksum in order.

  Args:
    data: At least a header. A version that is read stays; others become one.
  """
  version = (data[len(container.MAGIC)] - 1) % container.VERSION + 1
  fields = container.MAGIC + bytes([version])
  fields += data[len(fields) : container.CHECKSUM_OFFSET]
  body = data[container.HEADER_BYTES :]
  return fields + container.checksum(fields + body) + body


def quick_checksum(data: bytes) -> bytes:
  """Stands in for `container.checksum`: eight bytes, another hash."""
  return struct.pack("<II", zlib.crc32(data), zlib.adler32(data))


def _check_parser(data: bytes) -> None:
  try:
    header = container.unpack_header(data)
  except errors.BitstreamError:
    return
  for lane_positions in LANE_POSITIONS:
    count = lanes.num_lanes(header.positions, lane_positions)
    if count > _MAX_LANES:
      continue
    try:
      boxes = container.unpack_boxes(data, header)
      streams = container.unpack_lanes(data, header, lane_positions)
    except errors.BitstreamError:
      continue
    assert len(streams) == count, "another number of lanes"
    for box in boxes:
      if box.type == container.EXIF:  # Its content is not the parser's matter.
        return
    assert container.pack(header, streams, boxes) == data, "two spellings"


def _check_round_trip(data: bytes) -> None:
  """Lanes cut from the input come back, and do not with a byte changed."""
  height, width, eighths, place, value = struct.unpack_from("<HHBBB", data)
  header = container.Header(
    height % 128 + 1,
    width % 128 + 1,
    eighths % 240,
    data[10:18],
    1 + place % container.VERSION,
  )
  if header.positions > _MAX_PACKED_POSITIONS:
    return
  content = data[container.HEADER_BYTES :]
  streams = [content[i :: header.positions] for i in range(header.positions)]
  boxes = []
  if header.version >= container.BOXES_VERSION:
    count = min(len(content), place % (container.MAX_BOXES + 2))
    boxes = [
      container.Box(b"%03d%c" % (i, 0x20 + value % 95), content[i::count])
      for i in range(count)
    ]
  try:
    packed = container.pack(header, streams, boxes)
  except errors.LimitError:
    assert len(boxes) > container.MAX_BOXES, "few boxes are refused"
    return
  assert len(boxes) <= container.MAX_BOXES, "many boxes are packed"
  assert container.unpack_header(packed) == header
  assert container.unpack_boxes(packed, header) == boxes
  assert container.unpack_lanes(packed, header, 1) == streams
  changed = bytearray(packed)
  changed[place % len(packed)] ^= value
  if value:
    _check_parser(seal(bytes(changed)))


def main() -> None:
  """Runs libFuzzer, with the golden files as its first inputs."""
  container.checksum = quick_checksum
  with tempfile.TemporaryDirectory() as corpus:
    for number, path in enumerate(sorted(GOLDEN.glob("v*/*.bls"))):
      pathlib.Path(corpus, str(number)).write_bytes(seal(path.read_bytes()))
    atheris.Setup([*sys.argv, "-max_len=1024", corpus], check)
    atheris.Fuzz()


if __name__ == "__main__":
  main()
