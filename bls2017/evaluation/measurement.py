"""Measures codecs on images, inside worker processes.

Each worker has one core, since images are what is done in parallel: two workers
with a thread each finish sooner than one with two. Functions here take and
return plain data, so that they can be sent around.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import multiprocessing
import os
import signal
import threading
import time
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.evaluation.image_codecs import ImageCodec, search_quality
from bls2017.images import metrics, reading

Key = tuple[str, str, str, str, str, float]
"""Everything that a measurement depends on: fields of its `Row`."""


class Original(NamedTuple):
  """An image: its path, name and size, and a hash of its decoded pixels."""

  path: str
  name: str
  width: int
  height: int
  hash: str


class Failure(NamedTuple):
  """Something that could not be done: an image, and perhaps a codec; why."""

  what: str
  reason: str


class Row(NamedTuple):
  """One measurement; the fields are the columns of `results.csv`.

  Attributes:
    image: Name of the image's file.
    width: Pixels.
    height: Pixels.
    image_hash: Of the decoded pixels.
    codec: Name in the registry.
    version: Versions of the libraries behind it.
    settings: Its fixed settings.
    model_id: The model's, for a learned codec.
    quality: On the codec's scale.
    bytes: Of the whole file, its header included.
    bpp: Bits of the whole file per pixel.
    estimated_bpp: By the codec's own model, nan without one.
    gap_percent: How much larger the file is than that.
    psnr_rgb: dB over all samples.
    psnr_y: dB of luma.
    ms_ssim_rgb: Mean of the channels; nan for sides below 161 pixels.
    ms_ssim_rgb_db: -10 log10(1 - MS-SSIM).
    ms_ssim_y: Of luma.
    ms_ssim_y_db: The same in dB.
    encode_s: Seconds to compress, after warm-up, on one core.
    decode_s: Seconds to decompress.
  """

  image: str
  width: int
  height: int
  image_hash: str
  codec: str
  version: str
  settings: str
  model_id: str
  quality: float
  bytes: int
  bpp: float
  estimated_bpp: float
  gap_percent: float
  psnr_rgb: float
  psnr_y: float
  ms_ssim_rgb: float
  ms_ssim_rgb_db: float
  ms_ssim_y: float
  ms_ssim_y_db: float
  encode_s: float
  decode_s: float

  @property
  def key(self) -> Key:
    """The fields from image_hash to quality."""
    return self[3:9]


def key(image: Original, codec: ImageCodec, quality: float) -> Key:
  """The `Row.key` of a measurement."""
  about = codec.name, codec.version, codec.settings_text, codec.model_id
  return (image.hash, *about, float(quality))


COLUMNS = typing.get_type_hints(Row)
"""The types of the columns by their names."""

MEASURES = tuple(
  name for name, kind in COLUMNS.items() if kind is float and name != "quality"
)
"""The columns that are averaged over images."""


class Match(NamedTuple):
  """A file of a codec, its measures, and its image, uint8 [H, W, 3]."""

  row: Row
  data: bytes
  decoded: np.ndarray

  @property
  def caption(self) -> str:
    """Rate and measures of the file in one line."""
    row = self.row
    return (
      f"{row.bpp:.3f} bpp, PSNR Y' {row.psnr_y:.2f} dB,"
      f" MS-SSIM {row.ms_ssim_rgb:.4f}"
    )


def start_worker(started: Any) -> None:
  """Prepares a worker process.

  Args:
    started: A shared integer, the number of workers before this one.
  """
  # Ctrl-C goes to the whole group; the parent decides what becomes of it.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process()

  def leave_with_parent() -> None:
    # A killed parent cannot tell its workers.
    if parent is not None:
      parent.join()
      os._exit(1)

  threading.Thread(target=leave_with_parent, daemon=True).start()
  # Libraries start as many threads as their process has cores.
  if hasattr(os, "sched_setaffinity"):
    with started.get_lock():
      number = started.value
      started.value += 1
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})


def inspect(path: str) -> Original | Failure:
  """Reads an image and identifies it by its pixels."""
  try:
    x = reading.read_rgb(path)
  except errors.CodecError as e:
    return Failure(path, str(e))
  height, width = x.shape[:2]
  digest = hashlib.sha256(f"{width}x{height};".encode() + x.tobytes())
  name = " ".join(os.path.basename(path).split())
  return Original(path, name, width, height, digest.hexdigest()[:16])


def measure(
  image: Original, codec: ImageCodec, quality: float
) -> Row | Failure:
  """Codes an image once and measures the result."""
  try:
    return _measured(image, codec, quality).row
  except Exception as e:  # Codecs refuse images, of odd sizes say.
    reason = " ".join(str(e).split()) or type(e).__name__
    return Failure(f"{image.name}, {codec.name}, quality {quality:g}", reason)


def match(
  image: Original, bpp: float, codecs: Sequence[ImageCodec]
) -> dict[str, Match]:
  """Makes files of about one rate, as in the paper's figures.

  A learned codec's file is the one nearest to the rate. The other codecs' files
  are the smallest that are no smaller than that of the first learned codec.

  Returns:
    Files by the codecs' labels, learned ones first. A codec that refuses the
    image is left out.
  """
  matches: dict[str, Match] = {}
  for learned in (True, False):
    for codec in codecs:
      if bool(codec.model_id) == learned:
        with contextlib.suppress(Exception):
          quality = _quality_at(image, codec, bpp, learned)
          matches[codec.label] = _measured(image, codec, quality)
    bpp = next((m.row.bpp for m in matches.values()), bpp)
  return matches


def _quality_at(
  image: Original, codec: ImageCodec, bpp: float, nearest: bool
) -> float:
  """The smallest quality of a rate, or the one that comes nearest to it."""
  x, _ = _original(image.path)

  @functools.cache
  def size_of(quality: float) -> int:
    return len(codec.encode(x, quality).data)

  size = bpp * image.width * image.height / 8
  quality = search_quality(codec, size_of, size)
  below = quality - codec.resolution
  if nearest and below >= codec.scale[0]:
    if size - size_of(below) < size_of(quality) - size:
      return below
  return quality


@functools.lru_cache(maxsize=2)
def _original(path: str) -> tuple[np.ndarray, metrics.Reference]:
  x = reading.read_rgb(path)
  return x, metrics.Reference(x)


_warm: set[tuple[Any, ...]] = set()


def _warm_up(codec: ImageCodec, x: np.ndarray, quality: float) -> None:
  """Does what only a first call has to do, so that times are steady.

  A learned codec prepares tables for a quality and networks for a size.
  """
  state = codec.name, codec.model_id, x.shape, codec.model_id and quality
  if state not in _warm:
    _warm.add(state)
    codec.decode(codec.encode(x, quality).data)


def _measured(image: Original, codec: ImageCodec, quality: float) -> Match:
  x, reference = _original(image.path)
  _warm_up(codec, x, quality)
  started = time.perf_counter()
  data, estimated_bits = codec.encode(x, quality)
  encoded_at = time.perf_counter()
  x_hat = codec.decode(data)
  decoded_at = time.perf_counter()
  ms_ssim_rgb, ms_ssim_y = reference.ms_ssim(x_hat)
  pixels, bits = image.width * image.height, 8 * len(data)
  gap = 100 * (bits / estimated_bits - 1) if estimated_bits else math.nan
  row = Row(
    image.name,
    image.width,
    image.height,
    *key(image, codec, quality),
    bytes=len(data),
    bpp=bits / pixels,
    estimated_bpp=estimated_bits / pixels,
    gap_percent=gap,
    psnr_rgb=metrics.psnr(x, x_hat),
    psnr_y=metrics.psnr_luma(x, x_hat),
    ms_ssim_rgb=ms_ssim_rgb,
    ms_ssim_rgb_db=metrics.ms_ssim_db(ms_ssim_rgb),
    ms_ssim_y=ms_ssim_y,
    ms_ssim_y_db=metrics.ms_ssim_db(ms_ssim_y),
    encode_s=encoded_at - started,
    decode_s=decoded_at - encoded_at,
  )
  return Match(row, data, x_hat)
