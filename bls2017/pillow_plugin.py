"""Lets Pillow open and save files of this codec.

    import bls2017.pillow_plugin

    image = PIL.Image.open("photo.bls")  # reads the header only
    image.save("photo.png")  # decodes the pixels
    image.save("again.bls", quality=6, effort=3)

Whatever opens images by Pillow then reads these files. `image.info` has the
quality, the model's id, and Exif and XMP under Pillow's names. `draft` and
`thumbnail` decode large images smaller, as they do JPEG's.

`save` takes `quality`, `max_bytes`, `target_bpp`, `target_psnr`, `effort`,
`metric`, `roi` and `alpha` of `Codec.compress`, and `exif` and `xmp` in place
of the image's own; it ignores other options, as Pillow's writers do. A quality
above the model's highest counts on Pillow's scale, whose best is 100. Exif's
orientation is applied to the pixels.

Files are read with the packaged model that they name and saved with the one
tuned for PSNR, loaded when it is first needed; `use` sets another codec.
"""

from __future__ import annotations

import functools
import io
from typing import IO, Any

from PIL import Image, ImageFile

from bls2017 import codec as codec_lib
from bls2017 import decode, errors
from bls2017.encode import request
from bls2017.format import container
from bls2017.images import reading
from bls2017.model import model_directory, packaged_models

FORMAT = reading.PLUGIN_FORMAT
EXTENSION = ".bls"
MIME_TYPE = "image/x-bls"

_INFO_NAMES = {container.EXIF: "exif", container.XMP: "xmp"}
_REQUEST = (
  "quality", "max_bytes", "target_bpp", "target_psnr", "effort", "metric",
  "roi", "alpha",
)  # fmt: skip

_codec: codec_lib.Codec | None = None


def use(codec: codec_lib.Codec | None) -> None:
  """Codes with this codec instead of the packaged models; None: with those."""
  global _codec
  _codec = codec


def _get_codec() -> codec_lib.Codec:
  return _codec or _packaged_codec()


@functools.cache
def _packaged_codec() -> codec_lib.Codec:
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
    self._reduction = 1
    self._is_decoded = False
    self.info["model_id"] = header.model_id.hex()
    quality = _quality(header)
    if quality:
      self.info["quality"] = quality
    contents = _contents(start, stream)
    self._mode = "RGBA" if container.ALPHA in contents else "RGB"
    for kind, name in _INFO_NAMES.items():
      if kind in contents:
        self.info[name] = contents[kind]

  def draft(
    self, mode: str | None, size: tuple[int, int] | None
  ) -> tuple[str, tuple[int, int, float, float]] | None:
    """Lets the image be decoded at 1/2, 1/4 or 1/8 of its size.

    Args:
      mode: Ignored; the image stays RGB or RGBA.
      size: Width and height that the image keeps at least, where it has them.

    Returns:
      The mode, and the box of the full size in the new unit; None if nothing
      is asked for, or the image was decoded or made smaller before.
    """
    del mode
    if not size or self._is_decoded or self._reduction > 1:
      return None
    width, height = self.size
    most = min(width // max(size[0], 1), height // max(size[1], 1))
    factor = max((f for f in decode.REDUCTIONS if f <= most), default=1)
    self._reduction = factor
    self._size = (-(-width // factor), -(-height // factor))
    return self.mode, (0, 0, width / factor, height / factor)

  def load(self) -> Any:
    """Decodes the pixels; raises OSError if the file is damaged."""
    if not self._is_decoded:
      try:
        data = self._read_file()
        x_hat = _get_codec().decompress(data, reduce=self._reduction)
      except errors.CodecError as e:
        raise OSError(str(e)) from e
      if x_hat.shape != (*self.size[::-1], len(self.mode)):
        raise OSError("the file changed while it was open")
      self._is_decoded = True
      if self.fp and self._exclusive_fp:
        self.fp.close()
      self.fp = io.BytesIO(x_hat.tobytes())
      tile: Any = ("raw", (0, 0, *self.size), 0, self.mode)
      self.tile = [tile]
    return super().load()

  def load_seek(self, pos: int) -> None:
    """Tells `ImageFile.Parser` to wait for the whole file."""

  def verify(self) -> None:
    """Checks the whole file but the contents of its lanes; raises OSError."""
    try:
      _get_codec().info(self._read_file())
    except errors.CodecError as e:
      raise OSError(str(e)) from e

  def _read_file(self) -> bytes:
    stream: Any = self.fp
    stream.seek(0)
    data: bytes = stream.read(_get_codec().max_file_bytes + 1)
    return data


@functools.lru_cache(maxsize=8)
def _packaged_config(model_id: bytes) -> Any:
  name = packaged_models.find(model_id)
  return model_directory.read_config(name) if name else None


def _quality(header: container.Header) -> float | None:
  """The quality of a file; None if its model, and so the scale, is unknown."""
  config = _packaged_config(header.model_id)
  if _codec and _codec.model.model_id == header.model_id:
    config = _codec.model.config
  return config and config.index_quality(header.quality_index)


def _contents(start: bytes, stream: IO[bytes]) -> dict[bytes, bytes]:
  """The metadata by its types; none where the boxes are damaged."""
  start += stream.read(container.MAX_NUMBER_BYTES)
  try:
    length, _ = container.unpack_number(start, container.HEADER_BYTES)
    start += stream.read(min(length, container.MAX_BOXES_BYTES))
    boxes, _ = container.unpack_boxes(start)
  except errors.BitstreamError:
    # Decoding says what is wrong.
    return {}
  return {box.type: box.data for box in boxes}


def _save(image: Image.Image, stream: IO[bytes], name: str | bytes) -> None:
  del name
  codec, options = _get_codec(), getattr(image, "encoderinfo", {})
  about = {key: options[key] for key in ("exif", "xmp") if key in options}
  if about:
    image = image.copy()
    for key, value in about.items():
      if isinstance(value, Image.Exif):
        value = value.tobytes()
      elif isinstance(value, str):
        value = value.encode()
      image.info[key] = value or b""
  asked = {key: options[key] for key in _REQUEST if key in options}
  levels = codec.model.config.num_levels
  if (asked.get("quality") or 0) > levels:
    asked["quality"] = 1 + (levels - 1) * min(asked["quality"], 100) / 100
  try:
    data = codec.encode(image, request.Request(**asked)).data
  except errors.CodecError as e:
    raise OSError(str(e)) from e
  stream.write(data)


def _accept(prefix: bytes) -> bool:
  return prefix.startswith(container.MAGIC)


Image.register_open(FORMAT, BlsImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME_TYPE)
