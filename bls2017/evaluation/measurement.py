"""Measures codecs on images, inside worker processes.

Each worker has one thread for its numeric work, since images are what is done
in parallel: two workers with a thread each finish sooner than one with two.
Functions here take and return plain data, so that they can be sent around.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from typing import Callable, TypeVar

import numpy as np

from bls2017 import errors
from bls2017.evaluation import image_codecs, results
from bls2017.images import image_io, metrics

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """An image that can be read.

  Attributes:
    path: Its file.
    name: The file's name.
    width: Pixels.
    height: Pixels.
    hash: Of its decoded pixels.
  """

  path: str
  name: str
  width: int
  height: int
  hash: str


@dataclasses.dataclass(frozen=True)
class Failure:
  """What could not be done.

  Attributes:
    what: The image, and the codec where one was at work.
    reason: Why.
  """

  what: str
  reason: str


@dataclasses.dataclass(frozen=True)
class MeasureTask:
  """Asks for one measurement."""

  image: ImageFile
  codec: image_codecs.CodecSpec
  quality: float


@dataclasses.dataclass(frozen=True)
class MatchTask:
  """Asks for a file of a rate.

  Attributes:
    image: The original.
    codec: The codec.
    bpp: The rate.
    nearest: Whether the nearest rate is asked for; otherwise the smallest one
      that is not below.
  """

  image: ImageFile
  codec: image_codecs.CodecSpec
  bpp: float
  nearest: bool = False


@dataclasses.dataclass(frozen=True)
class Match:
  """A file of about the rate of a `MatchTask`.

  Attributes:
    row: Its measures.
    data: The file.
    decoded: uint8 [H, W, 3].
  """

  row: results.Row
  data: bytes
  decoded: np.ndarray


def start_worker() -> None:
  """Prepares a worker process."""
  # Ctrl-C goes to the whole group; the parent decides what becomes of it.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process()

  def leave_with_parent() -> None:
    # A killed parent cannot tell its workers.
    if parent is not None:
      parent.join()
      os._exit(1)

  threading.Thread(target=leave_with_parent, daemon=True).start()
  import tensorflow as tf

  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)


def inspect(path: str) -> ImageFile | Failure:
  """Reads an image and identifies it by its pixels."""
  try:
    x = image_io.read_rgb(path)
  except errors.CodecError as e:
    return Failure(path, str(e))
  height, width = x.shape[:2]
  digest = hashlib.sha256(f"{width}x{height};".encode() + x.tobytes())
  name = os.path.basename(path)
  return ImageFile(path, name, width, height, digest.hexdigest()[:16])


def measure(task: MeasureTask) -> results.Row | Failure:
  """Codes an image once and measures the result."""
  what = f"{task.image.name}, {task.codec.name}, quality {task.quality:g}"

  def work() -> results.Row:
    codec, original = _codec(task.codec), _original(task.image.path)
    codec.warm_up(original.x, task.quality)
    return _measure(task.image, codec, original, task.quality).row

  return _guarded(what, work)


def match(task: MatchTask) -> Match | Failure:
  """Makes the file of a codec that comes closest to a rate."""
  what = f"{task.image.name}, {task.codec.name}, {task.bpp:.3f} bpp"
  return _guarded(what, lambda: _match(task))


@dataclasses.dataclass(frozen=True)
class _Original:
  x: np.ndarray
  reference: metrics.Reference


@functools.lru_cache(maxsize=2)
def _original(path: str) -> _Original:
  x = image_io.read_rgb(path)
  return _Original(x, metrics.Reference(x))


@functools.cache
def _codec(spec: image_codecs.CodecSpec) -> image_codecs.ImageCodec:
  return spec.make()


def _guarded(what: str, work: Callable[[], _Result]) -> _Result | Failure:
  try:
    return work()
  except (
    Exception
  ) as e:  # Codecs refuse images, of odd sizes say, in many ways.
    return Failure(what, " ".join(str(e).split()) or type(e).__name__)


def _match(task: MatchTask) -> Match:
  codec, original = _codec(task.codec), _original(task.image.path)
  files: dict[float, bytes] = {}

  def size_of(quality: float) -> int:
    if quality not in files:
      files[quality] = codec.encode(original.x, quality).data
    return len(files[quality])

  size = task.bpp * task.image.width * task.image.height / 8
  quality = image_codecs.search_quality(codec, size_of, size)
  below = quality - codec.resolution
  if task.nearest and below >= codec.scale[0]:
    if size - size_of(below) < size_of(quality) - size:
      quality = below
  codec.warm_up(original.x, quality)
  return _measure(task.image, codec, original, quality)


def _measure(
  image: ImageFile,
  codec: image_codecs.ImageCodec,
  original: _Original,
  quality: float,
) -> Match:
  started = time.perf_counter()
  encoded = codec.encode(original.x, quality)
  encoded_at = time.perf_counter()
  x_hat = codec.decode(encoded.data)
  decoded_at = time.perf_counter()
  ms_ssim_rgb, ms_ssim_y = original.reference.ms_ssim(x_hat)
  pixels = image.width * image.height
  bits = 8 * len(encoded.data)
  estimated = encoded.estimated_bits
  estimated = math.nan if estimated is None else estimated
  row = results.Row(
    image=image.name,
    width=image.width,
    height=image.height,
    image_hash=image.hash,
    codec=codec.name,
    version=codec.version,
    settings=codec.settings,
    model_id=codec.model_id,
    quality=float(quality),
    bytes=len(encoded.data),
    bpp=bits / pixels,
    estimated_bpp=estimated / pixels,
    gap_percent=100 * (bits / estimated - 1) if estimated else math.nan,
    psnr_rgb=metrics.psnr(original.x, x_hat),
    psnr_y=metrics.psnr_luma(original.x, x_hat),
    ms_ssim_rgb=ms_ssim_rgb,
    ms_ssim_rgb_db=metrics.ms_ssim_db(ms_ssim_rgb),
    ms_ssim_y=ms_ssim_y,
    ms_ssim_y_db=metrics.ms_ssim_db(ms_ssim_y),
    encode_s=encoded_at - started,
    decode_s=decoded_at - encoded_at,
  )
  return Match(row, encoded.data, x_hat)
