"""Laws of the box of alpha: any alpha comes back, and any fault is found."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from bls2017 import errors
from bls2017.format import alpha_box
from tests import alphas, laws, memory

HEIGHT, WIDTH = 33, 47
SOFT = alphas.soft(HEIGHT, WIDTH)
ROWS = np.pad(SOFT, ((0, 0), (1, 0))).tobytes()
HEADER = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)


def _chunk(kind, data, crc=0):
  crc ^= zlib.crc32(kind + data)
  return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def _png(stream, header=HEADER):
  chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
  return alphas.SIGNATURE + b"".join(_chunk(*c) for c in chunks)


def _deflated(rows, dictionary=None):
  options = {"zdict": dictionary} if dictionary else {}
  deflater = zlib.compressobj(**options)
  return deflater.compress(rows) + deflater.flush()


STREAM = _deflated(ROWS)


@laws.examples(200)
@given(
  arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    elements=st.sampled_from([0, 255]) | st.integers(0, 255),
  )
)
def test_unpacking_inverts_packing(alpha):
  content = alpha_box.pack(alpha)
  alpha_box.check(content, *alpha.shape)
  np.testing.assert_array_equal(alpha_box.unpack(content), alpha)
  with Image.open(io.BytesIO(content)) as image:
    assert (image.format, image.mode) == ("PNG", "L")
    np.testing.assert_array_equal(np.asarray(image), alpha)


@pytest.mark.parametrize(
  ("make", "most"),
  [
    (alphas.hard, 0.7), (alphas.sprite, 0.8), (alphas.soft, 0.85),
    (alphas.gradient, 0.8), (alphas.dithered, 0.8), (alphas.noise, 1.01),
  ],
)  # fmt: skip
def test_it_is_smaller_than_the_files_of_pillow(make, most):
  alpha = make(200, 300)
  content = alpha_box.pack(alpha)
  buffer = io.BytesIO()
  Image.fromarray(alpha).save(buffer, "PNG", optimize=True)
  assert len(content) < most * len(buffer.getvalue())
  alpha_box.check(content, 200, 300)
  np.testing.assert_array_equal(alpha_box.unpack(content), alpha)


def _filtered(alpha, kind):
  """Rows with a filter, as PNG defines it."""
  x = np.pad(alpha.astype(int), ((1, 0), (1, 0)))
  left, above, corner = x[1:, :-1], x[:-1, 1:], x[:-1, :-1]
  p = left + above - corner
  near = [abs(p - left), abs(p - above), abs(p - corner)]
  paeth = np.choose(np.argmin(near, 0), [left, above, corner])
  expected = (0, left, above, (left + above) // 2, paeth)[kind]
  rows = np.pad((x[1:, 1:] - expected) % 256, ((0, 0), (1, 0)))
  rows[:, 0] = kind
  return rows.astype(np.uint8)


def test_every_filter_of_png_is_read():
  rows = [_filtered(SOFT, kind) for kind in range(5)]
  mixed = np.choose(np.arange(HEIGHT)[:, None] % 5, rows).astype(np.uint8)
  for filtered in (*rows, mixed):
    content = _png(_deflated(filtered.tobytes()))
    alpha_box.check(content, HEIGHT, WIDTH)
    np.testing.assert_array_equal(alpha_box.unpack(content), SOFT)


def _with_filter(kind, row):
  rows = bytearray(ROWS)
  rows[row * (WIDTH + 1)] = kind
  return bytes(rows)


def _header(*fields):
  return struct.pack(">IIBBBBB", *fields)


SOUND = _png(STREAM)
HALVES = [
  _chunk(b"IDAT", STREAM[start:end])
  for start, end in ((0, len(STREAM) // 2), (len(STREAM) // 2, None))
]
HEAD, END = SOUND[:33], SOUND[-12:]
BROKEN = {
  "one byte": b"x",
  "no chunk": alphas.SIGNATURE,
  "another signature": b"\x88" + SOUND[1:],
  "other sides": _png(STREAM, _header(HEIGHT, WIDTH, 8, 0, 0, 0, 0)),
  "a row more in its header": _png(
    STREAM, _header(WIDTH, HEIGHT + 1, 8, 0, 0, 0, 0)
  ),
  "4 bits": _png(STREAM, _header(WIDTH, HEIGHT, 4, 0, 0, 0, 0)),
  "16 bits": _png(STREAM, _header(WIDTH, HEIGHT, 16, 0, 0, 0, 0)),
  "a palette": _png(STREAM, _header(WIDTH, HEIGHT, 8, 3, 0, 0, 0)),
  "colours": _png(STREAM, _header(WIDTH, HEIGHT, 8, 2, 0, 0, 0)),
  "interlaced": _png(STREAM, _header(WIDTH, HEIGHT, 8, 0, 0, 0, 1)),
  "no stream": HEAD + END,
  "an empty stream": _png(b""),
  "two chunks of data": HEAD + b"".join(HALVES) + END,
  "a text": HEAD + _chunk(b"tEXt", b"a\0b") + SOUND[33:],
  "a wrong sum of the header": SOUND[:32] + bytes([SOUND[32] ^ 1]) + SOUND[33:],
  "a wrong sum of the data": HEAD + _chunk(b"IDAT", STREAM, crc=1) + END,
  "a wrong sum of the end": SOUND[:-1] + bytes([SOUND[-1] ^ 1]),
  "no end": SOUND[:-12],
  "bytes after the end": SOUND + b"\0",
  "an end with content": SOUND[:-12] + _chunk(b"IEND", b"x"),
  "a stream without its sum": _png(STREAM[:-4]),
  "a stream that stops": _png(STREAM[: len(STREAM) // 2]),
  "a stream with a wrong sum": _png(STREAM[:-1] + bytes([STREAM[-1] ^ 1])),
  "bytes after the stream": _png(STREAM + b"\0"),
  "two streams": _png(STREAM + STREAM),
  "a dictionary": _png(_deflated(ROWS, b"dictionary")),
  "no zlib stream": _png(b"x" * 40),
  "deflate without zlib": _png(STREAM[2:-4]),
  "a byte too few": _png(_deflated(ROWS[:-1])),
  "a byte too many": _png(_deflated(ROWS + b"\0")),
  "a row too many": _png(_deflated(ROWS + ROWS[-WIDTH - 1 :])),
  "an unknown filter": _png(_deflated(_with_filter(5, 0))),
  "an unknown filter at last": _png(_deflated(_with_filter(255, HEIGHT - 1))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused(name):
  alpha_box.check(SOUND, HEIGHT, WIDTH)
  with pytest.raises(errors.BitstreamError, match="the alpha"):
    alpha_box.check(BROKEN[name], HEIGHT, WIDTH)


@pytest.mark.parametrize("block", [1, 10, WIDTH + 1])
def test_blocks_do_not_matter(monkeypatch, block):
  monkeypatch.setattr(alpha_box, "_BLOCK", block)
  alpha_box.check(SOUND, HEIGHT, WIDTH)
  for row in (0, 7, HEIGHT - 1):
    with pytest.raises(errors.BitstreamError, match="filter"):
      alpha_box.check(_png(_deflated(_with_filter(5, row))), HEIGHT, WIDTH)


def _either(content):
  """A right image of the same size, or an error of ours."""
  try:
    alpha_box.check(content, HEIGHT, WIDTH)
  except errors.BitstreamError:
    return False
  assert alpha_box.unpack(content).shape == (HEIGHT, WIDTH)
  return True


def test_damage_is_an_error_or_another_alpha():
  for length in range(len(SOUND)):
    assert not _either(SOUND[:length])
  for bit in range(8 * len(SOUND)):
    flipped = bytearray(SOUND)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not _either(bytes(flipped))
  # The sums of PNG and of zlib made right again.
  accepted = 0
  stored = zlib.compress(ROWS, 0)
  for stream, byte in itertools.product((STREAM, stored), range(len(STREAM))):
    for change in (1, 0x10, 0x55, 0xFF):
      changed = bytearray(stream)
      changed[byte] ^= change
      inflater = zlib.decompressobj()
      try:
        rows = inflater.decompress(bytes(changed[:-4]))
        changed[-4:] = struct.pack(">I", zlib.adler32(rows))
      except zlib.error:
        pass
      accepted += _either(_png(bytes(changed)))
  assert accepted > 100


def test_bombs_cost_no_memory():
  side = 16000
  header = _header(side, side, 8, 0, 0, 0, 0)
  zeros = zlib.compressobj(9)
  stream = b"".join(zeros.compress(bytes(side + 1)) for _ in range(side))
  stream += zeros.flush()
  longer = zlib.compress(bytes(20_000_000), 9)

  def refused(content, height, width):
    with pytest.raises(errors.BitstreamError):
      alpha_box.check(content, height, width)

  def all_at_once():
    refused(_png(longer), HEIGHT, WIDTH)
    refused(_png(b"x", header), side, side)
    refused(_png(longer, header), side, side)
    refused(_png(stream[:-1], header), side, side)
    # A sound one is not held in memory either.
    alpha_box.check(_png(stream, header), side, side)

  # A quarter of what one of these images holds.
  assert memory.growth(all_at_once) < 64 << 20
