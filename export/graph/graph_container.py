"""The container of `bls2017.format.container` in a graph."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.format import container, lanes
from export import verdict
from export.graph import byte_fields, graph_lanes


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
    lengths: int32 [lanes], at least one, below 65536.
  """
  eighths = tf.cast(quality_index + container.FIRST_QUALITY, tf.uint8)
  sides = byte_fields.from_shorts(tf.stack([height, width]))
  fields = tf.strings.join(
    [
      container.MAGIC + bytes([version]),
      byte_fields.to_string(tf.concat([eighths[None], sides], 0)),
      model_id,
    ]
  )
  body = graph_lanes.pack_lengths(lengths, version) + payload
  checksum = byte_fields.to_string(tf.fingerprint([fields + body])[0])
  return fields + checksum + body


class _Fields(NamedTuple):
  """What the header of a file says, checked or not.

  Attributes:
    version: int32 scalar.
    eighths: int32 scalar, the quality in eighths.
    height: int64 scalar, pixels.
    width: int64 scalar, pixels.
    model_id: string scalar of 8 bytes.
  """

  version: tf.Tensor
  eighths: tf.Tensor
  height: tf.Tensor
  width: tf.Tensor
  model_id: tf.Tensor


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
    model_id: 8 bytes, of the model that is to decode it.
    version: Of the format, of all files of this model.
    qualities: How many qualities the model has.
    max_pixels: Limit of width times height.
  """
  fields = _read_fields(data)
  return Header(
    height=tf.cast(fields.height, tf.int32),
    width=tf.cast(fields.width, tf.int32),
    quality_index=fields.eighths - container.FIRST_QUALITY,
    model_id=fields.model_id,
    verdict=verdict.first_fault(
      *_faults_of_bytes(data, fields),
      *_faults_of_fields(fields, model_id, version, qualities),
      over_limit(fields.height, fields.width, max_pixels),
    ),
  )


def _read_fields(data: tf.Tensor) -> _Fields:
  """The fields of a header; those that the file is too short for are zero."""
  content = byte_fields.head(data, container.HEADER_BYTES)
  numbers = tf.cast(content, tf.int32)
  return _Fields(
    version=numbers[container.VERSION_OFFSET],
    eighths=numbers[container.QUALITY_OFFSET],
    height=byte_fields.little_endian(content, container.HEIGHT_OFFSET, 2),
    width=byte_fields.little_endian(content, container.WIDTH_OFFSET, 2),
    model_id=tf.strings.substr(
      data + bytes(container.HEADER_BYTES),
      container.MODEL_ID_OFFSET,
      container.MODEL_ID_BYTES,
    ),
  )


def _faults_of_bytes(data: tf.Tensor, fields: _Fields) -> list[verdict.Case]:
  """The faults of a file that is not whole, in the order of the checks."""
  size = tf.strings.length(data)
  shared = tf.minimum(size, len(container.MAGIC))
  magic = tf.strings.substr(tf.constant(container.MAGIC), 0, shared)
  known = (fields.version >= 1) & (fields.version <= container.VERSION)
  return [
    (size == 0, verdict.CORRUPT, ("the file is empty",)),
    (
      tf.strings.substr(data, 0, shared) != magic,
      verdict.CORRUPT,
      ("this is not a bls2017 file (it does not begin with its magic bytes)",),
    ),
    (
      (size > container.VERSION_OFFSET) & ~known,
      verdict.CORRUPT,
      (
        "the file has version ", fields.version,
        f", this program reads versions 1 to {container.VERSION}",
      ),
    ),
    (
      size < container.HEADER_BYTES,
      verdict.CORRUPT,
      ("the file is cut off within its header (", size, " bytes)"),
    ),
    (
      _checksum_differs(data),
      verdict.CORRUPT,
      ("the checksum is wrong: the file is damaged or cut off",),
    ),
  ]  # fmt: skip


def _checksum_differs(data: tf.Tensor) -> tf.Tensor:
  """Whether a file's checksum is not that of its other bytes, bool scalar."""
  size = tf.strings.length(data)
  offset = tf.minimum(size, container.CHECKSUM_OFFSET)
  body = tf.minimum(size, container.HEADER_BYTES)
  covered = tf.strings.join(
    [
      tf.strings.substr(data, 0, offset),
      tf.strings.substr(data, body, size - body),
    ]
  )
  stored = byte_fields.head(data, container.HEADER_BYTES)
  return tf.reduce_any(
    tf.fingerprint([covered])[0] != stored[container.CHECKSUM_OFFSET :]
  )


def _faults_of_fields(
  fields: _Fields, model_id: bytes, version: int, qualities: int
) -> list[verdict.Case]:
  """The faults of a whole file, in the order of the checks."""
  index = fields.eighths - container.FIRST_QUALITY
  return [
    (
      (fields.height == 0) | (fields.width == 0),
      verdict.CORRUPT,
      ("an image of ", fields.width, " x ", fields.height, " pixels"),
    ),
    (
      index < 0,
      verdict.CORRUPT,
      ("quality ", fields.eighths, "/8 is below 1"),
    ),
    (
      fields.model_id != model_id,
      verdict.CORRUPT,
      (
        "the file was written with model ", to_hex(fields.model_id),
        f", this is model {model_id.hex()}",
      ),
    ),
    (
      fields.version != version,
      verdict.CORRUPT,
      (
        "the file has version ", fields.version,
        f", those of its model have version {version}",
      ),
    ),
    (
      index >= qualities,
      verdict.CORRUPT,
      ("the file has a quality the model lacks",),
    ),
  ]  # fmt: skip


def over_limit(
  height: tf.Tensor, width: tf.Tensor, max_pixels: int
) -> verdict.Case:
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


def to_hex(data: tf.Tensor) -> tf.Tensor:
  """Bytes in hexadecimal.

  Args:
    data: string scalar.
  """
  digits = tf.constant([f"{i:02x}" for i in range(256)])
  content = tf.cast(byte_fields.from_string(data), tf.int32)
  return tf.strings.reduce_join(tf.gather(digits, content))
