"""Pillow opens and saves files as it does those of any other format."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bls2017 import pillow_plugin
from tests import images

X = images.photograph(37, 50)


@pytest.fixture(autouse=True)
def _newest(newest_codec, monkeypatch):
  monkeypatch.setattr(pillow_plugin, "_codec", None)
  pillow_plugin.use(newest_codec)


def test_a_file_is_opened_by_its_header_and_decoded_when_needed(
  tmp_path, newest_codec, monkeypatch
):
  path = tmp_path / "x.bls"
  path.write_bytes(newest_codec.compress(X, 1.5))
  with monkeypatch.context() as patch:
    patch.setattr(pillow_plugin, "_decoder", None)  # Decoding would fail.
    image = Image.open(path)
    assert (image.format, image.mode, image.size) == (
      "BLS2017",
      "RGB",
      (50, 37),
    )
    assert image.info["quality"] == 1.5
    assert image.info["model_id"] == newest_codec.model.model_id.hex()
    assert image.get_format_mimetype() == "image/x-bls"
  x_hat = newest_codec.decompress(path.read_bytes())
  np.testing.assert_array_equal(np.asarray(image), x_hat)
  with Image.open(io.BytesIO(path.read_bytes())) as image:
    image.thumbnail((10, 10))
    assert image.size == (10, 7)


def test_drafts_and_thumbnails_are_decoded_small(newest_codec, monkeypatch):
  x = images.photograph(90, 130)
  data = newest_codec.compress(x, 2)
  decoded = []

  class Watched:
    max_file_bytes = newest_codec.max_file_bytes
    model = newest_codec.model

    def decode(self, data, reduce):
      decoded.append(reduce)
      return newest_codec.decode(data, reduce=reduce)

  pillow_plugin.use(Watched())
  image = Image.open(io.BytesIO(data))
  assert image.draft("RGB", (60, 40)) == ("RGB", (0, 0, 65, 45))
  # A second call changes nothing, as with JPEG.
  assert image.draft("RGB", (10, 10)) is None
  assert image.size == (65, 45)
  expected = newest_codec.decompress(data, reduce=2)
  np.testing.assert_array_equal(np.asarray(image), expected)
  assert image.draft("RGB", (10, 10)) is None
  for size, factor in (((16, 16), 2), ((8, 8), 4), ((4, 4), 8), ((90, 90), 1)):
    jpeg = io.BytesIO()
    Image.fromarray(x).save(jpeg, "JPEG")
    thumbnails = [Image.open(io.BytesIO(data)), Image.open(jpeg)]
    for thumbnail in thumbnails:
      thumbnail.thumbnail(size)
    assert thumbnails[0].size == thumbnails[1].size
    assert decoded[-1] == factor
    with Image.open(io.BytesIO(data)) as image:
      drafts = [
        opened.draft(None, (2 * size[0], 2 * size[1]))
        for opened in (image, Image.open(jpeg))
      ]
      assert drafts[0] == drafts[1]


def test_images_are_saved_with_quality_effort_and_metadata(
  tmp_path, newest_codec
):
  path = tmp_path / "x.bls"
  tags = Image.Exif()
  tags[0x010F] = "Maker"
  Image.fromarray(X).save(path, quality=2, effort=1, exif=tags)
  with Image.open(path) as image:
    assert image.info["quality"] == 2
    assert image.getexif()[0x010F] == "Maker"
    image.save(tmp_path / "y.bls", quality=1)
  with Image.open(tmp_path / "y.bls") as image:
    assert image.getexif()[0x010F] == "Maker"
  grey = Image.fromarray(X).convert("L")
  grey.save(path, quality=2)
  assert path.read_bytes() == newest_codec.compress(grey, 2)
  assert Image.registered_extensions()[".bls"] == "BLS2017"


def test_damaged_files_and_wrong_values_are_errors_of_pillow(
  tmp_path, newest_codec
):
  data = bytearray(newest_codec.compress(X, 1))
  data[-1] ^= 1
  image = Image.open(io.BytesIO(data))
  with pytest.raises(OSError, match="checksum"):
    image.load()
  with pytest.raises(Image.UnidentifiedImageError):
    Image.open(io.BytesIO(data[:10]))
  with pytest.raises(OSError, match="quality"):
    Image.fromarray(X).save(tmp_path / "x.bls", quality=99)
  assert not (tmp_path / "x.bls").exists()
