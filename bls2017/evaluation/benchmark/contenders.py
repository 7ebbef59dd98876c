"""The codecs that are timed beside each other, under one interface."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from bls2017 import codec as codec_lib
from bls2017.evaluation import image_codecs
from bls2017.evaluation.benchmark import plain_model
from bls2017.transforms import model_directory

MAX_PIXELS = 2**27


class WebP(image_codecs.WebP):
  """WebP at the speed that is its default."""

  options: ClassVar[dict[str, Any]] = {}


class Avif(image_codecs.Avif):
  """AVIF at the speed that is Pillow's default, with all cores."""

  options: ClassVar[dict[str, Any]] = {}
  unlisted: ClassVar[dict[str, Any]] = {}


class Contender:
  """One codec at one quality.

  Attributes:
    name: For the table.
  """

  name: str

  def compress(self, x: np.ndarray) -> Any:
    """From uint8 [H, W, 3] to what `decompress` takes."""
    raise NotImplementedError

  def decompress(self, compressed: Any) -> np.ndarray:
    """The inverse."""
    raise NotImplementedError

  def size(self, compressed: Any) -> int:
    """Bytes."""
    raise NotImplementedError


class Ours(Contender):
  """This package's codec."""

  name = "bls2017"

  def __init__(self, model: model_directory.FrozenModel, quality: float):
    self._codec = codec_lib.Codec(model, max_pixels=MAX_PIXELS)
    self._quality = quality

  def compress(self, x: np.ndarray) -> Any:
    """See `Contender`."""
    return self._codec.compress(x, self._quality)

  def decompress(self, compressed: Any) -> np.ndarray:
    """See `Contender`."""
    return self._codec.decompress(compressed)

  def size(self, compressed: Any) -> int:
    """See `Contender`."""
    return len(compressed)


class Plain(Contender):
  """The same network as one writes it with tfc."""

  name = "plain"

  def __init__(self, model: model_directory.FrozenModel, quality: float):
    self._model = plain_model.PlainModel(model, quality)

  def compress(self, x: np.ndarray) -> Any:
    """See `Contender`."""
    string, shape = self._model.compress(tf.constant(x))
    return string.numpy(), shape

  def decompress(self, compressed: Any) -> np.ndarray:
    """See `Contender`."""
    return self._model.decompress(*compressed).numpy()

  def size(self, compressed: Any) -> int:
    """See `Contender`."""
    return len(compressed[0])


class Pillow(Contender):
  """A codec of Pillow, at the rate this package's has for one image."""

  def __init__(self, codec: image_codecs.PillowCodec, quality: float):
    self.name = codec.name
    self._codec = codec
    self._quality = quality

  def compress(self, x: np.ndarray) -> Any:
    """See `Contender`."""
    return self._codec.encode(x, self._quality).data

  def decompress(self, compressed: Any) -> np.ndarray:
    """See `Contender`."""
    return self._codec.decode(compressed)

  def size(self, compressed: Any) -> int:
    """See `Contender`."""
    return len(compressed)


_PILLOW: dict[str, type[image_codecs.PillowCodec]] = {
  codec.name: codec for codec in (image_codecs.Jpeg2000, WebP, Avif)
}
NAMES = (Ours.name, Plain.name, *_PILLOW)


def matched_quality(name: str, x: np.ndarray, wanted: int) -> float:
  """The quality at which one of Pillow's codecs makes a file of a size.

  Args:
    name: One of `NAMES`.
    x: The image, uint8 [H, W, 3].
    wanted: Bytes.

  Returns:
    The smallest quality whose file is not smaller; 0 for other codecs.
  """
  if name not in _PILLOW:
    return 0.0
  codec = _PILLOW[name]()
  if name == image_codecs.Jpeg2000.name:  # Its quality is the rate.
    return 8 * wanted / (x.shape[0] * x.shape[1])
  return image_codecs.search_quality(
    codec, lambda quality: len(codec.encode(x, quality).data), wanted
  )


def available() -> tuple[str, ...]:
  """Those of `NAMES` that Pillow has here."""
  missing = {n for n, codec in _PILLOW.items() if not codec.is_available()}
  return tuple(name for name in NAMES if name not in missing)


def make(
  name: str, model: str | None, quality: float, own_quality: float = 0.0
) -> Contender:
  """One contender.

  Args:
    name: One of `NAMES`.
    model: Directory of the learned ones' model; None for the package's.
    quality: Of the learned ones.
    own_quality: Of the others, from `matched_quality`.
  """
  if name in _PILLOW:
    return Pillow(_PILLOW[name](), own_quality)
  frozen = model_directory.load(model)
  return (Ours if name == Ours.name else Plain)(frozen, quality)
