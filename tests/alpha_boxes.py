"""Boxes of alpha, sound and broken, by what is written in FORMAT.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xae\x42\x60\x82"


class Case(NamedTuple):
  """A box.

  Attributes:
    name: What is special about it.
    content: Its bytes.
    height: Pixels of the image that it belongs to.
    width: Pixels.
    alpha: uint8 [H, W]; None if the box is broken.
  """

  name: str
  content: bytes
  height: int
  width: int
  alpha: np.ndarray | None = None


def chunk(kind: bytes, content: bytes) -> bytes:
  """Makes a chunk of a PNG file."""
  checksum = zlib.crc32(kind + content)
  length = struct.pack(">I", len(content))
  return length + kind + content + struct.pack(">I", checksum)


def file(height: int, width: int, stream: bytes, fields=(8, 0, 0, 0, 0)):
  """Makes a PNG file of one IDAT chunk."""
  header = struct.pack(">II5B", width, height, *fields)
  return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + END


def filtered(alpha: np.ndarray, kinds: np.ndarray) -> bytes:
  """Filters rows.

  Args:
    alpha: uint8 [H, W].
    kinds: int [H], the type of each row's filter, 0 to 4.
  """
  x = np.pad(alpha, ((1, 0), (1, 0))).astype(int)
  left, up, corner = x[1:, :-1], x[:-1, 1:], x[:-1, :-1]
  distances = [
    abs(up - corner),
    abs(left - corner),
    abs(left + up - 2 * corner),
  ]
  nearest = np.argmin(distances, 0)
  paeth = np.choose(nearest, [left, up, corner])
  zero = np.zeros_like(left)
  predictions = np.stack([zero, left, up, (left + up) // 2, paeth])
  predicted = predictions[kinds, np.arange(len(kinds))]
  rows = (alpha - predicted).astype(np.uint8)
  return np.column_stack([kinds.astype(np.uint8), rows]).tobytes()


def deflated(
  content: bytes, *, level=9, bits=15, strategy=0, pieces=1
) -> bytes:
  """Makes a zlib stream, of several blocks with empty ones between them."""
  packer = zlib.compressobj(level, zlib.DEFLATED, bits, 9, strategy)
  step = len(content) // pieces + 1
  parts = [
    packer.compress(content[i : i + step]) + packer.flush(zlib.Z_FULL_FLUSH)
    for i in range(0, len(content), step)
  ]
  return b"".join(parts) + packer.flush()


def sound() -> list[Case]:
  """Makes boxes that every reader takes."""
  y, x = np.mgrid[:36, :53]
  distance = np.hypot(y - 20, x - 25)
  noise = np.random.default_rng(0).integers(0, 256, (29, 31)).astype(np.uint8)
  hard = np.where(distance < 15, 255, 0).astype(np.uint8)
  soft = np.clip(400 - 20 * distance, 0, 255).astype(np.uint8)

  def case(name: str, alpha: np.ndarray, kinds=0, **how) -> Case:
    height, width = alpha.shape
    kinds = np.broadcast_to(kinds, height)
    stream = deflated(filtered(alpha, kinds), **how)
    return Case(name, file(height, width, stream), height, width, alpha)

  # The last byte of its checksum is 255.
  ones = np.full((2, 127), 1, np.uint8)
  assert deflated(filtered(ones, np.zeros(2, int)))[-1] == 255
  rows = filtered(noise, np.zeros(29, int))
  longest = _longest(deflated(rows), len(rows))
  return [
    case("pixel", noise[:1, :1]),
    case("row", noise[:1], 1),
    case("column", noise[:, :1], 2),
    case("all hidden", hard * 0),
    case("all opaque", hard * 0 + 255),
    case("hard mask", hard),
    case("soft edges", soft, 4),
    case("all filters", noise, np.arange(29) % 5),
    case("first rows filtered", noise[1:3], [4, 3]),
    case("stored", noise, level=0),
    case("fixed codes", soft, strategy=zlib.Z_FIXED),
    case("empty blocks", soft, pieces=7),
    case("a checksum that ends with ones", ones),
    Case("the longest", file(29, 31, longest), 29, 31, noise),
  ]


def broken(height: int = 6, width: int = 8) -> list[Case]:
  """Makes boxes that every reader refuses, of images of one size."""
  rng = np.random.default_rng(0)
  alpha = rng.integers(0, 256, (height, width)).astype(np.uint8)
  rows = filtered(alpha, np.arange(height) % 5)
  stream = deflated(rows)
  whole = file(height, width, stream)
  header, samples = whole[:33], chunk(b"IDAT", stream)
  wrong_sum = stream[:-1] + bytes([stream[-1] ^ 1])
  contents = {
    "no file": b"\0",
    "a signature": SIGNATURE,
    "a JPEG file": b"\xff\xd8\xff\xe0" + whole[4:],
    "followed by a byte": whole + b"\0",
    "followed by itself": whole * 2,
    "of another height": file(height + 1, width, stream),
    "of another width": file(height, width - 1, stream),
    "lying down": file(width, height, stream),
    **{
      f"fields {fields}": file(height, width, stream, fields)
      for fields in (
        (1, 0, 0, 0, 0),
        (16, 0, 0, 0, 0),
        (8, 3, 0, 0, 0),
        (8, 4, 0, 0, 0),
        (8, 0, 1, 0, 0),
        (8, 0, 0, 1, 0),
        (8, 0, 0, 0, 1),
      )
    },
    "two chunks of samples": b"".join(
      [header, chunk(b"IDAT", stream[:9]), chunk(b"IDAT", stream[9:]), END]
    ),
    "an empty chunk of samples": header + chunk(b"IDAT", b"") + samples + END,
    "no samples": header + chunk(b"IDAT", b"") + END,
    "no chunk of samples": header + END,
    "a chunk before": header + chunk(b"tEXt", b"a\0b") + samples + END,
    "a chunk behind": header + samples + chunk(b"tEXt", b"a\0b") + END,
    "no end": header + samples,
    "an end with content": header + samples + chunk(b"IEND", b"a"),
  }  # fmt: skip
  streams = {
    "no header": stream[2:],
    "gzip": _gzip(rows),
    "a wrong header": b"\x78\x9d" + stream[2:],
    "a smaller window": deflated(rows, bits=9),
    "a window too large": b"\x88\x1c" + stream[2:],
    "a preset dictionary": _with_dictionary(rows),
    "a block of no kind": stream[:2] + b"\7" + stream[3:],
    "a wrong checksum": wrong_sum,
    "a byte behind": stream + b"\0",
    "ones behind": stream + b"\xff" * 9,
    "its checksum behind": stream + stream[-4:],
    "a stream behind": stream * 2,
    **{f"cut by {count}": stream[:-count] for count in range(1, 9)},
    "cut, ones behind": stream[:-4] + b"\xff" * 4,
    "no last block and no checksum": _unfinished(rows),
    "no last block": _unfinished(rows) + stream[-4:],
    "a sample missing": deflated(rows[:-1]),
    "a row missing": deflated(rows[: -width - 1]),
    "a sample more": deflated(rows + b"\0"),
    "a sample of no filter more": deflated(rows + b"\5"),
    "a row more": deflated(rows + rows[: width + 1]),
    "many rows more": deflated(rows * 9),
    "an empty block too much": _longest(stream, len(rows), 1),
    "a filter of no type": deflated(b"\5" + rows[1:]),
    "a last filter of no type": deflated(
      rows[: -width - 1] + b"\5" + rows[-width:]
    ),
  }
  contents |= {k: file(height, width, v) for k, v in streams.items()}
  return [Case(k, v, height, width) for k, v in contents.items()]


def damaged(case: Case) -> Iterator[Case]:
  """Yields a box cut off anywhere, and with each of its bits changed."""
  data = case.content
  for end in range(1, len(data)):
    yield case._replace(name=f"ends at {end}", content=data[:end], alpha=None)
  for bit in range(8 * len(data)):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    yield case._replace(name=f"bit {bit}", content=bytes(changed), alpha=None)


def too_short() -> Case:
  """Makes a box whose samples cannot suffice for its image."""
  side = 65535
  return Case("too short", file(side, side, deflated(bytes(100))), side, side)


def bomb(height: int, width: int, megabytes: int) -> Case:
  """Makes a box whose samples go on for long behind the image."""
  packer = zlib.compressobj(9, zlib.DEFLATED, -15)
  start = bytes(height * (width + 1)) + b"\5"
  start = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
  zeros = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
  stream = b"\x78\x9c" + start + zeros * megabytes + packer.flush() + bytes(4)
  return Case("bomb", file(height, width, stream), height, width)


def _longest(stream: bytes, size: int, more: int = 0) -> bytes:
  """A stream with as many empty blocks as one of `size` bytes may have."""
  empty = b"\0\0\0\xff\xff"
  count = (2 * size + 64 - len(stream)) // len(empty) + more
  return stream[:2] + empty * count + stream[2:]


def _gzip(content: bytes) -> bytes:
  packer = zlib.compressobj(9, zlib.DEFLATED, 31)
  return packer.compress(content) + packer.flush()


def _with_dictionary(content: bytes) -> bytes:
  packer = zlib.compressobj(9, zdict=b"dictionary")
  return packer.compress(content) + packer.flush()


def _unfinished(content: bytes) -> bytes:
  packer = zlib.compressobj(9)
  return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)
