"""The EXIF orientation of JPEG files in a graph.

A JPEG is a sequence of segments: ff, a marker, a length of two bytes that
counts itself, content. EXIF data is the segment with marker e1 that begins with
"Exif"; in it stands a TIFF file, whose first directory may hold it.
"""

from __future__ import annotations

import functools
from typing import Callable

import tensorflow as tf

from export.graph import byte_fields

_SEARCHED_BYTES = 1 << 17
"""Segments hold at most 64 KiB, and EXIF data comes among the first."""

_MAX_SEGMENTS = 64
_MAX_ENTRIES = 512
_EXIF_MARKER = 0xE1
_SCAN_MARKER = 0xDA
_EXIF_START = b"Exif\0\0"
_BIG_ENDIAN = b"MM"
_ORIENTATION_TAG = 0x0112
_ENTRY_BYTES = 12
_UPRIGHT = 1

_SIZES = (0, 1, 0, 2, 3, 0, 1, 0, 2, 3, 0, 0, 0, 3, 0)
"""For each of TIFF's types: 1 for a byte, 2 for two, 3 for four, 0 for others.

Any type of integer may hold an orientation, though SHORT alone is legal.
"""


def orientation(data: tf.Tensor) -> tf.Tensor:
  """Reads the orientation of a JPEG file.

  Args:
    data: string scalar, its bytes.

  Returns:
    int32 scalar, 1 (upright) to 8; 1 where the file does not say.
  """
  start = tf.strings.substr(data, 0, _SEARCHED_BYTES)
  # Zeros let every read past the end find something harmless.
  content = tf.pad(byte_fields.from_string(start), [[0, 16]])
  content = tf.cast(content, tf.int32)
  exif = _find_exif(content)
  return tf.cond(
    exif > 0,
    lambda: _read_orientation(content, exif + len(_EXIF_START)),
    lambda: tf.constant(_UPRIGHT),
  )


def make_upright(pixels: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
  """Undoes an orientation.

  Args:
    pixels: uint8 [H, W, 3] as stored.
    turned: int32 scalar, 1 to 8.
  """
  undo: list[Callable[[tf.Tensor], tf.Tensor]] = [
    lambda x: x,
    lambda x: x[:, ::-1],
    lambda x: x[::-1, ::-1],
    lambda x: x[::-1],
    lambda x: _transpose(x),
    lambda x: _transpose(x[::-1]),
    lambda x: _transpose(x[::-1, ::-1]),
    lambda x: _transpose(x)[::-1],
  ]
  return tf.switch_case(
    turned - 1, [functools.partial(f, pixels) for f in undo]
  )


def _transpose(pixels: tf.Tensor) -> tf.Tensor:
  return tf.transpose(pixels, (1, 0, 2))


def _short(content: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
  """A big-endian number of 16 bits, 0 past the end."""
  offset = tf.minimum(offset, tf.size(content) - 2)
  return content[offset] * 256 + content[offset + 1]


def _find_exif(content: tf.Tensor) -> tf.Tensor:
  """Where the content of the EXIF segment starts, 0 where there is none."""
  beginning = tf.constant(list(_EXIF_START))
  end = tf.size(content) - 16

  def look(
    n: tf.Tensor, offset: tf.Tensor, exif: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    marker = _short(content, offset) - 0xFF00
    body = content[offset + 4 : offset + 4 + len(_EXIF_START)]
    is_exif = (marker == _EXIF_MARKER) & tf.reduce_all(body == beginning)
    following = offset + 2 + tf.maximum(_short(content, offset + 2), 2)
    sound = (marker > 0) & (marker != _SCAN_MARKER)
    return (
      n + 1,
      tf.where(sound, following, end),
      tf.where(is_exif, offset + 4, exif),
    )

  _, _, exif = tf.while_loop(
    lambda n, offset, exif: (n < _MAX_SEGMENTS) & (offset < end) & (exif == 0),
    look,
    (tf.constant(0), tf.constant(2), tf.constant(0)),
  )
  return exif


def _read_orientation(content: tf.Tensor, tiff: tf.Tensor) -> tf.Tensor:
  """The orientation of the TIFF file that starts at `tiff`."""
  end = tf.size(content) - 16
  tiff = tf.minimum(tiff, end)
  big = tf.reduce_all(content[tiff : tiff + 2] == list(_BIG_ENDIAN))

  def short(offset: tf.Tensor) -> tf.Tensor:
    value = _short(content, offset)
    return tf.where(big, value, value % 256 * 256 + value // 256)

  def long(offset: tf.Tensor) -> tf.Tensor:
    """Of four bytes; -1 above 65,535, which nothing here reaches."""
    upper = short(offset + tf.where(big, 0, 2))
    lower = short(offset + tf.where(big, 2, 0))
    return tf.where(upper == 0, lower, -1)

  offset = long(tiff + 4)
  first = tf.where(offset >= 0, tiff + offset, end)
  first = tf.minimum(first, end)
  count = tf.minimum(short(first), _MAX_ENTRIES)
  entries = first + 2 + _ENTRY_BYTES * tf.range(count)
  entries = tf.minimum(entries, end)
  high, low = tf.gather(content, entries), tf.gather(content, entries + 1)
  tags = tf.where(big, high * 256 + low, low * 256 + high)
  matching = tf.boolean_mask(entries, tags == _ORIENTATION_TAG)
  entry = tf.concat([matching, end[None]], 0)[0]
  place = entry + 8
  values = tf.stack([0, content[place], short(place), long(place)])
  value = values[
    tf.gather(_SIZES, tf.minimum(short(entry + 2), len(_SIZES) - 1))
  ]
  is_stated = (value >= 1) & (value <= 8) & (long(entry + 4) != 0)
  return tf.where(is_stated, value, _UPRIGHT)
