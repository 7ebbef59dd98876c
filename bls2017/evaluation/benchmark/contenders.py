"""The codecs that are timed beside each other."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from bls2017.evaluation import image_codecs
from bls2017.evaluation.benchmark import plain_model

MAX_PIXELS = 2**27
"""Enough for the largest image that is timed, of 100 megapixels."""


class WebP(image_codecs.WebP):
  """WebP at the speed that is its default."""

  options: ClassVar[dict[str, Any]] = {}


class Avif(image_codecs.Avif):
  """AVIF at the speed that is Pillow's default, with all cores."""

  options: ClassVar[dict[str, Any]] = {}
  unlisted: ClassVar[dict[str, Any]] = {}


_CLASSES: dict[str, type[image_codecs.ImageCodec]] = {
  cls.name: cls
  for cls in (
    image_codecs.Learned,
    plain_model.PlainCodec,
    image_codecs.Jpeg2000,
    WebP,
    Avif,
  )
}


def available() -> tuple[str, ...]:
  """Names of the codecs whose libraries are here."""
  return tuple(name for name, cls in _CLASSES.items() if cls.is_available())


def make(name: str, model: str | None) -> image_codecs.ImageCodec:
  """One codec.

  Args:
    name: One of `available`.
    model: The learned ones' model, as for `Codec.load`.

  Raises:
    errors.ModelError: if the model cannot be used.
  """
  cls = _CLASSES[name]
  if cls is image_codecs.Learned:
    return image_codecs.Learned(model, MAX_PIXELS)
  if cls is plain_model.PlainCodec:
    return plain_model.PlainCodec(model)
  return cls()


class Contender(NamedTuple):
  """A codec and the quality at which it is timed."""

  codec: image_codecs.ImageCodec
  quality: float


def at_equal_rate(
  x: np.ndarray, model: str | None, quality: float
) -> list[Contender]:
  """All codecs, at the rate that the learned one has for an image.

  Args:
    x: The image, uint8 [H, W, 3].
    model: The learned ones' model, as for `Codec.load`.
    quality: Of the learned ones.

  Raises:
    errors.CodecError: if the model or the quality cannot be used.
  """
  codecs = [make(name, model) for name in available()]
  size = len(codecs[0].encode(x, quality).data)
  return [
    Contender(codec, quality_for_bytes(codec, x, size))
    if isinstance(codec, image_codecs.PillowCodec)
    else Contender(codec, quality)
    for codec in codecs
  ]


def quality_for_bytes(
  codec: image_codecs.ImageCodec, x: np.ndarray, size: int
) -> float:
  """The quality at which a codec of Pillow makes a file of a size.

  Args:
    codec: The codec.
    x: The image, uint8 [H, W, 3].
    size: Bytes.

  Returns:
    The smallest quality whose file is not smaller.
  """
  if isinstance(codec, image_codecs.Jpeg2000):  # Its quality is the rate.
    return 8 * size / (x.shape[0] * x.shape[1])
  return image_codecs.search_quality(
    codec, lambda quality: len(codec.encode(x, quality).data), size
  )
