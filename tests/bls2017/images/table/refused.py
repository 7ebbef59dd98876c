"""What cannot be read, and why."""

from __future__ import annotations

import struct

from bls2017 import errors
from tests.bls2017.images import made
from tests.bls2017.images.pictures import X
from tests.bls2017.images.table.row import Row

ROWS = [
  *(
    Row(
      f"an animation, {kind}",
      lambda kind=kind: made.animation(kind),
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
      f"{kind} without its last {number} bytes",
      lambda kind=kind, number=number: made.saved(X, kind)[:-number],
      error=errors.UnreadableInputError,
      says="the image",
    )
    for kind in ("PNG", "JPEG", "WEBP", "AVIF")
    for number in (1, 2, 12, 14)
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
