r"""The container: the bytes of a file around its lanes.

Normative description of versions 1 and 2. Integers are unsigned and
little-endian.

    offset  bytes
    0       4      magic: 89 42 4C 53 ("\x89BLS")
    4       1      version: 1, or 2 where the model's tables know several
                   activities (bls2017.bitstream.coding_tables)
    5       1      quality in eighths: 8 (quality 1) to 255
    6       2      height in pixels, 1 to 65535
    8       2      width in pixels, 1 to 65535
    10      8      model id (bls2017.transforms.model_directory)
    18      8      checksum: FarmHash Fingerprint64 of all other bytes, that is
                   of bytes 0 to 17 followed by bytes 26 to the end
    26      2 n    lengths of the n lanes in bytes
    26+2n          the lanes, one after the other, to the end of the file

The number of lanes is not stored: n = ceil(positions / lane_positions), where
positions = ceil(height / 16) * ceil(width / 16), and lane_positions belongs to
the model and quality (bls2017.bitstream.lanes). The same symbols have one byte
string: no field has a second spelling, nothing may follow the last lane.

A reader checks, in this order: the length of the header, magic, version,
checksum, model id, whether the version is that of the model's files, quality,
size and limit, number and sum of the lane lengths.
The checksum comes before anything that was read is used; it guards against
accidents, not against forgery, so nothing after it trusts it either.
"""

from __future__ import annotations

import dataclasses
import itertools
import struct
from typing import Any

from bls2017 import errors
from bls2017.bitstream import coding_tables, fingerprint, lanes
from bls2017.common import config

MAGIC = b"\x89BLS"
VERSION = 2
"""The newest version; all from 1 on are read."""

MAX_SIDE = 0xFFFF
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


@dataclasses.dataclass(frozen=True)
class Header:
  """What a file says of itself.

  Attributes:
    height: Pixels, 1 to 65535.
    width: Pixels, 1 to 65535.
    quality_index: Index of the quality (bls2017.bitstream.coding_tables).
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


def version_of(activities: int) -> int:
  """The version of files whose tables know so many activities."""
  return 1 if activities == 1 else 2


def checksum(data: bytes) -> bytes:
  """What a file holds of its other bytes: 8 bytes."""
  return fingerprint.fingerprint(data)


def overhead_bytes(num_lanes: Any) -> Any:
  """Bytes of a file besides the information content of its rows, on average.

  Args:
    num_lanes: Number of lanes, a number or a float32 tensor.
  """
  lane_bytes = LANE_LENGTH_BYTES + coding_tables.MEAN_LANE_END_BYTES
  return HEADER_BYTES + lane_bytes * num_lanes


def pack(header: Header, streams: list[bytes]) -> bytes:
  """The bytes of a file.

  Args:
    header: Its fields.
    streams: The lanes, each of at most 65535 bytes.

  Raises:
    errors.LimitError: if the format cannot hold an image of this size.
  """
  if not (1 <= header.height <= MAX_SIDE and 1 <= header.width <= MAX_SIDE):
    raise errors.LimitError(
      f"the sides of an image must be 1 to {MAX_SIDE} pixels,"
      f" not {header.width} x {header.height}"
    )
  fields = _FIELDS.pack(
    MAGIC,
    header.version,
    header.quality_index + config.QUALITY_STEPS,
    header.height,
    header.width,
    header.model_id,
  )
  lengths = struct.pack(f"<{len(streams)}H", *map(len, streams))
  body = lengths + b"".join(streams)
  return fields + checksum(fields + body) + body


def unpack_header(data: bytes) -> Header:
  """Checks and reads everything that needs no model.

  Args:
    data: A whole file.

  Raises:
    errors.BitstreamError: if this is not a whole, unchanged file.
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
  _, version, eighths, height, width, model_id = _FIELDS.unpack_from(data)
  stored = data[CHECKSUM_OFFSET:HEADER_BYTES]
  if checksum(data[:CHECKSUM_OFFSET] + data[HEADER_BYTES:]) != stored:
    raise errors.BitstreamError(
      "the checksum is wrong: the file is damaged or cut off"
    )
  if not height or not width:
    raise errors.BitstreamError(f"an image of {width} x {height} pixels")
  if eighths < config.QUALITY_STEPS:
    raise errors.BitstreamError(f"quality {eighths}/8 is below 1")
  index = eighths - config.QUALITY_STEPS
  return Header(height, width, index, model_id, version)


def unpack_lanes(
  data: bytes, header: Header, lane_positions: int
) -> list[bytes]:
  """The lanes of a file whose header was checked.

  Args:
    data: The whole file.
    header: From `unpack_header`.
    lane_positions: Positions of a lane, from the model's tables.

  Raises:
    errors.BitstreamError: if the lengths do not add up to the file's.
  """
  count = lanes.num_lanes(header.positions, lane_positions)
  start = HEADER_BYTES + LANE_LENGTH_BYTES * count
  if len(data) < start:
    raise errors.BitstreamError("the file is too short for its image")
  lengths = struct.unpack_from(f"<{count}H", data, HEADER_BYTES)
  if start + sum(lengths) != len(data):
    raise errors.BitstreamError("the lanes do not fill the file")
  streams = []
  for length in lengths:
    streams.append(data[start : start + length])
    start += length
  return streams
