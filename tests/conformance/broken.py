"""Broken files, made of a sound one."""

from __future__ import annotations

import struct
from typing import NamedTuple

from bls2017.format import container
from tests import forging
from tests.forging import box, changed

BITSTREAM = "BitstreamError"
FOREIGN = "ForeignModelError"
LIMIT = "LimitError"

_LARGEST = b"\xff\xff\xff\xff"
"""Height and width of the largest image that the format holds."""


class Case(NamedTuple):
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


def cases(sound: container.File, qualities: int) -> list[Case]:
  """Makes all broken files.

  Args:
    sound: A file of several lanes, with metadata.
    qualities: How many its model has.
  """
  return [
    *_header(sound.data, qualities),
    *_two_faults(sound),
    *_boxes(sound),
    *_lengths(sound),
    *_streams(sound),
  ]


def endings(first: container.File, last: container.File) -> list[Case]:
  """Makes files whose last lane does not end as an encoder ends it.

  Args:
    first: A file of nothing but first table indices: its streams are zeros.
    last: A file of nothing but last table indices.
  """
  return _cases(
    {
      "first-short": (
        "first indices, a zero too few",
        _with_last(first, forging.parts(first).streams[-1][:-1]),
      ),
      "first-long": (
        "first indices, a zero too many",
        _with_last(first, forging.parts(first).streams[-1] + b"\0"),
      ),
      "last-long": (
        "last indices, a zero too many",
        _with_last(last, forging.parts(last).streams[-1] + b"\0"),
      ),
    }
  )


def _header(sound: bytes, qualities: int) -> list[Case]:
  """Faults of the header, in the order in which a reader looks for them."""
  flipped = bytearray(sound)
  flipped[-1] ^= 1
  above = bytes([container.FIRST_QUALITY + qualities])
  faults = {
    "empty": ("it has no bytes", b""),
    "magic": ("another magic", b"\x89PNG" + sound[4:]),
    "magic-sealed": (
      "another magic, the checksum right",
      changed(sound, 0, b"\x89BLT"),
    ),
    "version-0": ("version 0", changed(sound, 4, b"\0")),
    "version-255": ("version 255", changed(sound, 4, b"\xff")),
    "other-version": ("an older version", changed(sound, 4, b"\1")),
    "header": ("it ends within its header", sound[:25]),
    "cut": ("its last byte is missing", sound[:-1]),
    "bit": ("a bit is another one", bytes(flipped)),
    "height": ("height 0", changed(sound, 6, b"\0\0")),
    "width": ("width 0", changed(sound, 8, b"\0\0")),
    "low-quality": ("a quality below 1", changed(sound, 5, b"\7")),
    "next-quality": (
      "a quality a step above its model's",
      changed(sound, 5, above),
    ),
    "high-quality": (
      "a quality that its model lacks",
      changed(sound, 5, b"\xff"),
    ),
    "short": (
      "it is too short for its image",
      changed(sound, 6, b"\x00\x20\x00\x20"),
    ),
  }
  return [
    *_cases(faults),
    Case("foreign", "another model", FOREIGN, _foreign(sound)),
    Case("limit", "over the limit", LIMIT, changed(sound, 6, _LARGEST)),
  ]


def _two_faults(sound: container.File) -> list[Case]:
  """Files with two faults, of which the first one counts."""
  data = sound.data
  foreign = _foreign(data)
  checksum = bytearray(foreign)
  checksum[18] ^= 1
  unordered = box(b"bbbb", b"2") + box(b"aaaa", b"1")
  boxes = forging.joined(
    forging.parts(sound)._replace(boxes=forging.boxes_field(unordered))
  )
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
      changed(data, 5, b"\xff" + _LARGEST),
    ),
    Case(
      "limit-lanes",
      "limit, lanes",
      LIMIT,
      forging.sealed(changed(data, 6, _LARGEST)[: forging.HEADER_BYTES]),
    ),
    Case(
      "boxes-limit",
      "boxes out of their order, limit",
      LIMIT,
      changed(boxes, 6, _LARGEST),
    ),
  ]


def _boxes(sound: container.File) -> list[Case]:
  """Faults of the metadata."""
  data, parts = sound.data, forging.parts(sound)
  a, b = box(b"aaaa", b"1"), box(b"bbbb", b"2")
  many = [box(b"%04d" % number, b"1") for number in range(65)]
  contents = {
    "order": ("boxes out of their order", b + a),
    "twice": ("two boxes of one type", a + a),
    "empty": ("a box of no bytes", a + box(b"bbbb", b"")),
    "type": ("a type that is not printable", box(b"aa\x1fa", b"1")),
    "type-7f": ("a type with a byte of 7F", box(b"aa\x7fa", b"1")),
    "long": ("a box that ends behind the boxes", a + b[:-1]),
    "cut": ("boxes that end within a box's header", a + b[:5]),
    "many": ("65 boxes", b"".join(many)),
  }
  faults = {
    f"boxes-{name}": (
      fault,
      forging.joined(parts._replace(boxes=forging.boxes_field(content))),
    )
    for name, (fault, content) in contents.items()
  }
  behind = struct.pack("<I", len(data))
  faults["boxes-behind"] = (
    "boxes that end behind the file",
    changed(data, forging.HEADER_BYTES, behind),
  )
  faults["boxes-none"] = ("it ends before the boxes", forging.sealed(data[:28]))
  return _cases(faults)


def _lengths(sound: container.File) -> list[Case]:
  """Faults of the lengths of the lanes."""
  parts = forging.parts(sound)
  sizes = [len(stream) for stream in parts.streams[:-1]]
  right = forging.lengths_field(sizes)
  smallest, width = struct.unpack_from("<HB", right)
  assert len(sizes) * width % 8, "no bit is left over"
  spare = right[:-1] + bytes([right[-1] | 0x80])

  def with_lengths(lengths: bytes) -> bytes:
    return forging.joined(parts, lengths)

  def with_smallest(smallest: int) -> bytes:
    return with_lengths(struct.pack("<H", smallest) + right[2:])

  faults = {
    "lengths-smallest": (
      "the smallest number of the lane lengths is not 0",
      with_lengths(forging.lengths_field(sizes, smallest - 1)),
    ),
    "lengths-wide": (
      "more bits for the lane lengths than they need",
      with_lengths(forging.lengths_field(sizes, width=width + 1)),
    ),
    "lengths-17-bits": (
      "lane lengths of 17 bits",
      with_lengths(forging.lengths_field(sizes, width=17)),
    ),
    "lengths-spare-bit": (
      "a bit left over from the lane lengths is set",
      with_lengths(spare),
    ),
    "lengths-65536": ("a lane length above 65535", with_smallest(0xFFFF)),
    "lengths-cut": (
      "it ends within the lane lengths",
      forging.joined(parts._replace(streams=[]), right[:3]),
    ),
    "lanes-long": ("a lane ends behind the file", with_smallest(0x1000)),
  }
  return _cases(faults)


def _streams(sound: container.File) -> list[Case]:
  """Faults of a lane's content."""
  parts = forging.parts(sound)
  first, last = parts.streams[0], parts.streams[-1]

  def with_first(stream: bytes) -> bytes:
    streams = [stream, *parts.streams[1:]]
    return forging.joined(parts._replace(streams=streams))

  faults = {
    "last-lane-too-long": (
      "a last lane longer than its symbols can need",
      _with_last(sound, last + bytes(0x2000)),
    ),
    "last-lane-zero": (
      "a last lane with a zero at its end",
      _with_last(sound, last + b"\0"),
    ),
    "lane-too-long": (
      "a lane longer than its symbols can need",
      with_first(b"\xff" * 0x2000),
    ),
    "zero-appended": (
      "a lane with a zero at its end",
      with_first(first + b"\0"),
    ),
    "byte-appended": ("a lane with a byte more", with_first(first + b"\1")),
    "lane-empty": ("a lane of no bytes", with_first(b"")),
    "lane-zeros": ("a lane of zeros", with_first(bytes(51))),
  }
  return _cases(faults)


def _with_last(sound: container.File, stream: bytes) -> bytes:
  """A file with another last lane."""
  parts = forging.parts(sound)
  streams = [*parts.streams[:-1], stream]
  return forging.joined(parts._replace(streams=streams))


def _foreign(data: bytes) -> bytes:
  return changed(data, container.MODEL_ID_OFFSET, b"a model!")


def _cases(faults: dict[str, tuple[str, bytes]]) -> list[Case]:
  return [
    Case(name, fault, BITSTREAM, data) for name, (fault, data) in faults.items()
  ]
