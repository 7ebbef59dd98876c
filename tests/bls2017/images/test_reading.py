"""Any source of an image is read by one rule, which a table shows.

`table` has a row for each input: a file that is made there, what `reading.read`
makes of it, and the public report about another tool that it answers, where
there is one.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.images import reading
from bls2017.images.samples import DEPTH_LOSS as DEPTH
from tests.bls2017.images import made, pictures
from tests.bls2017.images.pictures import X
from tests.bls2017.images.table import TABLE

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_image_files_mean_what_the_table_says(row):
  data = row.make()
  if row.error:
    with pytest.raises(row.error, match=row.says):
      reading.read(data)
    return
  picture = reading.read(data)
  assert picture.losses == row.losses
  assert picture.pixels.dtype == np.uint8
  assert picture.pixels.shape == row.pixels.shape
  difference = np.abs(picture.pixels.astype(int) - row.pixels)
  assert difference.max() <= row.within
  assert difference.mean() <= max(row.within / 4, 0)
  assert (picture.alpha is None) == (row.alpha is None)
  if row.alpha is not None:
    np.testing.assert_array_equal(picture.alpha, row.alpha)
  assert row.exif is None or picture.exif == row.exif
  assert row.xmp is None or picture.xmp == row.xmp


def test_65535_entries_of_exif_cost_little():
  data = made.png(made.stored(6), made.exif_chunk(made.many_entries(6)))
  started = time.process_time()
  picture = reading.read(data)
  assert time.process_time() - started < 0.1
  assert picture.exif == made.many_entries(1)


def test_the_table_is_long_and_names_no_row_twice():
  names = [row.name for row in TABLE]
  assert len(names) == len(set(names)) >= 200


@pytest.mark.parametrize(
  "background", [(255, 255, 255), (0, 0, 0), (9, 99, 200)]
)
def test_compositing_rounds_to_the_nearest(background):
  alpha = np.arange(256, dtype=np.uint8).repeat(24 * 40 // 256 + 1)[:960]
  alpha = alpha.reshape(24, 40)
  weight = alpha[..., None] / 255
  exact = X * weight + np.array(background) * (1 - weight)
  composited = reading.to_rgb(X, alpha, background)
  assert composited.dtype == np.uint8
  assert np.abs(composited - exact).max() <= 0.5 + 1e-9


def test_what_is_lost_is_said_in_one_line(caplog, tmp_path):
  path = tmp_path / "x.png"
  path.write_bytes(
    made.png(
      np.dstack([pictures.DEEP_X, pictures.DEEP_ALPHA]),
      (b"tEXt", b"Title\0x"),
      depth=16,
    )
  )
  x = reading.read_rgb(path)
  np.testing.assert_array_equal(x, reading.to_rgb(X, pictures.ALPHA))
  (message,) = caplog.messages
  assert "x.png" in message
  for part in ("texts (Title)", DEPTH, reading.ALPHA_LOSS):
    assert message.count(part) == 1
  caplog.clear()
  np.testing.assert_array_equal(reading.read_rgb(X), X)
  assert not caplog.messages
  grey = reading.read_grey(path)
  np.testing.assert_array_equal(
    grey, np.asarray(Image.fromarray(x).convert("L"))
  )


def _png(*chunks, sides=(20000, 20000)):
  header = struct.pack(">IIBBBBB", *sides, 8, 2, 0, 0, 0)
  chunks = ((b"IHDR", header), *chunks)
  return b"\x89PNG\r\n\x1a\n" + b"".join(made.chunk(*c) for c in chunks)


def test_bombs_cost_neither_memory_nor_time(tmp_path):
  rows = zlib.compress(bytes(200_000_000), 9)
  icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 99, 22)
  bombs = {
    "pixels.png": _png((b"IDAT", rows)),
    "profile.png": _png((b"iCCP", b"x\0\0" + rows), sides=(8, 8)),
    "text.png": _png((b"zTXt", b"x\0\0" + rows), (b"IDAT", b""), sides=(8, 8)),
    "exif.png": _png(
      (b"zTXt", b"Raw profile type exif\0\0" + rows), sides=(8, 8)
    ),
    "length.png": _png((b"IDAT", b""))[:-12] + b"\x7f\xff\xff\xffIDAT",
    "icon.ico": icon + _png((b"IDAT", rows), sides=(9000, 9000)),
    "dib.ico": icon + struct.pack("<IIIHHI24x", 40, 6600, 13000, 1, 24, 0),
    "wide.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0",
    "long.bmp": struct.pack("<2s12xIIIIHHI", b"BM", 0, 40, 1, 2**30, 1, 24, 0),
    "lies.jp2": made.saved(X, "JPEG2000").replace(
      struct.pack(">HHII", 47, 0, 40, 24),
      struct.pack(">HHII", 47, 0, 9**5, 9**5),
    ),
  }
  for name, data in bombs.items():
    (tmp_path / name).write_bytes(data)
  script = (
    "import re, sys, time\n"
    "from bls2017 import errors\nfrom bls2017.images import reading\n"
    "def peak():\n"
    "  text = open('/proc/self/status').read()\n"
    "  return int(re.search(r'VmHWM:\\s+(\\d+)', text).group(1)) / 1024\n"
    "before, slowest = peak(), 0\n"
    "for path in sys.argv[1:]:\n"
    "  started = time.process_time()\n"
    "  try:\n"
    "    reading.read(path)\n"
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
  assert not done.stderr


LIMITED = {
  "PNG": lambda: made.png(X),
  "JPEG": lambda: made.jpeg(X),
  "TIFF": lambda: made.tiff(X),
  "packed TIFF": lambda: made.saved(X, "TIFF", compression="tiff_lzw"),
  "WEBP": lambda: made.saved(X, "WEBP"),
  "AVIF": lambda: made.saved(X, "AVIF"),
  "BMP": lambda: made.saved(X, "BMP"),
  "JPEG 2000": lambda: made.saved(X, "JPEG2000"),
  "GIF": lambda: made.saved(pictures.palette(), "GIF"),
  "PPM": lambda: made.saved(X, "PPM"),
}


@pytest.mark.parametrize("kind", LIMITED)
def test_our_limit_counts_and_pillows_does_not(kind, monkeypatch):
  data = LIMITED[kind]()
  with pytest.raises(errors.LimitError, match="40 x 24 pixels"):
    reading.read(data, max_pixels=959)
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
  monkeypatch.setattr(warnings, "warn", None)
  assert reading.read(data, max_pixels=960).pixels.shape == X.shape
  assert Image.MAX_IMAGE_PIXELS == 10


def test_threads_read_without_touching_what_is_the_processs(monkeypatch):
  for name in ("catch_warnings", "simplefilter", "filterwarnings"):
    monkeypatch.setattr(warnings, name, None)
  rows = [row for row in TABLE if row.error is None and row.within == 0]
  data = [(row.make(), row) for row in rows[::4]]
  wrong = []

  def work(start):
    for source, row in data[start:] + data[:start]:
      picture = reading.read(source)
      if (picture.pixels != row.pixels).any() or picture.losses != row.losses:
        wrong.append(row.name)

  threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong


@pytest.mark.parametrize(
  "name", ["x.jpg", "X.HEIC", "a.b.dng", "x.svg", "x.tif", "x.pdf", "x.eps"]
)
def test_what_is_named_like_an_image_is_known(name):
  assert reading.is_image(name)


def test_what_is_an_image_is_known_and_nothing_but_files_is_opened(tmp_path):
  path = tmp_path / "x.bls"
  assert not reading.is_image(str(path))
  path.write_bytes(b"no image")
  assert not reading.is_image(str(path))
  path.write_bytes(made.png(X))
  assert reading.is_image(str(path))
  path.unlink()
  os.mkfifo(path)
  assert not reading.is_image(str(path))
  assert not reading.is_image(os.devnull)
  assert not reading.is_image(str(tmp_path))


def test_endings_are_those_of_pictures_that_can_be_read():
  known = reading.endings()
  assert {".png", ".jpg", ".jpeg", ".tif", ".webp", ".jp2", ".psd"} <= known
  assert not known & {".eps", ".fits", ".mpg", ".bls", ".wmf", ".pdf"}
  assert not known & reading.OTHER_ENDINGS
