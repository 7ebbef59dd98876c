r"""The container: the bytes of a file around its lanes.

FORMAT.md, beside this module, describes all versions byte by byte, and the
order of a reader's checks. The checksum comes before anything that was read is
used; it guards against accidents, not against forgery, so nothing after it
trusts it either.
"""

from __future__ import annotations

import dataclasses
import itertools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from bls2017 import errors
from bls2017.format import coding_tables, fingerprint, lanes

MAGIC = b"\x89BLS"
VERSION = 3
"""The newest version; all from 1 on are read."""

BOXES_VERSION = 3
"""The first version with metadata boxes and short lane lengths."""

MAX_SIDE = 0xFFFF
FIRST_QUALITY = 8
"""What the byte for the quality holds for quality 1."""

MODEL_ID_BYTES = 8
CHECKSUM_BYTES = 8

_FORMATS = (f"{len(MAGIC)}s", "B", "B", "H", "H", f"{MODEL_ID_BYTES}s")
_FIELDS = struct.Struct("<" + "".join(_FORMATS))
(
  VERSION_OFFSET,
  QUALITY_OFFSET,
  HEIGHT_OFFSET,
  WIDTH_OFFSET,
  MODEL_ID_OFFSET,
  CHECKSUM_OFFSET,
) = itertools.accumulate(struct.calcsize("<" + f) for f in _FORMATS)
HEADER_BYTES = CHECKSUM_OFFSET + CHECKSUM_BYTES
LANE_LENGTH_BYTES = 2
"""Of a lane's length in versions 1 and 2."""

BOXES_LENGTH_BYTES = 4
BOX_TYPE_BYTES = 4
BOX_HEADER_BYTES = BOX_TYPE_BYTES + 4
MAX_BOXES_BYTES = 1 << 24
"""Of all boxes together, their types and lengths included."""

MAX_BOXES = 64
"""More would only cost readers time: a box can be as short as 9 bytes."""

LENGTHS_HEADER_BYTES = 3
"""Of what precedes the packed lane lengths: the smallest, and a width."""

MAX_LENGTH_BITS = 16

EXIF = b"Exif"
"""Type of a box that holds a TIFF structure."""

XMP = b"XMP "
"""Type of a box that holds an XMP packet in UTF-8."""

_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*")
_MEAN_LENGTH_BYTES = 1.0
"""What a lane's length takes on average from version 3 on."""


@dataclasses.dataclass(frozen=True)
class Header:
  """What a file says of itself.

  Attributes:
    height: Pixels, 1 to 65535.
    width: Pixels, 1 to 65535.
    quality_index: Index of the quality (bls2017.format.coding_tables).
    model_id: 8 bytes.
    version: Of the format.
  """

  height: int
  width: int
  quality_index: int
  model_id: bytes
  version: int

  @property
  def positions(self) -> int:
    """Spatial positions of the latents."""
    h, w = lanes.latent_shape(self.height, self.width)
    return h * w


@dataclasses.dataclass(frozen=True)
class Box:
  """A piece of metadata that travels with an image.

  Attributes:
    type: 4 bytes of printable ASCII; `EXIF`, `XMP`, or what others agree on.
    data: At least one byte.
  """

  type: bytes
  data: bytes


def checksum(data: bytes) -> bytes:
  """What a file holds of its other bytes: 8 bytes."""
  return fingerprint.fingerprint(data)


def overhead_bytes(num_lanes: Any, version: int) -> Any:
  """Bytes of a file besides the information content of its rows, on average.

  Metadata is not counted. From version 3 on, this is right within some bytes:
  the lengths of lanes that differ less are shorter.

  Args:
    num_lanes: Number of lanes, a number or a float32 tensor.
    version: Of the format.

  Returns:
    A number, or a tensor if `num_lanes` is one.
  """
  fixed, length = HEADER_BYTES, float(LANE_LENGTH_BYTES)
  if version >= BOXES_VERSION:
    fixed, length = fixed + BOXES_LENGTH_BYTES, _MEAN_LENGTH_BYTES
  return fixed + (length + coding_tables.MEAN_LANE_END_BYTES) * num_lanes


def pack(
  header: Header, streams: list[bytes], boxes: Sequence[Box] = ()
) -> bytes:
  """The bytes of a file.

  Args:
    header: Its fields.
    streams: The lanes, at least one, each of at most 65535 bytes.
    boxes: Metadata in any order, from version 3 on.

  Raises:
    errors.LimitError: if the format cannot hold an image of this size, or so
      much metadata, or so many boxes.
    errors.UsageError: if a box is not sound, or there are two of a type.
  """
  if not (1 <= header.height <= MAX_SIDE and 1 <= header.width <= MAX_SIDE):
    raise errors.LimitError(
      f"the sides of an image must be 1 to {MAX_SIDE} pixels,"
      f" not {header.width} x {header.height}"
    )
  fields = _FIELDS.pack(
    MAGIC,
    header.version,
    header.quality_index + FIRST_QUALITY,
    header.height,
    header.width,
    header.model_id,
  )
  sizes = [len(stream) for stream in streams]
  if header.version >= BOXES_VERSION:
    lengths = _packed_lengths(sizes)
  else:
    lengths = struct.pack(f"<{len(sizes)}H", *sizes)
  body = pack_boxes(header.version, boxes) + lengths + b"".join(streams)
  return fields + checksum(fields + body) + body


def unpack_header(data: bytes) -> Header:
  """Checks and reads everything that needs no model, but the boxes.

  Args:
    data: A whole file.

  Raises:
    errors.BitstreamError: if this is not a whole, unchanged file.
  """
  header = unpack_fields(data)
  stored = data[CHECKSUM_OFFSET:HEADER_BYTES]
  # A sum would copy a long file twice.
  others = (data[:CHECKSUM_OFFSET], memoryview(data)[HEADER_BYTES:])
  if checksum(b"".join(others)) != stored:
    raise errors.BitstreamError(
      "the checksum is wrong: the file is damaged or cut off"
    )
  if not header.height or not header.width:
    raise errors.BitstreamError(
      f"an image of {header.width} x {header.height} pixels"
    )
  if header.quality_index < 0:
    eighths = header.quality_index + FIRST_QUALITY
    raise errors.BitstreamError(f"quality {eighths}/8 is below 1")
  return header


def unpack_fields(data: bytes) -> Header:
  """Reads the fields of a header, of which nothing but the version is checked.

  Args:
    data: A file, or its first `HEADER_BYTES`.

  Raises:
    errors.BitstreamError: if this is not the beginning of a file.
  """
  if not data:
    raise errors.BitstreamError("the file is empty")
  if data[: len(MAGIC)] != MAGIC[: len(data)]:
    raise errors.BitstreamError(
      "this is not a bls2017 file (it does not begin with its magic bytes)"
    )
  if len(data) > VERSION_OFFSET and not 1 <= data[VERSION_OFFSET] <= VERSION:
    raise errors.BitstreamError(
      f"the file has version {data[VERSION_OFFSET]}, this program reads"
      f" versions 1 to {VERSION}"
    )
  if len(data) < HEADER_BYTES:
    raise errors.BitstreamError(
      f"the file is cut off within its header ({len(data)} bytes)"
    )
  _, version, quality, height, width, model_id = _FIELDS.unpack_from(data)
  index = quality - FIRST_QUALITY
  return Header(height, width, index, model_id, version)


def lane_bounds(data: bytes, header: Header, lane_positions: int) -> np.ndarray:
  """Where the lanes of a file whose header was checked lie.

  Args:
    data: The whole file.
    header: From `unpack_header`.
    lane_positions: Positions of a lane, from the model's tables.

  Returns:
    int64 [lanes + 1], the offset of each lane's first byte, and the file's end.

  Raises:
    errors.BitstreamError: if the lengths do not add up to the file's, or have
      another spelling.
  """
  count = lanes.num_lanes(header.positions, lane_positions)
  if header.version >= BOXES_VERSION:
    sizes, start = _unpacked_lengths(data, _boxes_end(data), count)
  else:
    start = HEADER_BYTES + LANE_LENGTH_BYTES * count
    if len(data) < start:
      raise errors.BitstreamError("the file is too short for its image")
    sizes = np.frombuffer(data, "<u2", count, HEADER_BYTES)
    if start + sizes.sum(dtype=np.int64) != len(data):
      raise errors.BitstreamError("the lanes do not fill the file")
  return np.cumsum(np.concatenate([[start], sizes]), dtype=np.int64)


def unpack_lanes(
  data: bytes, header: Header, lane_positions: int
) -> list[bytes]:
  """The lanes of a file; arguments and errors are those of `lane_bounds`."""
  bounds = lane_bounds(data, header, lane_positions).tolist()
  return [data[start:end] for start, end in zip(bounds, bounds[1:])]


def pack_boxes(version: int, boxes: Sequence[Box]) -> bytes:
  """The metadata of a file: the boxes after the length of them all.

  Args:
    version: Of the format.
    boxes: In any order; none before version 3.

  Raises:
    errors.LimitError: if they are longer than `MAX_BOXES_BYTES`, or more than
      `MAX_BOXES`.
    errors.UsageError: if a box is not sound, if there are two of a type, or if
      the version has no room for them.
  """
  if version < BOXES_VERSION:
    if boxes:
      raise errors.UsageError(
        f"files of version {version} hold no metadata; those of a model that"
        f" writes version {BOXES_VERSION} do"
      )
    return b""
  if len(boxes) > MAX_BOXES:
    raise errors.LimitError(
      f"there are {len(boxes)} pieces of metadata, the limit is {MAX_BOXES}"
    )
  parts = []
  for box in sorted(boxes, key=lambda box: box.type):
    if len(box.type) != BOX_TYPE_BYTES or not _is_printable(box.type):
      raise errors.UsageError(
        f"the type of metadata must be 4 printable bytes, not {box.type!r}"
      )
    if not box.data:
      raise errors.UsageError(f"the metadata of type {box.type!r} is empty")
    if box.type == EXIF and not box.data.startswith(_TIFF_BEGINNINGS):
      raise errors.UsageError("Exif metadata must begin as a TIFF file does")
    parts += [box.type, struct.pack("<I", len(box.data)), box.data]
  if len({box.type for box in boxes}) < len(boxes):
    raise errors.UsageError("there are two pieces of metadata of one type")
  content = b"".join(parts)
  if len(content) > MAX_BOXES_BYTES:
    raise errors.LimitError(
      f"the metadata takes {len(content)} bytes, the limit is {MAX_BOXES_BYTES}"
    )
  return struct.pack("<I", len(content)) + content


def unpack_boxes(data: bytes, header: Header) -> list[Box]:
  """The metadata of a file whose header was checked.

  Args:
    data: The whole file.
    header: From `unpack_header`.

  Raises:
    errors.BitstreamError: if it does not fill its room, or has another
      spelling.
  """
  if header.version < BOXES_VERSION:
    return []
  boxes: list[Box] = []
  start, end = HEADER_BYTES + BOXES_LENGTH_BYTES, _boxes_end(data)
  while start < end:
    if len(boxes) == MAX_BOXES:
      raise errors.BitstreamError(
        f"there are more than {MAX_BOXES} pieces of metadata"
      )
    content = start + BOX_HEADER_BYTES
    if content > end:
      raise errors.BitstreamError("the metadata is cut off")
    kind, size = struct.unpack_from(f"<{BOX_TYPE_BYTES}sI", data, start)
    if not _is_printable(kind) or boxes and kind <= boxes[-1].type:
      raise errors.BitstreamError("the types of the metadata are not in order")
    if not 0 < size <= end - content:
      raise errors.BitstreamError("the metadata does not fill its room")
    boxes.append(Box(kind, data[content : content + size]))
    start = content + size
  return boxes


def _boxes_end(data: bytes) -> int:
  """Where the boxes of a file end."""
  start = HEADER_BYTES + BOXES_LENGTH_BYTES
  if len(data) < start:
    raise errors.BitstreamError("the file is too short for its image")
  (size,) = struct.unpack_from("<I", data, HEADER_BYTES)
  if size > min(MAX_BOXES_BYTES, len(data) - start):
    raise errors.BitstreamError("the metadata is longer than its file")
  return start + size


def _is_printable(kind: bytes) -> bool:
  return all(0x20 <= byte <= 0x7E for byte in kind)


def _packed_lengths(sizes: Sequence[int]) -> bytes:
  """Lengths of lanes as files hold them from version 3 on.

  Args:
    sizes: Of all lanes; the last one's is not stored.
  """
  if len(sizes) < 2:
    return b""
  stored = np.array(sizes[:-1], np.int64)
  smallest = int(stored.min())
  numbers = stored - smallest
  width = int(numbers.max()).bit_length()
  bits = numbers[:, None] >> np.arange(width) & 1
  packed = np.packbits(bits.astype(np.uint8), bitorder="little")
  return struct.pack("<HB", smallest, width) + packed.tobytes()


def _unpacked_lengths(
  data: bytes, start: int, count: int
) -> tuple[np.ndarray, int]:
  """The inverse of `_packed_lengths`.

  Args:
    data: The whole file.
    start: Where the lengths begin.
    count: Number of lanes.

  Returns:
    The lengths of all lanes, int64, and where the first one begins.
  """
  if count == 1:
    sizes = np.zeros(0, np.int64)
  else:
    if len(data) < start + LENGTHS_HEADER_BYTES:
      raise errors.BitstreamError("the file is too short for its image")
    smallest, width = struct.unpack_from("<HB", data, start)
    start += LENGTHS_HEADER_BYTES
    num_bytes = ((count - 1) * width + 7) // 8
    if width > MAX_LENGTH_BITS or len(data) < start + num_bytes:
      raise errors.BitstreamError("the file is too short for its image")
    if smallest * (count - 1) > len(data) - start - num_bytes:
      # Ahead of the arrays: there are millions of lanes in a large image.
      raise errors.BitstreamError("the lanes do not fill the file")
    packed = np.frombuffer(data, np.uint8, num_bytes, start)
    bits = np.unpackbits(packed, bitorder="little").astype(np.int64)
    used, spare = np.split(bits, [(count - 1) * width])
    numbers = used.reshape(count - 1, width) @ (1 << np.arange(width))
    sizes = smallest + numbers
    if (
      numbers.min()
      or int(numbers.max()).bit_length() != width
      or spare.any()
      or sizes.max() > coding_tables.MAX_LANE_BYTES
    ):
      raise errors.BitstreamError("the lengths of the lanes are misspelt")
    start += num_bytes
  last = len(data) - start - int(sizes.sum())
  if not 0 <= last <= coding_tables.MAX_LANE_BYTES:
    raise errors.BitstreamError("the lanes do not fill the file")
  return np.append(sizes, last), start
