"""Image files are written as they can be, and say what they leave out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.images import metadata, reading, writing
from bls2017.images.reading import Picture
from tests import images
from tests.bls2017.images import made
from tests.bls2017.images.pictures import G, X

EXIF, XMP = made.turned(1), made.xmp(1)


pytestmark = pytest.mark.timeout(60)


def _exif(orientation=1):
  tags = Image.Exif()
  tags[made.ORIENTATION] = orientation
  tags[0x010F] = "Maker"
  tags.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
  tags.get_ifd(0x8825)[1] = "N"
  return metadata.plain_exif(tags.tobytes())


def _read(data):
  return reading.read(data).pixels


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP", "PPM", "QOI"])
def test_lossless_formats_return_the_image(kind):
  encoded = writing.encode(X, kind)
  np.testing.assert_array_equal(_read(encoded.data), X)
  assert encoded.losses == ()


@pytest.mark.parametrize("kind", writing.ALPHA_FORMATS)
def test_alpha_is_kept_where_a_format_has_it(kind):
  alpha = G.copy()
  alpha[:, :9] = 0
  encoded = writing.encode(Picture(X, alpha), kind)
  picture = reading.read(encoded.data)
  assert encoded.losses == ()
  if kind == "AVIF":
    assert np.abs(picture.alpha.astype(int) - alpha).max() <= 4
  else:
    np.testing.assert_array_equal(picture.alpha, alpha)
    np.testing.assert_array_equal(picture.pixels, X)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM", "PCX"])
def test_other_formats_composite_alpha_on_white_and_say_so(kind):
  encoded = writing.encode(Picture(X, G), kind)
  assert encoded.losses == (reading.ALPHA_LOSS,)
  expected = reading.to_rgb(X, G)
  difference = np.abs(_read(encoded.data).astype(int) - expected)
  assert difference.max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", writing.METADATA_FORMATS)
@pytest.mark.parametrize("parts", ["both", "Exif", "XMP"])
def test_metadata_goes_through_files(kind, parts):
  exif = _exif() if parts != "XMP" else b""
  xmp = XMP if parts != "Exif" else b""
  encoded = writing.encode(Picture(X, None, exif, xmp), kind)
  assert encoded.losses == ()
  picture = reading.read(encoded.data)
  assert picture.xmp == xmp and picture.losses == ()
  tags = Image.Exif()
  tags.load(picture.exif)
  if parts != "XMP":
    assert tags.get(made.ORIENTATION, 1) == 1
    assert tags[0x010F] == "Maker"
    assert tags.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
    assert tags.get_ifd(0x8825)[1] == "N"
    if kind in ("PNG", "JPEG", "WEBP"):
      assert picture.exif == exif


def test_metadata_that_has_no_room_is_named_and_the_rest_kept():
  long_exif, long_xmp = EXIF + bytes(1 << 17), XMP + b" " * (1 << 17)
  for exif, xmp, kind, losses in (
    (EXIF, XMP, "BMP", ("Exif", "XMP")),
    (EXIF, b"", "BMP", ("Exif",)),
    (long_exif, XMP, "JPEG", ("Exif",)),
    (EXIF, long_xmp, "JPEG", ("XMP",)),
    (long_exif, long_xmp, "JPEG", ("Exif", "XMP")),
    (b"junk", XMP, "TIFF", ("Exif",)),
    (long_exif, long_xmp, "PNG", ()),
  ):
    encoded = writing.encode(Picture(X, None, exif, xmp), kind)
    assert encoded.losses == losses
    picture = reading.read(encoded.data)
    assert (picture.exif != exif) == ("Exif" in losses)
    assert (picture.xmp != xmp) == ("XMP" in losses)


def test_exif_does_not_say_how_tiff_is_stored():
  exif = made.exif(
    (256, 4, 9999), (259, 3, 5), (271, 2, b"Maker\0"), (273, 4, 1), (338, 3, 1)
  )
  picture = reading.read(writing.encode(Picture(X, G, exif), "TIFF").data)
  np.testing.assert_array_equal(picture.pixels, X)
  np.testing.assert_array_equal(picture.alpha, G)


@pytest.mark.parametrize(
  ("kind", "height", "width"),
  [
    ("ICO", 24, 40),
    ("ICO", 8, 8),
    ("ICO", 300, 300),
    ("ICNS", 24, 40),
    ("SPIDER", 24, 40),
    ("XBM", 24, 40),
    ("AVIF", 1, 65536),
    ("PCX", 1, 65536),
    ("WEBP", 1, 20000),
    ("JPEG", 1, 70000),
  ],
)
def test_a_file_holds_the_image_or_is_an_error(kind, height, width):
  x = images.photograph(height, width)
  try:
    encoded = writing.encode(x, kind)
  except errors.OutputError as e:
    assert kind in str(e) and "\n" not in str(e)
  else:
    with Image.open(io.BytesIO(encoded.data)) as image:
      assert image.size == (width, height)


def test_other_formats_keep_as_much_as_they_can():
  sizes = [len(writing.encode(X, "JPEG", q).data) for q in (20, 80, None)]
  assert sizes == sorted(sizes)
  best = _read(writing.encode(X, "JPEG").data)
  assert np.abs(best.astype(int) - X).max() <= 3


def test_a_quality_that_a_format_does_not_have_is_refused():
  with pytest.raises(errors.UsageError, match="no quality"):
    writing.encode(X, "PNG", 90)
  for quality in (0, 101):
    with pytest.raises(errors.UsageError, match="1 to 100"):
      writing.encode(X, "JPEG", quality)
  for kind in writing.QUALITY_FORMATS:
    assert writing.encode(X, kind, 50).data


@pytest.mark.parametrize("ending", ["png", "tiff", "bmp"])
def test_the_ending_names_the_format(tmp_path, ending):
  path = str(tmp_path / f"x.{ending}")
  assert writing.write(Picture(X, None, EXIF), path) == ("Exif",) * (
    ending == "bmp"
  )
  np.testing.assert_array_equal(reading.read(path).pixels, X)
  with pytest.raises(errors.OutputExistsError):
    writing.write(X, path)
  writing.write(255 - X, path, overwrite=True)
  np.testing.assert_array_equal(reading.read(path).pixels, 255 - X)


def test_a_name_without_ending_means_png(tmp_path):
  path = tmp_path / "x"
  writing.write(X, str(path))
  assert path.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_ending_is_refused(tmp_path):
  for name in ("x.xyz", "x.psd"):
    with pytest.raises(errors.UsageError, match=name[1:]):
      writing.write(X, str(tmp_path / name))
  assert not list(tmp_path.iterdir())
