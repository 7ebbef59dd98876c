"""Broken files, made of a sound one."""

from __future__ import annotations

import struct
from typing import NamedTuple

from bls2017.format import container
from tests import forging
from tests.forging import box, changed, seal

FOREIGN = "ForeignModelError"
LIMIT = "LimitError"

_LARGEST = b"\xff\xff\xff\xff"
"""Height and width of the largest image that the format holds."""


class Case(NamedTuple):
  """A broken file.

  Attributes:
    name: Of the file.
    fault: What is wrong with it.
    data: Its bytes.
    error: The library's name of the error that it must give.
  """

  name: str
  fault: str
  data: bytes
  error: str = "BitstreamError"


def cases(
  sound: container.File,
  first: container.File,
  last: container.File,
  qualities: int,
) -> list[Case]:
  """Makes all broken files of a model.

  Args:
    sound: A file of several lanes, with metadata.
    first: One of nothing but first table indices: its streams are zeros.
    last: One of nothing but last table indices.
    qualities: How many the model has.
  """
  return [
    *_header(sound.data, qualities),
    *_two_faults(sound),
    *_boxes(sound),
    *_lengths(sound),
    *_streams(sound),
    *_endings(first, last),
  ]


def _header(data: bytes, qualities: int) -> list[Case]:
  """Faults of the header, in the order in which a reader looks for them."""
  flipped = data[:-1] + bytes([data[-1] ^ 1])
  above = bytes([container.FIRST_QUALITY + qualities])
  return [
    Case("empty", "it has no bytes", b""),
    Case("magic", "another magic", b"\x89PNG" + data[4:]),
    Case(
      "magic-sealed",
      "another magic, the checksum right",
      changed(data, 0, b"\x89BLT"),
    ),
    Case("version-0", "version 0", changed(data, 4, b"\0")),
    Case("other-version", "an older version", changed(data, 4, b"\1")),
    Case("version-255", "version 255", changed(data, 4, b"\xff")),
    Case("header", "it ends within its header", data[:25]),
    Case("cut", "its last byte is missing", data[:-1]),
    Case("bit", "a bit is another one", flipped),
    Case("height", "height 0", changed(data, 6, b"\0\0")),
    Case("width", "width 0", changed(data, 8, b"\0\0")),
    Case("low-quality", "a quality below 1", changed(data, 5, b"\7")),
    Case("foreign", "another model", _foreign(data), FOREIGN),
    Case(
      "next-quality",
      "a quality a step above its model's",
      changed(data, 5, above),
    ),
    Case(
      "high-quality",
      "a quality that its model lacks",
      changed(data, 5, b"\xff"),
    ),
    Case("limit", "over the limit", changed(data, 6, _LARGEST), LIMIT),
    Case(
      "short",
      "it is too short for its image",
      changed(data, 6, b"\x00\x20\x00\x20"),
    ),
  ]


def _two_faults(sound: container.File) -> list[Case]:
  """Files with two faults, of which the first one counts."""
  data, foreign = sound.data, _foreign(sound.data)
  checksum = bytearray(foreign)
  checksum[18] ^= 1
  header = changed(data, 6, _LARGEST)[: forging.HEADER_BYTES]
  boxes = _with_boxes(sound, box(b"bbbb", b"2") + box(b"aaaa", b"1"))
  return [
    Case("checksum-foreign", "checksum, model", bytes(checksum)),
    Case("height-foreign", "height, model", changed(foreign, 6, b"\0\0")),
    Case(
      "foreign-quality", "model, quality", changed(foreign, 5, b"\xff"), FOREIGN
    ),
    Case(
      "quality-limit", "quality, limit", changed(data, 5, b"\xff" + _LARGEST)
    ),
    Case("limit-lanes", "limit, lanes", seal(header), LIMIT),
    Case(
      "boxes-limit",
      "boxes out of their order, limit",
      changed(boxes, 6, _LARGEST),
      LIMIT,
    ),
  ]


def _boxes(sound: container.File) -> list[Case]:
  """Faults of the metadata."""
  a, b = box(b"aaaa", b"1"), box(b"bbbb", b"2")
  many = b"".join(box(b"%04d" % number, b"1") for number in range(65))
  cases = [
    Case(f"boxes-{name}", fault, _with_boxes(sound, content))
    for name, fault, content in (
      ("order", "boxes out of their order", b + a),
      ("twice", "two boxes of one type", a + a),
      ("empty", "a box of no bytes", a + box(b"bbbb", b"")),
      ("type", "a type that is not printable", box(b"aa\x1fa", b"1")),
      ("type-7f", "a type with a byte of 7F", box(b"aa\x7fa", b"1")),
      ("long", "a box that ends behind the boxes", a + b[:-1]),
      ("cut", "boxes that end within a box's header", a + b[:5]),
      ("many", "65 boxes", many),
    )
  ]
  behind = struct.pack("<I", len(sound.data))
  return [
    *cases,
    Case(
      "boxes-behind",
      "boxes that end behind the file",
      changed(sound.data, forging.HEADER_BYTES, behind),
    ),
    Case(
      "boxes-none",
      "it ends before the boxes",
      seal(sound.data[:28]),
    ),
  ]


def _lengths(sound: container.File) -> list[Case]:
  """Faults of the lengths of the lanes."""
  parts = forging.parts(sound)
  sizes = [len(stream) for stream in parts.streams[:-1]]
  right = forging.lengths_field(sizes)
  smallest, width = struct.unpack_from("<HB", right)
  assert len(sizes) * width % 8, "no bit is left over"
  return [
    Case(name, fault, forging.joined(parts, lengths))
    for name, fault, lengths in (
      (
        "lengths-smallest",
        "the smallest number of the lane lengths is not 0",
        forging.lengths_field(sizes, smallest - 1),
      ),
      (
        "lengths-wide",
        "more bits for the lane lengths than they need",
        forging.lengths_field(sizes, width=width + 1),
      ),
      (
        "lengths-17-bits",
        "lane lengths of 17 bits",
        forging.lengths_field(sizes, width=17),
      ),
      (
        "lengths-spare-bit",
        "a bit left over from the lane lengths is set",
        right[:-1] + bytes([right[-1] | 0x80]),
      ),
      (
        "lengths-65536",
        "a lane length above 65535",
        struct.pack("<H", 0xFFFF) + right[2:],
      ),
      (
        "lanes-long",
        "a lane ends behind the file",
        struct.pack("<H", 0x1000) + right[2:],
      ),
    )
  ] + [
    Case(
      "lengths-cut",
      "it ends within the lane lengths",
      forging.joined(parts._replace(streams=[]), right[:3]),
    )
  ]


def _streams(sound: container.File) -> list[Case]:
  """Faults of a lane's content."""
  streams = forging.parts(sound).streams
  first, last = streams[0], streams[-1]
  return [
    Case(name, fault, _with_stream(sound, lane, stream))
    for name, fault, lane, stream in (
      (
        "lane-too-long",
        "a lane longer than its symbols can need",
        0,
        b"\xff" * 0x2000,
      ),
      (
        "last-lane-too-long",
        "a last lane longer than its symbols can need",
        -1,
        last + bytes(0x2000),
      ),
      ("zero-appended", "a lane with a zero at its end", 0, first + b"\0"),
      ("byte-appended", "a lane with a byte more", 0, first + b"\1"),
      (
        "last-lane-zero",
        "a last lane with a zero at its end",
        -1,
        last + b"\0",
      ),
      ("lane-empty", "a lane of no bytes", 0, b""),
      ("lane-zeros", "a lane of zeros", 0, bytes(51)),
    )
  ]


def _endings(first: container.File, last: container.File) -> list[Case]:
  """Last lanes that do not end as an encoder ends them."""
  zeros, others = (forging.parts(file).streams[-1] for file in (first, last))
  return [
    Case(
      "first-short",
      "first indices, a zero too few",
      _with_stream(first, -1, zeros[:-1]),
    ),
    Case(
      "first-long",
      "first indices, a zero too many",
      _with_stream(first, -1, zeros + b"\0"),
    ),
    Case(
      "last-long",
      "last indices, a zero too many",
      _with_stream(last, -1, others + b"\0"),
    ),
  ]


def _with_boxes(sound: container.File, content: bytes) -> bytes:
  boxes = forging.boxes_field(content)
  return forging.joined(forging.parts(sound)._replace(boxes=boxes))


def _with_stream(sound: container.File, lane: int, stream: bytes) -> bytes:
  parts = forging.parts(sound)
  parts.streams[lane] = stream
  return forging.joined(parts)


def _foreign(data: bytes) -> bytes:
  return changed(data, container.MODEL_ID_OFFSET, b"a model!")
