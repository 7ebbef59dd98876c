"""The codec's doors: load, compress, decompress, info.

x -> analysis -> y -> times gain, rounded -> symbols -> lanes -> file
x_hat <- synthesis <- y_hat <- times inverse gain <- symbols <- lanes <- file

`encode` is the first line, `decode` the second; `format` has what lies between
symbols and files.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
from typing import Any, NamedTuple, Union

import numpy as np

from bls2017 import decode, errors, files
from bls2017.encode import request as request_lib
from bls2017.encode import search
from bls2017.format import alpha_box, container
from bls2017.images import metadata as metadata_lib
from bls2017.images import reading
from bls2017.model import model_directory, packaged_models

FileBytes = Union[bytes, bytearray, memoryview]
"""The bytes of a file, in any object that holds bytes."""

_EXPECTED = (
  "a compressed file is bytes, a bytearray, a memoryview or another object of"
  " bytes"
)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A compressed image, with what is known of it only while compressing.

  Attributes:
    data: The bytes of the file.
    estimated_bits: Information content of the symbols under the tables.
    clipped: Symbols that had to be clipped to the ends of their tables.
    quality: At which it was coded.
    stopped: True if the caller ended refining early.
  """

  data: bytes
  estimated_bits: float
  clipped: int
  quality: float
  stopped: bool = False


@dataclasses.dataclass(frozen=True)
class StreamInfo:
  """The facts that a file states.

  Attributes:
    version: Version of the format.
    height: Pixels.
    width: Pixels.
    quality: From 1 to the model's levels.
    model_id: Hexadecimal.
    bpp: Bits of the whole file per pixel.
    header_bytes: Bytes of everything that is not a lane's content.
    payload_bytes: Bytes of the lanes.
    lanes: Number of lanes.
    metadata: Bytes of each box of metadata, by its type; Exif, XMP and alpha
      are "Exif", "XMP " and "Alph".
    alpha: True if the image is [H, W, 4].
  """

  version: int
  height: int
  width: int
  quality: float
  model_id: str
  bpp: float
  header_bytes: int
  payload_bytes: int
  lanes: int
  metadata: dict[str, int]
  alpha: bool


class Decoded(NamedTuple):
  """A decompressed image.

  Attributes:
    image: uint8 [H, W, 3], or [H, W, 4] with alpha.
    metadata: Exif and XMP, with the orientation reset.
  """

  image: np.ndarray
  metadata: metadata_lib.Metadata


class Codec:
  """Compresses images with one model, and decompresses them.

  It decompresses the files of its model and of every model that comes with the
  package, each of which is loaded when its first file arrives. Threads and
  forked processes can share a codec.

  Attributes:
    model: The model that compresses.
    max_pixels: Images of more pixels are refused, in both directions.
  """

  def __init__(
    self,
    model: model_directory.FrozenModel,
    max_pixels: int = reading.MAX_PIXELS,
  ):
    self.model = model
    self.max_pixels = max_pixels
    self._models = {model.model_id: model}
    self._lock = threading.Lock()
    self._path: str | None = None
    self._is_loaded = False

  @classmethod
  def load(
    cls, model: str | None = None, max_pixels: int = reading.MAX_PIXELS
  ) -> Codec:
    """Loads a model directory.

    A codec that was loaded can be pickled: the model's path or name is, and the
    model is read again where the codec arrives.

    Args:
      model: Its path, or the name of one that comes with the package
        (`packaged_models`), by default the one tuned for PSNR.
      max_pixels: Limit of width times height.

    Raises:
      errors.ModelError: if the model cannot be used.
    """
    codec = cls(model_directory.load(model), max_pixels)
    is_named = model is None or model in packaged_models.names()
    codec._path = model if is_named else os.path.abspath(str(model))
    codec._is_loaded = True
    return codec

  def __reduce__(self) -> tuple[Any, ...]:
    if not self._is_loaded:
      raise TypeError("only a codec made by Codec.load can be pickled")
    return type(self).load, (self._path, self.max_pixels)

  def compress(
    self,
    image: reading.Source,
    quality: float | None = None,
    *,
    max_bytes: float | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    effort: int = request_lib.DEFAULT_EFFORT,
    metric: str = request_lib.METRICS[0],
    roi: np.ndarray | None = None,
    alpha: str = request_lib.KEEP_ALPHA,
    metadata: metadata_lib.Metadata | None = None,
    progress: request_lib.Progress | None = None,
    verify: bool = False,
  ) -> bytes:
    """Compresses an image.

    Args:
      image: An array (uint8 [H, W, 3], sRGB, or others that `images.samples`
        describes), one of Pillow's images, a path, the bytes of an image file,
        or a binary file; sides of 1 to 65535 pixels. Alpha is kept exactly,
        colours where it is 0 are not. One warning is logged of what cannot be
        kept.
      quality: 1 (smallest file) to the number of the model's levels, 12 in the
        packaged one, rounded to the nearest of its steps, there quarters; 6
        where no target is given either.
      max_bytes: Instead, the most bytes of the file, a promise.
      target_bpp: Instead, the most bits per pixel of the file.
      target_psnr: Instead, the least PSNR in dB of the decoded image; errors
        count by alpha.
      effort: 1 (fastest) to 9; 2 and more refine the symbols through the
        decoder (bls2017.encode.refinement), which needs TensorFlow. At one
        quality, more effort gives a smaller file with at most 0.05 dB less
        PSNR; at a size, a better image; at a PSNR, a smaller file.
      metric: The distortion that refining bounds, "mse" or "ms_ssim"; a target
        of PSNR and a region of interest need "mse".
      roi: uint8 [H, W], bright where the bits should go.
      alpha: "keep", or a colour to composite the image on, "white" or
        "#RRGGBB"; the file is opaque then.
      metadata: Exif and XMP of the file; by default those of the image.
        `Metadata()` leaves them out.
      progress: Called with the steps of refining that are done and all of them;
        if it returns True, the best file so far is taken.
      verify: Decodes the bytes and compares size, symbols, alpha and metadata
        with what was encoded, which takes as long as decompressing.

    Returns:
      The bytes of a file.

    Raises:
      TypeError: if the image is of another type.
      errors.UsageError: if the image's array has another shape or type, or an
        argument is out of its range or contradicts another one.
      errors.MissingPackageError: if effort needs a package that is missing.
      errors.UnreadableInputError: if an image file cannot be read.
      errors.LimitError: if the image, or its metadata and alpha, are too large,
        or cannot be coded in so few bytes or with so high a PSNR.
      errors.ModelError: if the model gives latents that are not finite.
      errors.VerificationError: if the bytes do not decode to what was encoded.
    """
    request = request_lib.Request(
      quality, max_bytes, target_bpp, target_psnr, effort, metric, roi, alpha
    )
    return self.encode(image, request, metadata, progress, verify).data

  def encode(
    self,
    image: reading.Source | reading.Picture,
    request: request_lib.Request,
    metadata: metadata_lib.Metadata | None = None,
    progress: request_lib.Progress | None = None,
    verify: bool = False,
  ) -> Encoded:
    """Compresses an image as `compress` does, and tells more of the result.

    It also takes what `images.reading.read` gives.
    """
    if not isinstance(image, reading.Picture):
      image = reading.read_with_alpha(image, self.max_pixels)
    image = reading.on_background(image, request.background)
    if metadata is None:
      metadata = metadata_lib.Metadata(image.exif, image.xmp)
    height, width = image.pixels.shape[:2]
    container.check_size(height, width, self.max_pixels)
    boxes = _boxes(metadata, image.alpha)
    found = search.encode(
      image.pixels, self.model, request, boxes, progress, image.alpha
    )
    candidate = found.candidate
    data = found.image.file(candidate)
    if verify:
      self._verify(data, found, image.alpha)
    return Encoded(
      data=data,
      estimated_bits=candidate.bits,
      clipped=candidate.clipped,
      quality=self.model.config.index_quality(candidate.quality_index),
      stopped=found.stopped,
    )

  def decompress(
    self,
    data: FileBytes,
    *,
    region: tuple[int, int, int, int] | None = None,
    reduce: int = 1,
  ) -> np.ndarray:
    """Decompresses an image, or a part of it.

    Memory grows with what is returned; an image is decoded in strips, which are
    cut and made smaller one by one.

    Args:
      data: The bytes of a file.
      region: Columns left of the part and rows above it, its width and its
        height, in pixels; the whole image by default. The image stands upright:
        the orientation of a photograph is applied when it is compressed. Only
        the lanes and the latents that the part depends on are decoded; its
        pixels are those of the whole image.
      reduce: 2, 4 or 8 for an image of that fraction of the size, whose samples
        are means of boxes of pixels. The region is in pixels of the full size,
        and the first box begins at its upper left corner. All of the part is
        decoded, which takes as long as at full size.

    Returns:
      uint8 [H, W, 3] of the image or of the part, both sides divided by
      `reduce` and rounded up; [H, W, 4] where the file has alpha, by which the
      means of colours are weighted.

    Raises:
      TypeError: if the data is not of a type that holds bytes.
      errors.BitstreamError: if the bytes are not a whole, unchanged file. Where
        a region is given, lanes outside of it are not looked into.
      errors.ForeignModelError: if an unknown model wrote them.
      errors.LimitError: if the image is over the limit.
      errors.UsageError: if the region is empty or not inside of the image, or
        the image cannot be reduced so.
    """
    return self.decode(data, region=region, reduce=reduce).image

  def decode(
    self,
    data: FileBytes,
    *,
    region: tuple[int, int, int, int] | None = None,
    reduce: int = 1,
  ) -> Decoded:
    """Decompresses as `decompress` does, and gives the metadata as well."""
    file, model = self._open(data)
    image = decode.image(file, model, region, reduce)
    return Decoded(image, _metadata(file))

  def symbols(self, data: FileBytes) -> np.ndarray:
    """Decodes the symbols of a file, the same on every machine.

    Args:
      data: The bytes of a file.

    Returns:
      int32 [h, w, C], one position for 16 x 16 pixels.

    Raises:
      As `decompress`.
    """
    file, _ = self._open(data)
    return decode.symbols(file)

  def info(self, data: FileBytes) -> StreamInfo:
    """Reads the facts that a file states, without decoding it.

    Args:
      data: The bytes of a file.

    Raises:
      As `decompress`.
    """
    file, model = self._open(data)
    header, header_bytes = file.header, int(file.lane_bounds[0])
    return StreamInfo(
      version=container.VERSION,
      height=header.height,
      width=header.width,
      quality=model.config.index_quality(header.quality_index),
      model_id=header.model_id.hex(),
      bpp=8 * len(file.data) / (header.height * header.width),
      header_bytes=header_bytes,
      payload_bytes=len(file.data) - header_bytes,
      lanes=file.num_lanes,
      metadata={box.type.decode("ascii"): len(box.data) for box in file.boxes},
      alpha=bool(file.content(container.ALPHA)),
    )

  def metadata(self, data: FileBytes) -> metadata_lib.Metadata:
    """Reads the Exif and XMP of a file, without decoding it.

    Args:
      data: The bytes of a file.

    Returns:
      Both, with the orientation reset.

    Raises:
      As `decompress`.
    """
    file, _ = self._open(data)
    return _metadata(file)

  @property
  def max_file_bytes(self) -> int:
    """The longest file of an image within the limit of pixels.

    More bytes cannot be a file of this codec: whoever reads them from somewhere
    need not read on.
    """
    return container.max_file_bytes(self.max_pixels, self._most_latents + 1)

  @functools.cached_property
  def _most_latents(self) -> int:
    """The channels of the largest model whose files can be read."""
    configs = map(model_directory.read_config, packaged_models.names())
    return max(c.num_latents for c in (self.model.config, *configs))

  def _verify(
    self, data: bytes, encoding: search.Encoding, alpha: np.ndarray | None
  ) -> None:
    """Refuses bytes that do not decode to what was encoded."""
    image, candidate = encoding.image, encoding.candidate
    try:
      file, model = self._open(data)
      rows = file.rows()
      decoded = decode.image(file, model)
    except errors.CodecError as e:
      raise errors.VerificationError(f"the file does not decode: {e}") from e
    colours, found_alpha = reading.split(decoded)
    if alpha is None or found_alpha is None:
      is_same_alpha = alpha is found_alpha
    else:
      is_same_alpha = np.array_equal(alpha, found_alpha)
    for name, is_same in (
      ("size", colours.shape == image.pixels.shape),
      ("quality", file.header.quality_index == candidate.quality_index),
      ("symbols", np.array_equal(rows, candidate.rows)),
      ("alpha", is_same_alpha),
      ("metadata", file.boxes == image.boxes),
    ):
      if not is_same:
        raise errors.VerificationError(
          f"the {name} that the file decodes to is not what was encoded"
        )

  def _open(
    self, data: FileBytes
  ) -> tuple[container.File, model_directory.FrozenModel]:
    data = files.as_bytes(data, _EXPECTED)
    model = self._model_of(container.unpack_fields(data).model_id)
    return decode.open(data, model, self.max_pixels), model

  def _model_of(self, model_id: bytes) -> model_directory.FrozenModel:
    """The model that has an id; the codec's own where none has."""
    with self._lock:
      if model_id not in self._models:
        name = packaged_models.find(model_id)
        if name is None:
          return self.model
        self._models[model_id] = model_directory.load(name)
      return self._models[model_id]


def _boxes(
  metadata: metadata_lib.Metadata, alpha: np.ndarray | None
) -> tuple[container.Box, ...]:
  """The boxes of a file, in their order."""
  named = (
    (container.ALPHA, b"" if alpha is None else alpha_box.pack(alpha)),
    (container.EXIF, metadata.exif),
    (container.XMP, metadata.xmp),
  )
  return tuple(container.Box(kind, data) for kind, data in named if data)


def _metadata(file: container.File) -> metadata_lib.Metadata:
  return metadata_lib.upright(
    metadata_lib.Metadata(
      file.content(container.EXIF), file.content(container.XMP)
    )
  )
