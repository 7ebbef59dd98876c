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
  r"(?<!BGR);(?:12|16|32)|SGI16"
  r"|ppm.*\b(?:25[6-9]|2[6-9]\d|[3-9]\d\d|\d{4,5})\b"
)
"""How Pillow says that samples have more than 8 bits; a pixel has in BGR;16."""

_PHOTOMETRY, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 262, 338, 339
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
  if len(image.info.get("sizes", ())) > 1:
    about.losses.append("other sizes")
  if image.format == "JPEG2000" and about.depth > 8 and image.mode[:2] != "I;":
    raise errors.UnreadableInputError(
      f"has colours of {about.depth} bits, of which Pillow makes black where"
      " JPEG 2000 has white; convert it first"
    )
  is_ycbcr = _tags(image).get(_PHOTOMETRY) == _YCBCR
  if is_ycbcr and image.info.get("compression") == "raw":
    raise errors.UnreadableInputError(
      "has uncompressed YCbCr samples, which Pillow does not read"
    )
  is_deep = about.depth > 8 or image.mode[0] in "IF"
  if is_deep or _DEEP.search(_layout(image)):
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
  colours, alpha = _colours(image, about, layout), _alpha(image, about)
  if alpha is not None and alpha.getextrema() == (255, 255):
    alpha = None
  return colours, alpha


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


def _colours(image: Any, about: Description, layout: str) -> Image.Image:
  mode = image.mode
  is_signed = _first(_tags(image).get(_SAMPLE_FORMAT)) == _SIGNED
  if mode[0] in "IF" or (mode == "L" and is_signed):
    return _grey(image, about, layout)
  if mode in ("1", "LA", "La"):
    return image.convert("LA").getchannel("L")
  if mode == "CMYK" and image.format in ("JPEG", "MPO"):
    return image if "adobe" in image.info else ImageChops.invert(image)
  if mode in ("P", "PA", "RGBa"):
    # Straight to RGB, Pillow would look for a colour that is transparent.
    image = image.convert("RGBA")
  return image if mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _alpha(image: Any, about: Description) -> Image.Image | None:
  if image.mode in ("P", "PA", "RGBa", "La") and image.has_transparency_data:
    alpha = image.convert("LA" if image.mode == "La" else "RGBA")
  elif image.mode in ("RGBA", "LA"):
    alpha = image
  else:
    return _alpha_of_key(image, about)
  alpha, tags = alpha.getchannel("A"), _tags(image)
  is_doubtful = tags and _EXTRA_SAMPLES not in tags
  if image.format in _EMPTY_ALPHA or is_doubtful:
    return None if alpha.getextrema() == (0, 0) else alpha
  return alpha


def _alpha_of_key(image: Any, about: Description) -> Image.Image | None:
  """Alpha that is 0 where a sample or a colour is a certain one."""
  key: Any = np.array(about.key or image.info.get("transparency", ()))
  if key.dtype.kind not in "iu" or key.size != len(image.getbands()):
    return None
  samples = np.atleast_3d(np.asarray(image))
  if image.mode == "RGB":
    key = key >> max(0, about.depth - 8)
  elif image.mode == "L" and about.depth < 8:
    key = key * (255 // (2**about.depth - 1))
  matches = (samples == key).all(-1)
  return Image.fromarray(np.where(matches, 0, 255).astype(np.uint8))


def _grey(image: Any, about: Description, layout: str) -> Image.Image:
  values, tags = np.asarray(image), _tags(image)
  if image.mode == "F":
    values = _from_unit_interval(values)
  elif image.mode.startswith("I;16"):
    values = _scaled(values, 2 ** min(about.depth, 16) - 1 if tags else 65535)
  elif image.format in ("PNG", "PPM") or re.search(";16[BLN]?'", layout):
    values = _scaled(values, 65535)
  else:
    if image.mode == "L":
      values = values.view(np.int8)
    elif tags and _first(tags.get(_SAMPLE_FORMAT, _UNSIGNED)) == _UNSIGNED:
      values = values.view(np.uint32)
    values = _spread(values.astype(np.float64), about)
  is_inverse = tags.get(_PHOTOMETRY) == _WHITE_IS_ZERO
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
