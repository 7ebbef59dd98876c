"""Paths, bytes, files, arrays and Pillow's images follow one rule."""

from __future__ import annotations

import array
import io
import mmap
import os

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.images import metadata, reading
from bls2017.images.samples import DEPTH_LOSS as DEPTH
from tests.bls2017.images import made, pictures
from tests.bls2017.images.pictures import X

pytestmark = pytest.mark.timeout(60)


def _bytes_of(name, tmp_path):
  path = tmp_path / f"{name}.png"
  path.write_bytes(made.png(X))
  return path


class _Unseekable(io.RawIOBase):
  """A stream as sockets and pipes give it."""

  def __init__(self, data):
    self._file = io.BytesIO(data)

  def readable(self):
    return True

  def readinto(self, buffer):
    return self._file.readinto(buffer)


@pytest.mark.parametrize("name", ["x", "x y", "写真 😀", "n\udcff"])
def test_every_source_of_a_file_is_read(name, tmp_path):
  path = _bytes_of(name, tmp_path)
  data = path.read_bytes()
  with open(path, "rb") as f, open(path, "rb") as g:
    sources = [str(path), path, data, bytearray(data), memoryview(data), f]
    sources += [array.array("B", data), io.BytesIO(data), _Unseekable(data)]
    sources += [memoryview(data + data)[: len(data)]]
    sources += [mmap.mmap(g.fileno(), 0, access=mmap.ACCESS_READ)]
    f.seek(9)
    for source in sources:
      picture = reading.read(source)
      np.testing.assert_array_equal(picture.pixels, X)
      assert picture.losses == ()
    assert not f.closed


def test_what_is_no_source_is_a_type_error():
  for thing in (None, 3, [[1, 2]], {"x": 1}, io.StringIO("x"), object()):
    with pytest.raises(TypeError, match="NumPy array"):
      reading.read(thing)


@pytest.mark.parametrize("name", ["missing.png", "folder", "a\0b"])
def test_what_cannot_be_opened_is_named(name, tmp_path):
  (tmp_path / "folder").mkdir()
  with pytest.raises(errors.UnreadableInputError, match=name) as raised:
    reading.read(str(tmp_path / name))
  assert str(raised.value).count(str(tmp_path)) == 1


def test_a_pipe_that_nobody_writes_into_is_refused(tmp_path):
  os.mkfifo(tmp_path / "x.png")
  with pytest.raises(errors.UnreadableInputError, match="nobody writes"):
    reading.read(tmp_path / "x.png")


def test_a_file_is_opened_once(tmp_path, monkeypatch):
  path = _bytes_of("x", tmp_path)
  opened = []
  open_file = os.open
  monkeypatch.setattr(
    os, "open", lambda *a, **k: opened.append(a[0]) or open_file(*a, **k)
  )
  monkeypatch.setattr("builtins.open", None)
  np.testing.assert_array_equal(reading.read(path).pixels, X)
  assert opened == [str(path)]


@pytest.mark.parametrize(
  "mode",
  "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B I;16L"
  " I;16N".split(),
)
def test_every_mode_of_pillow_is_read(mode):
  image = _image(mode)
  before = image.tobytes()
  picture = reading.read(image)
  assert picture.pixels.shape == (24, 40, 3)
  expected = pictures.GREY if mode[0] in "LIF" and mode != "LAB" else X
  if mode == "1":
    expected = np.where(pictures.G > 110, 255, 0)[..., None].repeat(3, -1)
  within = {"LAB": 16, "HSV": 16, "YCbCr": 6, "P": 40, "PA": 60}.get(mode, 1)
  assert np.abs(picture.pixels.astype(int) - expected).max() <= within
  assert image.mode == mode and image.tobytes() == before


def _image(mode):
  image, grey = Image.fromarray(X), Image.fromarray(pictures.G)
  if mode.startswith("I;16"):
    kind = ">u2" if mode.endswith("B") else "<u2"
    values = (pictures.G.astype(np.uint16) * 257).astype(kind)
    return Image.frombytes(mode, image.size, values.tobytes())
  if mode == "I":
    return Image.fromarray(pictures.G.astype(np.int32) * 257)
  if mode == "F":
    return Image.fromarray(pictures.FLOATS)
  if mode == "1":
    return Image.fromarray(pictures.G > 110)
  if mode == "P":
    return image.quantize(64)
  if mode in ("La", "PA"):
    return image.convert({"La": "LA", "PA": "RGBA"}[mode]).convert(mode)
  return (grey if mode in ("L", "LA") else image).convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("is_loaded", [False, True])
def test_pillows_images_are_turned_upright_and_left_as_they_are(
  kind, is_loaded
):
  options = {"lossless": True} if kind == "WEBP" else {}
  if kind == "TIFF":
    data = made.tiff(made.stored(6), (made.ORIENTATION, 3, 6))
  else:
    exif = b"Exif\0\0" + made.turned()
    data = made.saved(made.stored(6), kind, exif=exif, **options)
  with Image.open(io.BytesIO(data)) as image:
    if is_loaded:
      image.load()
    picture = reading.read(image)
    again = reading.read(image)
  within = 40 if kind == "JPEG" else 0
  assert np.abs(picture.pixels.astype(int) - X).max() <= within
  np.testing.assert_array_equal(picture.pixels, again.pixels)
  if kind != "TIFF":
    assert metadata.orientation(picture.exif, b"") == 1


def test_pillows_images_tell_what_they_hold():
  info = made.png(
    X,
    made.gama(100_000),
    made.xmp_chunk(made.xmp(6)),
    made.raw_chunk(b"zTXt", "exif", made.turned(1)),
  )
  with Image.open(io.BytesIO(info)) as image:
    picture = reading.read(image)
  assert np.abs(picture.pixels - pictures.LINEAR).max() <= 2
  assert picture.exif == made.turned(1) and picture.xmp == made.xmp(6)
  with Image.open(io.BytesIO(made.mpo())) as image:
    assert reading.read(image).losses == ("further pictures",)
  resource = b"Photoshop 3.0\0" + made.resource(0x404, b"a")
  data = made.jpeg(X, (0xED, resource), (0xFE, b"hello"))
  with Image.open(io.BytesIO(data)) as image:
    assert reading.read(image).losses == ("IPTC", "a comment")


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(
  "kind", ["u1", "<u2", ">u2", "f2", "<f4", ">f4", "f8", "?"]
)
def test_arrays_follow_the_rule_of_files(channels, kind):
  x = np.dstack([X, pictures.ALPHA])
  x = {0: pictures.G, 1: x[..., :1], 2: x[..., 2:], 3: X, 4: x}[channels]
  scale = {"u": {1: 1, 2: 257}, "f": None, "b": None}
  dtype = np.dtype(kind)
  if dtype.kind == "f":
    values = (x / 255).astype(dtype)
  elif dtype.kind == "b":
    values, x = x > 110, np.where(x > 110, 255, 0)
  else:
    values = (x * np.uint16(scale["u"][dtype.itemsize])).astype(dtype)
  picture = reading.read(values)
  colours = x if channels == 0 else x[..., : {2: 1, 4: 3}.get(channels, 3)]
  expected = np.broadcast_to(colours.reshape(24, 40, -1), X.shape)
  np.testing.assert_array_equal(picture.pixels, expected)
  assert picture.pixels.dtype == np.uint8 and picture.losses == ()
  if channels in (2, 4):
    np.testing.assert_array_equal(picture.alpha, x[..., -1])


def test_an_array_of_pixels_is_not_copied():
  assert reading.read(X).pixels is X
  assert reading.to_rgb(X, None) is X


def test_arrays_that_hold_more_than_8_bits_say_so():
  for values in (
    pictures.RAMP,
    pictures.RAMP / 65535,
    (pictures.RAMP / 65535).astype(np.float32),
  ):
    picture = reading.read(values)
    np.testing.assert_array_equal(picture.pixels, pictures.RAMP_8)
    assert picture.losses == (DEPTH,)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, 255, -0.1])
def test_floating_point_beyond_0_to_1_is_refused(value, tmp_path):
  values = np.full((4, 6), 0.5, np.float32)
  values[1, 2] = value
  (tmp_path / "x.tiff").write_bytes(made.saved(values, "TIFF"))
  for source, name in ((values, "the image"), (tmp_path / "x.tiff", "x.tiff")):
    says = f"{name} has .*(not finite|scale)"
    with pytest.raises(errors.UnreadableInputError, match=says):
      reading.read(source)


def test_arrays_of_other_shapes_and_types_are_refused():
  for x in (X.astype(np.int32), X[None], X[:, :, :0], np.zeros(3, np.uint8)):
    with pytest.raises(errors.UsageError, match="the image must be .*uint8"):
      reading.read(x)
  with pytest.raises(errors.UsageError):
    reading.read(X * 1j)
