"""PNG and JPEG files in a graph: the same pixels as the library reads."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from bls2017 import errors
from bls2017.images import reading as library
from export.image_files import exif, reading
from tests import images

MAX_PIXELS = 100_000
PHOTOGRAPH = images.photograph(37, 53)
RGB = Image.fromarray(PHOTOGRAPH)


@pytest.fixture(scope="module")
def read():
  return tf.function(
    lambda data: reading.read(data, MAX_PIXELS),
    input_signature=[tf.TensorSpec((), tf.string)],
    autograph=False,
  )


def _encode(image: Image.Image, kind: str, **options) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
  checksum = zlib.crc32(name + content)
  length = struct.pack(">I", len(content))
  return length + name + content + struct.pack(">I", checksum)


def _shallow_png(depth: int) -> bytes:
  """Grey of 1, 2 or 4 bits."""
  height, width = 6, 24
  values = np.arange(height * width).reshape(height, width) % 2**depth
  bits = values[..., None] >> np.arange(depth - 1, -1, -1) & 1
  rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
  header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
  return b"".join(
    [
      b"\x89PNG\r\n\x1a\n",
      _chunk(b"IHDR", header),
      _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(r) for r in rows))),
      _chunk(b"IEND", b""),
    ]
  )


def _alpha() -> Image.Image:
  ramp = np.arange(37 * 53).reshape(37, 53, 1) % 256
  return Image.fromarray(
    np.concatenate([PHOTOGRAPH, ramp.astype(np.uint8)], axis=2)
  )


def _deep(channels: int) -> bytes:
  """A PNG of 16 bits: grey and alpha, or RGBA."""
  height, width = 20, 30
  rng = np.random.default_rng(channels)
  samples = rng.integers(0, 2**16, (height, width * channels))
  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
  kind = {2: 4, 4: 6}[channels]
  header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
  return b"".join(
    [
      b"\x89PNG\r\n\x1a\n",
      _chunk(b"IHDR", header),
      _chunk(b"IDAT", zlib.compress(rows)),
      _chunk(b"IEND", b""),
    ]
  )


def _deep_grey() -> Image.Image:
  return Image.fromarray(PHOTOGRAPH[..., 0].astype(np.uint16) * 251)


FILES = {
  "png": _encode(RGB, "PNG"),
  "jpeg": _encode(RGB, "JPEG"),
  "jpeg without subsampling": _encode(RGB, "JPEG", subsampling=0),
  "progressive jpeg": _encode(RGB, "JPEG", progressive=True),
  "grey jpeg": _encode(RGB.convert("L"), "JPEG"),
  "cmyk jpeg": _encode(RGB.convert("CMYK"), "JPEG"),
  "grey png": _encode(RGB.convert("L"), "PNG"),
  "palette": _encode(RGB.quantize(), "PNG"),
  "palette with a transparent colour": _encode(
    RGB.quantize(), "PNG", transparency=3
  ),
  "alpha": _encode(_alpha(), "PNG"),
  "grey and alpha": _encode(_alpha().convert("LA"), "PNG"),
  "a transparent grey": _encode(RGB.convert("L"), "PNG", transparency=90),
  "grey and alpha of 16 bits": _deep(2),
  "alpha of 16 bits": _deep(4),
  "all hidden": _encode(Image.new("RGBA", (5, 4)), "PNG"),
  "all opaque": _encode(RGB.convert("RGBA"), "PNG"),
  "16 bits": _encode(_deep_grey(), "PNG"),
  **{f"{d} bits": _shallow_png(d) for d in (1, 2, 4)},
}


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_the_library_reads(read, name):
  colour, alpha, faults = read(FILES[name])
  assert faults.status == 0
  expected = library.read(FILES[name])
  np.testing.assert_array_equal(colour, expected.pixels)
  if expected.alpha is None:
    assert tf.size(alpha) == 0
  else:
    np.testing.assert_array_equal(alpha[..., 0], expected.alpha)


@pytest.mark.parametrize("order", [b"II", b"MM"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_exif_orientations_are_undone(read, turned, order):
  tags = ImageFileDirectory_v2(prefix=order)
  tags[0x010F] = "maker"
  tags[0x0112] = turned
  directory = tags.tobytes(8)
  start = b"II*\0" if order == b"II" else b"MM\0*"
  first = struct.pack("<I" if order == b"II" else ">I", 8)
  data = _encode(RGB, "JPEG", exif=b"Exif\0\0" + start + first + directory)
  assert exif.orientation(data) == turned
  np.testing.assert_array_equal(read(data)[0], library.read(data).pixels)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", range(1, 15))
def test_orientations_of_any_type_are_those_of_the_library(read, kind, order):
  letter = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
  for number, turned in ((1, 6), (0, 6), (1, 9), (1, 0)):
    value = struct.pack(order + letter.get(kind, "H"), turned)
    entry = struct.pack(order + "HHI", 0x0112, kind, number)
    tiff = b"II*\0" if order == "<" else b"MM\0*"
    tiff += struct.pack(order + "IH", 8, 1) + entry + value.ljust(4, b"\0")
    data = _encode(RGB, "JPEG", exif=b"Exif\0\0" + tiff + bytes(4))
    np.testing.assert_array_equal(read(data)[0], library.read(data).pixels)


def test_files_without_an_end_or_with_a_wrong_checksum_are_refused(read):
  jpeg, png = _encode(RGB, "JPEG"), _encode(RGB, "PNG")
  wrong = bytearray(png)
  wrong[png.index(b"IEND") - 5] ^= 1  # The checksum of the samples.
  for data in (jpeg[:-2], png[:-12], bytes(wrong)):
    assert read(data)[2].status == errors.UnreadableInputError.exit_code
    with pytest.raises(errors.UnreadableInputError):
      library.read(data)


def test_damaged_exif_data_is_ignored(read):
  whole = Image.Exif()
  whole[0x0112] = 6
  data = _encode(RGB, "JPEG", exif=whole)
  start = data.index(b"Exif\0\0")
  rng = np.random.default_rng(0)
  for _ in range(100):
    damaged = bytearray(data)
    for _ in range(3):
      damaged[start + int(rng.integers(0, 30))] = int(rng.integers(256))
    pixels, _, faults = read(bytes(damaged))
    assert faults.status == 0
    assert sorted(pixels.shape[:2]) == [37, 53]


@pytest.mark.parametrize("name", ["png", "jpeg", "progressive jpeg"])
def test_every_kind_of_damage_is_a_verdict(read, name):
  data = FILES[name]
  for length in range(0, len(data) - 30, 97):
    assert read(data[:length])[2].status == 3
  rng = np.random.default_rng(1)
  for _ in range(40):
    damaged = bytearray(data)
    place = int(rng.integers(len(data)))
    damaged[place : place + 20] = rng.bytes(20)
    pixels, _, faults = read(bytes(damaged))
    assert faults.status in (0, 3, 5)
    assert (tf.size(pixels) == 0) == (faults.status != 0)


def test_limits_are_checked_before_decoding(read):
  png = FILES["png"]
  for height, width, status in (
    (65536, 1, 5), (20000, 20000, 5), (2**31 - 1, 2**31 - 1, 5), (0, 7, 3),
    (2**31, 1, 3),
  ):  # fmt: skip
    forged = png[:16] + struct.pack(">II", width, height) + png[24:]
    assert read(forged)[2].status == status
  jpeg = FILES["jpeg"]
  place = jpeg.index(b"\xff\xc0") + 5
  forged = jpeg[:place] + struct.pack(">HH", 30000, 30000) + jpeg[place + 4 :]
  _, _, faults = read(forged)
  assert faults.status == 5
  assert b"30000 x 30000" in faults.message.numpy()
