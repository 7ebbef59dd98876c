"""Pillow opens and saves files as it does those of any other format."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFile

from bls2017 import pillow_plugin
from tests import images

X = images.photograph(37, 50)


@pytest.fixture(autouse=True)
def _small_model(codec):
  pillow_plugin.use(codec)
  yield
  pillow_plugin.use(None)


def _saved(image, **options):
  buffer = io.BytesIO()
  image.save(buffer, "BLS2017", **options)
  return buffer.getvalue()


def test_a_file_is_opened_by_its_header_and_decoded_when_needed(
  tmp_path, codec
):
  path = tmp_path / "x.bls"
  data = codec.compress(X, 1.5)
  # The lanes are missing, which only decoding notices.
  path.write_bytes(data[:40])
  with Image.open(path) as image:
    assert (image.format, image.mode) == ("BLS2017", "RGB")
    assert image.size == (50, 37)
    assert image.info["quality"] == 1.5
    assert image.info["model_id"] == codec.model.model_id.hex()
    assert image.get_format_mimetype() == "image/x-bls"
    with pytest.raises(OSError, match="checksum"):
      image.load()
  path.write_bytes(data)
  with Image.open(path) as image:
    np.testing.assert_array_equal(np.asarray(image), codec.decompress(data))
  with Image.open(io.BytesIO(data)) as image:
    image.thumbnail((10, 10))
    assert image.size == (10, 7)


def test_drafts_and_thumbnails_are_decoded_small(codec):
  x = images.photograph(90, 130)
  data = codec.compress(x, 2)
  image = Image.open(io.BytesIO(data))
  assert image.draft("RGB", (60, 40)) == ("RGB", (0, 0, 65, 45))
  # A second call changes nothing, as with JPEG.
  assert image.draft("RGB", (10, 10)) is None
  expected = codec.decompress(data, reduce=2)
  np.testing.assert_array_equal(np.asarray(image), expected)
  assert image.draft("RGB", (10, 10)) is None
  for size in ((16, 16), (8, 8), (4, 4), (90, 90)):
    jpeg = io.BytesIO()
    Image.fromarray(x).save(jpeg, "JPEG")
    for use in ("draft", "thumbnail"):
      opened = [Image.open(io.BytesIO(data)), Image.open(jpeg)]
      if use == "draft":
        results = [o.draft(None, (2 * size[0], 2 * size[1])) for o in opened]
        assert results[0] == results[1]
      else:
        for o in opened:
          o.thumbnail(size)
      assert opened[0].size == opened[1].size


def test_images_are_saved_with_quality_effort_and_metadata(tmp_path, codec):
  path = tmp_path / "x.bls"
  tags = Image.Exif()
  tags[0x010F] = "Maker"
  Image.fromarray(X).save(path, quality=2, effort=1, exif=tags, xmp="<x/>")
  with Image.open(path) as image:
    assert image.info["quality"] == 2
    assert image.info["xmp"] == b"<x/>"
    assert image.getexif()[0x010F] == "Maker"
    image.save(tmp_path / "y.bls", quality=1)
    image.save(tmp_path / "z.bls", exif=None, xmp=None)
  with Image.open(tmp_path / "y.bls") as image:
    assert image.getexif()[0x010F] == "Maker"
  with Image.open(tmp_path / "z.bls") as image:
    assert not image.getexif() and "xmp" not in image.info
  grey = Image.fromarray(X).convert("L")
  assert _saved(grey, quality=2) == codec.compress(grey, 2)
  assert len(_saved(grey, max_bytes=150)) <= 150
  assert Image.registered_extensions()[".bls"] == "BLS2017"


def test_alpha_is_opened_and_saved(tmp_path, codec):
  x = np.dstack([X, X[..., 0]])
  image = Image.fromarray(x)
  palette = image.convert("RGB").quantize(16)
  palette.info["transparency"] = 2
  for source in (image, image.convert("LA"), palette):
    data = _saved(source, quality=2)
    assert data == codec.compress(source, 2)
    with Image.open(io.BytesIO(data)) as opened:
      assert (opened.mode, opened.size) == ("RGBA", (50, 37))
      np.testing.assert_array_equal(np.asarray(opened), codec.decompress(data))
      opened.save(tmp_path / "back.png")
    with Image.open(tmp_path / "back.png") as back:
      alpha = np.asarray(source.convert("RGBA"))[..., 3]
      np.testing.assert_array_equal(np.asarray(back)[..., 3], alpha)
    with Image.open(io.BytesIO(data)) as opened:
      opened.thumbnail((10, 10))
      assert (opened.mode, opened.size) == ("RGBA", (10, 7))
  with Image.open(io.BytesIO(_saved(image, alpha="#00ff00"))) as opened:
    assert opened.mode == "RGB"


def test_an_orientation_is_applied_to_the_pixels_and_reset():
  tags = Image.Exif()
  tags[0x0112] = 6
  data = _saved(Image.fromarray(X), exif=tags.tobytes(), quality=2)
  with Image.open(io.BytesIO(data)) as image:
    assert image.size == (37, 50)
    assert image.getexif()[0x0112] == 1


@pytest.mark.parametrize(
  "options",
  [
    {"optimize": True}, {"icc_profile": None}, {"icc_profile": b"x"},
    {"dpi": (72, 72)}, {"exif": None}, {"xmp": "text"}, {"exif": b""},
    {"progressive": True, "subsampling": 0}, {"quality": 85}, {"quality": 100},
  ],
)  # fmt: skip
def test_usual_options_of_other_formats_do_not_fail(options):
  assert Image.open(io.BytesIO(_saved(Image.fromarray(X), **options)))


def test_qualities_above_the_highest_are_on_pillows_scale(codec):
  image = Image.fromarray(X)
  assert _saved(image, quality=100) == codec.compress(X, 2)
  assert _saved(image, quality=50) == codec.compress(X, 1.5)
  with pytest.raises(OSError, match="quality"):
    _saved(image, quality=-3)


def test_damage_is_an_error_of_pillow(codec):
  data = bytearray(codec.compress(X, 1))
  data[-1] ^= 1
  for name in ("load", "verify"):
    with Image.open(io.BytesIO(data)) as image:
      with pytest.raises(OSError, match="checksum"):
        getattr(image, name)()
  with pytest.raises(Image.UnidentifiedImageError):
    Image.open(io.BytesIO(data[:10]))


def test_a_parser_takes_a_file_in_pieces(codec):
  data = codec.compress(X, 1)
  parser = ImageFile.Parser()
  for start in range(0, len(data), 30):
    parser.feed(data[start : start + 30])
  image = parser.close()
  np.testing.assert_array_equal(np.asarray(image), codec.decompress(data))


_LOADER = """
import multiprocessing, sys
import numpy as np
from PIL import Image
import bls2017.pillow_plugin
def load(path):
  return np.asarray(Image.open(path)).tobytes()
first = load(sys.argv[1])
with multiprocessing.get_context("fork").Pool(2) as pool:
  assert pool.map_async(load, sys.argv[1:] * 2).get(60) == [first] * 2
"""


def test_data_loaders_that_fork_can_use_it(tmp_path):
  path = tmp_path / "x.bls"
  pillow_plugin.use(None)
  Image.fromarray(X).save(path, quality=3)
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
  subprocess.run(
    [sys.executable, "-c", _LOADER, str(path)],
    check=True, timeout=120, env=environment,
  )  # fmt: skip
