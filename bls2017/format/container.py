"""The container: the bytes of a file around its lanes.

FORMAT.md, beside this module, describes it byte by byte, and the order of a
reader's checks. The checksum comes before anything that was read is used. It
guards against accidents, not against forgery, so nothing after it trusts it
either: every length is checked before anything is allocated for it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import struct
from collections.abc import Sequence

import numpy as np

from bls2017 import errors
from bls2017.format import alpha_box, coding_tables, lanes, range_coder

MAGIC = b"\x89BLS"
VERSION = 5
"""Of the format; files of another version are not read."""

MAX_SIDE = 0xFFFF
FIRST_QUALITY = 8
"""The byte for the quality holds this for quality 1."""

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

MAX_NUMBER_BYTES = 4
"""Of a number whose bytes hold seven bits each."""

BOX_TYPE_BYTES = 4
BOX_HEADER_BYTES = BOX_TYPE_BYTES + 4
MAX_BOXES_BYTES = 1 << 24
"""Of all boxes together, their types and lengths included."""

MAX_BOXES = 64
"""More would only cost readers time: a box can be as short as 9 bytes."""

MAX_LENGTH_BITS = 16
"""Of what the packed length of a lane adds to the smallest one."""

EXIF = b"Exif"
"""Type of a box that holds a TIFF structure."""

XMP = b"XMP "
"""Type of a box that holds an XMP packet in UTF-8."""

ALPHA = b"Alph"
"""Type of a box that holds alpha (`alpha_box`); without it, all is opaque."""

_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*")
LANE_BYTES = 1.25
"""What a lane takes on average, of its length and at the end of its stream."""

_MEAN_NUMBERS_BYTES = 5
"""What the lengths of boxes and lanes take on average, without those."""


@dataclasses.dataclass(frozen=True)
class Header:
  """The fields at the beginning of a file.

  Attributes:
    height: Pixels, 1 to 65535.
    width: Pixels, 1 to 65535.
    quality_index: Index of the quality (`coding_tables`).
    model_id: 8 bytes.
  """

  height: int
  width: int
  quality_index: int
  model_id: bytes

  @property
  def shape(self) -> tuple[int, int]:
    """Positions of the latents along both sides."""
    return lanes.latent_shape(self.height, self.width)

  @property
  def positions(self) -> int:
    """Positions of the latents."""
    return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Box:
  """A piece of metadata that travels with an image.

  Attributes:
    type: 4 bytes of printable ASCII; `EXIF`, `XMP`, `ALPHA`, or what others
      agree on.
    data: At least one byte.
  """

  type: bytes
  data: bytes


@dataclasses.dataclass(frozen=True)
class File:
  """A file that passed all checks but those of its lanes' contents.

  Attributes:
    data: Its bytes.
    header: Its fields.
    tables: The tables of its quality.
    boxes: Its metadata, in the order of the types.
    lane_bounds: int64 [lanes + 1], where each lane begins, and the file's end.
  """

  data: bytes
  header: Header
  tables: coding_tables.QualityTables
  boxes: tuple[Box, ...]
  lane_bounds: np.ndarray

  @property
  def num_lanes(self) -> int:
    """How many lanes there are."""
    return len(self.lane_bounds) - 1

  def content(self, kind: bytes) -> bytes:
    """The content of the box of a type; empty where there is none."""
    return next((box.data for box in self.boxes if box.type == kind), b"")

  @functools.cached_property
  def _streams(self) -> list[bytes]:
    bounds = self.lane_bounds.tolist()
    return [self.data[a:b] for a, b in zip(bounds, bounds[1:])]

  @functools.cached_property
  def _heads(self) -> range_coder.Heads:
    return range_coder.decode_heads(
      self._streams, self.header.shape, self.tables
    )

  def rows(self, first: int = 0, end: int | None = None) -> np.ndarray:
    """Decodes a run of positions.

    The heads of all positions are decoded with the first run, since they tell
    where the rest of a position lies.

    Args:
      first: The first position.
      end: The position behind the last one; by default all are decoded.

    Returns:
      uint16 [end - first, 1 + L], as `range_coder.decode` gives them.

    Raises:
      errors.BitstreamError: if a lane is not what an encoder writes.
    """
    end = self.header.positions if end is None else end
    return range_coder.decode(
      self._streams, self._heads, first, end, self.tables
    )


def checksum(data: bytes) -> bytes:
  """The 8 bytes by which a file checks its other bytes."""
  return range_coder.fingerprint64(data).to_bytes(CHECKSUM_BYTES, "little")


def overhead_bytes(num_lanes: float) -> float:
  """Bytes of a file besides the information content of its rows, on average.

  Boxes are not counted. This is right within some bytes: the lengths of lanes
  that differ less are shorter.
  """
  return HEADER_BYTES + _MEAN_NUMBERS_BYTES + LANE_BYTES * num_lanes


def boxes_bytes(boxes: Sequence[Box]) -> int:
  """Bytes that boxes take in a file."""
  return sum(BOX_HEADER_BYTES + len(box.data) for box in boxes)


def check_size(height: int, width: int, max_pixels: int) -> None:
  """Refuses images that the format or the caller has no room for.

  Args:
    height: Pixels.
    width: Pixels.
    max_pixels: Limit of width times height.

  Raises:
    errors.UsageError: if the image has no pixels.
    errors.LimitError: if it has too many, or a side is too long.
  """
  if not (height and width):
    raise errors.UsageError("an image must have pixels")
  if height * width > max_pixels:
    raise errors.LimitError(
      f"the image has {width} x {height} pixels, the limit is {max_pixels}"
    )
  if max(height, width) > MAX_SIDE:
    raise errors.LimitError(
      f"the format holds sides up to {MAX_SIDE} pixels, the image has"
      f" {width} x {height}"
    )


def max_file_bytes(max_pixels: int, columns: int) -> int:
  """The longest file of an image within a limit of pixels.

  Args:
    max_pixels: Limit of width times height.
    columns: 1 + L, table indices of a position, at most.
  """
  # ceil(h / 16) ceil(w / 16) <= (h + 15) (w + 15) / 256, which for so many
  # pixels is largest where the sides differ most.
  step = lanes.DOWNSAMPLING
  longest = min(max_pixels, MAX_SIDE)
  sides = longest + -(-max_pixels // longest)
  positions = (max_pixels + (step - 1) * (sides + step - 1)) // step**2
  of_a_lane = coding_tables.MAX_LANE_END_BYTES + MAX_LENGTH_BITS // 8
  before_lanes = HEADER_BYTES + MAX_BOXES_BYTES + 3 * MAX_NUMBER_BYTES + 1
  return before_lanes + positions * (2 * columns + of_a_lane)


def pack(
  header: Header,
  rows: np.ndarray,
  num_lanes: int,
  tables: coding_tables.QualityTables,
  boxes: Sequence[Box] = (),
) -> bytes:
  """Makes the bytes of a file.

  Args:
    header: Its fields.
    rows: Integers [positions, 1 + L], as `range_coder.encode` takes them.
    num_lanes: At least `lanes.fewest`, at most as many as positions.
    tables: The coding tables of the quality.
    boxes: Metadata, in any order.

  Raises:
    errors.LimitError: if the format cannot hold an image of this size, or so
      much metadata, or so many boxes.
    errors.UsageError: if a box is not sound, or there are two of a type.
  """
  check_size(header.height, header.width, MAX_SIDE**2)
  streams = range_coder.encode(rows, header.shape, num_lanes, tables)
  lengths = _pack_lengths([len(stream) for stream in streams])
  fields = _FIELDS.pack(
    MAGIC,
    VERSION,
    header.quality_index + FIRST_QUALITY,
    header.height,
    header.width,
    header.model_id,
  )
  body = b"".join([pack_boxes(boxes), lengths, *streams])
  return fields + checksum(fields + body) + body


def unpack_header(data: bytes) -> Header:
  """Checks and reads everything that needs no model, but the boxes.

  Args:
    data: A whole file.

  Raises:
    errors.BitstreamError: if this is not a whole, unchanged file.
  """
  header = unpack_fields(data)
  # A sum would copy a long file twice.
  others = (data[:CHECKSUM_OFFSET], memoryview(data)[HEADER_BYTES:])
  if checksum(b"".join(others)) != data[CHECKSUM_OFFSET:HEADER_BYTES]:
    raise errors.BitstreamError(
      "the checksum is wrong: the file is damaged or cut off"
    )
  if not header.height or not header.width:
    raise errors.BitstreamError(
      f"an image of {header.width} x {header.height} pixels"
    )
  if header.quality_index < 0:
    raise errors.BitstreamError("the quality is below 1")
  return header


def unpack_fields(data: bytes) -> Header:
  """Reads the fields of a header and checks only the magic and the version.

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
  if len(data) > VERSION_OFFSET and data[VERSION_OFFSET] != VERSION:
    raise errors.BitstreamError(
      f"the file has version {data[VERSION_OFFSET]}, this program reads"
      f" version {VERSION}"
    )
  if len(data) < HEADER_BYTES:
    raise errors.BitstreamError(
      f"the file is cut off within its header ({len(data)} bytes)"
    )
  _, _, quality, height, width, model_id = _FIELDS.unpack_from(data)
  return Header(height, width, quality - FIRST_QUALITY, model_id)


def unpack_body(
  data: bytes, header: Header, tables: coding_tables.QualityTables
) -> File:
  """Checks and reads the metadata, the lengths of the lanes, and alpha.

  Args:
    data: A whole file.
    header: From `unpack_header`.
    tables: The coding tables of its quality.

  Raises:
    errors.BitstreamError: if they do not fill their room, have another
      spelling, a lane is longer than its positions can need, or alpha is not
      that of an image of this size.
  """
  boxes, end = unpack_boxes(data)
  positions = header.positions
  count, end = unpack_number(data, end)
  if not lanes.fewest(positions, tables.lane_positions) <= count <= positions:
    raise errors.BitstreamError(
      f"an image of {positions} positions cannot have {count} lanes"
    )
  sizes, start = _unpack_lengths(data, end, count)
  most = lanes.most_positions(*header.shape, count)
  if sizes.max() > tables.max_lane_bytes(most):
    raise errors.BitstreamError("a lane is longer than its symbols can need")
  bounds = np.cumsum(np.concatenate([[start], sizes]), dtype=np.int64)
  file = File(data, header, tables, boxes, bounds)
  if alpha := file.content(ALPHA):
    alpha_box.check(alpha, header.height, header.width)
  return file


def pack_boxes(boxes: Sequence[Box]) -> bytes:
  """Makes the metadata of a file: the length of all boxes, and the boxes.

  Args:
    boxes: In any order.

  Raises:
    errors.LimitError: if they are longer than `MAX_BOXES_BYTES`, or more than
      `MAX_BOXES`.
    errors.UsageError: if a box is not sound, or there are two of a type.
  """
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
      f"metadata and alpha take {len(content)} bytes, the limit is"
      f" {MAX_BOXES_BYTES}"
    )
  return _pack_number(len(content)) + content


def unpack_boxes(data: bytes) -> tuple[tuple[Box, ...], int]:
  """Reads the metadata of a file; the inverse of `pack_boxes`.

  Args:
    data: A file whose header was checked, or its bytes up to the last box.

  Returns:
    The boxes, and where they end.

  Raises:
    errors.BitstreamError: if they do not fill their room, or have another
      spelling.
  """
  size, start = unpack_number(data, HEADER_BYTES)
  if size > min(MAX_BOXES_BYTES, len(data) - start):
    raise errors.BitstreamError("the metadata is longer than its file")
  boxes: list[Box] = []
  end = start + size
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
  return tuple(boxes), end


def unpack_number(data: bytes, start: int) -> tuple[int, int]:
  """Reads a number that is stored in as many bytes as it needs.

  Args:
    data: A file.
    start: Where the number begins.

  Returns:
    The number, and where it ends.

  Raises:
    errors.BitstreamError: if the file ends before it, or another spelling is
      shorter.
  """
  number = 0
  for place, byte in enumerate(data[start : start + MAX_NUMBER_BYTES]):
    number |= (byte & 0x7F) << 7 * place
    if byte < 0x80:
      if place and not byte:
        break
      return number, start + place + 1
  else:
    if len(data) < start + MAX_NUMBER_BYTES:
      raise errors.BitstreamError("the file is too short for its image")
  raise errors.BitstreamError("a number is misspelt")


def _is_printable(kind: bytes) -> bool:
  return all(0x20 <= byte <= 0x7E for byte in kind)


def _pack_number(number: int) -> bytes:
  """A number in bytes of seven bits, the lower ones first."""
  low, rest = number & 0x7F, number >> 7
  return bytes([low | 0x80]) + _pack_number(rest) if rest else bytes([low])


def _pack_lengths(sizes: Sequence[int]) -> bytes:
  """The number of lanes, and the lengths of all but the last one."""
  if len(sizes) < 2:
    return _pack_number(len(sizes))
  stored = np.array(sizes[:-1], np.int64)
  smallest = int(stored.min())
  numbers = stored - smallest
  width = int(numbers.max()).bit_length()
  bits = numbers[:, None] >> np.arange(width) & 1
  packed = np.packbits(bits.astype(np.uint8), bitorder="little")
  head = _pack_number(len(sizes)) + _pack_number(smallest) + bytes([width])
  return head + packed.tobytes()


def _unpack_lengths(
  data: bytes, start: int, count: int
) -> tuple[np.ndarray, int]:
  """The lengths of lanes.

  Args:
    data: The whole file.
    start: Where the lengths begin, behind the number of lanes.
    count: Number of lanes.

  Returns:
    The lengths of all lanes, int64, and where the first one begins.
  """
  sizes = np.zeros(0, np.int64)
  if count > 1:
    smallest, start = unpack_number(data, start)
    if len(data) <= start:
      raise errors.BitstreamError("the file is too short for its image")
    width = data[start]
    start += 1
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
