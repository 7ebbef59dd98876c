"""Orientations, wherever they are stated, and Exif."""

from __future__ import annotations

import zlib

from bls2017.images import metadata
from tests.bls2017.images import made
from tests.bls2017.images.pictures import X
from tests.bls2017.images.table.row import Row

INTEGERS = {
  1: "BYTE",
  3: "SHORT",
  4: "LONG",
  6: "SBYTE",
  8: "SSHORT",
  9: "SLONG",
}
CUT_EXIF = made.turned()[:30]

ROWS = [
  *(
    Row(
      f"orientation {o}",
      lambda o=o: made.png(made.stored(o), made.exif_chunk(made.turned(o))),
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
        made.stored(6),
        (0xE1, b"Exif\0\0" + made.turned(6, kind, order)),
      ),
      X,
      exif=made.turned(1, kind, order),
      within=8,
      report="dlemstra/Magick.NET#1809",
    )
    for kind, name in INTEGERS.items()
    for order in "<>"
  ),
  *(
    Row(
      f"orientation of TIFF of type {name}, {order}",
      lambda kind=kind, order=order: made.tiff(
        made.stored(o := 8), (made.ORIENTATION, kind, o), order=order
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
      lambda o=o: made.png(X, made.exif_chunk(made.turned(o))),
      X,
      exif=made.turned(o),
    )
    for o in (0, 9, 255)
  ),
  Row(
    "an orientation that is no integer",
    lambda: made.png(
      X, made.exif_chunk(made.exif((made.ORIENTATION, 5, [6, 1])))
    ),
    X,
    exif=made.exif((made.ORIENTATION, 5, [6, 1])),
  ),
  Row(
    "two orientations",
    lambda: made.png(
      made.stored(6),
      made.exif_chunk(made.exif((274, 3, 6), (274, 4, 6))),
    ),
    X,
    exif=made.exif((274, 3, 1), (274, 4, 1)),
    report="oozcitak/exiflibrary#19",
  ),
  Row(
    "an entry whose content is beyond the end",
    lambda: made.png(made.stored(6), made.exif_chunk(made.turned()[:-6])),
    X,
    exif=made.turned(1)[:-6],
    report="python-pillow/Pillow#3337",
  ),
  Row(
    "a directory that is cut behind the orientation",
    lambda: made.png(
      made.stored(6),
      made.exif_chunk(made.exif((274, 3, 6), (305, 2, b"abcd"))[:-12]),
    ),
    X,
    (metadata.DAMAGED_EXIF,),
  ),
  Row(
    "the orientation of a thumbnail",
    lambda: made.png(X, made.exif_chunk(made.with_thumbnail(1))),
    X,
    exif=None,
  ),
  Row(
    "Exif with the prefix of JPEG in PNG, twice",
    lambda: made.png(
      made.stored(6), made.exif_chunk(b"Exif\0\0Exif\0\0" + made.turned())
    ),
    X,
    exif=made.turned(1),
    report="python-pillow/Pillow#8348",
  ),
  *(
    Row(
      f"Exif in a raw profile, {kind.decode()}, {name}",
      lambda kind=kind, name=name: made.png(
        made.stored(6), made.raw_chunk(kind, name, made.turned())
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
    lambda: made.png(
      made.stored(6), made.raw_chunk(b"zTXt", "xmp", made.xmp(6))
    ),
    X,
    xmp=made.xmp(1),
    report="exif-js/exif-js#86",
  ),
  Row(
    "the orientation of XMP, an attribute",
    lambda: made.png(made.stored(6), made.xmp_chunk(made.xmp(6))),
    X,
    xmp=made.xmp(1),
    report="python-pillow/Pillow#4529",
  ),
  Row(
    "the orientation of XMP, an element",
    lambda: made.png(
      made.stored(6), made.xmp_chunk(made.xmp(6, as_element=True))
    ),
    X,
    xmp=made.xmp(1, as_element=True),
    report="python-pillow/Pillow#6462",
  ),
  Row(
    "packed XMP",
    lambda: made.png(
      made.stored(6),
      (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(made.xmp(6))),
    ),
    X,
    xmp=made.xmp(1),
  ),
  Row(
    "Exif that says 1 counts before XMP that says 8",
    lambda: made.png(
      X, made.exif_chunk(made.turned(1)), made.xmp_chunk(made.xmp(8))
    ),
    X,
    exif=made.turned(1),
    xmp=made.xmp(8),
    report="ImageMagick/ImageMagick#1445",
  ),
  Row(
    "Exif and XMP that both say 6",
    lambda: made.png(
      made.stored(6),
      made.exif_chunk(made.turned()),
      made.xmp_chunk(made.xmp(6)),
    ),
    X,
    exif=made.turned(1),
    xmp=made.xmp(1),
  ),
  Row(
    "Exif of JPEG in several segments",
    lambda: made.jpeg(X, *made.in_segments(made.turned(1) + bytes(100_000))),
    X,
    exif=made.turned(1) + bytes(100_000),
    within=8,
    report="python-pillow/Pillow#7495",
  ),
  Row(
    "WebP",
    lambda: made.saved(
      made.stored(6), "WEBP", lossless=True, exif=b"Exif\0\0" + made.turned()
    ),
    X,
    exif=made.turned(1),
  ),
  Row(
    "AVIF, whose properties turn it",
    lambda: made.saved(
      made.stored(6),
      "AVIF",
      quality=100,
      subsampling="4:4:4",
      exif=made.turned(),
    ),
    X,
    exif=None,
    within=6,
  ),
  Row(
    "JPEG 2000 with boxes for Exif and XMP",
    lambda: made.jp2(
      made.stored(6),
      made.box(b"uuid", b"JpgTiffExif->JP2" + made.turned()),
      made.box(
        b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + made.xmp(6)
      ),
    ),
    X,
    exif=made.turned(1),
    xmp=made.xmp(1),
    report="Exiv2/exiv2#1236",
  ),
  Row(
    "65,535 entries",
    lambda: made.png(made.stored(6), made.exif_chunk(made.many_entries(6))),
    X,
    exif=None,
    report="libexif/libexif#55",
  ),
  Row(
    "65,535 orientations",
    lambda: made.png(
      made.stored(6), made.exif_chunk(made.many_entries(*[6] * 0xFFFF))
    ),
    X,
    (metadata.DAMAGED_EXIF,),
  ),
]
