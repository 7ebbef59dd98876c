"""Decompressing without knowing the model: files name it.

`bls2017.load_decoder().decompress(data)` gives the image of a file of any
packaged model.
"""

from __future__ import annotations

import threading
from typing import Union

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import container, limits
from bls2017.images import image_io, metadata
from bls2017.model import model_directory, packaged_models, runtimes


class PackagedDecoder:
  """Decompresses the files of every model that comes with the package.

  Nothing of a model is read before the first of its files comes. Threads can
  share a decoder.
  """

  def __init__(
    self,
    max_pixels: int = image_io.MAX_PIXELS,
    runtime: str = runtimes.AUTO,
  ):
    """Loads nothing yet.

    Args:
      max_pixels: As for `Codec.load`.
      runtime: As for `Codec.load`.

    Raises:
      errors.UsageError: if there is no such runtime.
      errors.MissingPackageError: if the runtime is not installed.
    """
    runtimes.choose(runtime)
    self._max_pixels = max_pixels
    self._runtime = runtime
    self._codecs: dict[str, codec_lib.Codec] = {}
    self._lock = threading.Lock()

  def codec(self, data: codec_lib.FileBytes) -> codec_lib.Codec:
    """The codec of the model that a file names.

    Args:
      data: The bytes of a file.

    Raises:
      TypeError: if the data is not of a type that holds bytes.
      errors.BitstreamError: if this is no file, or a damaged one.
      errors.ForeignModelError: if the package does not have the model.
      errors.ModelError: if the model cannot be used.
    """
    data = codec_lib.as_bytes(data)
    model_id = container.unpack_fields(data).model_id
    name = packaged_models.find(model_id)
    if name is None:
      # Where the name of the model is damaged, the checksum tells.
      container.unpack_header(data)
      raise errors.ForeignModelError(
        f"the file was written with model {model_id.hex()}, which is not among"
        f" those of the package ({', '.join(packaged_models.names())})"
      )
    with self._lock:
      if name not in self._codecs:
        self._codecs[name] = codec_lib.Codec.load(
          name, self._max_pixels, self._runtime
        )
      return self._codecs[name]

  def decompress(
    self,
    data: codec_lib.FileBytes,
    *,
    region: tuple[int, int, int, int] | None = None,
    reduce: int = 1,
  ) -> np.ndarray:
    """As `Codec.decompress`, and raises what `codec` does."""
    return self.codec(data).decompress(data, region=region, reduce=reduce)

  def decode(
    self,
    data: codec_lib.FileBytes,
    *,
    region: tuple[int, int, int, int] | None = None,
    reduce: int = 1,
  ) -> codec_lib.Decoded:
    """As `Codec.decode`, and raises what `codec` does."""
    return self.codec(data).decode(data, region=region, reduce=reduce)

  def info(self, data: codec_lib.FileBytes) -> codec_lib.StreamInfo:
    """As `Codec.info`, and raises what `codec` does."""
    return self.codec(data).info(data)

  def about(self, data: codec_lib.FileBytes) -> metadata.Metadata:
    """As `Codec.about`, and raises what `codec` does."""
    return self.codec(data).about(data)

  @property
  def max_file_bytes(self) -> int:
    """As `Codec.max_file_bytes`, for the files of any packaged model."""
    return max(
      limits.max_file_bytes(
        self._max_pixels,
        model_directory.read_config(name).num_latents + 1,
        container.VERSION,
      )
      for name in packaged_models.names()
    )


Decoder = Union[codec_lib.Codec, PackagedDecoder]
"""Decompresses files of one model, or of all that come with the package."""


def load(
  model: str | None = None,
  max_pixels: int = image_io.MAX_PIXELS,
  runtime: str = runtimes.AUTO,
) -> Decoder:
  """A decoder of the files of a model, or of all packaged ones.

  Args:
    model: As for `Codec.load`; every packaged model by default.
    max_pixels: As for `Codec.load`.
    runtime: As for `Codec.load`.

  Raises:
    As `Codec.load`.
  """
  if model is None:
    return PackagedDecoder(max_pixels, runtime)
  return codec_lib.Codec.load(model, max_pixels, runtime)
