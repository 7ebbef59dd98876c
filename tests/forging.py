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
  # Readers take boxes whose content no encoder writes.
  boxes = b"".join(box(b.type, b.data) for b in file.boxes)
  return Parts(
    data[:_FIELDS_BYTES],
    boxes_field(boxes),
    [data[start:end] for start, end in zip(bounds, bounds[1:])],
  )


def joined(parts: Parts, lanes: bytes | None = None) -> bytes:
  """Joins parts to a file.

  Args:
    parts: The parts.
    lanes: The number and lengths of the lanes, if they are not to be right.
  """
  if lanes is None:
    lanes = lanes_field([len(stream) for stream in parts.streams])
  body = b"".join([parts.boxes, lanes, *parts.streams])
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
  return number(len(content)) + content


def number(value: int, spare: int = 0) -> bytes:
  """Spells a number, with so many bytes more than it needs."""
  groups = [value >> 7 * i & 0x7F for i in range(5)]
  while len(groups) > 1 and not groups[-1]:
    groups.pop()
  groups += [0] * spare
  return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def lanes_field(
  sizes: Sequence[int],
  count: bytes | None = None,
  smallest: bytes | None = None,
  width: int | None = None,
) -> bytes:
  """Writes the number of lanes, and the lengths of all but the last one.

  Args:
    sizes: The lengths of all lanes.
    count: Their number, if it is not to be right.
    smallest: The number that is subtracted from each length, if not as spelt
      by an encoder; its value need not be right.
    width: Bits of each number, if not as few as suffice.
  """
  field = number(len(sizes)) if count is None else count
  stored = sizes[:-1]
  if not stored:
    return field
  subtracted = min(stored) if smallest is None else _value(smallest)
  numbers = [size - subtracted for size in stored]
  width = max(numbers).bit_length() if width is None else width
  bits = sum(value << i * width for i, value in enumerate(numbers))
  packed = bits.to_bytes((len(numbers) * width + 7) // 8, "little")
  smallest = number(subtracted) if smallest is None else smallest
  return field + smallest + bytes([width]) + packed


def _value(spelling: bytes) -> int:
  return sum((byte & 0x7F) << 7 * i for i, byte in enumerate(spelling))
