"""Alpha in a graph: its box of metadata, and the colours that it hides.

The box holds a PNG file of one layout (FORMAT.md). TensorFlow's encoder cuts
the samples into several chunks, so they are joined here. Its decoders take
files that the format does not have, and inflate what has no end; `is_sound`
makes up for that.
"""

from __future__ import annotations

import tensorflow as tf

from bls2017.format import alpha_box
from export import verdict
from export.graph import byte_fields, crc32

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = bytes([8, 0, 0, 0, 0])
"""Behind the sides: 8 bits, grey, and the only methods that PNG has."""
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_HEADER_BYTES = len(_SIGNATURE) + 25
_CHUNK_START = 8
_CHUNK_BYTES = _CHUNK_START + 4
"""Of a chunk, besides its content."""

_STRING = tf.TensorSpec((), tf.string)
_NUMBER = tf.TensorSpec((), tf.int32)
_COLOUR = tf.TensorSpec((None, None, 3), tf.uint8)
_ALPHA = tf.TensorSpec((None, None, 1), tf.uint8)

_PIECE_BYTES = 1 << 17
"""A stream is inflated so much further each time. So one that does not end with
the image is found out before it takes much memory; it starts anew each time,
but the streams of images are short."""

_ADLER_MODULUS = 65521
_ZEROS = 256
_BLOCK_OF_ZEROS = b"\0\0\1\xff\xfe" + bytes(_ZEROS)
"""A stored block, which begins with its length and the complement of that."""

_BLOCK = 8
"""Pixels along the side of a block, which gives its mean to hidden colours."""
_UNSEEN = 128.0
"""The colour of an image of which all is hidden: the codec's zero."""
_LEVELS = 13
"""How often the largest image's blocks are halved until they are one."""


@tf.function(input_signature=[_ALPHA], autograph=False)
def pack(alpha: tf.Tensor) -> tf.Tensor:
  """Makes the content of the box, a string scalar.

  Args:
    alpha: uint8 [H, W, 1].
  """
  png = tf.io.encode_png(alpha, compression=alpha_box.LEVEL)
  bits = 8.0 * tf.cast(tf.strings.length(png), tf.float32)
  png = tf.cond(
    bits <= alpha_box.THOROUGH_BITS * tf.cast(tf.size(alpha), tf.float32),
    lambda: tf.io.encode_png(alpha, compression=alpha_box.BEST_LEVEL),
    lambda: png,
  )
  height, width, _ = tf.unstack(tf.shape(alpha))
  return _file(height, width, _joined_samples(png))


def unpack(content: tf.Tensor) -> tf.Tensor:
  """Reads a sound box: uint8 [H, W, 1]."""
  return tf.io.decode_png(content, 1)


@tf.function(input_signature=[_STRING, _NUMBER, _NUMBER], autograph=False)
def is_sound(
  content: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
  """Tells if a box is one that the format has: a bool scalar.

  Whatever the bytes are, it takes memory for the box and for alpha, and some
  hundred megabytes at most.

  Args:
    content: string scalar, any bytes.
    height: int32 scalar, pixels of the image, 1 to 65535.
    width: int32 scalar, likewise.
  """
  count = tf.maximum(
    tf.strings.length(content) - _HEADER_BYTES - 2 * _CHUNK_BYTES, 0
  )
  start = tf.where(count > 0, _HEADER_BYTES + _CHUNK_START, 0)
  samples = tf.strings.substr(content, start, count)
  size = tf.cast(height, tf.int64) * tf.cast(width + 1, tf.int64)
  found = tf.cast(count, tf.int64) <= alpha_box.most_bytes(size)
  found &= tf.strings.substr(samples, 0, 1) == alpha_box.ZLIB_HEADER[:1]
  for check in (
    lambda: content == _file(height, width, samples),
    lambda: _gives(samples, size),
    lambda: _decodes(content),
    lambda: _ends(samples, size),
  ):
    found = tf.cond(found, check, lambda: False)
  return found


def _gives(stream: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """Tells if a zlib stream, whole or cut off, gives `size` bytes."""
  end = tf.strings.length(stream)

  def inflate_more(
    begin: tf.Tensor, _: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    begin = tf.minimum(begin + _PIECE_BYTES, end)
    return begin, _inflated_size(tf.strings.substr(stream, 0, begin))

  _, found = tf.while_loop(
    lambda begin, found: (begin < end) & (found >= 0) & (found <= size),
    inflate_more,
    (tf.constant(0), tf.constant(0, tf.int64)),
    parallel_iterations=1,
  )
  return found == size


def _decodes(png: tf.Tensor) -> tf.Tensor:
  """Tells if a file has sound filters and a whole zlib stream; more may follow.

  Samples must not go on behind the image: they would be inflated to the end.
  """
  decoded = verdict.attempt(
    lambda data: tf.size(tf.io.decode_png(data, 1)), png, tf.constant(0)
  )
  return decoded > 0


def _ends(stream: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """Tells if nothing follows a whole zlib stream, which gives `size` bytes.

  Zeros in front of the content add their number to the upper half of the
  checksum, and so change its first byte. If anything followed the stream, the
  decoder would find the first byte of the old checksum there.
  """
  start = len(alpha_box.ZLIB_HEADER)
  count = tf.strings.length(stream)
  checksum = byte_fields.from_string(tf.strings.substr(stream, -4, 4))
  upper = (byte_fields.big_endian(checksum, 0, 2) + _ZEROS) % _ADLER_MODULUS
  upper = tf.cast(tf.stack([upper // 256, upper % 256]), tf.uint8)
  longer = tf.strings.join(
    [
      tf.strings.substr(stream, 0, start),
      _BLOCK_OF_ZEROS,
      tf.strings.substr(stream, start, count - start - 4),
      byte_fields.to_string(tf.concat([upper, checksum[2:]], 0)),
    ]
  )
  return _inflated_size(longer) == size + _ZEROS


def _inflated_size(stream: tf.Tensor) -> tf.Tensor:
  """Bytes that a zlib stream gives, int64, or -1."""

  def inflate(data: tf.Tensor) -> tf.Tensor:
    content = tf.io.decode_compressed(data, "ZLIB")
    return tf.cast(tf.strings.length(content), tf.int64)

  return verdict.attempt(inflate, stream, tf.constant(-1, tf.int64))


def _file(height: tf.Tensor, width: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
  return _header(height, width) + _chunk(b"IDAT", samples) + _END


def _header(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  sides = [byte_fields.from_integer(side) for side in (width, height)]
  fields = byte_fields.to_string(tf.concat(sides, 0)) + _GREY
  return _SIGNATURE + _chunk(b"IHDR", fields)


def _chunk(kind: bytes, content: tf.Tensor) -> tf.Tensor:
  body = kind + content
  length = byte_fields.from_integer(tf.strings.length(content))
  checksum = crc32.crc32(byte_fields.from_string(body))
  checksum = byte_fields.from_integer(checksum)
  return tf.strings.join(
    [byte_fields.to_string(length), body, byte_fields.to_string(checksum)]
  )


def _joined_samples(png: tf.Tensor) -> tf.Tensor:
  """The content of all chunks between the first and the last one.

  TensorFlow states a smaller window for a short stream; the largest is right.
  """
  end = tf.strings.length(png) - _CHUNK_BYTES

  def read(
    start: tf.Tensor, parts: tf.TensorArray
  ) -> tuple[tf.Tensor, tf.TensorArray]:
    head = byte_fields.head(tf.strings.substr(png, start, 4), 4)
    length = tf.cast(byte_fields.big_endian(head, 0, 4), tf.int32)
    part = tf.strings.substr(png, start + _CHUNK_START, length)
    return start + _CHUNK_BYTES + length, parts.write(parts.size(), part)

  parts = tf.TensorArray(tf.string, 0, dynamic_size=True, element_shape=())
  _, parts = tf.while_loop(
    lambda start, _: start < end,
    read,
    (tf.constant(_HEADER_BYTES), parts),
    parallel_iterations=1,
  )
  stream = tf.strings.reduce_join(parts.stack())
  start = len(alpha_box.ZLIB_HEADER)
  return alpha_box.ZLIB_HEADER + tf.strings.substr(stream, start, 1 << 30)


@tf.function(input_signature=[_COLOUR, _ALPHA], autograph=False)
def smeared(colour: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
  """Gives hidden pixels colours that cost few bits: those of their vicinity.

  Args:
    colour: uint8 [H, W, 3].
    alpha: uint8 [H, W, 1]; where it is 0, the colour is another one.

  Returns:
    uint8 [H, W, 3].
  """
  weight = tf.cast(alpha, tf.float32)
  seen = tf.concat([tf.cast(colour, tf.float32) * weight, weight], 2)[None]
  # Each level has the weighted means of blocks, twice as large each time.
  levels = [tf.nn.avg_pool2d(seen, _BLOCK, _BLOCK, "SAME")]
  for _ in range(_LEVELS):
    levels.append(tf.nn.avg_pool2d(levels[-1], 2, 2, "SAME"))
  filled = tf.fill(tf.shape(levels[-1][..., :3]), _UNSEEN)
  for level in reversed(levels):
    filled = tf.where(
      level[..., 3:] > 0,
      tf.math.divide_no_nan(level[..., :3], level[..., 3:]),
      tf.image.resize(filled, tf.shape(level)[1:3]),
    )
  filled = tf.image.resize(filled, tf.shape(colour)[:2])[0]
  return tf.where(alpha > 0, colour, tf.cast(tf.round(filled), tf.uint8))


def on_white(colour: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
  """Composites uint8 [H, W, 3] on white by uint8 [H, W, 1], rounding."""
  opaque = tf.cast(alpha, tf.int32)
  mixed = tf.cast(colour, tf.int32) * opaque + 255 * (255 - opaque)
  return tf.cast((mixed + 127) // 255, tf.uint8)
