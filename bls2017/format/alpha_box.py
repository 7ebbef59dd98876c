"""The box of transparency: alpha as a grey PNG file of one fixed layout.

    8 bytes       signature
    25 bytes      IHDR: width and height of the image, 8 bits, grey
    12 + n bytes  IDAT, one whole zlib stream of height rows of 1 + width bytes
    12 bytes      IEND

Pillow, TensorFlow and browsers decode it. All but the n bytes is given, so that
a reader compares it, and knows beforehand what they inflate to.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from bls2017 import errors

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STREAM = slice(len(_SIGNATURE) + 25 + 8, -4 - 12)
_NONE, _SUB, _UP, _LAST_FILTER = 0, 1, 2, 4
LEVEL, BEST_LEVEL = 7, 9
THOROUGH_BITS = 0.5
"""Bits per pixel up to which zlib's best level, up to 20 times as slow, pays.

Edges and gradients gain a tenth to a third by it, noise and dither little.
"""

_NEARLY = 1.2
"""A filter that is worse by this factor is not tried at the best level."""

_BLOCK = 1 << 20

ZLIB_HEADER = b"\x78\xda"
"""States the largest window: readers treat smaller ones in different ways."""


def most_bytes(size: Any) -> Any:
  """The most bytes of a zlib stream, which may not go on and give nothing.

  Args:
    size: Bytes of the rows; a number or a tensor.
  """
  return 2 * size + 64


def pack(alpha: np.ndarray) -> bytes:
  """Makes the content of the box.

  The rows have the filter, and zlib the level, that gives the fewest bytes.

  Args:
    alpha: uint8 [H, W], 255 where the image is opaque.
  """
  streams = {f: _deflated(alpha, f, LEVEL) for f in (_NONE, _SUB, _UP)}
  stream = min(streams.values(), key=len)
  if 8 * len(stream) <= THOROUGH_BITS * alpha.size:
    most = _NEARLY * len(stream)
    near = [f for f, tried in streams.items() if len(tried) <= most]
    best = (_deflated(alpha, f, BEST_LEVEL) for f in near)
    stream = min(stream, *best, key=len)
  return _png(stream, *alpha.shape)


def check(content: bytes, height: int, width: int) -> None:
  """Checks a box in memory that does not grow with the image.

  Args:
    content: Of the box.
    height: Pixels of the image.
    width: Pixels of the image.

  Raises:
    errors.BitstreamError: if `unpack` would not give alpha of this size.
  """
  stream, row_bytes = content[_STREAM], width + 1
  size = height * row_bytes
  if content != _png(stream, height, width):
    raise errors.BitstreamError("the alpha is no PNG file of the only layout")
  if stream[:1] != ZLIB_HEADER[:1] or len(stream) > most_bytes(size):
    raise errors.BitstreamError("the alpha is no zlib stream of its image")
  inflater, done = zlib.decompressobj(), 0
  try:
    while done <= size and (rows := inflater.decompress(stream, _BLOCK)):
      filters = np.frombuffer(rows, np.uint8)[-done % row_bytes :: row_bytes]
      if filters.max(initial=0) > _LAST_FILTER:
        raise errors.BitstreamError("the alpha has an unknown filter")
      done += len(rows)
      stream = inflater.unconsumed_tail
  except zlib.error as e:
    raise errors.BitstreamError(f"the alpha is damaged: {e}") from e
  if done != size or not inflater.eof or inflater.unused_data:
    raise errors.BitstreamError("the alpha does not fill its image")


def unpack(content: bytes) -> np.ndarray:
  """Alpha of a box that `check` has passed: uint8 [H, W]."""
  return np.asarray(PngImagePlugin.PngImageFile(io.BytesIO(content)))


def _deflated(alpha: np.ndarray, kind: int, level: int) -> bytes:
  """The zlib stream of rows with one of PNG's filters."""
  rows = np.empty((alpha.shape[0], alpha.shape[1] + 1), np.uint8)
  rows[:, 0], rows[:, 1:] = kind, alpha
  if kind == _SUB:
    rows[:, 2:] -= alpha[:, :-1]
  elif kind == _UP:
    rows[1:, 1:] -= alpha[:-1]
  return zlib.compress(rows.data, level)


def _png(stream: bytes, height: int, width: int) -> bytes:
  """The file around a zlib stream."""
  header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
  chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
  return _SIGNATURE + b"".join(
    struct.pack(">I", len(data))
    + kind
    + data
    + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
    for kind, data in chunks
  )
