"""Images in and out of files.

The rule by which any image Pillow reads becomes 8-bit RGB:

1. the first frame only; an animation is refused;
2. the EXIF orientation is applied, so that the image is upright;
3. grey of more than 8 bits is scaled, not cut off: 16 bits by 1/257, 32-bit
   integers from their own range when they exceed 0..65535 (such files do not
   state it). Floating point counts from 0 (black) to 1 (white) and is refused
   where a value lies beyond. Of more than 8 bits of colours, Pillow reads the
   upper 8. A warning says that there were more;
4. an embedded ICC profile is applied, the result is sRGB (relative
   colorimetric); a profile that cannot be used is ignored with a warning;
5. grey, palette, 1-bit, CMYK, YCbCr, Lab and HSV are converted by Pillow;
6. alpha, also that of a palette, is composited on white, with a warning.

Arrays and Pillow's images follow the same rule: an array is [H, W] or [H, W, 1]
(grey), [H, W, 2] (grey and alpha), [H, W, 3] (RGB) or [H, W, 4] (RGB and alpha)
of bool, uint8, uint16 or floating point.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
import zlib
from typing import Any, BinaryIO, Union

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from bls2017 import errors, files
from bls2017.images import metadata

PLUGIN_FORMAT = "BLS2017"
"""Pillow's name for files of this codec, once the plugin is imported."""

MAX_PIXELS = 2**26
"""Default limit of an image's pixels."""

_BEST: dict[str, dict[str, Any]] = {
  "JPEG": {"quality": 100, "subsampling": 0},
  "WEBP": {"lossless": True},
  "AVIF": {"quality": 100, "subsampling": "4:4:4"},
  # Filtered lines gain nothing from zlib's search (BUILD_NOTES.md).
  "PNG": {"compress_type": zlib.Z_RLE},
}
"""Settings with which formats keep all of an image, or as much as they can."""

QUALITY_FORMATS = ("JPEG", "WEBP", "AVIF")
"""Formats that have a quality, 1 to 100."""

LOSSY_FORMATS = ("JPEG", "MPO", "AVIF", "GIF", "PDF")
"""Formats that lose some of an image even at their best."""

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")

_PROGRAMS = ("EPS", "WMF")
"""Formats that Pillow hands to an interpreter, which runs what they say."""

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO]
"""A path, the bytes of an image file, or a file opened in binary mode."""

Picture = Union[Source, np.ndarray, Image.Image]
"""An image: an array, Pillow's, or where an image file is."""

_log = logging.getLogger(__name__)


def read_rgb(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """Reads an image file by the rule of this module.

  Args:
    source: A path, the bytes of a file, or a file opened in binary mode.
    max_pixels: Limit of width times height, checked before decoding.

  Returns:
    uint8 [H, W, 3], sRGB, upright.

  Raises:
    errors.UnreadableInputError: if the file is missing, broken, or no image.
    errors.LimitError: if the image has more pixels than allowed.
  """
  name = "the image"
  if isinstance(source, (str, os.PathLike)):
    name = os.fspath(source)
  stream: Any = source
  if isinstance(source, (bytes, bytearray, memoryview)):
    stream = io.BytesIO(source)
  try:
    with warnings.catch_warnings():
      # The limit is checked here, on the header; Pillow's own only warns.
      warnings.simplefilter("ignore", Image.DecompressionBombWarning)
      with Image.open(stream) as image:
        return _to_rgb(image, name, max_pixels)
  except errors.CodecError:
    raise
  except Image.DecompressionBombError as e:
    raise errors.LimitError(f"{name} is over the pixel limit: {e}") from e
  except UnidentifiedImageError as e:
    raise errors.UnreadableInputError(
      f"cannot read {name}: {_unknown_kind(stream)}"
    ) from e
  except FileNotFoundError as e:
    raise errors.UnreadableInputError(f"{name} does not exist") from e
  except Exception as e:  # Pillow's decoders raise nearly anything.
    raise errors.UnreadableInputError(f"cannot read {name}: {e}") from e


def as_rgb(image: Picture, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """Makes 8-bit RGB of any image that a caller has, by the rule of this module.

  Args:
    image: An array, one of Pillow's images, a path, the bytes of an image file,
      or a file opened in binary mode.
    max_pixels: Limit of width times height; arrays are not held against it.

  Returns:
    uint8 [H, W, 3], sRGB, upright; the array itself where it is that already.

  Raises:
    TypeError: if it is none of these.
    errors.UsageError: if an array has another shape or type of values.
    errors.UnreadableInputError: if an image file cannot be read.
    errors.LimitError: if the image has more pixels than allowed.
  """
  if isinstance(image, np.ndarray):
    return _array_to_rgb(image)
  if isinstance(image, Image.Image):
    return _to_rgb(image, "the image", max_pixels)
  if (
    _is_path(image)
    or isinstance(image, (bytes, bytearray, memoryview))
    or hasattr(image, "read")
  ):
    return read_rgb(image, max_pixels)
  raise TypeError(
    "an image is a NumPy array, one of Pillow's images, a path, the bytes of an"
    f" image file or a binary file, not {type(image).__name__}"
  )


def read_grey(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """The luma of an image read by the rule of this module.

  Args:
    source: As for `read_rgb`.
    max_pixels: Limit of width times height.

  Returns:
    uint8 [H, W].

  Raises:
    As `read_rgb`.
  """
  return np.asarray(Image.fromarray(read_rgb(source, max_pixels)).convert("L"))


def is_image(path: str) -> bool:
  """Whether a file is named like an image, or is one by its first bytes.

  Files of this codec are none, also where Pillow knows them by its plugin.
  """
  Image.init()
  extension = os.path.splitext(path)[1].lower()
  if Image.EXTENSION.get(extension, PLUGIN_FORMAT) != PLUGIN_FORMAT:
    return True
  try:
    with Image.open(path) as image:
      return image.format != PLUGIN_FORMAT
  except Exception:  # Pillow's decoders raise nearly anything.
    return False


def _is_path(source: Any) -> bool:
  return isinstance(source, (str, os.PathLike))


def _unknown_kind(stream: Any) -> str:
  with contextlib.suppress(Exception):
    if _is_path(stream):
      with open(stream, "rb") as f:
        start = f.read(12)
    else:
      stream.seek(0)
      start = stream.read(12)
    if start[4:8] == b"ftyp" and start[8:] in _HEIC_BRANDS:
      return "it is a HEIC file; the package pillow-heif can convert it"
  return "it is of no kind that Pillow knows"


def _array_to_rgb(x: np.ndarray) -> np.ndarray:
  channels = 1 if x.ndim == 2 else x.shape[-1]
  if (
    x.ndim not in (2, 3)
    or channels not in (1, 2, 3, 4)
    or not (x.dtype in (np.bool_, np.uint8, np.uint16) or x.dtype.kind == "f")
  ):
    raise errors.UsageError(
      "an image must be [height, width] or [height, width, 1 to 4] of bool,"
      f" uint8, uint16 or floats from 0 to 1, not {x.dtype} {list(x.shape)}"
    )
  if x.dtype == np.uint8 and x.ndim == 3 and channels == 3:
    return x
  x = x.reshape(*x.shape[:2], channels)
  if x.dtype.kind == "f":
    x = _from_unit_interval(x, "the image")
  elif x.dtype != np.uint8:
    scale = 255 if x.dtype == np.bool_ else 1 / 257
    x = np.rint(x * scale).astype(np.uint8)
  if channels in (2, 4):
    _log.warning("the image: alpha is composited on white")
    alpha = x[..., -1:] / 255.0
    x = np.rint(x[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
  return np.repeat(x, 3, -1) if channels < 3 else x


def _from_unit_interval(values: np.ndarray, name: str) -> np.ndarray:
  if not np.all(np.isfinite(values)):
    raise errors.UnreadableInputError(f"{name} has values that are not finite")
  if values.size and (values.min() < 0 or values.max() > 1):
    raise errors.UnreadableInputError(
      f"{name} has floating-point values from"
      f" {values.min():g} to {values.max():g}; scale them to 0 (black) .. 1"
      " (white), or make them 8-bit integers"
    )
  return np.rint(values * 255.0).astype(np.uint8)


def _to_rgb(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
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
  profile = image.info.get("icc_profile")
  if _is_deep(image):
    _log.warning("%s: its depth is reduced to 8 bits", name)
  image.load()
  # A large image is not copied without need, and a caller's is not changed.
  if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
    image = ImageOps.exif_transpose(image)
  if image.mode.startswith(("I", "F")):
    image = _to_grey(image, name)
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


def _is_deep(image: Image.Image) -> bool:
  """Whether an image that is not yet loaded has samples of over 8 bits."""
  # How Pillow's decoders find samples of colours in a file: "RGB;16B". The 16
  # bits of "BGR;16" are those of a whole pixel.
  stored = [str(tile[3]) for tile in getattr(image, "tile", ())]
  return image.mode.startswith(("I", "F")) or any(
    re.search(r"(?<!BGR);16", arguments) for arguments in stored
  )


def _to_grey(image: Image.Image, name: str) -> Image.Image:
  values = np.asarray(image)
  if image.mode == "F":
    return Image.fromarray(_from_unit_interval(values, name))
  values = values.astype(np.float64)
  # Mode I is also how Pillow opens 16-bit PNG and TIFF in some versions.
  if image.mode.startswith("I;16") or (
    values.max() > 255 and values.min() >= 0 and values.max() <= 65535
  ):
    values = values / 257
  elif values.max() > 255 or values.min() < 0:
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


def encode(
  x: np.ndarray,
  kind: str = "PNG",
  quality: int | None = None,
  about: metadata.Metadata = metadata.NONE,
) -> bytes:
  """An image as the bytes of a file.

  Args:
    x: uint8 [H, W, 3].
    kind: Pillow's name of the format.
    quality: 1 to 100 for the formats in `QUALITY_FORMATS`; by default lossless,
      or the best that the format has.
    about: Exif and XMP to keep; where the format cannot, a warning says so.

  Raises:
    errors.UsageError: if the format has no such quality.
    errors.OutputError: if the format cannot hold the image.
  """
  check_quality(kind, quality)
  options = _BEST.get(kind, {}) if quality is None else {"quality": quality}
  image = Image.fromarray(x)
  if about != metadata.NONE:
    try:
      return _saved(image, kind, options | metadata.saving_options(about, kind))
    except Exception as e:  # Pillow raises nearly anything for odd metadata.
      _log.warning("Exif and XMP are left out of the %s image: %s", kind, e)
  try:
    return _saved(image, kind, options)
  except (OSError, ValueError, KeyError) as e:
    raise errors.OutputError(f"cannot write a {kind} image: {e}") from e


def _saved(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


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


def write(
  x: np.ndarray,
  path: str,
  overwrite: bool = False,
  quality: int | None = None,
) -> None:
  """Writes an image, PNG unless the file's name says otherwise.

  Args:
    x: uint8 [H, W, 3].
    path: The output; "-" is standard output, as PNG.
    overwrite: Whether a file that exists is replaced.
    quality: As for `encode`.

  Raises:
    errors.UsageError: if the name's ending names no format Pillow writes, or
      one without such a quality.
    errors.OutputError: if the file exists or cannot be written.
  """
  files.write(path, encode(x, check_format(path), quality), overwrite)
