"""What is left out, and said."""

from __future__ import annotations

from PIL import Image

from bls2017.images import metadata
from tests.bls2017.images import made, pictures
from tests.bls2017.images.pictures import X
from tests.bls2017.images.table.row import Row

SECOND = made.saved(X[::4, ::4], "JPEG")
PHOTOSHOP = b"Photoshop 3.0\0"

ROWS = [
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
    within=8,
    report="thumbor/thumbor#1301",
  ),
  Row(
    "IPTC of PNG",
    lambda: made.png(X, made.raw_chunk(b"zTXt", "iptc", b"a")),
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
    within=8,
  ),
  Row(
    "a comment of GIF",
    lambda: made.saved(pictures.palette(), "GIF", comment=b"hello"),
    pictures.palette(True),
    ("a comment",),
  ),
  Row(
    "segments of other programs",
    lambda: made.jpeg(X, (0xEB, b"JP\0\1"), (0xE1, b"FLIR\0\1")),
    X,
    ("segments (APP11 JP, APP1 FLIR)",),
    within=8,
  ),
  Row(
    "segments without which nothing is missing",
    lambda: made.jpeg(
      X, (0xE0, b"JFXX\0\x10"), (0xEC, b"Ducky\0"), (0xE2, b"MPF\0II*\0")
    ),
    X,
    within=8,
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
    within=8,
    report="python-pillow/Pillow#8036",
  ),
  Row(
    "a gain map, told by ISO 21496-1",
    lambda: made.jpeg(
      X, (0xE2, b"urn:iso:std:iso:ts:21496:-1\0"), after=SECOND
    ),
    X,
    ("a gain map",),
    within=8,
    report="mozilla/mozjpeg#451",
  ),
  Row(
    "a gain map of Apple",
    lambda: made.jpeg(
      X, after=SECOND[:2] + b"\xff\xe1\0\x10HDRGainMap1234" + SECOND[2:]
    ),
    X,
    ("a gain map",),
    within=8,
    report="RawTherapee/RawTherapee#7236",
  ),
  Row(
    "a gain map of AVIF",
    lambda: made.avif().replace(b"pict\0\0\0\0", b"picttmap", 1),
    X,
    ("a gain map",),
    within=6,
    report="libjxl/libjxl#4588",
  ),
  Row(
    "views of a camera for three dimensions",
    lambda: made.mpo(),
    X,
    ("further pictures",),
    within=8,
    report="jepler/cropgui#85",
  ),
  Row(
    "an index of views that are not there",
    lambda: made.mpo()[: -len(SECOND) // 2],
    X,
    ("further pictures",),
    within=8,
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
    within=8,
    report="exiftool/exiftool#69",
  ),
  Row(
    "a motion video, told by nothing",
    lambda: made.jpeg(
      X, after=b"MotionPhoto_Data\0\0\0\x18ftypisom" + bytes(50)
    ),
    X,
    ("a motion video",),
    within=8,
    report="deckerst/aves#2120",
  ),
  Row(
    "bytes after the end of JPEG",
    lambda: made.jpeg(X, after=b"PK\3\4"),
    X,
    ("bytes after its end",),
    within=8,
  ),
  Row(
    "padding after the end of JPEG",
    lambda: made.jpeg(X, after=bytes(99)),
    X,
    within=8,
  ),
  Row(
    "bytes after the end of WebP",
    lambda: made.saved(X, "WEBP", lossless=True) + b"PK\3\4",
    X,
    ("bytes after its end",),
  ),
  Row(
    "a motion video of AVIF",
    lambda: made.avif() + made.box(b"mpvd", b"video"),
    X,
    ("boxes (mpvd)",),
    within=6,
  ),
  Row(
    "other sizes of an icon",
    lambda: made.saved(X[:, :24], "ICO", sizes=[(16, 16), (24, 24)]),
    X[:, :24],
    ("other sizes",),
    report="python-pillow/Pillow#2405",
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
      made.stored(6),
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
    lambda: made.jp2(X, made.box(b"xml ", b"<gml/>")),
    X,
    ("boxes (xml)",),
  ),
]
