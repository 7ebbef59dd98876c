"""Broken files, made of a sound one."""

from __future__ import annotations

import dataclasses
import struct

from bls2017.bitstream import container

BITSTREAM = "BitstreamError"
FOREIGN = "ForeignModelError"
LIMIT = "LimitError"

_CHECKSUM = slice(18, 26)


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
  return [*_header(sound), *_several(sound), *_lanes(sound, version)]


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


def _lanes(sound: bytes, version: int) -> list[Case]:
  """Faults of the lanes; versions 1 and 2 write their lengths alike."""
  assert version <= 2
  lengths, start = _lane_lengths(sound)
  lanes = sound[start:]
  longest = b"\xff\xff"
  first = lanes[: lengths[0]]

  def with_lanes(lengths: list[int], content: bytes) -> bytes:
    packed = struct.pack(f"<{len(lengths)}H", *lengths)
    return seal(sound[:26] + packed + content)

  def with_first(stream: bytes) -> bytes:
    return with_lanes([len(stream), *lengths[1:]], stream + lanes[lengths[0] :])

  return [
    Case(
      "short",
      "it is too short for its image",
      BITSTREAM,
      changed(sound, 6, b"\x00\x20\x00\x20"),
    ),
    Case(
      "lanes-short", "a byte after the lanes", BITSTREAM, seal(sound + b"\0")
    ),
    Case(
      "lanes-long",
      "a lane ends behind the file",
      BITSTREAM,
      with_lanes([*lengths[:-1], lengths[-1] + 1], lanes),
    ),
    Case(
      "lane-too-long",
      "a lane longer than its symbols can need",
      BITSTREAM,
      with_first(longest * 0x1000),
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
  """The lengths of a file's lanes, and where these begin."""
  lengths: list[int] = []
  while True:
    lengths.append(struct.unpack_from("<H", sound, 26 + 2 * len(lengths))[0])
    start = 26 + 2 * len(lengths)
    if start + sum(lengths) == len(sound):
      return lengths, start
