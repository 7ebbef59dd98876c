"""Pictures into image files.

Alpha goes into the formats of `ALPHA_FORMATS` and is composited on white for
others; Exif and XMP go into those of `METADATA_FORMATS`. What is left out is
told. The file is read back as far as its header: one that does not hold an
image of this size and in colours is an error.
"""

from __future__ import annotations

import io
import os
import zlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from bls2017 import errors, files
from bls2017.images import metadata, reading
from bls2017.images.reading import Picture

QUALITY_FORMATS = ("JPEG", "WEBP", "AVIF")
"""Formats that have a quality, 1 to 100."""

LOSSY_FORMATS = ("JPEG", "MPO", "AVIF", "GIF", "PDF")
"""Formats that lose some of an image even at their best."""

ALPHA_FORMATS = ("PNG", "WEBP", "TIFF", "AVIF", "TGA", "QOI", "JPEG2000")
"""Formats that keep alpha."""

METADATA_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
"""Formats that keep Exif and XMP."""

_BEST: dict[str, dict[str, Any]] = {
  "JPEG": {"quality": 100, "subsampling": 0},
  "WEBP": {"lossless": True, "exact": True},
  "AVIF": {"quality": 100, "subsampling": "4:4:4"},
  # Filtered lines gain nothing from zlib's search (BUILD_NOTES.md).
  "PNG": {"compress_type": zlib.Z_RLE},
}
"""Settings with which formats keep all of an image, or as much as they can."""

_GREY_MODES = ("1", "L", "LA", "I", "F")


class ImageFile(NamedTuple):
  """An image as a file.

  Attributes:
    data: The bytes of the file.
    losses: What the format does not keep, each in a noun phrase.
  """

  data: bytes
  losses: tuple[str, ...]


def check_format(path: str) -> str:
  """Pillow's name of the format in which an output is written.

  Args:
    path: The output; without an ending, and for "-", it is PNG.

  Raises:
    errors.UsageError: if Pillow writes no images of this ending.
  """
  ending = os.path.splitext(path)[1].lower() or ".png"
  Image.init()
  kind = Image.EXTENSION.get(ending)
  if kind is None or kind not in Image.SAVE:
    raise errors.UsageError(f"cannot write images of the kind '{ending}'")
  return kind


def check_quality(kind: str, quality: int | None) -> None:
  """Refuses a quality that a format does not have.

  Args:
    kind: Pillow's name of the format.
    quality: As for `encode`.

  Raises:
    errors.UsageError: if the format has no quality, or not this one.
  """
  if quality is None:
    return
  if kind not in QUALITY_FORMATS:
    raise errors.UsageError(f"{kind} images have no quality")
  if not 1 <= quality <= 100:
    raise errors.UsageError(
      f"the quality of {kind} images goes from 1 to 100, not {quality}"
    )


def encode(
  picture: Picture | np.ndarray, kind: str = "PNG", quality: int | None = None
) -> ImageFile:
  """An image as the bytes of a file.

  Args:
    picture: The picture, or its pixels alone, uint8 [H, W, 3].
    kind: Pillow's name of the format.
    quality: 1 to 100 for the formats in `QUALITY_FORMATS`; by default lossless,
      or the best that the format has.

  Raises:
    errors.UsageError: if the format has no such quality.
    errors.OutputError: if the format cannot hold the image.
  """
  check_quality(kind, quality)
  if not isinstance(picture, Picture):
    picture = Picture(picture)
  losses = []
  pixels, alpha = picture.pixels, picture.alpha
  if alpha is not None and kind in ALPHA_FORMATS:
    pixels = np.concatenate([pixels, alpha[..., None]], -1)
  elif alpha is not None:
    pixels = reading.to_rgb(pixels, alpha)
    losses.append(reading.ALPHA_LOSS)
  image = Image.fromarray(pixels)
  options = _BEST.get(kind, {}) if quality is None else {"quality": quality}
  exif, xmp = picture.exif, picture.xmp
  for kept in dict.fromkeys(((exif, xmp), (exif, b""), (b"", xmp), (b"", b""))):
    try:
      data = _saved(image, kind, options | _saving_options(*kept, kind))
    except Exception as e:  # Pillow raises nearly anything for odd metadata.
      failure = e
    else:
      losses += ["Exif"] * (exif != kept[0]) + ["XMP"] * (xmp != kept[1])
      return ImageFile(data, tuple(losses))
  raise errors.OutputError(f"cannot write a {kind} image: {failure}")


def write(
  picture: Picture | np.ndarray,
  path: str,
  overwrite: bool = False,
  quality: int | None = None,
) -> tuple[str, ...]:
  """Writes an image, PNG unless the file's name says otherwise.

  Args:
    picture: As for `encode`.
    path: The output; "-" is standard output, as PNG.
    overwrite: Whether a file that exists is replaced.
    quality: As for `encode`.

  Returns:
    What the format does not keep.

  Raises:
    errors.UsageError: if the name's ending names no format Pillow writes, or
      one without such a quality.
    errors.OutputError: if the file exists or cannot be written.
  """
  encoded = encode(picture, check_format(path), quality)
  files.write(path, encoded.data, overwrite)
  return encoded.losses


def _saved(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  if kind not in Image.OPEN:
    return buffer.getvalue()
  try:
    with reading.open_image(buffer, []) as written:
      (width, height), mode = written.size, written.mode
  except Exception as e:  # Pillow's decoders raise nearly anything.
    raise ValueError("the file would not be readable") from e
  if (width, height) != image.size or mode in _GREY_MODES:
    raise ValueError(f"it would hold {width} x {height} pixels of mode {mode}")
  return buffer.getvalue()


def _saving_options(exif: bytes, xmp: bytes, kind: str) -> dict[str, Any]:
  """Arguments of Pillow's `Image.save`."""
  if not (exif or xmp):
    return {}
  if kind not in METADATA_FORMATS:
    raise ValueError("the format has no room for Exif and XMP")
  options: dict[str, Any] = {}
  if kind == "TIFF":
    tags = Image.Exif()
    tags.load(exif)
    for tag in metadata.STORING_TAGS & set(tags):
      del tags[tag]
    if xmp:
      tags[metadata.TIFF_XMP] = xmp
    return {"exif": tags}
  if exif:
    options["exif"] = metadata.EXIF_PREFIX + exif if kind == "JPEG" else exif
  if xmp and kind == "PNG":
    text = PngImagePlugin.PngInfo()
    text.add_itxt(metadata.PNG_XMP, xmp.decode("utf-8", "replace"))
    options["pnginfo"] = text
  elif xmp:
    options["xmp"] = xmp
  return options
