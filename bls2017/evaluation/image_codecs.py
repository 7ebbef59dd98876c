"""The codecs that are compared, in one registry.

A codec turns an image into the bytes of a file and back. Every baseline has a
setting that is fair under the measures used here:

- JPEG with optimised Huffman tables, at 4:2:0 and at 4:4:4;
- JPEG 2000 with the irreversible 9/7 wavelet and the component transform, which
  Pillow leaves off;
- WebP at its slowest method;
- AVIF at 4:4:4, tuned for PSNR rather than for its own taste, speed 6;
- JPEG XL at effort 7, where the plug-in `pillow-jxl-plugin` is installed.

To add a codec of Pillow, add an `ImageCodec` to `_CODECS`, whose codecs are
compared by default, or to `_AS_PUBLISHED`, and its name to the help of
`commands/evaluate.py`. Bytes and PSNR must grow with its quality. Where the
quality is no argument of `Image.save`, override `encode`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import math
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

import numpy as np
import PIL
from PIL import Image, features

import bls2017
from bls2017.encode.request import Request
from bls2017.model import model_directory

LEARNED = "bls2017"
"""Name of the codec of this package, which `learned` makes."""

Arguments = Mapping[str, Any]


def _as_quality(quality: float) -> Arguments:
  return {"quality": round(quality)}


def _as_rate(bpp: float) -> Arguments:
  return {"quality_layers": [24 / bpp]}  # A ratio to 24 bits a pixel.


class CodedImage(NamedTuple):
  """The bytes of a file, and the information content of its symbols.

  The latter is nan bits for a codec that does not tell.
  """

  data: bytes
  estimated_bits: float = math.nan


@dataclasses.dataclass(frozen=True)
class ImageCodec:
  """A codec of Pillow with fixed settings and one free scale, its quality.

  Attributes:
    name: Name on the command line.
    label: Name for people.
    description: Its settings, for people.
    version: Versions of the libraries behind it; "" where they are missing.
    chroma: Resolution of colour, "4:4:4" or "4:2:0".
    kind: Pillow's name of the format.
    settings: Fixed arguments of `Image.save`.
    scale: Smallest and largest quality; a larger quality is a larger file.
    qualities: The qualities of a curve, increasing.
    resolution: Smallest step of the scale that makes a difference.
    arguments: The arguments of `Image.save` for a quality.
    media_type: Of its files, if browsers show them; otherwise "".
    model_id: Hexadecimal, of a learned codec.
  """

  name: str
  label: str
  description: str
  version: str
  chroma: str
  kind: str
  settings: Arguments
  scale: tuple[float, float]
  qualities: tuple[float, ...]
  resolution: float = 1.0
  arguments: Callable[[float], Arguments] = _as_quality
  media_type: str = ""
  model_id: str = ""

  @property
  def settings_text(self) -> str:
    """The settings in one line."""
    return ", ".join(f"{k}={v}" for k, v in self.settings.items())

  def encode(self, x: np.ndarray, quality: float) -> CodedImage:
    """Compresses uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    arguments = {**self.settings, **self.arguments(quality)}
    Image.fromarray(x).save(buffer, self.kind, **arguments)
    return CodedImage(buffer.getvalue())

  def decode(self, data: bytes) -> np.ndarray:
    """Decompresses to uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(data), formats=[self.kind]) as image:
      return np.array(image.convert("RGB"))

  def about(self) -> dict[str, Any]:
    """Everything that goes with its results, as JSON values."""
    names = ("name", "description", "version", "chroma", "settings", "model_id")
    return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class Learned(ImageCodec):
  """The codec of this package with one model; `learned` makes it.

  Attributes:
    model: As for `Codec.load`.
    tuned_for: The distortion that the model was trained for.
    macs: Multiply-accumulates per pixel, each way.
  """

  model: str | None = None
  tuned_for: str = ""
  macs: float = math.nan

  def encode(self, x: np.ndarray, quality: float) -> CodedImage:
    """Compresses uint8 [H, W, 3]."""
    encoded = _loaded(self.model).encode(x, Request(quality))
    return CodedImage(encoded.data, encoded.estimated_bits)

  def decode(self, data: bytes) -> np.ndarray:
    """Decompresses to uint8 [H, W, 3]."""
    return _loaded(self.model).decompress(data)

  def about(self) -> dict[str, Any]:
    """Everything that goes with its results, as JSON values."""
    return {**super().about(), "tuned_for": self.tuned_for, "macs": self.macs}


@functools.cache
def _loaded(model: str | None) -> bls2017.Codec:
  return bls2017.Codec.load(model)


def learned(model: str | None = None, label: str = LEARNED) -> Learned:
  """Makes the codec of this package.

  Args:
    model: As for `Codec.load`.
    label: Name for people.

  Raises:
    errors.ModelError: if the model cannot be used.
  """
  frozen = model_directory.load(model)
  config, model_id = frozen.config, frozen.model_id.hex()
  levels, tuned_for = config.num_levels, config.distortion
  measure = {"mse": "the mean squared error", "ms_ssim": "MS-SSIM"}[tuned_for]
  return Learned(
    LEARNED,
    label,
    f"trained for {measure} at {levels} rates, model {model_id}",
    f"bls2017 {bls2017.__version__}",
    chroma="4:4:4",
    kind="",
    settings={"tuned_for": tuned_for, "levels": levels},
    scale=(1, levels),
    qualities=tuple(range(1, levels + 1)),
    resolution=1 / config.quality_steps,
    model=model,
    model_id=model_id,
    tuned_for=tuned_for,
    macs=macs_per_pixel(config.num_filters, config.num_latents),
  )


def macs_per_pixel(filters: int, latents: int) -> float:
  """Counts the multiply-accumulates of the analysis, or of the synthesis.

  Every stage is a convolution and a GDN at one position for 16, 64 or 256
  pixels (paper, section 3.1). A model that leaves out unused channels needs a
  little less.
  """
  return (
    (9 * 9 * 3 * filters + filters**2) / 16
    + (5 * 5 * filters * filters + filters**2) / 64
    + (5 * 5 * filters * latents + latents**2) / 256
  )


def _version(feature: str) -> str:
  """Versions of Pillow and of a library in it; "" where that is missing."""
  if feature not in features.get_supported():
    return ""
  version = f"Pillow {PIL.__version__}, {feature} {features.version(feature)}"
  if feature == "avif":
    from PIL import AvifImagePlugin

    # libavif takes the first of these encoders that it was built with.
    for encoder in ("aom", "rav1e", "svt"):
      number = AvifImagePlugin.get_codec_version(encoder)
      if number:
        return f"{version}, {encoder} {number}"
  return version


def _jpeg_xl_version() -> str:
  with contextlib.suppress(ImportError):
    # Importing the plug-in is what makes Pillow know the format.
    plugin = importlib.import_module("pillow_jxl")
    return f"Pillow {PIL.__version__}, pillow_jxl {plugin.__version__}"
  return ""


_JPEG = ImageCodec(
  "jpeg",
  "JPEG 4:2:0",
  "optimised Huffman tables, colour at half resolution",
  _version("libjpeg_turbo") or _version("jpg"),
  chroma="4:2:0",
  kind="JPEG",
  settings={"optimize": True, "subsampling": "4:2:0"},
  scale=(1, 95),
  qualities=(5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95),
  media_type="image/jpeg",
)
_JPEG_2000 = ImageCodec(
  "jpeg2000",
  "JPEG 2000",
  "9/7 wavelet and component transform; its quality is a rate",
  _version("jpg_2000"),
  chroma="4:4:4",
  kind="JPEG2000",
  settings={"irreversible": True, "mct": 1, "quality_mode": "rates"},
  scale=(0.01, 12.0),
  qualities=(0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.1, 1.5, 2, 2.7),
  resolution=0.001,
  arguments=_as_rate,
)
_CODECS = (
  _JPEG,
  dataclasses.replace(
    _JPEG,
    name="jpeg444",
    label="JPEG 4:4:4",
    description="optimised Huffman tables, colour at full resolution",
    chroma="4:4:4",
    settings={"optimize": True, "subsampling": "4:4:4"},
  ),
  _JPEG_2000,
  ImageCodec(
    "webp",
    "WebP",
    "slowest method, colour at half resolution",
    _version("webp"),
    chroma="4:2:0",
    kind="WEBP",
    settings={"method": 6},
    scale=(0, 100),
    qualities=(1, 10, 20, 35, 50, 65, 75, 82, 88, 93, 97),
    media_type="image/webp",
  ),
  ImageCodec(
    "avif",
    "AVIF",
    "speed 6, tuned for PSNR, colour at full resolution",
    _version("avif"),
    chroma="4:4:4",
    kind="AVIF",
    settings={"speed": 6, "subsampling": "4:4:4", "advanced": {"tune": "psnr"}},
    scale=(0, 100),
    qualities=(5, 12, 20, 28, 36, 44, 52, 60, 68, 76, 82),
    media_type="image/avif",
  ),
  ImageCodec(
    "jpegxl",
    "JPEG XL",
    "lossy, effort 7",
    _jpeg_xl_version(),
    chroma="4:4:4",
    kind="JXL",
    settings={"effort": 7, "lossless": False},
    scale=(1, 99),
    qualities=(5, 10, 20, 30, 45, 60, 70, 80, 88, 94),
  ),
)

DEFAULT = (LEARNED, *(codec.name for codec in _CODECS if codec.version))
"""The codecs that are compared unless others are named."""

_AS_PUBLISHED = (
  dataclasses.replace(
    _JPEG,
    name="jpeg_standard_tables",
    label="JPEG 4:2:0, standard tables",
    description="the standard's Huffman tables, colour at half resolution",
    settings={"subsampling": "4:2:0"},
  ),
  dataclasses.replace(
    _JPEG_2000,
    name="jpeg2000_reversible",
    label="JPEG 2000, 5/3 wavelet",
    description="5/3 wavelet and component transform; its quality is a rate",
    settings={"irreversible": False, "mct": 1, "quality_mode": "rates"},
  ),
)
"""Settings of curves that others published, to check ours with."""

REGISTRY = {c.name: c for c in (*_CODECS, *_AS_PUBLISHED) if c.version}
"""The codecs of Pillow that are installed, by name."""


def search_quality(
  codec: ImageCodec, size_of: Callable[[float], int], least_bytes: float
) -> float:
  """Finds the smallest quality whose file has a number of bytes.

  Args:
    codec: Whose scale is searched.
    size_of: Bytes of the file of a quality.
    least_bytes: The file's least size.

  Returns:
    The quality; the largest there is where even its file is smaller.
  """
  low, high = (round(end / codec.resolution) for end in codec.scale)
  while low < high:
    middle = (low + high) // 2
    if size_of(middle * codec.resolution) >= least_bytes:
      high = middle
    else:
      low = middle + 1
  return low * codec.resolution
