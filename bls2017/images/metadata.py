"""Facts that an image file states: Exif, XMP, orientation, colours.

1. The picture is turned as TIFF's own tag says, else Exif, else XMP. Integers
   of any type count as an orientation; Pillow makes Exif of AVIF's properties.
2. Where it was turned, Exif and XMP say 1 afterwards, in place. No other byte
   of them changes, and none where nothing was turned.
3. Exif whose first directory is damaged is left out, and so is what is longer
   than `MAX_BYTES`; damaged Exif still turns the picture.
4. What is neither Exif nor XMP nor a description of colours is named as lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, TiffTags

MAX_BYTES = 1 << 23
"""Longest Exif, and longest XMP, that is kept."""

EXIF_PREFIX = b"Exif\0\0"
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
PNG_XMP = "XML:com.adobe.xmp"
TIFF_XMP = 700
IPTC_START = b"8BIM\x04\x04"
IPTC = "IPTC"
DAMAGED_EXIF = "damaged Exif"

_TIFF_IPTC, _TIFF_PHOTOSHOP = 33723, 34377
_TIFF_COLOURS = (301, 319)
_PSD_IPTC, _PSD_EXIF, _PSD_XMP = 0x0404, 0x0422, 0x0424

_DESCRIBING_TAGS = (
  *(269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432),
  *range(40091, 40096),
)
"""Tags of a TIFF file that describe the picture; they become Exif."""

STORING_TAGS = frozenset((
  *range(254, 269), *range(273, 285), *range(288, 293), 296, 297, 301,
  *range(317, 348), *range(512, 522), *range(529, 533), 559, 34675,
))  # fmt: skip
"""Tags of a TIFF file that say how samples are stored."""

_KNOWN_TAGS = STORING_TAGS.union(
  _DESCRIBING_TAGS, (TIFF_XMP, _TIFF_IPTC, _TIFF_PHOTOSHOP, 34665, 34853, 40965)
)

_ADOBE_RGB = (
  *(b"\x01\xa0\3\0\1\0\0\0\2\0", b"\xa0\x01\0\3\0\0\0\1\0\2"),
  *(b"\1\0\2\0\4\0\0\0R03\0", b"\0\1\0\2\0\0\0\4R03\0"),
)
"""Entries of Exif that state the colour space Adobe RGB, in both orders."""

_MAX_ORIENTATIONS = 16
"""One is legal; what states more than this is damaged."""

_ORDERS = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
"""The letters that struct has for TIFF's types of integers."""

_XMP_ORIENTATION = re.compile(
  rb"(tiff:Orientation(?:\s*=\s*[\"']|\s*>)\s*)([1-8])(?!\d)"
)


class Metadata(NamedTuple):
  """Exif and XMP of a picture that stands upright.

  Attributes:
    exif: A TIFF structure, as Exif defines it; empty if there is none.
    xmp: An XMP packet; empty if there is none.
  """

  exif: bytes = b""
  xmp: bytes = b""


@dataclasses.dataclass
class Description:
  """The facts that a file states beside its samples.

  Attributes:
    exif: A TIFF structure, as Exif defines it; empty if there is none.
    xmp: An XMP packet; empty if there is none.
    orientation: 1 to 8, by which the stored picture has to be turned.
    icc: An ICC profile; empty if there is none.
    cicp: Code points of primaries and transfer function (ITU-T H.273).
    gamma: Exponent with which samples were encoded, as in PNG's gAMA.
    chromaticities: x and y of white, red, green and blue, as in PNG's cHRM.
    key: The grey value or colour that is transparent, in samples of `depth`.
    depth: Most bits of a sample.
    losses: What cannot be kept, in noun phrases.
  """

  exif: bytes = b""
  xmp: bytes = b""
  orientation: int = 1
  icc: bytes = b""
  cicp: tuple[int, int] | None = None
  gamma: float | None = None
  chromaticities: tuple[float, ...] | None = None
  key: tuple[int, ...] | None = None
  depth: int = 8
  losses: list[str] = dataclasses.field(default_factory=list)


def complete(about: Description, image: Any) -> None:
  """Adds what Pillow found in a file, and turns Exif and XMP upright.

  Args:
    about: What is known without Pillow, which counts first.
    image: Pillow's image, before its samples are loaded.
  """
  info = image.info
  about.icc = about.icc or info.get("icc_profile") or b""
  about.exif = about.exif or plain_exif(info.get("exif") or b"")
  if not about.exif and "Raw profile type exif" in info:
    about.exif = raw_profile(info["Raw profile type exif"].encode())
  xmp = about.xmp or info.get("xmp") or info.get(PNG_XMP) or b""
  about.xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
  for _, segment in getattr(image, "applist", ()):
    if segment.startswith(XMP_PREFIX):
      about.xmp = about.xmp or segment[len(XMP_PREFIX) :]
  resources = dict(info.get("photoshop") or {})
  for number, _, data in getattr(image, "resources", ()):
    resources[number] = data
  if isinstance(resources.get(_PSD_EXIF), bytes):
    about.exif = about.exif or plain_exif(resources[_PSD_EXIF])
    about.xmp = about.xmp or resources.get(_PSD_XMP, b"")
  if _PSD_IPTC in resources:
    about.losses.append(IPTC)
  if info.get("comment") and image.format != "JPEG2000":
    about.losses.append("a comment")
  if "srgb" not in info:
    about.gamma = info.get("gamma", about.gamma)
    about.chromaticities = info.get("chromaticity", about.chromaticities)
  if hasattr(image, "tag_v2"):
    _add_tiff(about, image)
  else:
    about.orientation = orientation(about.exif, about.xmp)
  if about.exif and not _is_whole(about.exif):
    about.losses.append(DAMAGED_EXIF)
    about.exif = b""
  if len(about.exif) > MAX_BYTES:
    about.losses.append("very long Exif")
    about.exif = b""
  if len(about.xmp) > MAX_BYTES:
    about.losses.append("very long XMP")
    about.xmp = b""
  if not about.icc and any(entry in about.exif for entry in _ADOBE_RGB):
    about.losses.append("the colour space Adobe RGB of its Exif")
  if about.orientation != 1:
    about.exif, about.xmp = reset_orientation(about.exif, about.xmp)


def orientation(exif: bytes, xmp: bytes) -> int:
  """The orientation that Exif states or, where it states none, XMP.

  Args:
    exif: A TIFF structure; damaged ones count as far as they can be read.
    xmp: An XMP packet.

  Returns:
    1 to 8; 1 where there is none.
  """
  for _, _, value in _orientations(exif):
    if 1 <= value <= 8:
      return value
  match = _XMP_ORIENTATION.search(xmp)
  return int(match[2]) if match else 1


def reset_orientation(exif: bytes, xmp: bytes) -> tuple[bytes, bytes]:
  """Exif and XMP that say 1 wherever they state an orientation."""
  reset = bytearray(exif)
  for offset, form, value in _orientations(exif):
    if 1 < value <= 8:
      struct.pack_into(form, reset, offset, 1)
  return bytes(reset), _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def upright(metadata: Metadata) -> Metadata:
  """Resets the orientation; leaves Exif out that is damaged."""
  exif = metadata.exif if _is_whole(metadata.exif) else b""
  exif, xmp = reset_orientation(exif, metadata.xmp)
  return metadata._replace(exif=exif, xmp=xmp)


def plain_exif(exif: bytes) -> bytes:
  """Exif without the prefix that JPEG has, and others should not have."""
  while exif.startswith(EXIF_PREFIX[:5]):
    exif = exif[len(EXIF_PREFIX) :]
  return exif


def raw_profile(text: bytes) -> bytes:
  """Bytes as ImageMagick writes them into PNG: a name, a length, hex digits."""
  with contextlib.suppress(ValueError):
    return bytes.fromhex("".join(text.decode().split()[2:]))
  return b""


def _first_directory(exif: bytes) -> tuple[str, int, int, np.ndarray] | None:
  """Byte order, start, number of entries, and those that are there."""
  with contextlib.suppress(struct.error, KeyError):
    order = _ORDERS[exif[:4]]
    (offset,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, offset)
    kinds = (f"{order}u2", f"{order}u2", f"{order}u4", "V4")
    entry = np.dtype(list(zip(("tag", "type", "number", "value"), kinds)))
    there = min(count, (len(exif) - offset - 2) // entry.itemsize)
    entries = np.frombuffer(exif, entry, there, offset + 2)
    return order, offset + 2, count, entries
  return None


def _is_whole(exif: bytes) -> bool:
  directory = _first_directory(exif)
  if directory is None:
    return False
  _, _, count, entries = directory
  stated = np.count_nonzero(entries["tag"] == ExifTags.Base.Orientation)
  return len(entries) == count and stated <= _MAX_ORIENTATIONS


def _orientations(exif: bytes) -> Iterator[tuple[int, str, int]]:
  """Offset, struct's format and value of each orientation."""
  directory = _first_directory(exif)
  if directory:
    order, start, _, entries = directory
    found = np.flatnonzero(entries["tag"] == ExifTags.Base.Orientation)
    for i in found[:_MAX_ORIENTATIONS].tolist():
      letter = _INTEGERS.get(int(entries["type"][i]))
      if letter and entries["number"][i]:
        form, offset = order + letter, start + 12 * i + 8
        yield offset, form, struct.unpack_from(form, exif, offset)[0]


def _add_tiff(about: Description, image: Any) -> None:
  tags = image.tag_v2
  value = tags.get(ExifTags.Base.Orientation)
  if isinstance(value, (tuple, bytes)):
    value = value[0] if value else None
  is_stated = isinstance(value, int) and 1 <= value <= 8
  about.orientation = value if is_stated else orientation(b"", about.xmp)
  try:
    about.exif = _exif_of_tiff(image.getexif())
  except Exception:  # Pillow raises nearly anything for odd tags.
    about.losses.append(DAMAGED_EXIF)
  if _TIFF_IPTC in tags or IPTC_START in bytes(tags.get(_TIFF_PHOTOSHOP, b"")):
    about.losses.append(IPTC)
  others = [tag for tag in tags if tag not in _KNOWN_TAGS]
  if others:
    names = ", ".join(str(TiffTags.lookup(tag).name) for tag in others)
    about.losses.append(f"tags ({names[:80]})")
  bits = tags.get(ExifTags.Base.BitsPerSample, 1)
  about.depth = max(bits) if isinstance(bits, tuple) else bits
  if not about.icc and any(tag in tags for tag in _TIFF_COLOURS):
    about.losses.append("colours told by tags")
  if tags.get(ExifTags.Base.SamplesPerPixel, 1) > len(image.getbands()):
    about.losses.append("further channels")


def _exif_of_tiff(tags: Image.Exif) -> bytes:
  described = Image.Exif()
  for tag in _DESCRIBING_TAGS:
    if tags.get(tag):
      described[tag] = tags[tag]
  for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
    values = dict(tags.get_ifd(tag))
    if values:
      described[tag] = values
  return plain_exif(described.tobytes()) if len(described) else b""
