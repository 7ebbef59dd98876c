"""Every kind of image becomes upright 8-bit RGB by the documented rule."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from bls2017 import errors
from bls2017.images import image_io
from tests import images

X = images.photograph(24, 40, seed=2)


def _bytes(image, kind="PNG", **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def test_rgb_is_taken_as_it_is(tmp_path):
  path = tmp_path / "x.png"
  Image.fromarray(X).save(path)
  np.testing.assert_array_equal(image_io.read_rgb(str(path)), X)
  np.testing.assert_array_equal(image_io.read_rgb(path.read_bytes()), X)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation):
  # How an upright picture is stored under each orientation.
  stored = {
    1: X, 2: X[:, ::-1], 3: X[::-1, ::-1], 4: X[::-1],
    5: X.swapaxes(0, 1), 6: np.rot90(X, 1), 7: X[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(X, -1),
  }[orientation]  # fmt: skip
  image = Image.fromarray(np.ascontiguousarray(stored))
  exif = Image.Exif()
  exif[0x0112] = orientation
  read = image_io.read_rgb(_bytes(image, exif=exif))
  np.testing.assert_array_equal(read, X)


def test_grey_becomes_three_equal_channels():
  grey = X[..., 0]
  read = image_io.read_rgb(_bytes(Image.fromarray(grey)))
  np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, 2))


def test_sixteen_bit_grey_is_scaled_not_cut_off():
  values = np.linspace(0, 65535, 24 * 40).reshape(24, 40).astype(np.uint16)
  read = image_io.read_rgb(_bytes(Image.fromarray(values)))
  np.testing.assert_allclose(read[..., 0], values / 257, atol=0.51)


def test_integers_of_32_bits_are_scaled_not_cut_off():
  values = np.array([[-10, 0], [50, 90]], np.int32)
  read = image_io.read_rgb(_bytes(Image.fromarray(values), "TIFF"))
  np.testing.assert_array_equal(read[..., 0], [[0, 26], [153, 255]])
  same = np.full((4, 6), -7, np.int32)
  assert not image_io.read_rgb(_bytes(Image.fromarray(same), "TIFF")).any()


def test_a_depth_that_is_reduced_is_told(caplog, tmp_path):
  # Training, in the same process, has no use for such warnings.
  caplog.set_level(logging.WARNING, image_io.__name__)
  path = tmp_path / "deep.png"
  Image.fromarray(np.full((4, 6), 999, np.uint16)).save(path)
  image_io.read_rgb(path)
  (message,) = caplog.messages
  assert "deep.png" in message and "8 bits" in message
  caplog.clear()
  # Pillow gives the upper bits of a PNG file with 16 bits of each colour.
  path.write_bytes(_png_of_16_bits(X))
  np.testing.assert_array_equal(image_io.read_rgb(path), X)
  assert len(caplog.messages) == 1
  caplog.clear()
  Image.fromarray(X).save(path)
  image_io.read_rgb(path)
  assert not caplog.messages


def _png_of_16_bits(x):
  def chunk(kind, data):
    checked = kind + data
    crc = struct.pack(">I", zlib.crc32(checked))
    return struct.pack(">I", len(data)) + checked + crc

  height, width, _ = x.shape
  rows = (x.astype(">u2") * 257).astype(">u2").reshape(height, -1)
  filtered = b"".join(b"\0" + row.tobytes() for row in rows)
  fields = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", fields)
    + chunk(b"IDAT", zlib.compress(filtered))
    + chunk(b"IEND", b"")
  )


def test_floating_point_counts_from_0_to_1():
  values = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
  read = image_io.read_rgb(_bytes(Image.fromarray(values), "TIFF"))
  np.testing.assert_array_equal(read[..., 1], np.rint(values * 255))
  np.testing.assert_array_equal(image_io.as_rgb(values), read)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, 255, -0.1])
def test_floating_point_beyond_0_to_1_is_refused(value, tmp_path):
  values = np.full((4, 6), 0.5, np.float32)
  values[1, 2] = value
  path = tmp_path / "x.tiff"
  Image.fromarray(values).save(path)
  for read, name in (
    (lambda: image_io.as_rgb(values), "the image"),
    (lambda: image_io.read_rgb(path), "x.tiff"),
  ):
    says = f"{name} has .*(not finite|scale)"
    with pytest.raises(errors.UnreadableInputError, match=says):
      read()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "RGB"])
def test_arrays_and_pillows_images_are_read_like_files(mode, tmp_path):
  image = Image.fromarray(X).convert(mode)
  if "A" in mode:
    image.putalpha(Image.fromarray(X[..., 1]))
  path = tmp_path / "x.png"
  image.save(path)
  expected = image_io.read_rgb(path)
  with open(path, "rb") as f:
    sources = [image, path, str(path), f, path.read_bytes()]
    sources += [bytearray(path.read_bytes()), memoryview(path.read_bytes())]
    for source in sources:
      np.testing.assert_array_equal(image_io.as_rgb(source), expected)
  # Pillow composites with one rounding less.
  difference = image_io.as_rgb(np.asarray(image)).astype(int) - expected
  assert np.abs(difference).max() <= 1
  if mode == "L":
    np.testing.assert_array_equal(
      image_io.as_rgb(np.asarray(image)[..., None]), expected
    )


def test_pillows_images_are_turned_upright_and_left_as_they_are():
  stored = Image.fromarray(np.ascontiguousarray(np.rot90(X, 1)))
  exif = Image.Exif()
  exif[0x0112] = 6
  image = Image.open(io.BytesIO(_bytes(stored, exif=exif)))
  np.testing.assert_array_equal(image_io.as_rgb(image), X)
  assert image.size == stored.size


def test_arrays_of_other_values_are_scaled_and_other_types_refused():
  bits = X[..., 0] > 128
  np.testing.assert_array_equal(
    image_io.as_rgb(bits)[..., 2], np.where(bits, 255, 0)
  )
  wide = X.astype(np.uint16) * 257
  np.testing.assert_array_equal(image_io.as_rgb(wide), X)
  for x in (X.astype(np.int32), X[None], X[:, :, :0], np.zeros(3, np.uint8)):
    with pytest.raises(errors.UsageError, match="uint8"):
      image_io.as_rgb(x)
  for thing in (None, 3, [[1, 2]], {"x": 1}):
    with pytest.raises(TypeError, match="NumPy array"):
      image_io.as_rgb(thing)


def test_one_bit_becomes_black_and_white():
  bits = X[..., 0] > 128
  read = image_io.read_rgb(_bytes(Image.fromarray(bits)))
  np.testing.assert_array_equal(read[..., 1], np.where(bits, 255, 0))


def test_a_palette_is_looked_up():
  image = Image.fromarray(X).quantize(16)
  read = image_io.read_rgb(_bytes(image))
  np.testing.assert_array_equal(read, np.asarray(image.convert("RGB")))


def test_cmyk_becomes_rgb():
  image = Image.fromarray(X).convert("CMYK")
  read = image_io.read_rgb(_bytes(image, "TIFF"))
  np.testing.assert_array_equal(read, X)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_white_with_a_warning(mode, caplog):
  image = Image.fromarray(X).convert(mode)
  alpha = np.zeros(X.shape[:2], np.uint8)
  alpha[:, 20:] = 255
  image.putalpha(Image.fromarray(alpha))
  with caplog.at_level(logging.WARNING, "bls2017.images.image_io"):
    read = image_io.read_rgb(_bytes(image))
  assert "alpha" in caplog.text
  opaque = np.asarray(image.convert("RGB"))
  np.testing.assert_array_equal(read[:, 20:], opaque[:, 20:])
  assert np.all(read[:, :20] == 255)


def test_a_transparent_palette_is_composited_on_white():
  image = Image.fromarray(X).quantize(4)
  index = np.asarray(image)
  read = image_io.read_rgb(_bytes(image, transparency=2))
  assert np.all(read[index == 2] == 255)


def test_an_icc_profile_is_converted_to_srgb():
  srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  read = image_io.read_rgb(_bytes(Image.fromarray(X), icc_profile=srgb))
  np.testing.assert_allclose(read.astype(int), X, atol=2)
  # A profile whose red is sRGB's green, and the other way round.
  assert srgb.count(b"rXYZ") == srgb.count(b"gXYZ") == 1
  swapped = srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ")
  swapped = swapped.replace(b"????", b"gXYZ")
  read = image_io.read_rgb(_bytes(Image.fromarray(X), icc_profile=swapped))
  np.testing.assert_allclose(read.astype(int), X[..., [1, 0, 2]], atol=2)


def test_a_broken_icc_profile_is_ignored_with_a_warning(caplog):
  with caplog.at_level(logging.WARNING, "bls2017.images.image_io"):
    read = image_io.read_rgb(_bytes(Image.fromarray(X), icc_profile=b"junk"))
  np.testing.assert_array_equal(read, X)
  assert "ICC" in caplog.text


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_an_animation_is_refused(kind):
  frames = [Image.fromarray(X), Image.fromarray(255 - X)]
  data = _bytes(frames[0], kind, save_all=True, append_images=frames[1:])
  with pytest.raises(errors.UnreadableInputError, match="animation"):
    image_io.read_rgb(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_file_is_refused(kind):
  data = _bytes(Image.fromarray(X), kind)
  with pytest.raises(errors.UnreadableInputError):
    image_io.read_rgb(data[: len(data) // 2])


@pytest.mark.parametrize(
  "data", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_image_is_refused(data):
  with pytest.raises(errors.UnreadableInputError):
    image_io.read_rgb(data)


def test_a_missing_file_is_refused(tmp_path):
  with pytest.raises(errors.UnreadableInputError, match="does not exist"):
    image_io.read_rgb(str(tmp_path / "x.png"))


def _chunk(kind, content):
  checksum = zlib.crc32(kind + content)
  return (
    struct.pack(">I", len(content))
    + kind
    + content
    + struct.pack(">I", checksum)
  )


def test_a_bomb_is_refused_by_its_header():
  header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
  rows = zlib.compress(bytes(10_000_000), 9)
  data = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows)
  with pytest.raises(errors.LimitError, match="limit"):
    image_io.read_rgb(data)


def _png(*chunks, sides=(20000, 20000)):
  header = struct.pack(">IIBBBBB", *sides, 8, 2, 0, 0, 0)
  content = _chunk(b"IHDR", header) + b"".join(_chunk(*c) for c in chunks)
  return b"\x89PNG\r\n\x1a\n" + content


def test_bombs_cost_neither_memory_nor_time(tmp_path):
  rows = zlib.compress(bytes(200_000_000), 9)
  bombs = {
    "pixels.png": _png((b"IDAT", rows)),
    "profile.png": _png((b"iCCP", b"x\0\0" + rows), sides=(8, 8)),
    "text.png": _png((b"zTXt", b"x\0\0" + rows), (b"IDAT", b""), sides=(8, 8)),
    "wide.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0",
    "long.bmp": struct.pack("<2s12xIIIIHHI", b"BM", 0, 40, 1, 2**30, 1, 24, 0),
  }
  for name, data in bombs.items():
    (tmp_path / name).write_bytes(data)
  script = (
    "import re, sys, time\n"
    "from bls2017 import errors\nfrom bls2017.images import image_io\n"
    "def peak():\n"
    "  text = open('/proc/self/status').read()\n"
    "  return int(re.search(r'VmHWM:\\s+(\\d+)', text).group(1)) / 1024\n"
    "before, slowest = peak(), 0\n"
    "for path in sys.argv[1:]:\n"
    "  started = time.process_time()\n"
    "  try:\n"
    "    image_io.read_rgb(path)\n"
    "  except errors.CodecError as e:\n"
    "    print(e.exit_code)\n"
    "  slowest = max(slowest, time.process_time() - started)\n"
    "print(peak() - before, slowest)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", script, *(str(tmp_path / n) for n in bombs)],
    capture_output=True,
    text=True,
    check=True,
  )
  *codes, megabytes, seconds = done.stdout.split()
  assert len(codes) == len(bombs) and set(codes) <= {"3", "5"}, done.stdout
  assert float(megabytes) < 100
  assert float(seconds) < 1


def test_a_heic_file_is_named_with_a_way_out():
  data = struct.pack(">I4s4s", 24, b"ftyp", b"heic") + bytes(100)
  with pytest.raises(errors.UnreadableInputError, match="pillow-heif"):
    image_io.read_rgb(data)


def test_what_an_interpreter_would_run_is_refused():
  data = _bytes(Image.fromarray(X), "EPS")
  with pytest.raises(errors.UnreadableInputError, match="drawing"):
    image_io.read_rgb(data)


@pytest.mark.parametrize("ending", ["png", "tiff", "bmp"])
def test_lossless_formats_return_the_image(tmp_path, ending):
  path = str(tmp_path / f"x.{ending}")
  image_io.write(X, path)
  np.testing.assert_array_equal(image_io.read_rgb(path), X)


def test_other_formats_keep_as_much_as_they_can():
  webp = image_io.read_rgb(image_io.encode(X, "WEBP"))
  np.testing.assert_array_equal(webp, X)
  sizes = [len(image_io.encode(X, "JPEG", q)) for q in (20, 80, None)]
  assert sizes == sorted(sizes)
  best = image_io.read_rgb(image_io.encode(X, "JPEG"))
  assert np.abs(best.astype(int) - X).max() <= 3
  with pytest.raises(errors.UsageError, match="no quality"):
    image_io.encode(X, "PNG", 90)
  with pytest.raises(errors.UsageError, match="1 to 100"):
    image_io.encode(X, "JPEG", 0)


def test_what_is_or_is_named_like_an_image_is_known(tmp_path):
  path = tmp_path / "x.bls"
  assert image_io.is_image("missing.JPG")
  assert not image_io.is_image(str(path))
  path.write_bytes(b"no image")
  assert not image_io.is_image(str(path))
  path.write_bytes(_bytes(Image.fromarray(X)))
  assert image_io.is_image(str(path))


def test_a_name_without_ending_means_png(tmp_path):
  path = tmp_path / "x"
  image_io.write(X, str(path))
  assert path.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_ending_is_refused(tmp_path):
  with pytest.raises(errors.UsageError, match="xyz"):
    image_io.write(X, str(tmp_path / "x.xyz"))
  assert not list(tmp_path.iterdir())
