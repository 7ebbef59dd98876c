"""Samples of any depth and photometry become 8-bit colours and alpha.

- Grey of 9 to 16 bits is scaled by the file's own depth; where TIFF says that
  white is 0, it is turned over. CMYK of a JPEG is a negative where Adobe's mark
  is present, and only there.
- Floating point counts from 0 (black) to 1 (white) and is refused beyond.
- Integers of 32 bits and signed ones do not state their white: values from 0
  to 255 or to 65535 have it there, others are spread from least to greatest.
- Of colours of more than 8 bits Pillow reads the upper 8. Those of JPEG 2000
  are refused, for Pillow makes black of their white.
- There is no alpha where all is opaque, nor where it is 0 everywhere in formats
  whose writers leave it empty.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageChops

from bls2017 import errors
from bls2017.images.metadata import Description

DEPTH_LOSS = "more than 8 bits of a sample"

_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF", "FLI")
_FURTHER = {"MPO": "further pictures", "PSD": "layers"}
_EMPTY_ALPHA = ("BMP", "DIB", "TGA", "ICO", "CUR", "DDS")
"""Formats whose writers may leave zeros where alpha would be."""

_DEEP = re.compile(
  r";(?:12|16|32)|SGI16|ppm.*\b(?:25[6-9]|2[6-9]\d|[3-9]\d\d|\d{4,5})\b"
)
"""How Pillow says that samples of a file have more than 8 bits."""
_WHOLE_PIXEL = re.compile("BGR;16|BGRA;15")
"""How it says that all samples of a pixel together have."""

_EXTRA_SAMPLES = 338
_WHITE_IS_ZERO, _YCBCR = 0, 6
_UNSIGNED, _SIGNED = 1, 2


def check(image: Any, about: Description) -> None:
  """Refuses what cannot become a picture, and names what becomes less.

  Args:
    image: Pillow's image, before its samples are loaded.
    about: What the file says; gets what is lost.

  Raises:
    errors.UnreadableInputError: if the image is an animation, or Pillow does
      not understand its samples.
  """
  if getattr(image, "is_animated", False):
    if image.format in _ANIMATIONS:
      raise errors.UnreadableInputError(
        "is an animation; extract a frame first"
      )
    about.losses.append(_FURTHER.get(image.format, "further pages"))
  if image.format == "JPEG2000" and about.depth > 8 and image.mode[:2] != "I;":
    raise errors.UnreadableInputError(
      f"has colours of {about.depth} bits, of which Pillow makes black where"
      " JPEG 2000 has white; convert it first"
    )
  photometry = _tags(image).get(ExifTags.Base.PhotometricInterpretation)
  if photometry == _YCBCR and image.info.get("compression") == "raw":
    raise errors.UnreadableInputError(
      "has uncompressed YCbCr samples, which Pillow does not read"
    )
  is_deep = about.depth > 8 or image.mode[0] in "IF"
  if is_deep or _DEEP.search(_WHOLE_PIXEL.sub("", _layout(image))):
    about.losses.append(DEPTH_LOSS)


def load(
  image: Any, about: Description
) -> tuple[Image.Image, Image.Image | None]:
  """Decodes an image.

  Args:
    image: Pillow's image, which `check` has passed.
    about: What the file says; gets what is lost, and an orientation of 1 where
      Pillow turned the image.

  Returns:
    Colours in the mode L, RGB, CMYK or LAB, and alpha in the mode L; None if
    all is opaque.

  Raises:
    errors.UnreadableInputError: if floating-point samples are out of range.
    Exception: if a part of the file is missing or damaged.
  """
  layout, tags = _layout(image), _tags(image)
  if tags:
    # Pillow turns TIFF images itself, if it understands the tag.
    if image.getexif().get(ExifTags.Base.Orientation) in range(2, 9):
      about.orientation = 1
    limit = Image.MAX_IMAGE_PIXELS
    if image.tile and limit and image.size[0] * image.size[1] > limit:
      # With room for its samples, Pillow's own limit does not hold.
      image.im = Image.new(image.mode, (tags[256], tags[257])).im
  image.load()
  alpha = _alpha_of_key(image, about)
  is_signed = _first(tags.get(ExifTags.Base.SampleFormat)) == _SIGNED
  if image.mode[0] in "IF" or (image.mode == "L" and is_signed):
    return _grey(image, about, layout, tags), alpha
  kind = image.format
  if image.mode in ("P", "PA"):
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
  elif image.mode in ("RGBa", "La"):
    image = image.convert(image.mode.upper())
  if image.mode in ("RGBA", "LA"):
    alpha = image.getchannel("A")
    image = image.getchannel("L") if image.mode == "LA" else image
    may_be_empty = kind in _EMPTY_ALPHA or (tags and _EXTRA_SAMPLES not in tags)
    if alpha.getextrema() == (0, 0) and may_be_empty:
      alpha = None
  if alpha is not None and alpha.getextrema() == (255, 255):
    alpha = None
  if image.mode == "1":
    image = image.convert("L")
  elif (
    image.mode == "CMYK"
    and kind in ("JPEG", "MPO")
    and "adobe" not in image.info
  ):
    image = ImageChops.invert(image)
  elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
    image = image.convert("RGB")
  return image, alpha


def of_array(
  x: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
  """Pixels, alpha and losses of an array; see `reading.Picture`.

  Args:
    x: [H, W] or [H, W, 1] (grey), [H, W, 2] (grey and alpha), [H, W, 3] (RGB)
      or [H, W, 4] (RGB and alpha) of bool, uint8, uint16 or floating point.

  Returns:
    The array itself as pixels, if it has their type and shape.

  Raises:
    errors.UsageError: if an array has another shape or type of values.
    errors.UnreadableInputError: if floating-point values are out of range.
  """
  channels = 1 if x.ndim == 2 else x.shape[-1]
  is_small = x.dtype.kind == "u" and x.dtype.itemsize <= 2
  if (
    x.ndim not in (2, 3)
    or channels not in (1, 2, 3, 4)
    or not (is_small or x.dtype.kind in "bf")
  ):
    raise errors.UsageError(
      "must be [height, width] or [height, width, 1 to 4] of bool, uint8,"
      f" uint16 or floats from 0 to 1, not {x.dtype} {list(x.shape)}"
    )
  if x.dtype == np.uint8 and channels == 3:
    return x, None, ()
  values = x = x.reshape(*x.shape[:2], channels)
  losses: tuple[str, ...] = ()
  if x.dtype.kind == "b":
    x = np.where(x, np.uint8(255), np.uint8(0))
  elif x.dtype != np.uint8:
    is_float = x.dtype.kind == "f"
    x = _from_unit_interval(x) if is_float else _scaled(x, 65535)
    # Values that were made of 8 bits, perhaps at half precision, lose nothing.
    rest = values * (255 / (1 if is_float else 65535)) - x
    losses = (DEPTH_LOSS,) if np.any(np.abs(rest) > 0.2) else ()
  alpha = None
  if channels in (2, 4):
    x, alpha = x[..., :-1], x[..., -1]
    alpha = None if np.all(alpha == 255) else alpha
  return np.repeat(x, 3, -1) if channels < 3 else x, alpha, losses


def _layout(image: Any) -> str:
  """How Pillow finds the samples in a file that is not yet loaded."""
  return " ".join(f"{tile[0]} {tile[3]}" for tile in getattr(image, "tile", ()))


def _tags(image: Any) -> Any:
  return getattr(image, "tag_v2", {})


def _first(value: Any) -> Any:
  return value[0] if isinstance(value, tuple) else value


def _alpha_of_key(image: Any, about: Description) -> Image.Image | None:
  """Alpha that is 0 where a sample or a colour is a certain one."""
  key: Any = about.key
  if key is None and image.mode not in ("P", "PA"):
    key = image.info.get("transparency")
  if key is None:
    return None
  samples, key = np.asarray(image), np.array(key)
  if image.mode == "RGB":
    key = key >> max(0, about.depth - 8)
  elif image.mode == "L" and about.depth < 8:
    key = key * (255 // (2**about.depth - 1))
  matches = samples == key
  if samples.ndim == 3:
    matches = matches.all(-1)
  return Image.fromarray(np.where(matches, 0, 255).astype(np.uint8))


def _grey(
  image: Any, about: Description, layout: str, tags: Any
) -> Image.Image:
  values = np.asarray(image)
  if image.mode == "F":
    values = _from_unit_interval(values)
  elif image.mode.startswith("I;16"):
    values = _scaled(values, 2 ** min(about.depth, 16) - 1 if tags else 65535)
  elif image.format in ("PNG", "PPM") or re.search(";16[BLN]?'", layout):
    values = _scaled(values, 65535)
  else:
    if image.mode == "L":
      values = values.view(np.int8)
    elif tags and _first(tags.get(339, _UNSIGNED)) == _UNSIGNED:
      values = values.view(np.uint32)
    values = _spread(values.astype(np.float64), about)
  is_inverse = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
  return Image.fromarray(255 - values if is_inverse else values)


def _scaled(values: np.ndarray, most: int) -> np.ndarray:
  scaled = (values.astype(np.uint32) * 255 + most // 2) // most
  return scaled.clip(0, 255).astype(np.uint8)


def _spread(values: np.ndarray, about: Description) -> np.ndarray:
  least, most = values.min(), values.max()
  if least < 0 or most > 65535:
    about.losses.append("the range of its values")
    # All of one value is black: there is nothing to spread.
    values = (values - least) * (255 / ((most - least) or 1))
  elif most > 255:
    values = values / 257
  return np.rint(values).astype(np.uint8)


def _from_unit_interval(values: np.ndarray) -> np.ndarray:
  if not np.all(np.isfinite(values)):
    raise errors.UnreadableInputError("has values that are not finite")
  if values.size and (values.min() < 0 or values.max() > 1):
    raise errors.UnreadableInputError(
      f"has floating-point values from {values.min():g} to {values.max():g};"
      " scale them to 0 (black) .. 1 (white), or make them 8-bit integers"
    )
  return np.rint(values * 255.0).astype(np.uint8)
