"""Files put together by hand, of parts that an encoder would not write.

The checksum is always right, so that a reader looks at the rest. FORMAT.md
describes the parts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from bls2017.format import container

HEADER_BYTES = container.HEADER_BYTES
_FIELDS_BYTES = container.CHECKSUM_OFFSET


class Parts(NamedTuple):
  """The parts of a file.

  Attributes:
    fields: The 18 bytes before the checksum.
    boxes: The metadata, with its length before it.
    streams: The bytes of each lane.
  """

  fields: bytes
  boxes: bytes
  streams: list[bytes]


def parts(file: container.File) -> Parts:
  """Takes a sound file apart."""
  data, bounds = file.data, file.lane_bounds.tolist()
  boxes_end = HEADER_BYTES + container.BOXES_LENGTH_BYTES
  boxes_end += container.boxes_bytes(file.boxes)
  return Parts(
    data[:_FIELDS_BYTES],
    data[HEADER_BYTES:boxes_end],
    [data[start:end] for start, end in zip(bounds, bounds[1:])],
  )


def joined(parts: Parts, lengths: bytes | None = None) -> bytes:
  """Joins parts to a file.

  Args:
    parts: The parts.
    lengths: The lengths of the lanes, if they are not to be right.
  """
  if lengths is None:
    lengths = lengths_field([len(stream) for stream in parts.streams[:-1]])
  body = b"".join([parts.boxes, lengths, *parts.streams])
  return seal(parts.fields + bytes(container.CHECKSUM_BYTES) + body)


def seal(data: bytes) -> bytes:
  """Makes the checksum of a file right."""
  fields, body = data[:_FIELDS_BYTES], data[HEADER_BYTES:]
  return fields + container.checksum(fields + body) + body


def changed(data: bytes, offset: int, value: bytes) -> bytes:
  """Puts bytes in the stead of others, from an offset on, and seals."""
  return seal(data[:offset] + value + data[offset + len(value) :])


def box(kind: bytes, data: bytes) -> bytes:
  """Makes one box of metadata."""
  return kind + struct.pack("<I", len(data)) + data


def boxes_field(content: bytes) -> bytes:
  """Puts the length of all boxes before them."""
  return struct.pack("<I", len(content)) + content


def lengths_field(
  sizes: Sequence[int], smallest: int | None = None, width: int | None = None
) -> bytes:
  """Writes the lengths of all lanes but the last one.

  Args:
    sizes: The lengths.
    smallest: The number that is subtracted from each, if not the smallest one.
    width: Bits of each number, if not as few as suffice.
  """
  if not sizes:
    return b""
  smallest = min(sizes) if smallest is None else smallest
  numbers = [size - smallest for size in sizes]
  width = max(numbers).bit_length() if width is None else width
  bits = sum(number << i * width for i, number in enumerate(numbers))
  packed = bits.to_bytes((len(numbers) * width + 7) // 8, "little")
  return struct.pack("<HB", smallest, width) + packed
