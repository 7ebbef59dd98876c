"""What image files mean: one table of inputs and expectations.

Each row is a file that is made here, what `reading.read` makes of it, and the
public report about another tool that it answers, where there is one.
"""

from __future__ import annotations

import array
import base64
import io
import mmap
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageCms

from bls2017 import errors
from bls2017.images import metadata, reading, samples
from tests import watchdog
from tests.bls2017.images import made
from tests.bls2017.images.made import RAMP, STORED, G, X

GREY = np.repeat(G[..., None], 3, -1)
DEPTH = samples.DEPTH_LOSS
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# A profile whose red is sRGB's green, and the other way round.
SWAPPED = (
  SRGB.replace(b"rXYZ", b"????")
  .replace(b"gXYZ", b"rXYZ")
  .replace(b"????", b"gXYZ")
)
CUT_EXIF = made.turned()[:30]
XMP_6, XMP_6_ELEMENT = made.xmp(6), made.xmp(6, as_element=True)
INTEGERS = {
  1: "BYTE",
  3: "SHORT",
  4: "LONG",
  6: "SBYTE",
  8: "SSHORT",
  9: "SLONG",
}


@pytest.fixture(autouse=True)
def limited():
  with watchdog.limit():
    yield


class Row(NamedTuple):
  """An input and what is expected of it.

  Attributes:
    name: Of the test.
    make: Makes the source.
    pixels: What is read, uint8 [H, W, 3].
    losses: What the file's line names, in order.
    alpha: uint8 [H, W].
    exif: What is kept of it; None if it does not matter.
    xmp: Likewise.
    within: By how many levels pixels may differ.
    error: What is raised instead.
    says: What the error says.
    report: A public report of the kind, "owner/name#number".
  """

  name: str
  make: object
  pixels: np.ndarray | None = None
  losses: tuple[str, ...] = ()
  alpha: np.ndarray | None = None
  exif: bytes | None = b""
  xmp: bytes | None = b""
  within: float = 0
  error: type[Exception] | None = None
  says: str = ""
  report: str = ""


def _stored(orientation, x=X):
  return np.ascontiguousarray(STORED[orientation](x))


def _exif_chunk(content):
  return b"eXIf", content


def _linear(x):
  return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _encoded(x):
  x = np.clip(x, 0, 1)
  return np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)


def _seen_as(matrix):
  """What X is by other primaries, whose matrix is a published one."""
  return np.rint(255 * _encoded(_linear(X / 255) @ np.array(matrix).T))


P3_TO_SRGB = (
  (1.2249, -0.2247, 0), (-0.0420, 1.0419, 0), (-0.0197, -0.0786, 1.0979),
)  # fmt: skip
BT2020_TO_SRGB = (
  (1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083),
  (-0.0182, -0.1006, 1.1187),
)  # fmt: skip
LINEAR = np.rint(255 * _encoded(X / 255))
SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_CHRM = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def _gama(value):
  return b"gAMA", struct.pack(">I", value)


def _chrm(values):
  return b"cHRM", struct.pack(">8I", *values)


def _iccp(profile):
  return b"iCCP", b"x\0\0" + zlib.compress(profile, 9)


def _with_thumbnail(orientation):
  head = made.turned(orientation)
  second = made.directory([(made.ORIENTATION, 3, 6)])
  at = struct.pack("<I", len(head))
  return head[:34] + at + head[38:] + second


def _many_entries(*orientations):
  """Exif of 65,535 entries, of which the last ones state orientations."""
  count = 0xFFFF - len(orientations)
  tags = [*range(count), *[made.ORIENTATION] * len(orientations)]
  values = [*[0] * count, *orientations]
  entries = (
    struct.pack("<HHII", tag, 3, 1, value) for tag, value in zip(tags, values)
  )
  head = b"II*\0" + struct.pack("<IH", 8, 0xFFFF)
  return head + b"".join(entries) + bytes(4)


def _raw_chunk(kind, name, content):
  key, _, text = made.raw_profile(name, content).partition(b"\0")
  return kind, key + (
    b"\0\0" + zlib.compress(text) if kind == b"zTXt" else b"\0" + text
  )


def _in_segments(exif, size=65_000):
  parts = [exif[i : i + size] for i in range(0, len(exif), size)]
  return [(0xE1, b"Exif\0\0" + part) for part in parts]


def _jp2(x, *boxes):
  data = made.saved(x, "JPEG2000")
  at = data.index(b"jp2c") - 4
  return data[:at] + b"".join(boxes) + data[at:]


def _jp2_with_profile(profile):
  data = made.saved(X, "JPEG2000")
  at = data.index(b"colr") - 4
  colr = made.box(b"colr", b"\2\0\0" + profile)
  data = data[:at] + colr + data[at + 15 :]
  at = data.index(b"jp2h") - 4
  (length,) = struct.unpack_from(">I", data, at)
  size = struct.pack(">I", length + len(colr) - 15)
  return data[:at] + size + data[at + 4 :]


def _low(bits):
  """Samples of so few bits, every value among them: uint8 [24, 40]."""
  return (np.arange(960) % 2**bits).astype(np.uint8).reshape(24, 40)


def _widened(bits):
  return np.repeat(_low(bits)[..., None] * (255 // (2**bits - 1)), 3, -1)


def _flat(*colour):
  return np.full((8, 8, 3), colour, np.uint8)


def _rgba(alpha):
  return np.dstack([X, alpha])


def _palette(as_colours=False):
  image = Image.fromarray(X).quantize(16)
  return np.asarray(image.convert("RGB")) if as_colours else image


def _grey_profile(gamma):
  """An ICC profile for grey, of one curve."""
  curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
  white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
  tags = struct.pack(
    ">I4sII4sII", 2, b"kTRC", 156, 14, b"wtpt", 172, len(white)
  )
  header = struct.pack(
    ">I4xI4s4s4s12x4s28x3i", 192, 0x02400000, b"mntr", b"GRAY", b"XYZ ",
    b"acsp", 63190, 65536, 54061,
  )  # fmt: skip
  return header.ljust(128, b"\0") + tags + curve + white


def _profile_segments(profile):
  half = len(profile) // 2
  parts = [profile[:half], profile[half:]]
  return [
    (0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 2]) + part)
    for i, part in enumerate(parts)
  ]


def _avif(colours=None, **options):
  data = made.saved(X, "AVIF", quality=100, subsampling="4:4:4", **options)
  if colours:
    at = data.index(b"colrnclx") + 8
    data = data[:at] + colours + data[at + 4 :]
  return data


def _mpo():
  one, two = Image.fromarray(X), Image.fromarray(255 - X)
  return made.saved(
    one, "MPO", save_all=True, append_images=[two], quality=95, subsampling=0
  )


def _flipped(data, kind):
  at = data.index(kind) + 20
  return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _animation(kind):
  frames = [Image.fromarray(X), Image.fromarray(255 - X)]
  return made.saved(frames[0], kind, save_all=True, append_images=frames[1:])


AVIF_10 = (
  "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAA"
  "AAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAA"
  "ETAAAAIgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEt"
  "pcGNvAAAAFGlzcGUAAAAAAAAACAAAAAgAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2Nv"
  "bHJuY2x4AAIAAgAAgAAAABdpcG1hAAAAAAAAAAEAAQQBAgMEAAAAKm1kYXQSAAoIOAi/YwICAJAyF"
  "BAAAAAP+I7h98uWKWL9CDpzMX/g"
)
J2K_RGB_12 = (
  "/0//UQAvAAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAADCwEBCwEBCwEB/1IADAAAA"
  "AEBAAQEAAH/XAAEQGD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAA"
  "AAAABaAAH/k8H4CYAUAFyvgj1IAAGEhL9vUwAAAwkI3+BgFABco25ShAAAAAGEhFmEDCQkIDQDCQl"
  "/x+wuEVBUr4YeFAAAABhIRZhAwkJCA0AwkJf/2Q=="
)
J2K_GREY_12 = (
  "/0//UQApAAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAABCwEB/1IADAAAAAEAAAQEA"
  "AH/XAAEQGD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAkAA"
  "H/k8B9QkAUAFyv+c2AAAGEhGqFDCQl/3//2Q=="
)
JP2_RGB_16 = (
  "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAACAAAAAgAA"
  "w8HAAAAAAAPY29scgEAAAAAABAAAACRanAyY/9P/1EALwAAAAAACAAAAAgAAAAAAAAAAAAAAAgAAA"
  "AIAAAAAAAAAAAAAw8BAQ8BAQ8BAf9SAAwAAAABAQAEBAAB/1wABECA/2QAJQABQ3JlYXRlZCBieSB"
  "PcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AACgAAAAAAGQAB/5PP/DAUFABcr4eAgP/Z"
)
ALPHA = np.where(G > 110, 255, G).astype(np.uint8)
ZEROS = np.zeros_like(G)
DEEP_X = X.astype(np.uint16) * 257
SIGNED = G.astype(np.int32) - 120
SPREAD = np.rint((SIGNED - SIGNED.min()) * (255 / np.ptp(SIGNED)))[..., None]
RAMP_8 = np.repeat(np.rint(RAMP / 257)[..., None], 3, -1)
CMYK = np.asarray(Image.fromarray(X).convert("CMYK"))
LOW = G >> 4
FLOATS = (G / np.float32(255)).astype(np.float32)
SECOND = made.saved(X[::4, ::4], "JPEG")
PHOTOSHOP = b"Photoshop 3.0\0"

ORIENTATIONS = [
  *(
    Row(
      f"orientation {o}",
      lambda o=o: made.png(_stored(o), _exif_chunk(made.turned(o))),
      X,
      exif=made.turned(1),
      report="python-pillow/Pillow#4537",
    )
    for o in range(2, 9)
  ),
  *(
    Row(
      f"orientation of type {name}, {order}",
      lambda kind=kind, order=order: made.jpeg(
        _stored(6),
        (0xE1, b"Exif\0\0" + made.turned(6, kind, order)),
      ),
      X,
      exif=made.turned(1, kind, order),
      within=40,
      report="dlemstra/Magick.NET#1809",
    )
    for kind, name in INTEGERS.items()
    for order in "<>"
  ),
  *(
    Row(
      f"orientation of TIFF of type {name}, {order}",
      lambda kind=kind, order=order: made.tiff(
        _stored(o := 8), (made.ORIENTATION, kind, o), order=order
      ),
      X,
      report="python-pillow/Pillow#8554",
    )
    for kind, name in INTEGERS.items()
    for order in "<>"
  ),
  *(
    Row(
      f"orientation {o} does not exist",
      lambda o=o: made.png(X, _exif_chunk(made.turned(o))),
      X,
      exif=made.turned(o),
    )
    for o in (0, 9, 255)
  ),
  Row(
    "an orientation that is no integer",
    lambda: made.png(X, _exif_chunk(made.exif((made.ORIENTATION, 5, [6, 1])))),
    X,
    exif=made.exif((made.ORIENTATION, 5, [6, 1])),
  ),
  Row(
    "two orientations",
    lambda: made.png(
      _stored(6),
      _exif_chunk(made.exif((274, 3, 6), (274, 4, 6))),
    ),
    X,
    exif=made.exif((274, 3, 1), (274, 4, 1)),
    report="oozcitak/exiflibrary#19",
  ),
  Row(
    "an entry whose content is beyond the end",
    lambda: made.png(_stored(6), _exif_chunk(made.turned()[:-6])),
    X,
    exif=made.turned(1)[:-6],
    report="python-pillow/Pillow#3337",
  ),
  Row(
    "a directory that is cut behind the orientation",
    lambda: made.png(
      _stored(6),
      _exif_chunk(made.exif((274, 3, 6), (305, 2, b"abcd"))[:-12]),
    ),
    X,
    (metadata.DAMAGED_EXIF,),
  ),
  Row(
    "the orientation of a thumbnail",
    lambda: made.png(X, _exif_chunk(_with_thumbnail(1))),
    X,
    exif=None,
  ),
  Row(
    "Exif with the prefix of JPEG in PNG, twice",
    lambda: made.png(
      _stored(6), _exif_chunk(b"Exif\0\0Exif\0\0" + made.turned())
    ),
    X,
    exif=made.turned(1),
    report="python-pillow/Pillow#8348",
  ),
  *(
    Row(
      f"Exif in a raw profile, {kind.decode()}, {name}",
      lambda kind=kind, name=name: made.png(
        _stored(6), _raw_chunk(kind, name, made.turned())
      ),
      X,
      exif=made.turned(1),
      report="python-pillow/Pillow#4460",
    )
    for kind in (b"tEXt", b"zTXt")
    for name in ("exif", "APP1")
  ),
  Row(
    "XMP in a raw profile",
    lambda: made.png(_stored(6), _raw_chunk(b"zTXt", "xmp", XMP_6)),
    X,
    xmp=made.xmp(1),
    report="exif-js/exif-js#86",
  ),
  Row(
    "the orientation of XMP, an attribute",
    lambda: made.png(_stored(6), made.xmp_chunk(XMP_6)),
    X,
    xmp=made.xmp(1),
    report="python-pillow/Pillow#4529",
  ),
  Row(
    "the orientation of XMP, an element",
    lambda: made.png(_stored(6), made.xmp_chunk(XMP_6_ELEMENT)),
    X,
    xmp=made.xmp(1, as_element=True),
    report="python-pillow/Pillow#6462",
  ),
  Row(
    "packed XMP",
    lambda: made.png(
      _stored(6),
      (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP_6)),
    ),
    X,
    xmp=made.xmp(1),
  ),
  Row(
    "Exif that says 1 counts before XMP that says 8",
    lambda: made.png(
      X, _exif_chunk(made.turned(1)), made.xmp_chunk(made.xmp(8))
    ),
    X,
    exif=made.turned(1),
    xmp=made.xmp(8),
    report="ImageMagick/ImageMagick#1445",
  ),
  Row(
    "Exif and XMP that both say 6",
    lambda: made.png(
      _stored(6), _exif_chunk(made.turned()), made.xmp_chunk(XMP_6)
    ),
    X,
    exif=made.turned(1),
    xmp=made.xmp(1),
  ),
  Row(
    "Exif of JPEG in several segments",
    lambda: made.jpeg(X, *_in_segments(made.turned(1) + bytes(100_000))),
    X,
    exif=made.turned(1) + bytes(100_000),
    within=40,
    report="python-pillow/Pillow#7495",
  ),
  Row(
    "WebP",
    lambda: made.saved(
      _stored(6), "WEBP", lossless=True, exif=b"Exif\0\0" + made.turned()
    ),
    X,
    exif=made.turned(1),
  ),
  Row(
    "AVIF, whose properties turn it",
    lambda: made.saved(
      _stored(6), "AVIF", quality=100, subsampling="4:4:4", exif=made.turned()
    ),
    X,
    exif=None,
    within=6,
  ),
  Row(
    "JPEG 2000 with boxes for Exif and XMP",
    lambda: _jp2(
      _stored(6),
      made.box(b"uuid", b"JpgTiffExif->JP2" + made.turned()),
      made.box(
        b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP_6
      ),
    ),
    X,
    exif=made.turned(1),
    xmp=made.xmp(1),
    report="Exiv2/exiv2#1236",
  ),
  Row(
    "65,535 entries",
    lambda: made.png(_stored(6), _exif_chunk(_many_entries(6))),
    X,
    exif=None,
    report="libexif/libexif#55",
  ),
  Row(
    "65,535 orientations",
    lambda: made.png(_stored(6), _exif_chunk(_many_entries(*[6] * 0xFFFF))),
    X,
    (metadata.DAMAGED_EXIF,),
  ),
]


# From imagecodecs 2026: 8x8 pixels of (300, 600, 900) of 1023; (1000, 2000,
# 4095) and 2100 of 4095; 300 of 511; 65535.


DEPTHS = [
  Row("RGB of PNG", lambda: made.png(X), X),
  Row(
    "grey of 16 bits, PNG",
    lambda: made.png(RAMP, depth=16),
    RAMP_8,
    (DEPTH,),
    report="python-pillow/Pillow#3011",
  ),
  Row(
    "RGB of 16 bits, PNG",
    lambda: made.png(DEEP_X, depth=16),
    X,
    (DEPTH,),
    report="python-pillow/Pillow#2574",
  ),
  Row(
    "grey and alpha of 16 bits, PNG",
    lambda: made.png(np.dstack([DEEP_X[..., 0], ALPHA * 257]), depth=16),
    X[..., [0, 0, 0]],
    (DEPTH,),
    ALPHA,
  ),
  *(
    Row(
      f"grey of {depth} bits, PNG",
      lambda depth=depth: made.png(_low(depth), depth=depth),
      _widened(depth),
      report="nothings/stb#284",
    )
    for depth in (1, 2, 4)
  ),
  *(
    Row(
      f"grey of 16 bits, TIFF, {order}",
      lambda order=order: made.tiff(RAMP, bits=16, order=order),
      RAMP_8,
      (DEPTH,),
      report="python-pillow/Pillow#1108",
    )
    for order in "<>"
  ),
  Row(
    "grey of 12 bits, TIFF",
    lambda: made.tiff(RAMP >> 4, bits=12),
    RAMP_8,
    (DEPTH,),
    within=1,
    report="python-pillow/Pillow#414",
  ),
  Row(
    "grey of 16 bits where white is 0, TIFF",
    lambda: made.tiff(65535 - RAMP, bits=16, photometry=0),
    RAMP_8,
    (DEPTH,),
    report="python-pillow/Pillow#6642",
  ),
  *(
    Row(
      f"grey of {bits} bits where white is 0, TIFF",
      lambda bits=bits: made.tiff(
        2**bits - 1 - _low(bits), bits=bits, photometry=0
      ),
      _widened(bits),
      report="python-pillow/Pillow#5655",
    )
    for bits in (1, 4, 8)
  ),
  Row(
    "floating point, TIFF",
    lambda: made.tiff(FLOATS, (339, 3, 3), bits=32),
    GREY,
    (DEPTH,),
    report="python-pillow/Pillow#614",
  ),
  Row(
    "floating point where white is 0, TIFF",
    lambda: made.tiff(1 - FLOATS, (339, 3, 3), bits=32, photometry=0),
    GREY,
    (DEPTH,),
  ),
  Row(
    "floating point beyond 1, TIFF",
    lambda: made.tiff(FLOATS * 255, (339, 3, 3), bits=32),
    error=errors.UnreadableInputError,
    says="scale them",
  ),
  Row(
    "colours of floating point, TIFF",
    lambda: made.tiff(X / np.float32(255), (339, 3, [3, 3, 3]), bits=32),
    error=errors.UnreadableInputError,
    says="unknown pixel mode",
  ),
  *(
    Row(
      f"signed grey of {bits} bits, TIFF",
      lambda bits=bits, kind=kind: made.tiff(
        SIGNED.astype(kind), (339, 3, 2), bits=bits
      ),
      np.repeat(SPREAD, 3, -1),
      (DEPTH, "the range of its values")[bits == 8 :],
      report="python-pillow/Pillow#2577",
    )
    for bits, kind in ((8, np.int8), (16, np.int16), (32, np.int32))
  ),
  Row(
    "unsigned grey of 32 bits, TIFF",
    lambda: made.tiff((G * np.uint32(2**24)), bits=32),
    np.repeat(SPREAD, 3, -1),
    (DEPTH, "the range of its values"),
  ),
  Row(
    "integers of 32 bits that could be 16, TIFF",
    lambda: made.tiff(RAMP.astype(np.int32), (339, 3, 2), bits=32),
    RAMP_8,
    (DEPTH,),
  ),
  *(
    Row(
      f"RGB of 16 bits, TIFF, {order}",
      lambda order=order: made.tiff(DEEP_X, bits=16, order=order),
      X,
      (DEPTH,),
      report="zimeon/iiif#23",
    )
    for order in "<>"
  ),
  Row(
    "grey of 16 bits, PGM",
    lambda: b"P5 40 24 65535\n" + RAMP.astype(">u2").tobytes(),
    RAMP_8,
    (DEPTH,),
  ),
  Row(
    "grey of 10 bits, PGM",
    lambda: b"P5 40 24 1023\n" + (RAMP >> 6).astype(">u2").tobytes(),
    np.repeat(np.rint((RAMP >> 6) / 1023 * 255)[..., None], 3, -1),
    (DEPTH,),
    within=1,
  ),
  Row(
    "RGB of 16 bits, PPM",
    lambda: b"P6 40 24 65535\n" + DEEP_X.astype(">u2").tobytes(),
    X,
    (DEPTH,),
  ),
  Row(
    "RGB of 4 bits, PPM",
    lambda: b"P6 40 24 15\n" + (X >> 4).tobytes(),
    (X >> 4) * 17,
  ),
  Row(
    "floating point, PFM",
    lambda: b"Pf\n40 24\n-1.0\n" + FLOATS[::-1].tobytes(),
    GREY,
    (DEPTH,),
  ),
  Row(
    "RGB of 16 bits, SGI",
    lambda: (
      struct.pack(">HBBHHHH500x", 474, 0, 2, 3, 40, 24, 3)
      + np.moveaxis(DEEP_X[::-1], -1, 0).astype(">u2").tobytes()
    ),
    X,
    (DEPTH,),
  ),
  Row(
    "grey of 12 bits, JPEG 2000",
    lambda: base64.b64decode(J2K_GREY_12),
    _flat(*[131] * 3),
    (DEPTH,),
    report="python-pillow/Pillow#6194",
  ),
  *(
    Row(
      f"colours of {bits} bits, JPEG 2000",
      lambda data=data: base64.b64decode(data),
      error=errors.UnreadableInputError,
      says=f"{bits} bits",
      report="OHIF/Viewers#5519",
    )
    for bits, data in ((12, J2K_RGB_12), (16, JP2_RGB_16))
  ),
  Row(
    "colours of 10 bits, AVIF",
    lambda: base64.b64decode(AVIF_10),
    _flat(75, 150, 224),
    (DEPTH,),
    within=1,
  ),
  Row(
    "CMYK of JPEG with Adobe's mark",
    lambda: made.saved(Image.fromarray(CMYK, "CMYK"), "JPEG", quality=100),
    X,
    within=8,
  ),
  Row(
    "CMYK of JPEG without Adobe's mark",
    lambda: made.without(
      made.saved(Image.fromarray(255 - CMYK, "CMYK"), "JPEG", quality=100), 0xEE
    ),
    X,
    within=8,
    report="lovell/sharp#1649",
  ),
  Row(
    "CMYK of TIFF",
    lambda: made.tiff(CMYK, photometry=5),
    X,
    report="ImageMagick/ImageMagick#6094",
  ),
  Row(
    "CMYK and another channel, TIFF",
    lambda: made.tiff(np.dstack([CMYK, G]), (338, 3, 0), photometry=5),
    X,
    ("further channels",),
  ),
  Row(
    "CMYK of 16 bits, TIFF",
    lambda: made.tiff(CMYK * np.uint16(257), bits=16, photometry=5),
    X,
    (DEPTH,),
  ),
  Row("CMYK of Photoshop", lambda: made.psd(255 - CMYK, mode=4), X),
  Row(
    "Lab of TIFF",
    lambda: made.saved(Image.fromarray(X).convert("LAB"), "TIFF"),
    X,
    within=16,
  ),
  Row(
    "YCbCr of TIFF, uncompressed",
    lambda: made.tiff(X, photometry=6) + bytes(5000),
    error=errors.UnreadableInputError,
    says="YCbCr",
  ),
  Row(
    "a camera's mosaic, TIFF",
    lambda: made.tiff(G, photometry=32803),
    error=errors.UnreadableInputError,
    says="unknown pixel mode",
  ),
  Row("a palette", lambda: made.saved(_palette(), "PNG"), _palette(True)),
  Row(
    "alpha",
    lambda: made.png(_rgba(ALPHA)),
    X,
    alpha=ALPHA,
    report="python-pillow/Pillow#5489",
  ),
  Row("alpha that is opaque", lambda: made.png(_rgba(ZEROS + 255)), X),
  Row("alpha of PNG that is 0", lambda: made.png(_rgba(ZEROS)), X, alpha=ZEROS),
  Row(
    "grey and alpha", lambda: made.png(np.dstack([G, ALPHA])), GREY, alpha=ALPHA
  ),
  Row(
    "premultiplied alpha, TIFF",
    lambda: made.tiff(np.dstack([X // 5, ZEROS + 51]), (338, 3, 1)),
    X // 5 * 5,
    alpha=ZEROS + 51,
    within=5,
  ),
  Row(
    "a fourth channel that is no alpha, TIFF",
    lambda: made.tiff(_rgba(ALPHA), (338, 3, 0)),
    X,
    ("further channels",),
  ),
  Row(
    "a fourth channel of zeros that nothing calls alpha, TIFF",
    lambda: made.tiff(_rgba(ZEROS)),
    X,
  ),
  Row(
    "TGA of 32 bits without alpha",
    lambda: made.tga(_rgba(ZEROS), 0),
    X,
    report="nickbabcock/Pfim#9",
  ),
  Row(
    "TGA with alpha, not counted in its header",
    lambda: made.tga(_rgba(ALPHA), 0),
    X,
    alpha=ALPHA,
    report="SixLabors/ImageSharp#2629",
  ),
  Row(
    "BMP with a mask for alpha, and zeros there",
    lambda: made.bmp(_rgba(ZEROS), alpha=True),
    X,
    report="image-rs/image#539",
  ),
  Row(
    "BMP with alpha",
    lambda: made.bmp(_rgba(ALPHA), alpha=True),
    X,
    alpha=ALPHA,
    report="SixLabors/ImageSharp#732",
  ),
  *(
    Row(
      f"a transparent grey of {depth} bits",
      lambda depth=depth: made.png(
        _low(depth), (b"tRNS", b"\0\1"), depth=depth
      ),
      _widened(depth),
      alpha=np.where(_low(depth) == 1, 0, 255).astype(np.uint8),
      report="python-pillow/Pillow#9281",
    )
    for depth in (1, 2, 4)
  ),
  Row(
    "a transparent grey of 16 bits",
    lambda: made.png(RAMP, (b"tRNS", struct.pack(">H", RAMP[3, 5])), depth=16),
    RAMP_8,
    (DEPTH,),
    np.where(RAMP == RAMP[3, 5], 0, 255).astype(np.uint8),
    report="python-pillow/Pillow#3379",
  ),
  *(
    Row(
      f"a transparent colour of {depth} bits",
      lambda depth=depth, scale=scale: made.png(
        X * np.uint16(scale),
        (b"tRNS", struct.pack(">3H", *(X[3, 5] * np.uint16(scale)))),
        depth=depth,
      ),
      X,
      (DEPTH,) * (depth == 16),
      np.where((X == X[3, 5]).all(-1), 0, 255).astype(np.uint8),
    )
    for depth, scale in ((8, 1), (16, 257))
  ),
]


COLOURS = [
  Row(
    "an ICC profile",
    lambda: made.png(X, _iccp(SWAPPED)),
    X[..., [1, 0, 2]],
    within=2,
  ),
  Row(
    "an ICC profile of JPEG in several segments, out of order",
    lambda: made.jpeg(X, *_profile_segments(SWAPPED)[::-1]),
    X[..., [1, 0, 2]],
    within=40,
  ),
  Row(
    "an ICC profile of JPEG of which a segment is missing",
    lambda: made.jpeg(X, *_profile_segments(SWAPPED)[:-1]),
    X,
    ("an incomplete ICC profile",),
    within=40,
  ),
  Row(
    "an ICC profile of JPEG 2000",
    lambda: _jp2_with_profile(SWAPPED),
    X[..., [1, 0, 2]],
    within=2,
    report="python-pillow/Pillow#5629",
  ),
  Row(
    "an ICC profile of BMP",
    lambda: made.bmp(_rgba(ZEROS), SWAPPED),
    X[..., [1, 0, 2]],
    within=2,
  ),
  Row(
    "an ICC profile of TIFF",
    lambda: made.tiff(X, (34675, 7, SWAPPED)),
    X[..., [1, 0, 2]],
    within=2,
    report="python-pillow/Pillow#5248",
  ),
  Row(
    "an ICC profile for grey, with alpha",
    lambda: made.png(np.dstack([G, ALPHA]), _iccp(_grey_profile(1.0))),
    np.repeat(np.rint(255 * _encoded(G / 255))[..., None], 3, -1),
    alpha=ALPHA,
    within=2,
    report="python-pillow/Pillow#6666",
  ),
  Row(
    "an ICC profile for grey, 16 bits",
    lambda: made.png(RAMP, _iccp(_grey_profile(1.0)), depth=16),
    np.repeat(np.rint(255 * _encoded(RAMP / 65535))[..., None], 3, -1),
    (DEPTH,),
    within=13,
  ),
  Row(
    "an ICC profile for RGB, grey",
    lambda: made.png(G, _iccp(SRGB)),
    GREY,
    within=1,
    report="prasanthrangan/hyprdots#1112",
  ),
  Row(
    "an ICC profile for grey, RGB",
    lambda: made.png(X, _iccp(_grey_profile(1.0))),
    X,
    ("its ICC profile (it is not one for RGB images)",),
    report="python-pillow/Pillow#2445",
  ),
  Row(
    "an ICC profile of 3 MB",
    lambda: made.png(X, _iccp(SWAPPED + bytes(3 << 20))),
    X[..., [1, 0, 2]],
    within=2,
    report="python-pillow/Pillow#8363",
  ),
  Row(
    "an ICC profile that is none",
    lambda: made.saved(X, "PNG", icc_profile=b"junk"),
    X,
    ("its ICC profile (it is not one for RGB images)",),
    report="pbs/its#180",
  ),
  Row(
    "an ICC profile whose packing is damaged",
    lambda: made.png(X, (b"iCCP", b"x\0\0junk")),
    X,
    ("a damaged ICC profile",),
    report="python-pillow/Pillow#3319",
  ),
  Row(
    "cICP, Display P3",
    lambda: made.png(X, (b"cICP", b"\x0c\x0d\0\1")),
    _seen_as(P3_TO_SRGB),
    within=2,
    report="brendan-duncan/image#780",
  ),
  Row(
    "cICP, BT.2020",
    lambda: made.png(X, (b"cICP", b"\x09\x0e\0\1")),
    _seen_as(BT2020_TO_SRGB),
    within=2,
  ),
  Row(
    "cICP, linear",
    lambda: made.png(X, (b"cICP", b"\1\x08\0\1")),
    LINEAR,
    within=2,
  ),
  Row(
    "cICP counts before a profile",
    lambda: made.png(X, _iccp(SWAPPED), (b"cICP", b"\1\x0d\0\1")),
    X,
    report="w3c-cg/ColorWeb-CG#35",
  ),
  *(
    Row(
      f"cICP, {name}, beside a profile",
      lambda code=code: made.png(
        X, _iccp(SWAPPED), (b"cICP", bytes([9, code, 0, 1]))
      ),
      X[..., [1, 0, 2]],
      (f"its colours told by code points (transfer function {name})",),
      within=2,
      report="w3c-cg/ColorWeb-CG#77",
    )
    for code, name in ((16, "PQ"), (18, "HLG"))
  ),
  Row(
    "nclx of AVIF, Display P3",
    lambda: _avif(b"\0\x0c\0\x0d"),
    _seen_as(P3_TO_SRGB),
    within=16,
  ),
  Row(
    "nclx of AVIF, PQ",
    lambda: _avif(b"\0\x09\0\x10"),
    X,
    ("its colours told by code points (transfer function PQ)",),
    within=6,
    report="libvips/libvips#3912",
  ),
  Row(
    "gAMA, linear",
    lambda: made.png(X, _gama(100_000)),
    LINEAR,
    within=2,
    report="d2phap/ImageGlass#377",
  ),
  Row(
    "gAMA, grey",
    lambda: made.png(G, _gama(100_000)),
    np.repeat(np.rint(255 * _encoded(G / 255))[..., None], 3, -1),
    within=2,
  ),
  Row(
    "gAMA and cHRM of sRGB",
    lambda: made.png(X, _gama(45_455), _chrm(SRGB_CHRM)),
    X,
    report="libjxl/libjxl#1579",
  ),
  Row(
    "cHRM of Display P3",
    lambda: made.png(X, _gama(45_455), _chrm(P3_CHRM)),
    _seen_as(P3_TO_SRGB),
    within=2,
  ),
  Row(
    "gAMA of 0 beside sRGB",
    lambda: made.png(X, (b"sRGB", b"\0"), _gama(0)),
    X,
    report="pngwriter/pngwriter#128",
  ),
  Row(
    "gAMA of 0",
    lambda: made.png(X, _gama(0)),
    X,
    ("its gamma (it is 0)",),
    report="hrydgard/ppsspp#16822",
  ),
  Row(
    "impossible cHRM",
    lambda: made.png(X, _chrm([0] * 8)),
    X,
    ("its gamma (impossible chromaticities)",),
  ),
  Row(
    "chromaticities of TIFF",
    lambda: made.tiff(X, (319, 5, [64, 100, 33, 100] * 3)),
    X,
    ("colours told by tags",),
  ),
]


LOSSES = [
  Row(
    "texts of PNG",
    lambda: made.png(
      X, (b"tEXt", b"parameters\0a cat"), (b"iTXt", b"Title\0\0\0\0\0x")
    ),
    X,
    ("texts (parameters, Title)",),
    report="AUTOMATIC1111/stable-diffusion-webui#1250",
  ),
  Row(
    "a packed text of PNG",
    lambda: made.pillow_png(X, "Description", "Grandma" * 99),
    X,
    ("texts (Description)",),
    report="python-pillow/Pillow#1026",
  ),
  Row(
    "a chunk of another program",
    lambda: made.png(X, (b"caBX", b"credentials")),
    X,
    ("chunks (caBX)",),
  ),
  Row(
    "bytes after the end of PNG",
    lambda: made.png(X, after=b"the picture before it was cropped"),
    X,
    ("bytes after its end",),
  ),
  Row(
    "IPTC of JPEG",
    lambda: made.jpeg(X, (0xED, PHOTOSHOP + made.resource(0x404, b"a"))),
    X,
    ("IPTC",),
    within=40,
    report="thumbor/thumbor#1301",
  ),
  Row(
    "IPTC of PNG",
    lambda: made.png(X, _raw_chunk(b"zTXt", "iptc", b"a")),
    X,
    ("IPTC",),
    report="lovell/sharp#1491",
  ),
  Row(
    "IPTC of TIFF, and tags that are nowhere else",
    lambda: made.tiff(X, (33723, 7, b"abcd"), (33550, 3, [1, 2, 3])),
    X,
    ("IPTC", "tags (ModelPixelScaleTag)"),
    report="libvips/libvips#332",
  ),
  Row(
    "a comment of JPEG",
    lambda: made.jpeg(X, (0xFE, b"hello")),
    X,
    ("a comment",),
    within=40,
  ),
  Row(
    "a comment of GIF",
    lambda: made.saved(_palette(), "GIF", comment=b"hello"),
    _palette(True),
    ("a comment",),
  ),
  Row(
    "segments of other programs",
    lambda: made.jpeg(X, (0xEB, b"JP\0\1"), (0xE1, b"FLIR\0\1")),
    X,
    ("segments (APP11 JP, APP1 FLIR)",),
    within=40,
  ),
  Row(
    "segments without which nothing is missing",
    lambda: made.jpeg(
      X, (0xE0, b"JFXX\0\x10"), (0xEC, b"Ducky\0"), (0xE2, b"MPF\0II*\0")
    ),
    X,
    within=40,
    report="python-pillow/Pillow#5983",
  ),
  Row(
    "a gain map, told by XMP",
    lambda: made.jpeg(
      X,
      (0xE1, metadata.XMP_PREFIX + b'<x hdrgm:Version="1.0"/>'),
      after=SECOND,
    ),
    X,
    ("a gain map",),
    xmp=None,
    within=40,
    report="python-pillow/Pillow#8036",
  ),
  Row(
    "a gain map, told by ISO 21496-1",
    lambda: made.jpeg(
      X, (0xE2, b"urn:iso:std:iso:ts:21496:-1\0"), after=SECOND
    ),
    X,
    ("a gain map",),
    within=40,
    report="mozilla/mozjpeg#451",
  ),
  Row(
    "a gain map of Apple",
    lambda: made.jpeg(
      X, after=SECOND[:2] + b"\xff\xe1\0\x10HDRGainMap1234" + SECOND[2:]
    ),
    X,
    ("a gain map",),
    within=40,
    report="RawTherapee/RawTherapee#7236",
  ),
  Row(
    "a gain map of AVIF",
    lambda: _avif().replace(b"pict\0\0\0\0", b"picttmap", 1),
    X,
    ("a gain map",),
    within=6,
    report="libjxl/libjxl#4588",
  ),
  Row(
    "views of a camera for three dimensions",
    lambda: _mpo(),
    X,
    ("further pictures",),
    within=40,
    report="jepler/cropgui#85",
  ),
  Row(
    "an index of views that are not there",
    lambda: _mpo()[: -len(SECOND) // 2],
    X,
    ("further pictures",),
    within=40,
    report="element-hq/synapse#20024",
  ),
  Row(
    "a motion video, told by XMP",
    lambda: made.jpeg(
      X,
      (0xE1, metadata.XMP_PREFIX + b'<x GCamera:MotionPhoto="1"/>'),
      after=b"\0\0\0\x18ftypmp42" + bytes(50),
    ),
    X,
    ("a motion video",),
    xmp=None,
    within=40,
    report="exiftool/exiftool#69",
  ),
  Row(
    "a motion video, told by nothing",
    lambda: made.jpeg(
      X, after=b"MotionPhoto_Data\0\0\0\x18ftypisom" + bytes(50)
    ),
    X,
    ("a motion video",),
    within=40,
    report="deckerst/aves#2120",
  ),
  Row(
    "bytes after the end of JPEG",
    lambda: made.jpeg(X, after=b"PK\3\4"),
    X,
    ("bytes after its end",),
    within=40,
  ),
  Row(
    "padding after the end of JPEG",
    lambda: made.jpeg(X, after=bytes(99)),
    X,
    within=40,
  ),
  Row(
    "layers",
    lambda: made.psd(X, layers=2),
    X,
    ("layers",),
  ),
  Row(
    "Exif and IPTC of Photoshop",
    lambda: made.psd(
      _stored(6),
      made.resource(0x422, made.turned()) + made.resource(0x404, b""),
    ),
    X,
    ("IPTC",),
    exif=made.turned(1),
  ),
  Row(
    "a thumbnail before the page",
    lambda: made.tiff(X, pages=[(X[::4, ::4], [(254, 4, 1)])]),
    X,
    ("further pages",),
    report="immich-app/immich#3068",
  ),
  Row(
    "a thumbnail after the page",
    lambda: made.tiff(X[::4, ::4], (254, 4, 1), pages=[(X, [])]),
    X,
    ("further pages",),
  ),
  Row(
    "pages",
    lambda: made.saved(
      X, "TIFF", save_all=True, append_images=[Image.fromarray(255 - X)]
    ),
    X,
    ("further pages",),
    report="python-pillow/Pillow#1244",
  ),
  Row(
    "boxes of JPEG 2000",
    lambda: _jp2(X, made.box(b"xml ", b"<gml/>")),
    X,
    ("boxes (xml)",),
  ),
]


BAD_PARTS = [
  *(
    Row(
      f"a wrong checksum of {kind.decode()}",
      lambda kind=kind, content=content: made.png(
        X, made.chunk(kind, content, checksum=1)
      ),
      X,
      (f"damaged chunks ({kind.decode()})",),
      report=f"python-pillow/Pillow#{number}",
    )
    for kind, content, number in (
      (b"tIME", bytes(7), 6843),
      (b"iCCP", b"x\0\0" + zlib.compress(SWAPPED), 5672),
      (b"pHYs", bytes(9), 5978),
      (b"eXIf", made.turned(), 1991),
      (b"tRNS", bytes(6), 4592),
      (b"zTXt", b"a\0\0b", 1991),
    )
  ),
  *(
    Row(
      f"a short {kind.decode()}",
      lambda kind=kind: made.png(X, (kind, b"\0")),
      X,
      losses,
    )
    for kind, losses in (
      (b"pHYs", ()),
      (b"gAMA", ()),
      (b"cHRM", ()),
      (b"tRNS", ()),
      (b"cICP", ()),
      (b"acTL", ()),
      (b"iCCP", ("a damaged ICC profile",)),
      (b"iTXt", ("texts ()",)),
    )
  ),
  Row(
    "a wrong checksum of the samples",
    lambda: _flipped(made.png(X), b"IDAT"),
    error=errors.UnreadableInputError,
    says="checksum of its part IDAT",
    report="python-pillow/Pillow#5800",
  ),
  *(
    Row(
      f"Exif that is none, {name}",
      make,
      X,
      (metadata.DAMAGED_EXIF,),
      within=within,
      report=report,
    )
    for name, make, within, report in (
      (
        "PNG",
        lambda: made.png(X, _exif_chunk(b"junk")),
        0,
        "vladmandic/sdnext#1668",
      ),
      (
        "WebP",
        lambda: made.saved(X, "WEBP", lossless=True, exif=b"Exif\0\0junk"),
        0,
        "WeTransfer/format_parser#210",
      ),
      (
        "JPEG",
        lambda: made.jpeg(X, (0xE1, b"Exif\0\0" + CUT_EXIF[:12])),
        40,
        "mattiasw/ExifReader#608",
      ),
      (
        "AVIF",
        lambda: _avif(exif=made.turned(1)).replace(b"II*\0", b"junk"),
        6,
        "AOMediaCodec/libavif#3306",
      ),
      (
        "AVIF, cut",
        lambda: _avif(exif=made.turned(1)).replace(b"II*\0\x08", b"II*\0\x99"),
        6,
        "fdintino/pillow-avif-plugin#3",
      ),
    )
  ),
  Row(
    "bytes between the segments of JPEG",
    lambda: made.jpeg(X, (0xEC, b"Ducky"), b"junk\xff\0\xff\0"),
    X,
    ("bytes between its parts",),
    within=40,
    report="python-pillow/Pillow#630",
  ),
  Row(
    "markers of JPEG with padding",
    lambda: made.jpeg(X, b"\xff\xff\xff"),
    X,
    within=40,
  ),
  Row(
    "white space before JPEG",
    lambda: made.jpeg(X, before=b"\r\n\r\n"),
    X,
    within=40,
  ),
  Row("white space before PNG", lambda: b"\xef\xbb\xbf\n" + made.png(X), X),
  Row(
    "Photoshop's block cut in JPEG",
    lambda: made.jpeg(X, (0xED, PHOTOSHOP + b"8BIM\x04")),
    X,
    within=40,
    report="python-pillow/Pillow#4370",
  ),
  Row(
    "an Exif directory of TIFF beyond its end",
    lambda: made.tiff(X, (34665, 4, 1 << 20)),
    X,
  ),
  Row(
    "very long Exif",
    lambda: made.png(
      _stored(6), _exif_chunk(made.turned() + bytes(metadata.MAX_BYTES))
    ),
    X,
    ("very long Exif",),
  ),
]


REFUSED = [
  *(
    Row(
      f"an animation, {kind}",
      lambda kind=kind: _animation(kind),
      error=errors.UnreadableInputError,
      says="is an animation",
    )
    for kind in ("GIF", "PNG", "WEBP", "AVIF")
  ),
  *(
    Row(
      f"half a file, {kind}",
      lambda kind=kind: (d := made.saved(X, kind))[: len(d) // 2],
      error=errors.UnreadableInputError,
      says="the image",
    )
    for kind in (
      "PNG",
      "JPEG",
      "WEBP",
      "AVIF",
      "TIFF",
      "BMP",
      "GIF",
      "JPEG2000",
    )
  ),
  *(
    Row(
      f"a drawing, {kind}",
      make,
      error=errors.UnreadableInputError,
      says="is a drawing",
    )
    for kind, make in (("EPS", lambda: made.saved(X, "EPS")),)
  ),
  Row(
    "measurements",
    lambda: (
      b"".join(
        line.ljust(80).encode()
        for line in (
          "SIMPLE  =                    T",
          "BITPIX  =                    8",
          "NAXIS   =                    2",
          "NAXIS1  =                   40",
          "NAXIS2  =                   24",
          "END",
        )
      ).ljust(2880)
      + bytes(2880)
    ),
    error=errors.UnreadableInputError,
    says="measurements",
  ),
  *(
    Row(
      f"what Pillow does not know, {name}",
      lambda data=data: data + bytes(100),
      error=errors.UnreadableInputError,
      says=says,
      report=report,
    )
    for name, data, says, report in (
      ("HEIC", b"\0\0\0\x18ftypheic", "pillow-heif", ""),
      ("HEIF", b"\0\0\0\x18ftypmif1", "pillow-heif", ""),
      ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", ""),
      ("JPEG XL without boxes", b"\xff\x0a", "JPEG XL", ""),
      ("CR3", b"\0\0\0\x18ftypcrx ", "raw file", ""),
      ("RAF", b"FUJIFILMCCD-RAW ", "raw file", ""),
      (
        "CR2",
        b"II*\0\x10\0\0\0CR\2\0",
        "raw file",
        "python-pillow/Pillow#8554",
      ),
      ("nothing", b"", "no kind", ""),
      ("text", b"no image at all", "no kind", ""),
    )
  ),
  Row(
    "a camera's raw file, DNG",
    lambda: made.tiff(X, (50706, 1, [1, 4, 0, 0])),
    error=errors.UnreadableInputError,
    says="raw file",
    report="libvips/libvips#1416",
  ),
  Row(
    "a camera's raw file, NEF",
    lambda: made.tiff(X, (254, 4, 1)),
    error=errors.UnreadableInputError,
    says="raw file",
    report="python-pillow/Pillow#6482",
  ),
  Row(
    "an icon that holds a larger image",
    lambda: (
      struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 99, 22)
      + made.png(X, size=(9000, 9000))
    ),
    error=errors.LimitError,
    says="9000 x 9000",
    report="python-pillow/Pillow#9013",
  ),
]

TABLE = [
  *ORIENTATIONS, *DEPTHS, *COLOURS, *LOSSES, *BAD_PARTS, *REFUSED
]  # fmt: skip


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
  data = made.png(_stored(6), _exif_chunk(_many_entries(6)))
  started = time.process_time()
  picture = reading.read(data)
  assert time.process_time() - started < 0.1
  assert picture.exif == _many_entries(1)


def test_the_table_is_long_and_names_no_row_twice():
  names = [row.name for row in TABLE]
  assert len(names) == len(set(names)) >= 150


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
  expected = GREY if mode[0] in "LIF" and mode != "LAB" else X
  if mode == "1":
    expected = np.where(G > 110, 255, 0)[..., None].repeat(3, -1)
  within = {"LAB": 16, "HSV": 16, "YCbCr": 6, "P": 40, "PA": 60}.get(mode, 1)
  assert np.abs(picture.pixels.astype(int) - expected).max() <= within
  assert image.mode == mode and image.tobytes() == before


def _image(mode):
  image, grey = Image.fromarray(X), Image.fromarray(G)
  if mode.startswith("I;16"):
    kind = ">u2" if mode.endswith("B") else "<u2"
    values = (G.astype(np.uint16) * 257).astype(kind)
    return Image.frombytes(mode, image.size, values.tobytes())
  if mode == "I":
    return Image.fromarray(G.astype(np.int32) * 257)
  if mode == "F":
    return Image.fromarray(FLOATS)
  if mode == "1":
    return Image.fromarray(G > 110)
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
    data = made.tiff(_stored(6), (made.ORIENTATION, 3, 6))
  else:
    exif = b"Exif\0\0" + made.turned()
    data = made.saved(_stored(6), kind, exif=exif, **options)
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
    _gama(100_000),
    made.xmp_chunk(XMP_6),
    _raw_chunk(b"zTXt", "exif", made.turned(1)),
  )
  with Image.open(io.BytesIO(info)) as image:
    picture = reading.read(image)
  assert np.abs(picture.pixels - LINEAR).max() <= 2
  assert picture.exif == made.turned(1) and picture.xmp == XMP_6
  with Image.open(io.BytesIO(_mpo())) as image:
    assert reading.read(image).losses == ("further pictures",)
  resource = PHOTOSHOP + made.resource(0x404, b"a")
  data = made.jpeg(X, (0xED, resource), (0xFE, b"hello"))
  with Image.open(io.BytesIO(data)) as image:
    assert reading.read(image).losses == ("IPTC", "a comment")


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(
  "kind", ["u1", "<u2", ">u2", "f2", "<f4", ">f4", "f8", "?"]
)
def test_arrays_follow_the_rule_of_files(channels, kind):
  x = np.dstack([X, ALPHA])
  x = {0: G, 1: x[..., :1], 2: x[..., 2:], 3: X, 4: x}[channels]
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
  for values in (RAMP, RAMP / 65535, (RAMP / 65535).astype(np.float32)):
    picture = reading.read(values)
    np.testing.assert_array_equal(picture.pixels, RAMP_8)
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
    made.png(np.dstack([DEEP_X, ALPHA * 257]), (b"tEXt", b"Title\0x"), depth=16)
  )
  x = reading.read_rgb(path)
  np.testing.assert_array_equal(x, reading.to_rgb(X, ALPHA))
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
  "GIF": lambda: made.saved(_palette(), "GIF"),
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
  "name", ["x.jpg", "X.HEIC", "a.b.dng", "x.svg", "x.tif"]
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
