"""PNG and JPEG files in a graph, where a broken one is a verdict, no error.

The rule is that of `bls2017.images.reading` as far as TensorFlow's operations
go: upright by the EXIF orientation of a JPEG, 16-bit grey scaled by 1/257, grey
and palettes expanded, CMYK converted. Colour profiles are ignored.
"""

from __future__ import annotations

import tensorflow as tf

from export import verdict
from export.graph import byte_fields, graph_container
from export.image_files import exif

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 33
_PNG_WIDTH_OFFSET = 16
_PNG_HEIGHT_OFFSET = 20
_PNG_DEPTH_OFFSET = 24
_PNG_COLOUR_OFFSET = 25
_PNG_GREY = 0
_JPEG_START = b"\xff\xd8\xff"
_MAX_PNG_SIDE = (1 << 31) - 1


def read(
  data: tf.Tensor, max_pixels: int
) -> tuple[tf.Tensor, tf.Tensor, verdict.Verdict]:
  """Decodes a file.

  Args:
    data: string scalar, the bytes of a PNG or JPEG file.
    max_pixels: Limit of width times height, checked before decoding.

  Returns:
    Colours, uint8 [H, W, 3], [0, 0, 3] where the verdict finds a fault; and
    alpha, uint8 [H, W, 1], [0, 0, 1] where all is opaque.
  """
  start = tf.strings.substr(data, 0, len(_PNG_SIGNATURE))
  is_png = start == _PNG_SIGNATURE
  is_jpeg = tf.strings.substr(data, 0, len(_JPEG_START)) == _JPEG_START
  zero = tf.constant(0, tf.int64)
  height, width = tf.cond(
    is_png,
    lambda: _png_size(data),
    lambda: tf.cond(is_jpeg, lambda: _jpeg_size(data), lambda: (zero, zero)),
  )
  faults = verdict.first_fault(
    (
      ~(is_png | is_jpeg),
      verdict.UNREADABLE,
      "the image is neither a PNG nor a JPEG file",
    ),
    (
      (height == 0) | (width == 0),
      verdict.UNREADABLE,
      "the header of the image is broken or cut off",
    ),
    graph_container.over_limit(height, width, max_pixels),
  )
  nothing = tf.zeros((0, 0, 3), tf.uint8), _opaque()
  colour, alpha = tf.cond(
    faults.is_ok(),
    lambda: tf.cond(
      is_png,
      lambda: verdict.attempt(_decode_png, data, nothing),
      lambda: verdict.attempt(_decode_jpeg, data, nothing),
    ),
    lambda: nothing,
  )
  message = "the image is broken or cut off"
  broken = (tf.size(colour) == 0, verdict.UNREADABLE, message)
  return colour, alpha, verdict.either(faults, verdict.first_fault(broken))


def _png_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Height and width that a PNG states, int64, or zeros."""
  content = byte_fields.head(data, _PNG_HEADER_BYTES)
  height = byte_fields.big_endian(content, _PNG_HEIGHT_OFFSET, 4)
  width = byte_fields.big_endian(content, _PNG_WIDTH_OFFSET, 4)
  sound = tf.maximum(height, width) <= _MAX_PNG_SIDE
  return tf.where(sound, height, 0), tf.where(sound, width, 0)


def _jpeg_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Height and width that a JPEG states, int64, or zeros."""
  shape = verdict.attempt(
    lambda x: tf.io.extract_jpeg_shape(x, tf.int64),
    data,
    tf.zeros((3,), tf.int64),
  )
  return shape[0], shape[1]


def _decode_jpeg(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  pixels = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
  return exif.make_upright(pixels, exif.orientation(data)), _opaque()


def _decode_png(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  content = byte_fields.head(data, _PNG_HEADER_BYTES)
  depth = tf.cast(content[_PNG_DEPTH_OFFSET], tf.int32)
  is_grey = content[_PNG_COLOUR_OFFSET] == _PNG_GREY
  # The 16-bit decoder keeps what the 8-bit one would cut off.
  pixels = tf.cond(
    is_grey & (depth == 16),
    lambda: _to_8_bits(tf.io.decode_png(data, 4, tf.uint16)),
    lambda: tf.io.decode_png(data, 4),
  )
  colour, alpha = pixels[..., :3], pixels[..., 3:]
  # Below 8 bits the decoder fills in alpha without scaling it.
  top = tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1
  opaque = tf.cast(tf.where(is_grey, top, 255), tf.uint8)
  is_opaque = tf.reduce_all(alpha == opaque) | tf.reduce_all(alpha == 255)
  return colour, tf.cond(is_opaque, _opaque, lambda: alpha)


def _opaque() -> tf.Tensor:
  return tf.zeros((0, 0, 1), tf.uint8)


def _to_8_bits(pixels: tf.Tensor) -> tf.Tensor:
  return tf.cast((tf.cast(pixels, tf.int32) + 128) // 257, tf.uint8)
