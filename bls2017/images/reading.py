"""Any image becomes upright 8-bit sRGB, alpha, Exif, XMP, and what was lost.

`read` opens and reads a source once. What it means is decided here and in the
modules below, each of which states its part of the rule:

    containers   what stands beside the samples of PNG, JPEG, AVIF, JPEG 2000
    metadata     Exif, XMP and the orientation
    samples      depth, photometry, transparency
    colour       what tells colours, and how they become sRGB

The picture is the first full page of a TIFF file, the merged layers of a
Photoshop file, the first of several views. Animations are refused, and so are
drawings, measurements and a camera's raw data, which need other programs.
Pillow's own limit on the size of images does not count, nor is it changed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from bls2017 import errors, files
from bls2017.images import colour, containers, metadata, samples

PLUGIN_FORMAT = "BLS2017"
"""Pillow's name for files of this codec, once the plugin is imported."""

MAX_PIXELS = 2**26
"""Default limit of an image's pixels."""

WHITE = (255, 255, 255)

ALPHA_LOSS = "alpha (composited)"
"""Callers of `to_rgb` add this to the losses."""

OTHER_ENDINGS = frozenset(
  ".3fr .arw .bpg .cr2 .cr3 .dng .eps .erf .exr .hdr .heic .heics .heif"
  " .heifs .hif .iiq .jls .jpegxl .jxl .jxr .kdc .mef .mos .mrw .nef .nrw .orf"
  " .pef .ps .psb .raf .raw .rw2 .sr2 .srf .srw .svg .svgz .wdp .x3f"
  " .xcf".split()
)
"""Endings of pictures that Pillow alone does not read."""

_NOT_PICTURES = {
  "EPS": "is a drawing (EPS)",
  "WMF": "is a drawing (WMF)",
  "BUFR": "holds measurements (BUFR)",
  "FITS": "holds measurements (FITS)",
  "GRIB": "holds measurements (GRIB)",
  "HDF5": "holds measurements (HDF5)",
  "MPEG": "is a video (MPEG)",
}
_UNKNOWN = (
  (rb"....ftyp(?:hei|hev|m)", "HEIC; the package pillow-heif can convert it"),
  (rb"....JXL |\xff\x0a", "JPEG XL; the program djxl can convert it"),
  (rb"....ftypcrx|FUJIFILMCCD|IIU\0|IIR", "a camera's raw file; convert it"),
)
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_MAX_PAGES = 100
_SUBFILE, _OLD_SUBFILE, _DNG_VERSION = 254, 255, 50706
_REDUCED_OR_MASK, _OLD_REDUCED = 5, 2

Source = Union[
  str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, np.ndarray,
  Image.Image,
]  # fmt: skip
"""A path, the bytes of an image file, a binary file, an array, or an image."""

_EXPECTED = (
  "an image is a path, the bytes of an image file, a binary file, a NumPy array"
  " or one of Pillow's images"
)

_log = logging.getLogger(__name__)


class Picture(NamedTuple):
  """An image, and what its file said of it.

  Attributes:
    pixels: uint8 [H, W, 3], sRGB, upright.
    alpha: uint8 [H, W], 255 where the pixels are opaque; None if all are.
    exif: A TIFF structure, as Exif defines it; empty if there is none.
    xmp: An XMP packet; empty if there is none.
    losses: What could not be kept, each in a noun phrase.
  """

  pixels: np.ndarray
  alpha: np.ndarray | None = None
  exif: bytes = b""
  xmp: bytes = b""
  losses: tuple[str, ...] = ()


def read(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
  """Reads an image.

  Args:
    source: A path, bytes or another buffer, a file opened in binary mode, an
      array as `samples.of_array` takes it, or one of Pillow's images, which
      counts as it is.
    max_pixels: Limit of width times height, checked before anything is
      decoded; arrays are not held against it.

  Returns:
    The picture; its pixels are the array itself where they are that already.

  Raises:
    TypeError: if the source is none of these.
    errors.UsageError: if an array has another shape or type of values.
    errors.UnreadableInputError: if the source is missing, damaged, or no image
      that can be read.
    errors.LimitError: if the image has more pixels than allowed.
  """
  if isinstance(source, Image.Image):
    with _naming("the image"):
      return _of_pillow(source, metadata.Description(), max_pixels)
  if hasattr(source, "__array__"):
    with _naming("the image"):
      pixels, alpha, losses = samples.of_array(np.asarray(source))
      return Picture(pixels, alpha, losses=losses)
  # No file of so few pixels needs more.
  most_bytes = 32 * max_pixels + (1 << 26)
  stream: Any
  if isinstance(source, (str, os.PathLike)):
    stream = files.open_input(name_of(source), most_bytes)
  elif hasattr(source, "read"):
    stream = contextlib.nullcontext(_seekable(source, most_bytes))
  else:
    stream = io.BytesIO(files.as_bytes(source, _EXPECTED))
  with _naming(name_of(source)), stream as whole:
    part, about = containers.take_apart(whole, max_pixels)
    with open_image(part, about.losses) as image:
      _choose_page(image)
      return _of_pillow(image, about, max_pixels)


def open_image(stream: BinaryIO, losses: list[str]) -> Any:
  """Lets Pillow open a file, whatever its size, without decoding it.

  Args:
    stream: A file that can seek.
    losses: Gets what had to be left out.

  Returns:
    Pillow's image.

  Raises:
    PIL.UnidentifiedImageError: if it is none, with the reason.
  """
  stream.seek(0)
  start = stream.read(16)
  reasons = []
  tried: set[str] = set()
  for make_ready in (Image.preinit, Image.init):
    make_ready()
    for kind in [k for k in Image.ID if k not in tried]:
      tried.add(kind)
      factory, accept = Image.OPEN[kind]
      is_accepted = accept(start) if accept else True
      if isinstance(is_accepted, str):
        reasons.append(is_accepted)
      elif is_accepted:
        stream.seek(0)
        try:
          return factory(stream, "")
        except Image.DecompressionBombError:
          raise
        except Exception as e:  # Pillow's decoders raise nearly anything.
          if kind == "AVIF":
            with contextlib.suppress(Exception):
              image = factory(containers.without_exif(stream), "")
              losses.append(metadata.DAMAGED_EXIF)
              return image
          if accept:
            reasons.append(str(e))
  for pattern, what in _UNKNOWN:
    if re.match(pattern, start, re.DOTALL):
      raise UnidentifiedImageError(f"it is {what}")
  reasons.append("it is of no kind that Pillow knows")
  raise UnidentifiedImageError(reasons[0])


def read_opaque(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
  """Reads an image and composites it on white; a warning says what was lost.

  Args:
    source: As for `read`.
    max_pixels: As for `read`.

  Returns:
    The picture, without alpha.

  Raises:
    As `read`.
  """
  picture = read(source, max_pixels)
  losses = picture.losses + (ALPHA_LOSS,) * (picture.alpha is not None)
  picture = on_background(picture, WHITE)._replace(losses=losses)
  return _told(picture, source)


def read_with_alpha(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
  """Reads as `read` does; a warning says what was lost."""
  return _told(read(source, max_pixels), source)


def has_alpha(source: str | bytes, max_pixels: int = MAX_PIXELS) -> bool:
  """Tells if an image file has alpha; most need not be decoded for it.

  Args:
    source: Its path, or its bytes.
    max_pixels: As for `read`.

  Raises:
    As `read`.
  """
  stream: Any
  if isinstance(source, str):
    stream = files.open_input(source)
  else:
    stream = io.BytesIO(source)
  with _naming(name_of(source)), stream, open_image(stream, []) as image:
    is_opaque = not image.has_transparency_data
  return not is_opaque and read(source, max_pixels).alpha is not None


def read_rgb(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """Reads the pixels of `read_opaque`: uint8 [H, W, 3], sRGB, upright."""
  return read_opaque(source, max_pixels).pixels


def read_grey(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
  """The luma of an image as `read_rgb` gives it.

  Args:
    source: As for `read`.
    max_pixels: As for `read`.

  Returns:
    uint8 [H, W].

  Raises:
    As `read`.
  """
  return np.asarray(Image.fromarray(read_rgb(source, max_pixels)).convert("L"))


def split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
  """Takes alpha from an image.

  Args:
    image: uint8 [H, W, 3] or [H, W, 4].

  Returns:
    Colours, uint8 [H, W, 3], and alpha, uint8 [H, W] or None.
  """
  return image[..., :3], image[..., 3] if image.shape[-1] == 4 else None


def on_background(
  picture: Picture, background: tuple[int, int, int] | None
) -> Picture:
  """A picture without alpha, composited on a colour; itself for None."""
  if background is None:
    return picture
  pixels = to_rgb(picture.pixels, picture.alpha, background)
  return picture._replace(pixels=pixels, alpha=None)


def to_rgb(
  pixels: np.ndarray,
  alpha: np.ndarray | None,
  background: tuple[int, int, int] = WHITE,
) -> np.ndarray:
  """Composites pixels on a background.

  Args:
    pixels: uint8 [H, W, 3].
    alpha: uint8 [H, W], or None if all is opaque.
    background: A colour.

  Returns:
    uint8 [H, W, 3]; the pixels themselves where all is opaque.
  """
  if alpha is None:
    return pixels
  # Both products together fit into 16 bits, and 255 has no half to round.
  weight = alpha[..., None].astype(np.uint16)
  behind = np.array(background, np.uint16) * (255 - weight)
  return ((pixels * weight + behind + 127) // 255).astype(np.uint8)


def name_of(source: Source) -> str:
  """How messages name a source: its path, if it has one."""
  if isinstance(source, (str, os.PathLike)):
    return os.fsdecode(source)
  return "the image"


def is_image(path: str) -> bool:
  """Tells if a file is named like an image, or is one by its first bytes.

  Files of this codec are none, also where Pillow knows them by its plugin.
  Nothing but a plain file is opened.
  """
  Image.init()
  ending = os.path.splitext(path)[1].lower()
  kind = Image.EXTENSION.get(ending, PLUGIN_FORMAT)
  if kind != PLUGIN_FORMAT or ending in OTHER_ENDINGS:
    return True
  if not os.path.isfile(path):
    return False
  try:
    with files.open_input(path) as stream, open_image(stream, []) as image:
      return bool(image.format != PLUGIN_FORMAT)
  except Exception:  # Pillow's decoders raise nearly anything.
    return False


def endings() -> set[str]:
  """Endings of the pictures that can be read, such as ".png"."""
  Image.init()
  left_out = {*_NOT_PICTURES, PLUGIN_FORMAT}
  return {
    ending
    for ending, kind in Image.EXTENSION.items()
    if kind in Image.OPEN and kind not in left_out
  }


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
  """Puts the name of an image before what is said of it."""
  try:
    yield
  except errors.CodecError as e:
    raise type(e)(f"{name} {e}") from e
  except Image.DecompressionBombError as e:
    raise errors.LimitError(f"{name} is over the limit of pixels: {e}") from e
  except Exception as e:  # Pillow's decoders raise nearly anything.
    reason = " ".join(str(e).split()) or type(e).__name__
    raise errors.UnreadableInputError(f"cannot read {name}: {reason}") from e


def _told(picture: Picture, source: Source) -> Picture:
  if picture.losses:
    losses = "; ".join(picture.losses)
    _log.warning("%s: not kept: %s", name_of(source), losses)
  return picture


def _seekable(stream: Any, most_bytes: int) -> BinaryIO:
  try:
    stream.seek(0)
    files.as_bytes(stream.read(0), _EXPECTED)  # A file of text is none.
    return stream
  except (AttributeError, OSError):
    return io.BytesIO(files.as_bytes(stream.read(most_bytes), _EXPECTED))


def _choose_page(image: Any) -> None:
  """Goes to the first full page of a file that holds a picture."""
  if image.format in _NOT_PICTURES:
    what = _NOT_PICTURES[image.format]
    raise errors.UnreadableInputError(f"{what}; convert it first")
  for page in range(1, _MAX_PAGES):
    tags = getattr(image, "tag_v2", {})
    if _DNG_VERSION in tags:
      break
    kind = tags.get(_SUBFILE)
    is_reduced = isinstance(kind, int) and kind & _REDUCED_OR_MASK
    if not is_reduced and tags.get(_OLD_SUBFILE) != _OLD_REDUCED:
      return
    try:
      image.seek(page)
    except EOFError:
      break
  raise errors.UnreadableInputError(
    "holds previews alone, as a camera's raw file does; convert it first"
  )


def _of_pillow(
  image: Any, about: metadata.Description, max_pixels: int
) -> Picture:
  containers.check_pixels(image.size, max_pixels)
  metadata.complete(about, image)
  samples.check(image, about)
  colours, alpha = samples.load(image, about)
  containers.check_pixels(colours.size, max_pixels)
  colours = colour.to_srgb(colours, about)
  if about.orientation in _TURNS:
    colours = colours.transpose(_TURNS[about.orientation])
    alpha = alpha and alpha.transpose(_TURNS[about.orientation])
  return Picture(
    np.array(colours),
    None if alpha is None else np.array(alpha),
    about.exif,
    about.xmp,
    tuple(dict.fromkeys(about.losses)),
  )
