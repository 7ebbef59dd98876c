"""The container of `bls2017.bitstream.container` in a graph."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.bitstream import container, lanes
from bls2017.common import config
from export import verdict
from export.graph import byte_fields

_QUALITY_OFFSET = 5
_HEIGHT_OFFSET = 6
_WIDTH_OFFSET = 8
_MODEL_ID_OFFSET = 10
_MAGIC_BYTES = len(container.MAGIC)


class Header(NamedTuple):
  """`container.Header` as tensors, with a verdict.

  Attributes:
    height: int32 scalar.
    width: int32 scalar.
    quality_index: int32 scalar.
    model_id: string scalar of 8 bytes.
    verdict: What is wrong with it; the other fields mean nothing then.
  """

  height: tf.Tensor
  width: tf.Tensor
  quality_index: tf.Tensor
  model_id: tf.Tensor
  verdict: verdict.Verdict


class Lanes(NamedTuple):
  """The lanes of a file.

  Attributes:
    payload: string scalar, all lanes one after the other.
    lengths: int32 [lanes].
    verdict: What is wrong with them; the others are empty then.
  """

  payload: tf.Tensor
  lengths: tf.Tensor
  verdict: verdict.Verdict


def positions(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """Spatial positions of the latents, int32 scalar."""
  h, w = lanes.latent_shape(height, width)
  return h * w


def pack(
  height: tf.Tensor,
  width: tf.Tensor,
  quality_index: tf.Tensor,
  model_id: bytes,
  version: int,
  payload: tf.Tensor,
  lengths: tf.Tensor,
) -> tf.Tensor:
  """The bytes of a file, a string scalar.

  Args:
    height: int32 scalar, 1 to 65535, as is `width`.
    width: Likewise.
    quality_index: int32 scalar.
    model_id: 8 bytes.
    version: Of the format.
    payload: string scalar, all lanes.
    lengths: int32 [lanes], below 65536.
  """
  eighths = tf.cast(quality_index + config.QUALITY_STEPS, tf.uint8)
  sides = byte_fields.from_shorts(tf.stack([height, width]))
  fields = tf.strings.join(
    [
      container.MAGIC + bytes([version]),
      byte_fields.to_string(tf.concat([eighths[None], sides], 0)),
      model_id,
    ]
  )
  body = byte_fields.to_string(byte_fields.from_shorts(lengths)) + payload
  checksum = byte_fields.to_string(tf.fingerprint([fields + body])[0])
  return fields + checksum + body


def unpack_header(
  data: tf.Tensor,
  model_id: bytes,
  version: int,
  qualities: int,
  max_pixels: int,
) -> Header:
  """Checks and reads what a file begins with.

  Args:
    data: string scalar, a whole file.
    model_id: Of the model that is to decode it.
    version: Of the format, of all files of this model.
    qualities: How many qualities it has.
    max_pixels: Limit of width times height.
  """
  content = byte_fields.head(data, container.HEADER_BYTES)
  size = tf.strings.length(data)
  eighths = tf.cast(content[_QUALITY_OFFSET], tf.int32)
  height = byte_fields.little_endian(content, _HEIGHT_OFFSET, 2)
  width = byte_fields.little_endian(content, _WIDTH_OFFSET, 2)
  written_with = tf.strings.substr(
    data + bytes(container.HEADER_BYTES),
    _MODEL_ID_OFFSET,
    container.MODEL_ID_BYTES,
  )
  shared = tf.minimum(size, _MAGIC_BYTES)
  magic = tf.strings.substr(tf.constant(container.MAGIC), 0, shared)
  found = tf.cast(content[_MAGIC_BYTES], tf.int32)
  offset, end = container.CHECKSUM_OFFSET, container.HEADER_BYTES
  others = tf.strings.substr(data, 0, tf.minimum(size, offset))
  body_start = tf.minimum(size, end)
  body = tf.strings.substr(data, body_start, size - body_start)
  checksum = tf.fingerprint([others + body])[0]
  corrupt = verdict.CORRUPT
  return Header(
    height=tf.cast(height, tf.int32),
    width=tf.cast(width, tf.int32),
    quality_index=eighths - config.QUALITY_STEPS,
    model_id=written_with,
    verdict=verdict.first_fault(
      (size == 0, corrupt, ("the file is empty",)),
      (
        tf.strings.substr(data, 0, shared) != magic,
        corrupt,
        (
          "this is not a bls2017 file",
          " (it does not begin with its magic bytes)",
        ),
      ),
      (
        (size > _MAGIC_BYTES) & ((found < 1) | (found > container.VERSION)),
        corrupt,
        (
          "the file has version ", found, ", this program reads versions 1 to ",
          str(container.VERSION),
        ),
      ),
      (
        size < end,
        corrupt,
        ("the file is cut off within its header (", size, " bytes)"),
      ),
      (
        tf.reduce_any(checksum != content[offset:end]),
        corrupt,
        ("the checksum is wrong: the file is damaged or cut off",),
      ),
      (
        (height == 0) | (width == 0),
        corrupt,
        ("an image of ", width, " x ", height, " pixels"),
      ),
      (
        eighths < config.QUALITY_STEPS,
        corrupt,
        ("quality ", eighths, "/8 is below 1"),
      ),
      (
        written_with != model_id,
        corrupt,
        (
          "the file was written with model ", to_hex(written_with),
          f", this is model {model_id.hex()}",
        ),
      ),
      (
        found != version,
        corrupt,
        (
          "the file has version ", found, ", those of its model have version ",
          str(version),
        ),
      ),
      (
        eighths - config.QUALITY_STEPS >= qualities,
        corrupt,
        ("the file has a quality the model lacks",),
      ),
      over_limit(height, width, max_pixels),
    ),
  )  # fmt: skip


def over_limit(
  height: tf.Tensor, width: tf.Tensor, max_pixels: int
) -> tuple[tf.Tensor, int, tuple[str | tf.Tensor, ...]]:
  """The fault of an image that is too large, for `verdict.first_fault`.

  Args:
    height: int64 scalar, below 2**32.
    width: int64 scalar, below 2**31.
    max_pixels: Limit of width times height.
  """
  longest = tf.maximum(height, width)
  return (
    (height * width > max_pixels) | (longest > container.MAX_SIDE),
    verdict.LIMIT,
    (
      "the image has ", width, " x ", height,
      f" pixels, the limit is {max_pixels}, and {container.MAX_SIDE} on a side",
    ),
  )  # fmt: skip


def unpack_lanes(
  data: tf.Tensor,
  header: Header,
  lane_positions: tf.Tensor,
  max_symbol_bytes: tf.Tensor,
) -> Lanes:
  """The lanes of a file whose header was found sound.

  Args:
    data: string scalar, the whole file.
    header: From `unpack_header`.
    lane_positions: int32 scalar, positions of a lane.
    max_symbol_bytes: int32 scalar, the longest a lane can be.
  """
  size = tf.strings.length(data)
  count = positions(header.height, header.width)
  count = (count + lane_positions - 1) // lane_positions
  start = container.HEADER_BYTES + container.LANE_LENGTH_BYTES * count
  # A file that is too short yields no lengths, and is refused below.
  table_start = tf.minimum(size, container.HEADER_BYTES)
  table_bytes = tf.where(size < start, 0, start - container.HEADER_BYTES)
  lengths = byte_fields.shorts(
    byte_fields.from_string(tf.strings.substr(data, table_start, table_bytes))
  )
  faults = verdict.first_fault(
    (
      size < start,
      verdict.CORRUPT,
      ("the file is too short for its image",),
    ),
    (
      start + tf.reduce_sum(lengths) != size,
      verdict.CORRUPT,
      ("the lanes do not fill the file",),
    ),
    (
      tf.reduce_any(lengths > max_symbol_bytes),
      verdict.CORRUPT,
      ("a lane is longer than its symbols can need",),
    ),
  )
  body = tf.minimum(start, size)
  return Lanes(tf.strings.substr(data, body, size - body), lengths, faults)


def to_hex(data: tf.Tensor) -> tf.Tensor:
  """Bytes in hexadecimal.

  Args:
    data: string scalar.
  """
  digits = tf.constant([f"{i:02x}" for i in range(256)])
  content = tf.cast(byte_fields.from_string(data), tf.int32)
  return tf.strings.reduce_join(tf.gather(digits, content))
