"""Lets Pillow open and save files of this codec.

    import bls2017.pillow_plugin

    image = PIL.Image.open("photo.bls")  # reads the header only
    image.save("photo.png")  # decodes the pixels
    image.save("again.bls", quality=6, effort=3)

Whatever opens images by Pillow then reads these files. `image.info` has the
quality, the model's id, and Exif and XMP under Pillow's names. `draft` and
`thumbnail` decode large images smaller, as they do JPEG's. `save` takes the
arguments of `Codec.compress`, and `exif` and `xmp` in place of the image's own.
Files are read with the packaged model that they name and saved with the one
tuned for PSNR, each loaded when it is first needed; `use` sets another codec.
"""

from __future__ import annotations

import functools
import logging
import struct
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from bls2017 import codec as codec_lib
from bls2017 import decoder as decoder_lib
from bls2017 import errors
from bls2017.common import config
from bls2017.format import container
from bls2017.images import image_io, metadata
from bls2017.model import model_directory, packaged_models, regions

FORMAT = image_io.PLUGIN_FORMAT
EXTENSION = ".bls"
MIME_TYPE = "image/x-bls"

_log = logging.getLogger(__name__)
_codec: codec_lib.Codec | None = None


def use(codec: codec_lib.Codec) -> None:
  """Codes with this codec instead of the packaged models."""
  global _codec
  _codec = codec


def _decoder() -> decoder_lib.Decoder:
  return _codec or _packaged_decoder()


def _encoder() -> codec_lib.Codec:
  return _codec or _packaged_encoder()


@functools.cache
def _packaged_decoder() -> decoder_lib.Decoder:
  return decoder_lib.load()


@functools.cache
def _packaged_encoder() -> codec_lib.Codec:
  return codec_lib.Codec.load()


class BlsImageFile(ImageFile.ImageFile):
  """A compressed file; its pixels are decoded when they are first needed."""

  format = FORMAT
  format_description = "Learned image compression (bls2017)"

  def _open(self) -> None:
    stream: Any = self.fp
    start = stream.read(container.HEADER_BYTES)
    try:
      header = container.unpack_fields(start)
    except errors.BitstreamError as e:
      # Pillow takes this for a file of another format.
      raise SyntaxError(str(e)) from e
    self._size = (header.width, header.height)
    self._mode = "RGB"
    self.info["model_id"] = header.model_id.hex()
    model_config = _model_config(header.model_id)
    if model_config:
      index = header.quality_index
      self.info["quality"] = model_config.index_quality(index)
    if header.version >= container.BOXES_VERSION:
      self.info.update(**_boxes(start, stream, header))
    self._reduce(1)

  def draft(
    self, mode: str | None, size: tuple[int, int] | None
  ) -> tuple[str, tuple[int, int, float, float]] | None:
    """Lets the image be decoded at 1/2, 1/4 or 1/8 of its size.

    Args:
      mode: Ignored; the image stays RGB.
      size: Width and height that the image keeps at least, where it has them.

    Returns:
      The mode, and the box of the full size in the new unit; None if nothing
      is asked for, or the image was decoded or made smaller before.
    """
    del mode
    if not size or len(self.tile) != 1 or self.tile[0][3] != (1,):
      return None
    width, height = self.size
    most = min(width // max(size[0], 1), height // max(size[1], 1))
    factor = max((f for f in regions.REDUCTIONS if f <= most), default=1)
    self._reduce(factor)
    return self.mode, (0, 0, width / factor, height / factor)

  def _reduce(self, factor: int) -> None:
    width, height = self.size
    self._size = (-(-width // factor), -(-height // factor))
    tile: Any = (FORMAT, (0, 0, *self.size), 0, (factor,))
    self.tile = [tile]


def _model_config(model_id: bytes) -> config.ModelConfig | None:
  """That of a file's model, whose steps of quality differ; None if unknown."""
  if _codec and _codec.model.model_id == model_id:
    return _codec.model.config
  name = packaged_models.find(model_id)
  return model_directory.read_config(name) if name else None


class _Decoder(ImageFile.PyDecoder):
  """Decodes a whole file at once."""

  _pulls_fd = True

  def decode(self, buffer: Any) -> tuple[int, int]:
    """See `PIL.ImageFile.PyDecoder.decode`; raises OSError."""
    del buffer
    stream: Any = self.fd
    try:
      (factor,) = self.args
      decoder = _decoder()
      data = stream.read(decoder.max_file_bytes + 1)
      x_hat = decoder.decode(data, reduce=factor).image
    except errors.CodecError as e:
      raise OSError(str(e)) from e
    if x_hat.shape[:2] != (self.state.ysize, self.state.xsize):
      raise OSError("the file changed while it was open")
    self.set_as_raw(np.ascontiguousarray(x_hat).tobytes())
    return -1, 0


def _boxes(
  start: bytes, stream: IO[bytes], header: container.Header
) -> dict[str, bytes]:
  """Exif and XMP, by Pillow's names; none where the boxes are damaged."""
  size = stream.read(container.BOXES_LENGTH_BYTES)
  try:
    (length,) = struct.unpack("<I", size)
    boxes = container.unpack_boxes(
      start + size + stream.read(min(length, container.MAX_BOXES_BYTES)), header
    )
  except (errors.BitstreamError, struct.error):
    # The pixels' decoder says what is wrong.
    return {}
  names = {container.EXIF: "exif", container.XMP: "xmp"}
  return {names[box.type]: box.data for box in boxes if box.type in names}


def _save(image: Image.Image, stream: IO[bytes], name: str | bytes) -> None:
  del name
  arguments = dict(getattr(image, "encoderinfo", {}))
  about = metadata.read(image)
  exif, xmp = arguments.pop("exif", about.exif), arguments.pop("xmp", about.xmp)
  if isinstance(exif, Image.Exif):
    exif = exif.tobytes()
  about = metadata.upright(
    metadata.Metadata(exif.removeprefix(metadata.EXIF_PREFIX), xmp)
  )
  codec = _encoder()
  try:
    data = codec.compress(image, metadata=codec.boxes(about), **arguments)
  except errors.CodecError as e:
    raise OSError(str(e)) from e
  stream.write(data)


def _accept(prefix: bytes) -> bool:
  return prefix.startswith(container.MAGIC)


Image.register_open(FORMAT, BlsImageFile, _accept)
Image.register_decoder(FORMAT, _Decoder)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME_TYPE)
