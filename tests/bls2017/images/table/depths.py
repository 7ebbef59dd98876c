"""Depths and photometries."""

from __future__ import annotations

import base64
import struct

import numpy as np
from PIL import Image

from bls2017 import errors
from bls2017.images.samples import DEPTH_LOSS as DEPTH
from tests.bls2017.images import made, pictures
from tests.bls2017.images.pictures import (
  ALPHA,
  CMYK,
  DEEP_ALPHA,
  DEEP_X,
  FLOATS,
  GREY,
  RAMP,
  RAMP_8,
  SIGNED,
  SPREAD,
  ZEROS,
  G,
  X,
)
from tests.bls2017.images.table.row import Row

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

ROWS = [
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
    lambda: made.png(np.dstack([DEEP_X[..., 0], DEEP_ALPHA]), depth=16),
    X[..., [0, 0, 0]],
    (DEPTH,),
    ALPHA,
  ),
  *(
    Row(
      f"grey of {depth} bits, PNG",
      lambda depth=depth: made.png(pictures.low(depth), depth=depth),
      pictures.widened(depth),
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
        2**bits - 1 - pictures.low(bits), bits=bits, photometry=0
      ),
      pictures.widened(bits),
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
    pictures.flat(*[131] * 3),
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
    pictures.flat(75, 150, 224),
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
  Row(
    "a palette",
    lambda: made.saved(pictures.palette(), "PNG"),
    pictures.palette(True),
  ),
  Row(
    "alpha",
    lambda: made.png(pictures.rgba(ALPHA)),
    X,
    alpha=ALPHA,
    report="python-pillow/Pillow#5489",
  ),
  Row("alpha that is opaque", lambda: made.png(pictures.rgba(ZEROS + 255)), X),
  Row(
    "alpha of PNG that is 0",
    lambda: made.png(pictures.rgba(ZEROS)),
    X,
    alpha=ZEROS,
  ),
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
    lambda: made.tiff(pictures.rgba(ALPHA), (338, 3, 0)),
    X,
    ("further channels",),
  ),
  Row(
    "a fourth channel of zeros that nothing calls alpha, TIFF",
    lambda: made.tiff(pictures.rgba(ZEROS)),
    X,
  ),
  Row(
    "TGA of 32 bits without alpha",
    lambda: made.tga(pictures.rgba(ZEROS), 0),
    X,
    report="nickbabcock/Pfim#9",
  ),
  Row(
    "TGA with alpha, not counted in its header",
    lambda: made.tga(pictures.rgba(ALPHA), 0),
    X,
    alpha=ALPHA,
    report="SixLabors/ImageSharp#2629",
  ),
  Row(
    "BMP with a mask for alpha, and zeros there",
    lambda: made.bmp(pictures.rgba(ZEROS), alpha=True),
    X,
    report="image-rs/image#539",
  ),
  Row(
    "BMP with alpha",
    lambda: made.bmp(pictures.rgba(ALPHA), alpha=True),
    X,
    alpha=ALPHA,
    report="SixLabors/ImageSharp#732",
  ),
  *(
    Row(
      f"a transparent grey of {depth} bits",
      lambda depth=depth: made.png(
        pictures.low(depth), (b"tRNS", b"\0\1"), depth=depth
      ),
      pictures.widened(depth),
      alpha=np.where(pictures.low(depth) == 1, 0, 255).astype(np.uint8),
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
