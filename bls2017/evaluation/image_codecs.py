"""The codecs that are compared, each a small class in one registry.

A codec turns an image into the bytes of a file and back. Every baseline gets a
setting that is fair under the measures used here:

- JPEG with optimised Huffman tables, at 4:2:0 and at 4:4:4;
- JPEG 2000 with the irreversible 9/7 wavelet and the component transform, which
  Pillow leaves off;
- WebP at its slowest method;
- AVIF at 4:4:4, tuned for PSNR rather than for its own taste, speed 6;
- JPEG XL at effort 7, where the plug-in `pillow-jxl-plugin` is installed.

To add one: subclass `PillowCodec` (or `ImageCodec`), name its scale, decorate
it with `register`.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import io
from typing import Any, Callable, ClassVar, TypeVar

import numpy as np
import PIL
from PIL import Image, features

import bls2017
from bls2017 import errors
from bls2017.common import config
from bls2017.images import image_io
from bls2017.model import model_directory

_WARM_UP_SIDE = 64


@dataclasses.dataclass(frozen=True)
class CodedImage:
  """An image as a file.

  Attributes:
    data: Its bytes.
    estimated_bits: What the codec's own model says the image should cost; None
      where a codec has no such model.
  """

  data: bytes
  estimated_bits: float | None = None


class ImageCodec(abc.ABC):
  """One codec with fixed settings and one free scale, its quality.

  Attributes:
    name: Name on the command line.
    label: Name for people.
    version: Versions of the libraries behind it.
    settings: What is fixed, in words of the library.
    description: The same in words for people.
    model_id: The model's, for a learned codec.
    tuned_for: What its model was trained for, "mse" or "ms_ssim".
    scale: Smallest and largest quality; a larger quality is a larger file.
    resolution: Smallest step of the scale that makes a difference.
    qualities: The qualities of a curve, increasing.
    media_type: Of its files, if browsers show them; otherwise "".
  """

  name: ClassVar[str]
  label: str
  version: str
  settings: str
  description: str
  model_id: str = ""
  tuned_for: str = ""
  scale: tuple[float, float]
  resolution: float = 1.0
  qualities: tuple[float, ...]
  media_type: ClassVar[str] = ""

  @classmethod
  def is_available(cls) -> bool:
    """Whether the libraries it needs are here."""
    return True

  @abc.abstractmethod
  def encode(self, x: np.ndarray, quality: float) -> CodedImage:
    """Compresses uint8 [H, W, 3]."""

  @abc.abstractmethod
  def decode(self, data: bytes) -> np.ndarray:
    """Decompresses to uint8 [H, W, 3]."""

  def warm_up(self, x: np.ndarray, quality: float) -> None:
    """Does what only the first call has to do, so that times are steady."""
    del quality
    corner = np.ascontiguousarray(x[:_WARM_UP_SIDE, :_WARM_UP_SIDE])
    self.decode(self.encode(corner, self.scale[1]).data)


REGISTRY: dict[str, type[ImageCodec]] = {}
"""The codecs by name."""

_Class = TypeVar("_Class", bound=type[ImageCodec])


def register(cls: _Class) -> _Class:
  """Adds a codec to the registry."""
  REGISTRY[cls.name] = cls
  return cls


class PillowCodec(ImageCodec):
  """A codec that Pillow brings.

  Attributes:
    kind: Pillow's name of the format.
    feature: The library's name in `PIL.features`.
    options: Fixed arguments of `Image.save`.
    unlisted: Fixed arguments that change no byte, left out of `settings`.
  """

  kind: ClassVar[str]
  feature: ClassVar[str]
  options: ClassVar[dict[str, Any]] = {}
  unlisted: ClassVar[dict[str, Any]] = {}

  def __init__(self) -> None:
    library = f"{self.feature} {features.version(self.feature)}"
    self.version = f"Pillow {PIL.__version__}, {library}"
    self.settings = ", ".join(f"{k}={v}" for k, v in self.options.items())

  @classmethod
  def is_available(cls) -> bool:
    """Whether the libraries it needs are here."""
    return cls.feature in features.get_supported()

  def arguments(self, quality: float) -> dict[str, Any]:
    """The arguments of `Image.save` that the quality stands for."""
    return {"quality": round(quality)}

  def encode(self, x: np.ndarray, quality: float) -> CodedImage:
    """Compresses uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(x).save(
      buffer,
      self.kind,
      **self.options,
      **self.unlisted,
      **self.arguments(quality),
    )
    return CodedImage(buffer.getvalue())

  def decode(self, data: bytes) -> np.ndarray:
    """Decompresses to uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(data), formats=[self.kind]) as image:
      return np.array(image.convert("RGB"))


@register
class Jpeg(PillowCodec):
  """JPEG with optimised tables and colour at half resolution."""

  name, label = "jpeg", "JPEG 4:2:0"
  description = "optimised Huffman tables, colour at half resolution"
  kind, feature, media_type = "JPEG", "libjpeg_turbo", "image/jpeg"
  options: ClassVar[dict[str, Any]] = {"optimize": True, "subsampling": "4:2:0"}
  scale, qualities = (1, 95), (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)

  @classmethod
  def is_available(cls) -> bool:
    """Whether the libraries it needs are here."""
    return "jpg" in features.get_supported()


@register
class Jpeg444(Jpeg):
  """JPEG with optimised tables and colour at full resolution."""

  name, label = "jpeg444", "JPEG 4:4:4"
  description = "optimised Huffman tables, colour at full resolution"
  options: ClassVar[dict[str, Any]] = {"optimize": True, "subsampling": "4:4:4"}


@register
class JpegStandardTables(Jpeg):
  """JPEG as most published curves have it, with the standard's tables."""

  name, label = "jpeg_standard_tables", "JPEG 4:2:0, standard tables"
  description = "the standard's Huffman tables, colour at half resolution"
  options: ClassVar[dict[str, Any]] = {"subsampling": "4:2:0"}


@register
class Jpeg2000(PillowCodec):
  """JPEG 2000 with the 9/7 wavelet; its quality is a rate in bits per pixel."""

  name, label = "jpeg2000", "JPEG 2000"
  description = "9/7 wavelet and component transform; its quality is a rate"
  kind, feature = "JPEG2000", "jpg_2000"
  options: ClassVar[dict[str, Any]] = {
    "irreversible": True,
    "mct": 1,
    "quality_mode": "rates",
  }
  scale, resolution = (0.01, 12.0), 0.001
  qualities = (0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.1, 1.5, 2, 2.7)

  def arguments(self, quality: float) -> dict[str, Any]:
    """The arguments of `Image.save` that the rate stands for."""
    return {"quality_layers": [24 / quality]}  # A ratio to 24 bits a pixel.


@register
class Jpeg2000Reversible(Jpeg2000):
  """JPEG 2000 with the reversible 5/3 wavelet, as in the published curve."""

  name, label = "jpeg2000_reversible", "JPEG 2000, 5/3 wavelet"
  description = "5/3 wavelet and component transform; its quality is a rate"
  options: ClassVar[dict[str, Any]] = {
    "irreversible": False,
    "mct": 1,
    "quality_mode": "rates",
  }


@register
class WebP(PillowCodec):
  """WebP, lossy; colour is always at half resolution."""

  name, label = "webp", "WebP"
  description = "slowest method, colour at half resolution"
  kind, feature, media_type = "WEBP", "webp", "image/webp"
  options: ClassVar[dict[str, Any]] = {"method": 6}
  scale, qualities = (0, 100), (1, 10, 20, 35, 50, 65, 75, 82, 88, 93, 97)


@register
class Avif(PillowCodec):
  """AVIF, that is AV1's still pictures."""

  name, label = "avif", "AVIF"
  description = "speed 6, tuned for PSNR, colour at full resolution"
  kind, feature, media_type = "AVIF", "avif", "image/avif"
  options: ClassVar[dict[str, Any]] = {
    "speed": 6,
    "subsampling": "4:4:4",
    "advanced": {"tune": "psnr"},
  }
  # One thread a process: the images are what is done in parallel.
  unlisted: ClassVar[dict[str, Any]] = {"max_threads": 1}
  scale, qualities = (0, 100), (5, 12, 20, 28, 36, 44, 52, 60, 68, 76, 82)


@register
class JpegXl(PillowCodec):
  """JPEG XL, lossy."""

  name, label = "jpegxl", "JPEG XL"
  description = "lossy, effort 7"
  kind, feature = "JXL", ""
  options: ClassVar[dict[str, Any]] = {"effort": 7, "lossless": False}
  scale, qualities = (1, 99), (5, 10, 20, 30, 45, 60, 70, 80, 88, 94)

  def __init__(self) -> None:
    super().__init__()
    # Importing it is what makes Pillow know the format.
    importlib.import_module("pillow_jxl")
    version = importlib.metadata.version("pillow-jxl-plugin")
    self.version = f"Pillow {PIL.__version__}, pillow-jxl-plugin {version}"

  @classmethod
  def is_available(cls) -> bool:
    """Whether the libraries it needs are here."""
    return importlib.util.find_spec("pillow_jxl") is not None


@register
class Learned(ImageCodec):
  """The codec of this package, with one frozen model."""

  name, label = "bls2017", "bls2017"
  resolution = 1 / config.QUALITY_STEPS

  def __init__(
    self, model: str | None = None, max_pixels: int = image_io.MAX_PIXELS
  ) -> None:
    """Reads the model.

    Args:
      model: As for `Codec.load`.
      max_pixels: Larger images are refused.

    Raises:
      errors.ModelError: if it cannot be used.
    """
    self._model = model_directory.load(model)
    self._max_pixels = max_pixels
    self._codec: bls2017.Codec | None = None
    self._warm: set[tuple[Any, ...]] = set()
    levels = self._model.config.num_levels
    self.version = f"bls2017 {bls2017.__version__}"
    self.model_id = self._model.model_id.hex()
    self.tuned_for = self._model.config.distortion
    self.settings = f"{self.tuned_for}, {levels} levels"
    measure = {"mse": "the mean squared error", "ms_ssim": "MS-SSIM"}
    self.description = (
      f"trained for {measure[self.tuned_for]} at {levels} rates,"
      f" model {self.model_id}"
    )
    self.scale = (1, levels)
    self.resolution = 1 / self._model.config.quality_steps
    self.qualities = tuple(range(1, levels + 1))

  def encode(self, x: np.ndarray, quality: float) -> CodedImage:
    """Compresses uint8 [H, W, 3]."""
    encoded = self._graphs().encode(x, quality)
    return CodedImage(encoded.data, encoded.estimated_bits)

  def decode(self, data: bytes) -> np.ndarray:
    """Decompresses to uint8 [H, W, 3]."""
    return self._graphs().decompress(data)

  def warm_up(self, x: np.ndarray, quality: float) -> None:
    """Codes an image once for each size and quality."""
    # Tables are unpacked once a quality, kernels prepared once a size.
    key = (quality, x.shape)
    if key not in self._warm:
      self._warm.add(key)
      self.decode(self.encode(x, quality).data)

  def _graphs(self) -> bls2017.Codec:
    if self._codec is None:
      self._codec = bls2017.Codec(self._model, max_pixels=self._max_pixels)
    return self._codec


@dataclasses.dataclass(frozen=True)
class CodecSpec:
  """Names a codec, so that another process can make the same.

  Attributes:
    name: Its name in the registry.
    model: Of a learned codec, as for `Codec.load`.
    label: What to call it in tables and figures.
  """

  name: str
  model: str | None = None
  label: str = ""

  def make(self) -> ImageCodec:
    """The codec.

    Raises:
      errors.UsageError: if there is none of this name, or it is not installed.
      errors.ModelError: if the model cannot be used.
    """
    cls = REGISTRY.get(self.name)
    if cls is None:
      raise errors.UsageError(
        f"there is no codec '{self.name}'; there are {', '.join(REGISTRY)}"
      )
    if not cls.is_available():
      raise errors.UsageError(f"the codec '{self.name}' is not installed here")
    codec = Learned(self.model) if cls is Learned else cls()
    codec.label = self.label or codec.label
    return codec


def search_quality(
  codec: ImageCodec, size_of: Callable[[float], int], least_bytes: float
) -> float:
  """The smallest quality whose file has a number of bytes.

  Args:
    codec: Whose scale is searched.
    size_of: Bytes of the file of a quality.
    least_bytes: The file's least size.

  Returns:
    The quality; the largest there is where even its file is smaller.
  """
  low, high = _steps(codec)
  while low < high:
    middle = (low + high) // 2
    if size_of(middle * codec.resolution) >= least_bytes:
      high = middle
    else:
      low = middle + 1
  return low * codec.resolution


def _steps(codec: ImageCodec) -> tuple[int, int]:
  """The scale's ends in steps of its resolution."""
  low, high = codec.scale
  return round(low / codec.resolution), round(high / codec.resolution)
