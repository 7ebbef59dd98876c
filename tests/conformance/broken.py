"""Broken files, made of a sound one."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

from bls2017.format import container

BITSTREAM = "BitstreamError"
FOREIGN = "ForeignModelError"
LIMIT = "LimitError"

_CHECKSUM = slice(18, 26)
_BODY = _CHECKSUM.stop


@dataclasses.dataclass(frozen=True)
class Case:
  """A broken file.

  Attributes:
    name: Of the file.
    fault: What is wrong with it.
    error: The library's name of the error that it must give.
    data: Its bytes.
  """

  name: str
  fault: str
  error: str
  data: bytes


def seal(data: bytes) -> bytes:
  """The bytes with a checksum that is right."""
  others = data[: _CHECKSUM.start] + data[_CHECKSUM.stop :]
  checksum = container.checksum(others)
  return data[: _CHECKSUM.start] + checksum + data[_CHECKSUM.stop :]


def changed(data: bytes, offset: int, value: bytes) -> bytes:
  """The bytes with others in their stead from an offset on, sealed."""
  return seal(data[:offset] + value + data[offset + len(value) :])


def cases(sound: bytes, version: int) -> list[Case]:
  """All broken files of a version.

  Args:
    sound: A file of several lanes.
    version: Of it.
  """
  cases = [*_header(sound), *_several(sound)]
  if version < 3:
    return [*cases, *_lanes(sound)]
  return [*cases, *_boxes(sound), *_short_lanes(sound)]


def _header(sound: bytes) -> list[Case]:
  """Faults of the header, in the order in which a reader looks for them."""
  flipped = bytearray(sound)
  flipped[-1] ^= 1
  foreign_version = bytes([2 if sound[4] == 1 else 1])
  return [
    Case("empty", "it has no bytes", BITSTREAM, b""),
    Case("magic", "another magic", BITSTREAM, b"\x89PNG" + sound[4:]),
    Case("version-0", "version 0", BITSTREAM, changed(sound, 4, b"\0")),
    Case("version-255", "version 255", BITSTREAM, changed(sound, 4, b"\xff")),
    Case("header", "it ends within its header", BITSTREAM, sound[:25]),
    Case("cut", "its last byte is missing", BITSTREAM, sound[:-1]),
    Case("bit", "a bit is another one", BITSTREAM, bytes(flipped)),
    Case("height", "height 0", BITSTREAM, changed(sound, 6, b"\0\0")),
    Case("width", "width 0", BITSTREAM, changed(sound, 8, b"\0\0")),
    Case("low-quality", "quality 7/8", BITSTREAM, changed(sound, 5, b"\7")),
    Case("foreign", "another model", FOREIGN, changed(sound, 10, b"a model!")),
    Case(
      "other-version",
      "a version that its model's files do not have",
      BITSTREAM,
      changed(sound, 4, foreign_version),
    ),
    Case(
      "high-quality",
      "a quality that its model lacks",
      BITSTREAM,
      changed(sound, 5, b"\xff"),
    ),
    Case(
      "limit", "over the limit", LIMIT, changed(sound, 6, b"\xff\xff\xff\xff")
    ),
    Case(
      "short",
      "it is too short for its image",
      BITSTREAM,
      changed(sound, 6, b"\x00\x20\x00\x20"),
    ),
  ]


def _several(sound: bytes) -> list[Case]:
  """Files with two faults: the first one counts."""
  foreign = changed(sound, 10, b"a model!")
  checksum = bytearray(foreign)
  checksum[18] ^= 1
  return [
    Case("checksum-foreign", "checksum, model", BITSTREAM, bytes(checksum)),
    Case(
      "height-foreign", "height, model", BITSTREAM, changed(foreign, 6, b"\0\0")
    ),
    Case(
      "foreign-quality", "model, quality", FOREIGN, changed(foreign, 5, b"\xff")
    ),
    Case(
      "quality-limit",
      "quality, limit",
      BITSTREAM,
      changed(sound, 5, b"\xff" + b"\xff\xff\xff\xff"),
    ),
    Case(
      "limit-lanes",
      "limit, lanes",
      LIMIT,
      seal(changed(sound, 6, b"\xff" * 4)[:26]),
    ),
  ]


def _lanes(sound: bytes) -> list[Case]:
  """Faults of the lanes of versions 1 and 2."""
  lengths, start = _lane_lengths(sound)
  lanes = sound[start:]

  def with_lanes(lengths: list[int], content: bytes) -> bytes:
    packed = struct.pack(f"<{len(lengths)}H", *lengths)
    return seal(sound[:_BODY] + packed + content)

  def with_first(stream: bytes) -> bytes:
    content = stream + lanes[lengths[0] :]
    return with_lanes([len(stream), *lengths[1:]], content)

  return [
    Case(
      "lanes-short", "a byte behind the lanes", BITSTREAM,
      seal(sound + b"\0"),
    ),
    Case(
      "lanes-long",
      "a lane ends behind the file",
      BITSTREAM,
      with_lanes([*lengths[:-1], lengths[-1] + 1], lanes),
    ),
    *_streams(lanes[: lengths[0]], with_first),
  ]  # fmt: skip


def _streams(first: bytes, with_first: Callable[[bytes], bytes]) -> list[Case]:
  """Faults of a lane's content.

  Args:
    first: The first lane.
    with_first: Makes a file with another first lane.
  """
  return [
    Case(
      "lane-too-long",
      "a lane longer than its symbols can need",
      BITSTREAM,
      with_first(b"\xff" * 0x2000),
    ),
    Case(
      "zero-appended",
      "a lane with a zero at its end",
      BITSTREAM,
      with_first(first + b"\0"),
    ),
    Case(
      "byte-appended",
      "a lane with a byte more",
      BITSTREAM,
      with_first(first + b"\1"),
    ),
    Case("lane-empty", "a lane of no bytes", BITSTREAM, with_first(b"")),
    Case("lane-zeros", "a lane of zeros", BITSTREAM, with_first(bytes(51))),
  ]


def _lane_lengths(sound: bytes) -> tuple[list[int], int]:
  """The lengths of the lanes of versions 1 and 2, and where these begin."""
  lengths: list[int] = []
  while True:
    (length,) = struct.unpack_from("<H", sound, _BODY + 2 * len(lengths))
    lengths.append(length)
    start = _BODY + 2 * len(lengths)
    if start + sum(lengths) == len(sound):
      return lengths, start


def _boxes(sound: bytes) -> list[Case]:
  """Faults of the metadata of version 3, where the sound file has some."""
  rest = sound[_boxes_end(sound) :]

  def with_boxes(content: bytes, rest: bytes = rest) -> bytes:
    size = struct.pack("<I", len(content))
    return seal(sound[:_BODY] + size + content + rest)

  def box(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data

  a, b = box(b"aaaa", b"1"), box(b"bbbb", b"2")
  faults = {
    "order": ("boxes out of their order", b + a),
    "twice": ("two boxes of one type", a + a),
    "empty": ("a box of no bytes", a + box(b"bbbb", b"")),
    "type": ("a type that is not printable", box(b"aa\x1fa", b"1")),
    "long": ("a box that ends behind the boxes", a + b[:-1]),
    "cut": ("boxes that end within a box's header", a + b[:5]),
    "many": (
      "65 boxes",
      b"".join(box(b"%04d" % number, b"1") for number in range(65)),
    ),
  }
  return [
    *(
      Case(f"boxes-{name}", fault, BITSTREAM, with_boxes(content))
      for name, (fault, content) in faults.items()
    ),
    Case(
      "boxes-behind",
      "boxes that end behind the file",
      BITSTREAM,
      changed(sound, _BODY, struct.pack("<I", len(sound))),
    ),
    Case("boxes-none", "it ends before the boxes", BITSTREAM, seal(sound[:28])),
    Case(
      "boxes-limit",
      "boxes out of their order, limit",
      LIMIT,
      changed(with_boxes(b + a), 6, b"\xff\xff\xff\xff"),
    ),
  ]


def _short_lanes(sound: bytes) -> list[Case]:
  """Faults of the lanes of version 3."""
  boxes_end = _boxes_end(sound)
  before, after = sound[:boxes_end], sound[boxes_end:]
  smallest, width = struct.unpack_from("<HB", after)
  numbers, lanes = _numbers(after, smallest, width)

  def with_numbers(
    numbers: list[int], smallest: int, width: int, lanes: bytes = lanes
  ) -> bytes:
    head = struct.pack("<HB", smallest, width)
    return seal(before + head + _packed(numbers, width) + lanes)

  def with_first(stream: bytes) -> bytes:
    lengths = [len(stream), *(smallest + number for number in numbers[1:])]
    least = min(lengths)
    offsets = [length - least for length in lengths]
    bits = max(offsets).bit_length()
    content = stream + lanes[smallest + numbers[0] :]
    return with_numbers(offsets, least, bits, content)

  first = lanes[: smallest + numbers[0]]
  lower = [number + 1 for number in numbers]
  spare = bytearray(after[3 : 3 + (len(numbers) * width + 7) // 8])
  assert len(numbers) * width % 8, "no bit is left over"
  spare[-1] |= 0x80
  return [
    Case(
      "lengths-smallest",
      "the smallest number of the lane lengths is not 0",
      BITSTREAM,
      with_numbers(lower, smallest - 1, max(lower).bit_length()),
    ),
    Case(
      "lengths-wide",
      "more bits for the lane lengths than they need",
      BITSTREAM,
      with_numbers(numbers, smallest, width + 1),
    ),
    Case(
      "lengths-17-bits",
      "lane lengths of 17 bits",
      BITSTREAM,
      with_numbers(numbers, smallest, 17),
    ),
    Case(
      "lengths-spare-bit",
      "a bit left over from the lane lengths is set",
      BITSTREAM,
      seal(before + after[:3] + spare + lanes),
    ),
    Case(
      "lengths-65536",
      "a lane length above 65535",
      BITSTREAM,
      with_numbers(numbers, 0xFFFF, width),
    ),
    Case(
      "lengths-cut", "it ends within the lane lengths", BITSTREAM,
      seal(before + after[:3]),
    ),
    Case(
      "lanes-long", "a lane ends behind the file", BITSTREAM,
      with_numbers(numbers, 0x1000, width),
    ),
    Case(
      "last-lane-too-long",
      "a last lane longer than its symbols can need",
      BITSTREAM,
      seal(sound + bytes(0x2000)),
    ),
    Case(
      "last-lane-zero", "a last lane with a zero at its end", BITSTREAM,
      seal(sound + b"\0"),
    ),
    *_streams(first, with_first),
  ]  # fmt: skip


def _boxes_end(sound: bytes) -> int:
  """Where the metadata of a file of version 3 ends."""
  return _BODY + 4 + struct.unpack_from("<I", sound, _BODY)[0]


def _packed(numbers: list[int], width: int) -> bytes:
  """Numbers of so many bits each, the least significant bit first."""
  bits = sum(number << i * width for i, number in enumerate(numbers))
  return bits.to_bytes((len(numbers) * width + 7) // 8, "little")


def _numbers(
  after: bytes, smallest: int, width: int
) -> tuple[list[int], bytes]:
  """The numbers of the lane lengths, and the lanes.

  Args:
    after: What follows the metadata of a file of several lanes.
    smallest: The smallest length.
    width: Bits of a number.
  """
  # How many there are follows from the model's tables; here, from what fits:
  # the last lane is not longer than the others.
  bits = int.from_bytes(after[3:], "little")
  numbers: list[int] = []
  while True:
    numbers.append(bits >> len(numbers) * width & (1 << width) - 1)
    lanes = after[3 + (len(numbers) * width + 7) // 8 :]
    left = len(lanes) - sum(numbers) - smallest * len(numbers)
    if left <= smallest:
      return numbers, lanes
