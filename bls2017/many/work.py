"""Compressing and decompressing as work that is done with many files."""

from __future__ import annotations

import io
from typing import Callable, TypeVar

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import decoder as decoder_lib
from bls2017 import errors, files
from bls2017.bulk import worker_threads
from bls2017.encode import options as options_lib
from bls2017.encode import targets
from bls2017.format import container
from bls2017.images import image_io, metadata

Describe = Callable[[np.ndarray, codec_lib.Encoded], str]

_C = TypeVar("_C")


class Compression:
  """Photographs to compressed files; a `worker_threads.Work`."""

  def __init__(
    self,
    codec: codec_lib.Codec,
    quality: float | None = None,
    options: options_lib.Options | None = None,
    describe: Describe | None = None,
    strip: bool = False,
  ):
    """Checks what is asked for.

    Args:
      codec: Compresses the images; its limit of pixels holds.
      quality: As for `Codec.encode`.
      options: As for `Codec.encode`.
      describe: Makes the note on an image from its pixels and its coding.
      strip: Whether Exif and XMP are left out.

    Raises:
      errors.UsageError: if quality and options make no sense.
      errors.MissingPackageError: if they need a package that is not there.
    """
    self._codec = codec
    self._quality = quality
    self._options = options or options_lib.Options()
    self._describe = describe
    self._strip = strip
    self._options.check()
    self._target(pixels=1)

  def code(self, source: image_io.Source) -> worker_threads.Coded:
    """See `worker_threads.Work.code`."""
    x = image_io.read_rgb(source, self._codec.max_pixels)
    about = metadata.NONE if self._strip else metadata.read(source)
    boxes = self._codec.boxes(about)
    encoded = self._codec.encode(
      x, self._quality, self._options, metadata=boxes
    )
    return worker_threads.Coded(
      encoded.data,
      pixels=x.shape[0] * x.shape[1],
      compressed_bytes=len(encoded.data),
      note=self._describe(x, encoded) if self._describe else "",
    )

  def mismatch(self, source: image_io.Source, existing: bytes) -> str:
    """See `worker_threads.Work.mismatch`; does not compare the pixels."""
    del source
    try:
      info = self._codec.info(existing)
    except errors.CodecError as e:
      return f"exists, but {e}"
    target = self._target(info.height * info.width)
    objection = target.objection(len(existing), info.quality)
    return f"exists with {objection}" if objection else ""

  def _target(self, pixels: int) -> targets.Target:
    """What is asked for, for an image of so many pixels."""
    model_config = self._codec.model.config
    return targets.target(self._quality, self._options, pixels, model_config)


class Decompression:
  """Compressed files to photographs; a `worker_threads.Work`."""

  def __init__(
    self,
    decoder: decoder_lib.Decoder,
    kind: str = "PNG",
    image_quality: int | None = None,
    reduce: int = 1,
  ):
    """Takes what the work needs.

    Args:
      decoder: Decompresses the files; its limit of pixels holds.
      kind: Pillow's name of the images' format.
      image_quality: As for `image_io.encode`.
      reduce: As for `Codec.decompress`.
    """
    self._decoder = decoder
    self._kind = kind
    self._image_quality = image_quality
    self._reduce = reduce

  def code(self, source: image_io.Source) -> worker_threads.Coded:
    """See `worker_threads.Work.code`."""
    data = self._read(source)
    decoded = self._decoder.decode(data, reduce=self._reduce)
    x_hat, about = decoded.image, decoded.metadata
    header = container.unpack_fields(data)
    return worker_threads.Coded(
      image_io.encode(x_hat, self._kind, self._image_quality, about),
      pixels=header.height * header.width,
      compressed_bytes=len(data),
      note=f"{x_hat.shape[1]} x {x_hat.shape[0]} pixels",
    )

  def mismatch(self, source: image_io.Source, existing: bytes) -> str:
    """See `worker_threads.Work.mismatch`; compares sizes, not pixels."""
    info = self._decoder.info(self._read(source))
    try:
      with Image.open(io.BytesIO(existing), formats=[self._kind]) as image:
        size = image.size
        image.verify()
    except Exception:  # Pillow's decoders raise nearly anything.
      return f"exists, but is not a whole {self._kind} image"
    width = -(-info.width // self._reduce)
    height = -(-info.height // self._reduce)
    if size != (width, height):
      return f"exists with {size[0]} x {size[1]} pixels, not {width} x {height}"
    return ""

  def _read(self, source: image_io.Source) -> bytes:
    if isinstance(source, bytes):
      return source
    return files.read(str(source), self._decoder.max_file_bytes)


def load(
  make_codec: Callable[[], _C],
  make_work: Callable[[_C], worker_threads.Work],
) -> worker_threads.Work:
  """Loads a model and makes work with it, in a process that has none yet.

  Args:
    make_codec: `Codec.load` or `decoder.load`, with its arguments bound.
    make_work: Compression or Decompression, perhaps with arguments bound.
  """
  return make_work(make_codec())
