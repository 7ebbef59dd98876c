"""Files of which a part is bad."""

from __future__ import annotations

import zlib

from bls2017 import errors
from bls2017.images import metadata
from tests.bls2017.images import made
from tests.bls2017.images.pictures import X
from tests.bls2017.images.table.row import Row

CUT_EXIF = made.turned()[:30]
PHOTOSHOP = b"Photoshop 3.0\0"

ROWS = [
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
      (b"iCCP", b"x\0\0" + zlib.compress(made.SWAPPED), 5672),
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
    lambda: made.flipped(made.png(X), b"IDAT"),
    error=errors.UnreadableInputError,
    says="checksum of IDAT",
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
        lambda: made.png(X, made.exif_chunk(b"junk")),
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
        8,
        "mattiasw/ExifReader#608",
      ),
      (
        "AVIF",
        lambda: made.avif(exif=made.turned(1)).replace(b"II*\0", b"junk"),
        6,
        "AOMediaCodec/libavif#3306",
      ),
      (
        "AVIF, cut",
        lambda: made.avif(exif=made.turned(1)).replace(
          b"II*\0\x08", b"II*\0\x99"
        ),
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
    within=8,
    report="python-pillow/Pillow#630",
  ),
  Row(
    "a segment of JFIF that is cut",
    lambda: made.jpeg(X, (0xE0, b"JFIF\0")),
    X,
    within=8,
  ),
  Row(
    "markers of JPEG with padding",
    lambda: made.jpeg(X, b"\xff\xff\xff"),
    X,
    within=8,
  ),
  Row(
    "white space before JPEG",
    lambda: made.jpeg(X, before=b"\r\n\r\n"),
    X,
    within=8,
  ),
  Row("white space before PNG", lambda: b"\xef\xbb\xbf\n" + made.png(X), X),
  Row(
    "Photoshop's block cut in JPEG",
    lambda: made.jpeg(X, (0xED, PHOTOSHOP + b"8BIM\x04")),
    X,
    within=8,
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
      made.stored(6), made.exif_chunk(made.turned() + bytes(metadata.MAX_BYTES))
    ),
    X,
    ("very long Exif",),
  ),
]
