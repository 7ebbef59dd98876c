"""Exif and XMP of image files: read, made upright, and written back.

Pixels are turned upright when an image is read, so the orientation that Exif
and XMP state is reset to "upright" in what is handed on; all other bytes stay
as they are.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import struct
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import ExifTags, Image, PngImagePlugin

if TYPE_CHECKING:
  from bls2017.images import image_io

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
"""Formats that metadata is written to, by Pillow's names."""

EXIF_PREFIX = b"Exif\0\0"
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = "XML:com.adobe.xmp"
_TIFF_XMP = 700
_SHORT = 3
"""TIFF's number of the type of 16-bit integers."""

_TIFF_TAGS = (
  ExifTags.Base.ImageDescription,
  ExifTags.Base.Make,
  ExifTags.Base.Model,
  ExifTags.Base.Software,
  ExifTags.Base.DateTime,
  ExifTags.Base.Artist,
  ExifTags.Base.Copyright,
  ExifTags.IFD.Exif,
  ExifTags.IFD.GPSInfo,
)
"""Tags of a TIFF file that describe the picture, not how it is stored."""

_log = logging.getLogger(__name__)


class Metadata(NamedTuple):
  """What an image file says of its picture.

  Attributes:
    exif: A TIFF structure, as Exif defines it; empty if there is none.
    xmp: An XMP packet in UTF-8; empty if there is none.
  """

  exif: bytes = b""
  xmp: bytes = b""


NONE = Metadata()


def read(source: image_io.Source | Image.Image) -> Metadata:
  """The metadata of an image file, upright; empty if it cannot be read.

  Args:
    source: As for `image_io.read_rgb`, or one of Pillow's images.
  """
  if isinstance(source, Image.Image):
    return _of_image(source)
  stream: Any = source
  if isinstance(source, (bytes, bytearray, memoryview)):
    stream = io.BytesIO(source)
  # What is wrong with the image itself is said where it is read.
  with contextlib.suppress(Exception), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with Image.open(stream) as image:
      return _of_image(image)
  return NONE


def upright(metadata: Metadata) -> Metadata:
  """The metadata with the orientation reset; without Exif that is damaged."""
  exif = metadata.exif
  if exif:
    try:
      exif = _upright_exif(exif)
    except struct.error:
      _log.warning("Exif data is damaged and left out")
      exif = b""
  xmp = re.sub(
    rb"(tiff:Orientation(?:=[\"']|>)\s*)\d", rb"\g<1>1", metadata.xmp
  )
  return Metadata(exif, xmp)


def saving_options(metadata: Metadata, kind: str) -> dict[str, Any]:
  """Arguments of Pillow's `Image.save` that write metadata.

  Args:
    metadata: What is written.
    kind: Pillow's name of the format.

  Raises:
    ValueError: if the format has no room for it.
  """
  if kind not in FORMATS:
    raise ValueError(f"only {', '.join(FORMATS)} have room for them")
  exif, xmp = metadata
  options: dict[str, Any] = {}
  if kind == "TIFF":
    tags = Image.Exif()
    tags.load(exif)
    if xmp:
      tags[_TIFF_XMP] = xmp
    return {"exif": tags}
  if exif:
    options["exif"] = EXIF_PREFIX + exif if kind == "JPEG" else exif
  if xmp and kind == "PNG":
    text = PngImagePlugin.PngInfo()
    text.add_itxt(_PNG_XMP, xmp.decode("utf-8", "replace"))
    options["pnginfo"] = text
  elif xmp:
    options["xmp"] = xmp
  return options


def _of_image(image: Image.Image) -> Metadata:
  exif = image.info.get("exif", b"")
  if not exif and image.format == "TIFF":
    exif = _exif_of_tiff(image.getexif())
  xmp = image.info.get("xmp") or image.info.get(_PNG_XMP) or b""
  if not xmp:
    packets = [content for _, content in getattr(image, "applist", ())]
    packets = [p for p in packets if p.startswith(_XMP_PREFIX)]
    xmp = packets[0][len(_XMP_PREFIX) :] if packets else b""
  if isinstance(xmp, str):
    xmp = xmp.encode()
  return upright(Metadata(exif.removeprefix(EXIF_PREFIX), xmp))


def _exif_of_tiff(tags: Image.Exif) -> bytes:
  described = Image.Exif()
  for tag in _TIFF_TAGS:
    if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
      value: Any = dict(tags.get_ifd(tag))
    else:
      value = tags.get(tag)
    if value:
      described[tag] = value
  return described.tobytes() if len(described) else b""


def _upright_exif(exif: bytes) -> bytes:
  """Raises struct.error if the structure of the first directory is damaged."""
  if exif[:4] not in (b"II*\0", b"MM\0*"):
    raise struct.error
  order = "<" if exif[:2] == b"II" else ">"
  (start,) = struct.unpack_from(f"{order}I", exif, 4)
  (count,) = struct.unpack_from(f"{order}H", exif, start)
  for entry in range(start + 2, start + 2 + 12 * count, 12):
    tag, kind, number = struct.unpack_from(f"{order}HHI", exif, entry)
    if (tag, kind, number) == (ExifTags.Base.Orientation, _SHORT, 1):
      value = struct.pack(f"{order}H", 1)
      exif = exif[: entry + 8] + value + exif[entry + 10 :]
  return exif
