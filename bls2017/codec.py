"""The codec: images to bytes and back.

x -> pad -> analysis -> x gain -> - offset -> round -> symbols -> container
x_hat <- crop <- synthesis <- x inverse_gain <- + offset <- symbols
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from bls2017 import errors, file_decoding
from bls2017.common import config
from bls2017.encode import analysis, quantization
from bls2017.encode import options as options_lib
from bls2017.encode import plan as plan_lib
from bls2017.format import container, limits, range_coder
from bls2017.images import image_io
from bls2017.images import metadata as metadata_lib
from bls2017.model import (
  model_directory,
  packaged_models,
  regions,
  runtimes,
)

if TYPE_CHECKING:
  from bls2017.encode import refinement

FileBytes = Union[bytes, bytearray, memoryview]
"""The bytes of a file, in any object that holds bytes."""

_RUNTIME_NAMES = {runtimes.TENSORFLOW: "TensorFlow", runtimes.LITERT: "LiteRT"}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A compressed image, with what is known of it only while compressing.

  Attributes:
    data: The bytes of the file.
    estimated_bits: Information content of the symbols under the tables.
    clipped: Symbols that had to be clipped to the ends of their tables.
    quality: At which it was coded.
    interrupted: Whether refining was ended early; the best so far was kept.
  """

  data: bytes
  estimated_bits: float
  clipped: int
  quality: float
  interrupted: bool = False


@dataclasses.dataclass(frozen=True)
class StreamInfo:
  """What a file says of itself.

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
    metadata: Bytes of each box of metadata, by its type; Exif and XMP are
      "Exif" and "XMP ".
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


@dataclasses.dataclass(frozen=True)
class Decoded:
  """A decompressed image, and what its file says of it.

  Attributes:
    image: uint8 [H, W, 3].
    metadata: Exif and XMP, with the orientation reset.
  """

  image: np.ndarray
  metadata: metadata_lib.Metadata


class Codec:
  """Compresses and decompresses images with one frozen model.

  Attributes:
    model: The frozen model.
    max_pixels: Images of more pixels are refused, in both directions.
    runtime: What codes images, "tensorflow" or "litert".
  """

  def __init__(
    self,
    model: model_directory.FrozenModel,
    coder: range_coder.RangeCoder | None = None,
    max_pixels: int = image_io.MAX_PIXELS,
    runtime: str = runtimes.AUTO,
  ):
    """Builds the graphs; see `load`.

    Args:
      model: The frozen model.
      coder: A range coder in place of the runtime's.
      max_pixels: Limit of width times height.
      runtime: As for `load`.
    """
    self.model = model
    self.max_pixels = max_pixels
    self.runtime = runtimes.choose(runtime, model.has_graphs)
    self._coder = coder or runtimes.make_coder(self.runtime)
    self._prepared = analysis.PreparedModel(
      model,
      functools.partial(runtimes.make_transforms, self.runtime, model),
      self._pack,
      functools.partial(container.overhead_bytes, version=model.format_version),
    )

    self._path: str | None = None
    self._is_loaded = False
    self._said_no_room = False
    self._latest_file: tuple[file_decoding.File, int] | None = None
    self._process = os.getpid()

  @classmethod
  def load(
    cls,
    model: str | None = None,
    max_pixels: int = image_io.MAX_PIXELS,
    runtime: str = runtimes.AUTO,
  ) -> Codec:
    """Loads a model directory.

    A codec that was loaded can be pickled: the model's path or name is, and the
    model is read again where the codec arrives.

    Args:
      model: Its path, or the name of one that comes with the package
        (`packaged_models`), by default the one tuned for PSNR.
      max_pixels: Limit of width times height.
      runtime: "tensorflow", "litert" (LiteRT and NumPy), or "auto": TensorFlow
        where this process has imported it, else LiteRT where it is installed.

    Raises:
      errors.UsageError: if there is no such runtime.
      errors.MissingPackageError: if the runtime is not installed.
      errors.ModelError: if the model cannot be used.
    """
    codec = cls(
      model_directory.load(model), max_pixels=max_pixels, runtime=runtime
    )
    is_named = model is None or model in packaged_models.names()
    codec._path = model if is_named else os.path.abspath(str(model))
    codec._is_loaded = True
    return codec

  def __reduce__(self) -> tuple[Any, ...]:
    if not self._is_loaded:
      raise TypeError("only a codec made by Codec.load can be pickled")
    return type(self).load, (self._path, self.max_pixels, self.runtime)

  def compress(
    self,
    image: image_io.Picture,
    quality: float | None = None,
    *,
    metadata: Sequence[container.Box] = (),
    target_bpp: float | None = None,
    max_bytes: int | None = None,
    target_psnr: float | None = None,
    effort: int = options_lib.DEFAULT_EFFORT,
    metric: str = options_lib.METRICS[0],
    roi: np.ndarray | None = None,
    observer: refinement.StepObserver | None = None,
  ) -> bytes:
    """Compresses an image.

    Args:
      image: An array (uint8 [H, W, 3], sRGB, or others that `image_io`
        describes), one of Pillow's images, a path, the bytes of an image file,
        or a binary file; sides of 1 to 65535 pixels.
      quality: 1 (smallest file) to the number of the model's levels, 12 in the
        packaged one, rounded to the nearest of its steps, there quarters; 6
        where no target is given either.
      metadata: Boxes that the file holds beside the image: Exif, XMP or others,
        one of a type. The model's files must be of version 3 or newer.
      target_bpp: Instead, the most bits per pixel of the file.
      max_bytes: Instead, the most bytes of the file, a promise.
      target_psnr: Instead, the least PSNR in dB of the decoded image.
      effort: 1 (fastest) to 9; 2 and more refine the symbols through the
        decoder (bls2017.encode.refinement). At one quality, more effort gives
        a smaller file with at most 0.05 dB less PSNR; at a size, a better
        image; at a PSNR, a smaller file.
      metric: What refining counts as better or worse, "mse" or "ms_ssim"; a
        target of PSNR and a region of interest need "mse".
      roi: uint8 [H, W]; the bits go where it is bright.
      observer: Told how refining goes on.

    Returns:
      The bytes of a file.

    Raises:
      TypeError: if the image is of another type.
      errors.UsageError: if the image's array has another shape or type, or an
        argument is out of its range or contradicts another one.
      errors.UnreadableInputError: if an image file cannot be read.
      errors.LimitError: if the image or its metadata are too large, or cannot
        be coded in so few bytes or with so high a PSNR.
      errors.ModelError: if the model gives latents that are not finite.
    """
    options = options_lib.Options(
      target_bpp, max_bytes, target_psnr, effort, metric, roi
    )
    return self.encode(image, quality, options, observer, metadata).data

  def encode(
    self,
    image: image_io.Picture,
    quality: float | None = None,
    options: options_lib.Options | None = None,
    observer: refinement.StepObserver | None = None,
    metadata: Sequence[container.Box] = (),
  ) -> Encoded:
    """`compress`, together with what it knows of the result."""
    self._check_process()
    image = image_io.as_rgb(image, self.max_pixels)
    height, width = image.shape[:2]
    limits.check_size(height, width, self.max_pixels)
    metadata = tuple(metadata)
    options = self._without_metadata(options, metadata, height * width)
    plan = plan_lib.Plan(self._prepared, (height, width), quality, options)
    candidate, interrupted = plan.carry_out(image, observer)
    index = candidate.quality_index
    return Encoded(
      data=self._pack(index, candidate.rows, (height, width), metadata),
      estimated_bits=candidate.bits,
      clipped=candidate.clipped,
      quality=self.model.config.index_quality(index),
      interrupted=interrupted,
    )

  def boxes(self, about: metadata_lib.Metadata) -> tuple[container.Box, ...]:
    """Metadata as `compress` takes it.

    Args:
      about: Exif and XMP of an image.

    Returns:
      Boxes; none, where the model's files have no room for them. The first
      time, a warning says so.
    """
    named = ((container.EXIF, about.exif), (container.XMP, about.xmp))
    boxes = tuple(container.Box(kind, data) for kind, data in named if data)
    if boxes and self.model.format_version < container.BOXES_VERSION:
      if not self._said_no_room:
        _log.warning(
          "Exif and XMP are left out: this model's files have no room"
        )
      self._said_no_room = True
      return ()
    return boxes

  def about(self, data: FileBytes) -> metadata_lib.Metadata:
    """Exif and XMP of a file, with the orientation reset; raises as `info`."""
    return _about(self._opened(data))

  def decompress(
    self,
    data: FileBytes,
    *,
    region: tuple[int, int, int, int] | None = None,
    reduce: int = 1,
  ) -> np.ndarray:
    """Decompresses an image, or a part of it.

    Memory grows with what is returned; an image is decoded in strips, which are
    cut and made smaller one by one. A file is checked as a whole each time, but
    for the same object of type bytes as in the call before.

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
      `reduce` and rounded up.

    Raises:
      TypeError: if the data is not of a type that holds bytes.
      errors.BitstreamError: if the bytes are not a whole, unchanged file. Where
        a region is given, lanes outside of it are not looked into.
      errors.ForeignModelError: if another model wrote them.
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
    """`decompress`, together with the file's metadata."""
    regions.check_reduction(reduce)
    file = self._opened(data)
    height, width = file.header.height, file.header.width
    part = regions.Region(*(region or (0, 0, width, height)))
    part.check(height, width)
    positions = part.positions(height, width)
    rows = file_decoding.Rows(file, self._coder, positions)
    # Up to the end of the last position, or of the image.
    left = positions.x * config.DOWNSAMPLING
    top = positions.y * config.DOWNSAMPLING
    bands = self._prepared.transforms(file.header.quality_index).bands(
      lambda first, end: quantization.latents(rows(first, end), file.tables),
      min(positions.height * config.DOWNSAMPLING, height - top),
      min(positions.width * config.DOWNSAMPLING, width - left),
    )
    part = part._replace(x=part.x - left, y=part.y - top)
    return Decoded(regions.assembled(bands, part, reduce), _about(file))

  def symbols(self, data: FileBytes) -> np.ndarray:
    """The rounded latents of a file, the same on every machine.

    Args:
      data: The bytes of a file.

    Returns:
      int32 [h, w, C], one position for 16 x 16 pixels.

    Raises:
      As `decompress`.
    """
    file = self._opened(data)
    rows = file_decoding.Rows(file, self._coder, file.positions)
    return quantization.symbols(rows(0, file.positions.height), file.tables)

  def metadata(self, data: FileBytes) -> tuple[container.Box, ...]:
    """The metadata of a file, in the order of its types.

    Args:
      data: The bytes of a file.

    Raises:
      As `decompress`.
    """
    return tuple(self._opened(data).boxes)

  def info(self, data: FileBytes) -> StreamInfo:
    """Reads what a file says of itself, without decoding it.

    Args:
      data: The bytes of a file.

    Raises:
      As `decompress`.
    """
    file = self._opened(data)
    header, header_bytes = file.header, int(file.lane_bounds[0])
    return StreamInfo(
      version=header.version,
      height=header.height,
      width=header.width,
      quality=self.model.config.index_quality(header.quality_index),
      model_id=header.model_id.hex(),
      bpp=8 * len(file.data) / (header.height * header.width),
      header_bytes=header_bytes,
      payload_bytes=len(file.data) - header_bytes,
      lanes=file.num_lanes,
      metadata={box.type.decode("ascii"): len(box.data) for box in file.boxes},
    )

  @property
  def max_file_bytes(self) -> int:
    """The longest file of an image within the limit of pixels.

    More bytes cannot be a file of this codec: whoever reads them from somewhere
    need not read on.
    """
    return limits.max_file_bytes(
      self.max_pixels,
      self.model.config.num_latents + 1,
      self.model.format_version,
    )

  def _pack(
    self,
    quality_index: int,
    rows: np.ndarray,
    size: tuple[int, int],
    metadata: Sequence[container.Box] = (),
  ) -> bytes:
    """The file of an image.

    Args:
      quality_index: Index of the quality.
      rows: Integers [positions, columns], as a range coder takes them.
      size: Height and width of the image in pixels.
      metadata: Boxes, only in files of version 3 or newer.
    """
    tables = self._prepared.tables(quality_index)
    header = container.Header(
      *size, quality_index, self.model.model_id, self.model.format_version
    )
    return container.pack(header, self._coder.encode(rows, tables), metadata)

  def _opened(self, data: FileBytes) -> file_decoding.File:
    """The file of some bytes; the latest one is kept, whose checks passed."""
    self._check_process()
    latest, limit = self._latest_file, self.max_pixels
    # These bytes cannot have changed.
    if latest and latest[0].data is data and latest[1] == limit:
      return latest[0]
    file = file_decoding.opened(
      as_bytes(data), self.model, self._prepared.tables, limit
    )
    self._latest_file = file, limit
    return file

  def _without_metadata(
    self,
    options: options_lib.Options | None,
    metadata: Sequence[container.Box],
    pixels: int,
  ) -> options_lib.Options | None:
    """What is asked of a file, without the part that its metadata takes.

    Args:
      options: For the whole file.
      metadata: Boxes.
      pixels: Height times width of the image.

    Raises:
      errors.LimitError: if nothing is left for the image.
      errors.UsageError: if the model's files cannot hold these boxes.
    """
    version = self.model.format_version
    taken = len(container.pack_boxes(version, metadata))
    taken -= len(container.pack_boxes(version, ()))
    if options is None or not taken:
      return options
    left = {}
    for name, size in (
      ("max_bytes", taken),
      ("target_bpp", 8 * taken / pixels),
    ):
      value = getattr(options, name)
      if value is not None:
        left[name] = value - size
        if left[name] <= 0 < value:
          raise errors.LimitError(f"the metadata alone takes {taken} bytes")
    return dataclasses.replace(options, **left)

  def _check_process(self) -> None:
    if os.getpid() != self._process:
      raise errors.UsageError(
        "this codec was made before the process was forked, which the threads"
        f" of {_RUNTIME_NAMES[self.runtime]} do not outlive; load a codec in"
        " each process, or start processes with"
        ' multiprocessing.get_context("spawn")'
      )


def _about(file: file_decoding.File) -> metadata_lib.Metadata:
  contents = {box.type: box.data for box in file.boxes}
  return metadata_lib.upright(
    metadata_lib.Metadata(
      contents.get(container.EXIF, b""), contents.get(container.XMP, b"")
    )
  )


def as_bytes(data: Any) -> bytes:
  """The bytes of `FileBytes`; raises TypeError for objects of other types."""
  if isinstance(data, bytes):
    return data
  try:
    return memoryview(data).tobytes()
  except TypeError:
    raise TypeError(
      "a compressed file is bytes, a bytearray, a memoryview or another object"
      f" of bytes, not {type(data).__name__}"
    ) from None
