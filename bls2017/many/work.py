"""The work on one file: to compress an image, or to decompress it."""

from __future__ import annotations

import dataclasses
import io
import logging
from typing import Callable, NamedTuple, Union

from bls2017 import codec as codec_lib
from bls2017 import errors, files
from bls2017.encode import request as request_lib
from bls2017.format import container
from bls2017.images import metadata, reading, writing

_log = logging.getLogger(__name__)

Source = Union[str, bytes]
"""An input: its path, "-" for standard input, or its bytes."""

Describe = Callable[[reading.Picture, codec_lib.Encoded], str]


class Coded(NamedTuple):
  """The result of the work on a file.

  Attributes:
    data: Bytes of the output.
    pixels: Number of the image's pixels.
    compressed_bytes: Length of the compressed file, output or input.
    note: What else there is to say of the file; may be empty.
  """

  data: bytes
  pixels: int
  compressed_bytes: int
  note: str = ""


@dataclasses.dataclass(frozen=True)
class Work:
  """Two functions that several threads may call at once.

  Both raise errors.CodecError if the input cannot be read or coded.

  Attributes:
    code: Compresses or decompresses an input. The progress is told of steps of
      refining.
    fault: From an input and the bytes of an output that exists to why that is
      not what `code` would make, as the end of a sentence that begins with the
      output's name. Empty if nothing speaks against it; not by pixels.
  """

  code: Callable[[Source, request_lib.Progress | None], Coded]
  fault: Callable[[Source, bytes], str]


def compression(
  codec: codec_lib.Codec,
  request: request_lib.Request,
  strip: bool = False,
  verify: bool = False,
  describe: Describe | None = None,
) -> Work:
  """Makes compressed files of images.

  Args:
    codec: Compresses the images.
    request: The quality or the target, and the effort.
    strip: Leaves Exif and XMP out.
    verify: Decodes each file and compares it with what was encoded.
    describe: Makes the note from an image and its coding.
  """
  config = codec.model.config

  def code(source: Source, progress: request_lib.Progress | None) -> Coded:
    if source == files.STANDARD_STREAM:
      source = files.read(source)
    picture = reading.read_with_alpha(source, codec.max_pixels)
    picture = reading.on_background(picture, request.background)
    about = metadata.Metadata() if strip else None
    encoded = codec.encode(picture, request, about, progress, verify)
    height, width = picture.pixels.shape[:2]
    note = describe(picture, encoded) if describe else ""
    return Coded(encoded.data, height * width, len(encoded.data), note)

  def fault(source: Source, existing: bytes) -> str:
    try:
      info = codec.info(existing)
    except errors.CodecError as e:
      return f"exists, but {e}"
    if info.model_id != codec.model.model_id.hex():
      return f"exists, but model {info.model_id} wrote it"
    if info.alpha and request.background:
      return "exists with alpha"
    if not (info.alpha or request.background):
      if reading.has_alpha(source, codec.max_pixels):
        return "exists without alpha"
    limit = request.byte_limit(info.height * info.width)
    if limit is not None:
      size = f"exists with {len(existing)} bytes, more than {limit}"
      return size if len(existing) > limit else ""
    quality = config.index_quality(request.quality_index(config))
    # Only the image could tell whether a PSNR is reached.
    if request.target_psnr is not None or info.quality == quality:
      return ""
    return f"exists with quality {info.quality:g}, not {quality:g}"

  return Work(code, fault)


def decompression(
  codec: codec_lib.Codec,
  kind: str,
  image_quality: int | None = None,
  region: tuple[int, int, int, int] | None = None,
  reduce: int = 1,
) -> Work:
  """Makes images of compressed files.

  Args:
    codec: Decompresses the files.
    kind: Pillow's name of the images' format.
    image_quality: As for `images.writing.encode`.
    region: As for `Codec.decompress`.
    reduce: As for `Codec.decompress`.
  """

  def read(source: Source) -> bytes:
    if isinstance(source, bytes):
      return source
    return files.read(source, codec.max_file_bytes)

  def code(source: Source, progress: request_lib.Progress | None) -> Coded:
    del progress  # There are no steps.
    data = read(source)
    image, about = codec.decode(data, region=region, reduce=reduce)
    header = container.unpack_fields(data)
    picture = reading.Picture(*reading.split(image), about.exif, about.xmp)
    encoded = writing.encode(picture, kind, image_quality)
    if encoded.losses:
      losses = "; ".join(encoded.losses)
      _log.warning("the %s image does not keep: %s", kind, losses)
    note = f"{image.shape[1]} x {image.shape[0]} pixels"
    return Coded(encoded.data, header.height * header.width, len(data), note)

  def fault(source: Source, existing: bytes) -> str:
    info = codec.info(read(source))
    try:
      with reading.open_image(io.BytesIO(existing), []) as image:
        if image.format != kind:
          raise ValueError
        size = image.size
        image.verify()
    except Exception:  # Pillow's decoders raise nearly anything.
      return f"exists, but is not a whole {kind} image"
    width, height = (-(-n // reduce) for n in (info.width, info.height))
    if size == (width, height):
      return ""
    return f"exists with {size[0]} x {size[1]} pixels, not {width} x {height}"

  return Work(code, fault)
