"""The header of `bls2017.format.container` in a graph."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.format import container
from export import verdict
from export.graph import byte_fields, graph_lanes


class Headers(NamedTuple):
  """The fields of a file that say what it holds, int32 scalars.

  Attributes:
    height: Pixels.
    width: Pixels.
    quality_index: Index of the quality.
  """

  height: tf.Tensor
  width: tf.Tensor
  quality_index: tf.Tensor


def pack(
  header: Headers,
  model_id: bytes,
  alpha: tf.Tensor,
  payload: tf.Tensor,
  lengths: tf.Tensor,
) -> tf.Tensor:
  """Makes the bytes of a file, a string scalar.

  Args:
    header: Its fields, the sides from 1 to 65535.
    model_id: 8 bytes.
    alpha: string scalar, the content of its box; empty for none.
    payload: uint8 [n], all lanes.
    lengths: int32 [lanes], at least one, below 65536.
  """
  height, width, index = header
  quality = tf.cast(index + container.FIRST_QUALITY, tf.uint8)
  sides = byte_fields.from_shorts(tf.stack([height, width]))
  fields = tf.strings.join(
    [
      container.MAGIC + bytes([container.VERSION]),
      byte_fields.to_string(tf.concat([quality[None], sides], 0)),
      model_id,
    ]
  )
  body = tf.strings.join(
    [
      graph_lanes.pack_boxes(alpha),
      graph_lanes.pack_lengths(lengths),
      byte_fields.to_string(payload),
    ]
  )
  checksum = byte_fields.to_string(tf.fingerprint([fields + body])[0])
  return fields + checksum + body


def unpack_header(
  data: tf.Tensor, model_id: bytes, qualities: int, max_pixels: int
) -> tuple[Headers, verdict.Verdict]:
  """Checks and reads the beginning of a file.

  Args:
    data: string scalar, a whole file.
    model_id: 8 bytes, of the model that is to decode it.
    qualities: How many qualities the model has.
    max_pixels: Limit of width times height.

  Returns:
    The fields, which mean nothing where the verdict finds a fault.
  """
  content = byte_fields.head(data, container.HEADER_BYTES)
  height = byte_fields.little_endian(content, container.HEIGHT_OFFSET, 2)
  width = byte_fields.little_endian(content, container.WIDTH_OFFSET, 2)
  index = tf.cast(content[container.QUALITY_OFFSET], tf.int32)
  index -= container.FIRST_QUALITY
  stored_id = tf.strings.substr(
    data + bytes(container.HEADER_BYTES),
    container.MODEL_ID_OFFSET,
    container.MODEL_ID_BYTES,
  )
  faults = verdict.first_fault(
    *_faults_of_bytes(data, content),
    (
      (height == 0) | (width == 0), verdict.CORRUPT,
      "an image of ", width, " x ", height, " pixels",
    ),
    (index < 0, verdict.CORRUPT, "the quality is below 1"),
    (
      stored_id != model_id, verdict.CORRUPT,
      "the file was written with model ", _to_hex(stored_id),
      f", this is model {model_id.hex()}",
    ),
    (
      index >= qualities, verdict.CORRUPT,
      "the file has a quality the model lacks",
    ),
    over_limit(height, width, max_pixels),
  )  # fmt: skip
  sides = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
  return Headers(*sides, index), faults


def _faults_of_bytes(data: tf.Tensor, content: tf.Tensor) -> list[verdict.Case]:
  """The faults of a file that is not whole, in the order of the checks."""
  size = tf.strings.length(data)
  shared = tf.minimum(size, len(container.MAGIC))
  magic = tf.strings.substr(tf.constant(container.MAGIC), 0, shared)
  version = tf.cast(content[container.VERSION_OFFSET], tf.int32)
  return [
    (size == 0, verdict.CORRUPT, "the file is empty"),
    (
      tf.strings.substr(data, 0, shared) != magic, verdict.CORRUPT,
      "this is not a bls2017 file (it does not begin with its magic bytes)",
    ),
    (
      (size > container.VERSION_OFFSET) & (version != container.VERSION),
      verdict.CORRUPT, "the file has version ", version,
      f", this program reads version {container.VERSION}",
    ),
    (
      size < container.HEADER_BYTES, verdict.CORRUPT,
      "the file is cut off within its header (", size, " bytes)",
    ),
    (
      _checksum_differs(data, content), verdict.CORRUPT,
      "the checksum is wrong: the file is damaged or cut off",
    ),
  ]  # fmt: skip


def _checksum_differs(data: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
  size = tf.strings.length(data)
  offset = tf.minimum(size, container.CHECKSUM_OFFSET)
  body = tf.minimum(size, container.HEADER_BYTES)
  covered = tf.strings.join(
    [
      tf.strings.substr(data, 0, offset),
      tf.strings.substr(data, body, size - body),
    ]
  )
  return tf.reduce_any(
    tf.fingerprint([covered])[0] != content[container.CHECKSUM_OFFSET :]
  )


def over_limit(
  height: tf.Tensor, width: tf.Tensor, max_pixels: int
) -> verdict.Case:
  """Gives the fault of an image that is too large, for `verdict.first_fault`.

  Args:
    height: int64 scalar, below 2**32.
    width: int64 scalar, below 2**31.
    max_pixels: Limit of width times height.
  """
  longest = tf.maximum(height, width)
  return (
    (height * width > max_pixels) | (longest > container.MAX_SIDE),
    verdict.LIMIT, "the image has ", width, " x ", height,
    f" pixels, the limit is {max_pixels}, and {container.MAX_SIDE} on a side",
  )  # fmt: skip


def _to_hex(data: tf.Tensor) -> tf.Tensor:
  digits = tf.constant([f"{i:02x}" for i in range(256)])
  content = tf.cast(byte_fields.from_string(data), tf.int32)
  return tf.strings.reduce_join(tf.gather(digits, content))
