"""What tells colours."""

from __future__ import annotations

import numpy as np

from bls2017.images.samples import DEPTH_LOSS as DEPTH
from tests.bls2017.images import made, pictures
from tests.bls2017.images.pictures import (
  ALPHA,
  BT2020_TO_SRGB,
  GREY,
  LINEAR,
  P3_TO_SRGB,
  RAMP,
  ZEROS,
  G,
  X,
)
from tests.bls2017.images.table.row import Row

SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_CHRM = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)

ROWS = [
  Row(
    "an ICC profile",
    lambda: made.png(X, made.iccp(made.SWAPPED)),
    X[..., [1, 0, 2]],
    within=2,
  ),
  Row(
    "an ICC profile of JPEG in several segments, out of order",
    lambda: made.jpeg(X, *made.profile_segments(made.SWAPPED)[::-1]),
    X[..., [1, 0, 2]],
    within=8,
  ),
  Row(
    "an ICC profile of JPEG of which a segment is missing",
    lambda: made.jpeg(X, *made.profile_segments(made.SWAPPED)[:-1]),
    X,
    ("an incomplete ICC profile",),
    within=8,
  ),
  Row(
    "an ICC profile of JPEG 2000",
    lambda: made.jp2_with_profile(made.SWAPPED),
    X[..., [1, 0, 2]],
    within=2,
    report="python-pillow/Pillow#5629",
  ),
  Row(
    "an ICC profile of BMP",
    lambda: made.bmp(pictures.rgba(ZEROS), made.SWAPPED),
    X,
    ("its ICC profile",),
  ),
  Row(
    "an ICC profile of TIFF",
    lambda: made.tiff(X, (34675, 7, made.SWAPPED)),
    X[..., [1, 0, 2]],
    within=2,
    report="python-pillow/Pillow#5248",
  ),
  Row(
    "an ICC profile for grey, with alpha",
    lambda: made.png(np.dstack([G, ALPHA]), made.iccp(made.grey_profile(1.0))),
    np.repeat(np.rint(255 * pictures.encoded(G / 255))[..., None], 3, -1),
    alpha=ALPHA,
    within=2,
    report="python-pillow/Pillow#6666",
  ),
  Row(
    "an ICC profile for grey, 16 bits",
    lambda: made.png(RAMP, made.iccp(made.grey_profile(1.0)), depth=16),
    np.repeat(np.rint(255 * pictures.encoded(RAMP / 65535))[..., None], 3, -1),
    (DEPTH,),
    within=13,
  ),
  Row(
    "an ICC profile for RGB, grey",
    lambda: made.png(G, made.iccp(made.SRGB)),
    GREY,
    within=1,
    report="prasanthrangan/hyprdots#1112",
  ),
  Row(
    "an ICC profile for grey, RGB",
    lambda: made.png(X, made.iccp(made.grey_profile(1.0))),
    X,
    ("its ICC profile (it is not one for RGB images)",),
    report="python-pillow/Pillow#2445",
  ),
  Row(
    "an ICC profile of 3 MB",
    lambda: made.png(X, made.iccp(made.SWAPPED + bytes(3 << 20))),
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
    pictures.seen_as(P3_TO_SRGB),
    within=2,
    report="brendan-duncan/image#780",
  ),
  Row(
    "cICP, BT.2020",
    lambda: made.png(X, (b"cICP", b"\x09\x0e\0\1")),
    pictures.seen_as(BT2020_TO_SRGB),
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
    lambda: made.png(X, made.iccp(made.SWAPPED), (b"cICP", b"\1\x0d\0\1")),
    X,
    report="w3c-cg/ColorWeb-CG#35",
  ),
  Row(
    "cICP that says nothing, beside a profile",
    lambda: made.png(X, made.iccp(made.SWAPPED), (b"cICP", b"\2\2\0\1")),
    X[..., [1, 0, 2]],
    within=2,
  ),
  *(
    Row(
      f"cICP, {name}, beside a profile",
      lambda code=code: made.png(
        X, made.iccp(made.SWAPPED), (b"cICP", bytes([9, code, 0, 1]))
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
    lambda: made.avif(b"\0\x0c\0\x0d"),
    pictures.seen_as(P3_TO_SRGB),
    within=16,
  ),
  Row(
    "nclx of AVIF, PQ",
    lambda: made.avif(b"\0\x09\0\x10"),
    X,
    ("its colours told by code points (transfer function PQ)",),
    within=6,
    report="libvips/libvips#3912",
  ),
  Row(
    "gAMA, linear",
    lambda: made.png(X, made.gama(100_000)),
    LINEAR,
    within=2,
    report="d2phap/ImageGlass#377",
  ),
  Row(
    "gAMA, grey",
    lambda: made.png(G, made.gama(100_000)),
    np.repeat(np.rint(255 * pictures.encoded(G / 255))[..., None], 3, -1),
    within=2,
  ),
  Row(
    "gAMA and cHRM of sRGB",
    lambda: made.png(X, made.gama(45_455), made.chrm(SRGB_CHRM)),
    X,
    report="libjxl/libjxl#1579",
  ),
  Row(
    "cHRM of Display P3",
    lambda: made.png(X, made.gama(45_455), made.chrm(P3_CHRM)),
    pictures.seen_as(P3_TO_SRGB),
    within=2,
  ),
  Row(
    "gAMA of 0 beside sRGB",
    lambda: made.png(X, (b"sRGB", b"\0"), made.gama(0)),
    X,
    report="pngwriter/pngwriter#128",
  ),
  Row(
    "gAMA of 0",
    lambda: made.png(X, made.gama(0)),
    X,
    ("its gamma (it is 0)",),
    report="hrydgard/ppsspp#16822",
  ),
  Row(
    "impossible cHRM",
    lambda: made.png(X, made.chrm([0] * 8)),
    X,
    ("its gamma (impossible chromaticities)",),
  ),
  *(
    Row(
      f"Adobe RGB told by Exif, {name}, {order}",
      lambda exif=exif: made.png(X, made.exif_chunk(exif)),
      X,
      ("the colour space Adobe RGB of its Exif",),
      exif=None,
    )
    for order in "<>"
    for name, exif in (
      ("a number", made.exif((0xA001, 3, 2), order=order)),
      ("R03", made.exif((1, 2, b"R03\0"), order=order)),
    )
  ),
  Row(
    "the curve of TIFF",
    lambda: made.tiff(X, (301, 3, [0] * 768)),
    X,
    ("colours told by tags",),
  ),
  Row(
    "chromaticities of TIFF",
    lambda: made.tiff(X, (319, 5, [64, 100, 33, 100] * 3)),
    X,
    ("colours told by tags",),
  ),
]
