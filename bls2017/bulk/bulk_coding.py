"""Compressing and decompressing as work that is done with many files."""

from __future__ import annotations

import io
from typing import Callable

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.common import files
from bls2017.encoder import plan, rate_control
from bls2017.images import image_io
from bls2017.transforms import model_directory

Describe = Callable[[np.ndarray, codec_lib.Encoded], str]


class Compression:
  """Photographs to compressed files; `bulk.Work`."""

  def __init__(
    self,
    codec: codec_lib.Codec,
    quality: float | None = None,
    options: plan.Options | None = None,
    describe: Describe | None = None,
  ):
    """Makes the work.

    Args:
      codec: Knows the model and the limit of pixels.
      quality: As for `Codec.encode`.
      options: As for `Codec.encode`.
      describe: Makes the note on an image.

    Raises:
      errors.UsageError: if quality and options make no sense.
    """
    self._codec = codec
    self._quality = quality
    self._options = options or plan.Options()
    self._describe = describe
    self._target(pixels=1)

  def code(self, source: image_io.Source) -> worker_threads.Coded:
    """See `bulk.Work.code`."""
    x = image_io.read_rgb(source, self._codec.max_pixels)
    encoded = self._codec.encode(x, self._quality, self._options)
    return worker_threads.Coded(
      encoded.data,
      pixels=x.shape[0] * x.shape[1],
      compressed_bytes=len(encoded.data),
      note=self._describe(x, encoded) if self._describe else "",
    )

  def mismatch(self, source: image_io.Source, existing: bytes) -> str:
    """See `bulk.Work.mismatch`; does not compare the image itself."""
    del source
    try:
      info = self._codec.info(existing)
    except errors.CodecError as e:
      return f"exists, but {e}"
    target = self._target(info.height * info.width)
    if target.max_bytes is not None and len(existing) > target.max_bytes:
      return f"exists with {len(existing)} bytes, more than {target.max_bytes}"
    if target.quality is not None and info.quality != target.quality:
      return f"exists with quality {info.quality:g}, not {target.quality:g}"
    return ""

  def _target(self, pixels: int) -> rate_control.Target:
    """What the file of an image of so many pixels is to be."""
    levels = self._codec.model.config.num_levels
    return plan.target(pixels, levels, self._quality, self._options)


class Decompression:
  """Compressed files to photographs; `bulk.Work`."""

  def __init__(self, codec: codec_lib.Codec, kind: str = "PNG"):
    """Makes the work.

    Args:
      codec: Knows the model and the limit of pixels.
      kind: Pillow's name of the images' format.
    """
    self._codec = codec
    self._kind = kind

  def code(self, source: image_io.Source) -> worker_threads.Coded:
    """See `bulk.Work.code`."""
    data = self._read(source)
    x_hat = self._codec.decompress(data)
    return worker_threads.Coded(
      image_io.encode(x_hat, self._kind),
      pixels=x_hat.shape[0] * x_hat.shape[1],
      compressed_bytes=len(data),
      note=f"{x_hat.shape[1]} x {x_hat.shape[0]} pixels",
    )

  def mismatch(self, source: image_io.Source, existing: bytes) -> str:
    """See `bulk.Work.mismatch`; compares the sizes, not the pixels."""
    info = self._codec.info(self._read(source))
    try:
      with Image.open(io.BytesIO(existing), formats=[self._kind]) as image:
        size = image.size
        image.verify()
    except Exception:  # Pillow's decoders raise nearly anything.
      return f"exists, but is not a whole {self._kind} image"
    if size != (info.width, info.height):
      return (
        f"exists with {size[0]} x {size[1]} pixels, not"
        f" {info.width} x {info.height}"
      )
    return ""

  def _read(self, source: image_io.Source) -> bytes:
    if isinstance(source, bytes):
      return source
    return files.read(str(source), self._codec.max_file_bytes)


def load_compression(
  model: str | None, max_pixels: int, quality: float
) -> Compression:
  """Loads a model to compress with one quality, in a process of its own.

  Args:
    model: The model's directory; None for the package's.
    max_pixels: Images of more pixels are refused.
    quality: 1 to the model's levels.
  """
  return Compression(_load(model, max_pixels), quality)


def load_decompression(
  model: str | None, max_pixels: int, kind: str
) -> Decompression:
  """Loads a model to decompress to Pillow's format `kind`; as above."""
  return Decompression(_load(model, max_pixels), kind)


def _load(model: str | None, max_pixels: int) -> codec_lib.Codec:
  return codec_lib.Codec(model_directory.load(model), max_pixels=max_pixels)
