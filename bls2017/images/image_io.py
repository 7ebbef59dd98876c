"""Images in and out of files.

The rule by which any image Pillow reads becomes 8-bit RGB:

1. the first frame only; an animation is refused;
2. the EXIF orientation is applied, so that the image is upright;
3. 16-bit and 32-bit grey is scaled to 8 bits, not cut off: 16 bits by 1/257,
   floating point and 32-bit integers from their own range when they exceed
   0..255 (such files do not state their range);
4. an embedded ICC profile is applied, the result is sRGB (relative
   colorimetric); a profile that cannot be used is ignored with a warning;
5. grey, palette, 1-bit, CMYK, YCbCr, Lab and HSV are converted by Pillow;
6. alpha, also that of a palette, is composited on white, with a warning.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
import zlib
from typing import BinaryIO, Union

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from bls2017 import errors
from bls2017.common import files

MAX_PIXELS = 2**26
"""Default limit of an image's pixels."""

_WRITING = {
  "JPEG": {"quality": 95},
  "WEBP": {"quality": 95},
  "AVIF": {"quality": 95},
  # Filtered lines gain nothing from zlib's search (BUILD_NOTES.md).
  "PNG": {"compress_type": zlib.Z_RLE},
}
"""Settings of formats whose own are not meant for photographs."""

_PROGRAMS = ("EPS", "WMF")
"""Formats that Pillow hands to an interpreter, which runs what they say."""

Source = Union[str, "os.PathLike[str]", bytes]

_log = logging.getLogger(__name__)


def read_rgb(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """Reads an image by the rule of this module.

  Args:
    source: A path, or the bytes of a file.
    max_pixels: Limit of width times height, checked before decoding.

  Returns:
    uint8 [H, W, 3], sRGB, upright.

  Raises:
    errors.UnreadableInputError: if the file is missing, broken, or no image.
    errors.LimitError: if the image has more pixels than allowed.
  """
  name = "the image" if isinstance(source, bytes) else os.fspath(source)
  stream: BinaryIO | str
  stream = io.BytesIO(source) if isinstance(source, bytes) else name
  try:
    with warnings.catch_warnings():
      # The limit is checked here, on the header; Pillow's own only warns.
      warnings.simplefilter("ignore", Image.DecompressionBombWarning)
      with Image.open(stream) as image:
        width, height = image.size
        if width * height > max_pixels:
          raise errors.LimitError(
            f"{name} has {width} x {height} pixels, the limit is {max_pixels}"
          )
        if image.format in _PROGRAMS:
          raise errors.UnreadableInputError(
            f"{name} is a drawing ({image.format}); convert it first"
          )
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
          raise errors.UnreadableInputError(
            f"{name} is an animation; extract a frame first"
          )
        return _to_rgb(image, name)
  except errors.CodecError:
    raise
  except Image.DecompressionBombError as e:
    raise errors.LimitError(f"{name} is over the pixel limit: {e}") from e
  except UnidentifiedImageError as e:
    raise errors.UnreadableInputError(
      f"cannot read {name}: it is of no kind that Pillow knows"
    ) from e
  except FileNotFoundError as e:
    raise errors.UnreadableInputError(f"{name} does not exist") from e
  except Exception as e:  # Pillow's decoders raise nearly anything.
    raise errors.UnreadableInputError(f"cannot read {name}: {e}") from e


def read_grey(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """The luma of an image read by the rule of this module.

  Args:
    source: A path, or the bytes of a file.
    max_pixels: Limit of width times height.

  Returns:
    uint8 [H, W].

  Raises:
    As `read_rgb`.
  """
  return np.asarray(Image.fromarray(read_rgb(source, max_pixels)).convert("L"))


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
  profile = image.info.get("icc_profile")
  image.load()
  # Copies of a large image are avoided where nothing changes.
  ImageOps.exif_transpose(image, in_place=True)
  if image.mode.startswith(("I", "F")):
    image = _to_grey(image)
  if image.has_transparency_data:
    _log.warning("%s: alpha is composited on white", name)
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
    # The profile describes the colours, not the alpha.
    image = image.convert("RGB")
  elif image.mode in ("P", "1", "PA", "LA", "La"):
    image = image.convert("RGB")
  if profile:
    image = _to_srgb(image, profile, name)
  return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _to_grey(image: Image.Image) -> Image.Image:
  values = np.asarray(image, np.float64)
  if not np.all(np.isfinite(values)):
    raise errors.UnreadableInputError(
      "the image has values that are not finite"
    )
  if image.mode.startswith("I;16"):
    values = values / 257
  elif values.size and (values.max() > 255 or values.min() < 0):
    # Mode I is also how Pillow opens 16-bit PNG and TIFF in some versions.
    if values.min() >= 0 and values.max() <= 65535 and image.mode == "I":
      values = values / 257
    else:
      # All of one value is black: there is nothing to spread.
      values = (values - values.min()) * (255 / (np.ptp(values) or 1))
  return Image.fromarray(np.rint(values).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
  try:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(
      image,
      source,
      ImageCms.createProfile("sRGB"),
      renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
      outputMode="RGB",
    )
  except (ImageCms.PyCMSError, OSError, ValueError) as e:
    _log.warning("%s: its ICC profile is ignored (%s)", name, e)
    return image
  return image if converted is None else converted


def check_format(path: str) -> str:
  """Pillow's name of the format in which an output is written.

  Args:
    path: The output; without an ending, and for "-", it is PNG.

  Raises:
    errors.UsageError: if Pillow writes no images of this ending.
  """
  extension = os.path.splitext(path)[1].lower() or ".png"
  Image.init()
  kind = Image.EXTENSION.get(extension)
  if kind is None or kind not in Image.SAVE:
    raise errors.UsageError(f"cannot write images of the kind '{extension}'")
  return kind


def encode(x: np.ndarray, kind: str = "PNG") -> bytes:
  """An image as the bytes of a file.

  Args:
    x: uint8 [H, W, 3].
    kind: Pillow's name of the format.

  Raises:
    errors.OutputError: if the format cannot hold the image.
  """
  buffer = io.BytesIO()
  options = _WRITING.get(kind, {})
  try:
    Image.fromarray(x).save(buffer, kind, **options)
  except (OSError, ValueError, KeyError) as e:
    raise errors.OutputError(f"cannot write a {kind} image: {e}") from e
  return buffer.getvalue()


def write(x: np.ndarray, path: str, overwrite: bool = False) -> None:
  """Writes an image, PNG unless the file's name says otherwise.

  Args:
    x: uint8 [H, W, 3].
    path: The output; "-" is standard output, as PNG.
    overwrite: Whether a file that exists is replaced.

  Raises:
    errors.UsageError: if the name's ending names no format Pillow writes.
    errors.OutputError: if the file exists or cannot be written.
  """
  files.write(path, encode(x, check_format(path)), overwrite)
