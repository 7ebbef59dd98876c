"""Coding an image to a size or to a PSNR.

The rate of every quality follows from the tables' code lengths, so that the
search needs the range coder only to confirm what it found. The qualities are
some 6% of the file or 0.2 dB apart. What lies between is reached by trimming
the finer one: its bits are made to count while latents are rounded
(bls2017.encoder.quantization), just as much as needed.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable

import numpy as np

from bls2017 import errors
from bls2017.encoder import image_encoding
from bls2017.images import metrics

MAX_STRENGTH = 0.25
"""Strongest trimming: a quality is left for the one below long before."""

FULL_USE = 0.995
"""A budget that is used to this share needs no trimming."""

LEAST_GAIN = 0.05
"""How many dB justify a part of the budget that is left unused.

Trimming by the last percents of what lies between two qualities costs more than
the lower one does.
"""

MOST_TRIMMED = 0.04
"""Share of a budget beyond which trimming costs more than the quality below.

Where no decoded image can be compared (export.graph.sized_encoder).
"""

PSNR_EXCESS = 0.05
"""How many dB more than asked for are not worth another step."""

BISECTIONS = 9
"""Halvings of the interval in which a strength is sought."""

PACKINGS = 6
"""Files made for one quality until one fits; the first nearly always does."""


@dataclasses.dataclass(frozen=True)
class Target:
  """What a file is to be; at most one of the attributes is not None.

  Attributes:
    quality: A quality, the default where nothing is asked for.
    max_bytes: The largest size of the file.
    psnr: The least PSNR of all samples, in dB.
  """

  quality: float | None = None
  max_bytes: int | None = None
  psnr: float | None = None


def make_target(
  pixels: int,
  quality: float | None = None,
  target_bpp: float | None = None,
  max_bytes: int | None = None,
  target_psnr: float | None = None,
) -> Target:
  """The target that the arguments of a caller name.

  Args:
    pixels: Of the image.
    quality: 1 to the model's levels.
    target_bpp: Most bits of the file per pixel.
    max_bytes: The largest size of the file.
    target_psnr: The least PSNR in dB.

  Raises:
    errors.UsageError: if there is more than one, or it makes no sense.
  """
  named = {
    "quality": quality,
    "target_bpp": target_bpp,
    "max_bytes": max_bytes,
    "target_psnr": target_psnr,
  }
  given = [name for name, value in named.items() if value is not None]
  if len(given) > 1:
    raise errors.UsageError(f"{' and '.join(given)} contradict each other")
  for name in given:
    value = float(named[name] or 0)
    if name != "quality" and not (math.isfinite(value) and value > 0):
      raise errors.UsageError(f"{name} must be positive, not {value}")
  if target_bpp is not None:
    return Target(max_bytes=math.floor(target_bpp * pixels / 8))
  if max_bytes is not None:
    return Target(max_bytes=math.floor(max_bytes))
  return Target(quality=quality, psnr=target_psnr)


def finest_within(
  image: image_encoding.ImageEncoding, max_bytes: int
) -> image_encoding.Attempt:
  """The finest coding whose file has at most so many bytes.

  Args:
    image: The image.
    max_bytes: The largest size.

  Raises:
    errors.LimitError: if there is none; says what the smallest file takes.
  """

  def size(index: int) -> float:
    return image.estimated_bytes(image.attempt(index))

  above = _first_true(lambda i: size(i) > max_bytes, image.qualities)
  fuller = trimmed(image, above, max_bytes) if above < image.qualities else None
  below = trimmed(image, above - 1, max_bytes) if above else None
  if fuller and below:
    used = image.estimated_bytes(below) >= FULL_USE * max_bytes
    gain = math.inf if used else psnr_of(image, below) - psnr_of(image, fuller)
    return below if gain > LEAST_GAIN else fuller
  found = fuller or below
  if found:
    return found
  smallest = image.file_bytes(image.attempt(0, MAX_STRENGTH))
  raise errors.LimitError(
    f"the image cannot be coded in {max_bytes} bytes: the smallest possible"
    f" size is {smallest} bytes"
  )


def trimmed(
  image: image_encoding.ImageEncoding,
  index: int,
  max_bytes: int,
  scaled: np.ndarray | None = None,
) -> image_encoding.Attempt | None:
  """Trims a quality as little as makes its file small enough.

  Args:
    image: The image.
    index: Index of the quality.
    max_bytes: The largest size, kept by the file itself.
    scaled: Other latents in place of the image's.

  Returns:
    None if trimming does not suffice.
  """
  wanted = float(max_bytes)
  for _ in range(PACKINGS):
    attempt = _least_trimmed(image, index, scaled, wanted)
    if attempt is None:
      break
    excess = image.file_bytes(attempt) - max_bytes
    if excess <= 0:
      return attempt
    wanted -= excess
  strongest = image.attempt(index, MAX_STRENGTH, scaled)
  return strongest if image.file_bytes(strongest) <= max_bytes else None


def coarsest_reaching(
  image: image_encoding.ImageEncoding, psnr: float
) -> image_encoding.Attempt:
  """The coarsest coding whose decoded image has at least this PSNR.

  Args:
    image: The image.
    psnr: In dB.

  Raises:
    errors.LimitError: if there is none; says what the finest quality reaches.
  """

  def reached(index: int) -> bool:
    return psnr_of(image, image.attempt(index)) >= psnr

  index = _first_true(reached, image.qualities)
  if index == image.qualities:
    finest = psnr_of(image, image.attempt(index - 1))
    raise errors.LimitError(
      f"the image cannot be coded at {psnr:g} dB: the finest quality reaches"
      f" {math.floor(finest * 100) / 100} dB"
    )
  return trimmed_to_psnr(image, index, psnr)


def trimmed_to_psnr(
  image: image_encoding.ImageEncoding,
  index: int,
  psnr: float,
  scaled: np.ndarray | None = None,
) -> image_encoding.Attempt:
  """Trims a quality that reaches a PSNR until it hardly does.

  Args:
    image: The image.
    index: Index of the quality.
    psnr: In dB.
    scaled: Other latents in place of the image's.
  """
  best = image.attempt(index, 0.0, scaled)
  excess = psnr_of(image, best) - psnr
  low, high = 0.0, MAX_STRENGTH
  for _ in range(BISECTIONS):
    if excess <= PSNR_EXCESS:
      break
    # PSNR falls faster and faster, so that the middle would be too far.
    middle = low + (high - low) / 4
    attempt = image.attempt(index, middle, scaled)
    reached = psnr_of(image, attempt) - psnr
    if reached >= 0:
      low, best, excess = middle, attempt, reached
    else:
      high = middle
  return best


def psnr_of(
  image: image_encoding.ImageEncoding, attempt: image_encoding.Attempt
) -> float:
  """PSNR of the decoded image over all samples, in dB; inf if it is equal."""
  return metrics.mse_to_psnr(image.mse(attempt))


def _least_trimmed(
  image: image_encoding.ImageEncoding,
  index: int,
  scaled: np.ndarray | None,
  size: float,
) -> image_encoding.Attempt | None:
  """The attempt of least strength whose file is expected to be so small.

  Returns:
    None if that of the greatest strength is not.
  """
  attempt = image.attempt(index, 0.0, scaled)
  if image.estimated_bytes(attempt) <= size:
    return attempt
  best = image.attempt(index, MAX_STRENGTH, scaled)
  if image.estimated_bytes(best) > size:
    return None
  low, high = 0.0, MAX_STRENGTH
  for _ in range(BISECTIONS):
    middle = (low + high) / 2
    attempt = image.attempt(index, middle, scaled)
    if image.estimated_bytes(attempt) <= size:
      high, best = middle, attempt
    else:
      low = middle
  return best


def _first_true(holds: Callable[[int], bool], count: int) -> int:
  """The first of 0 .. count - 1 from which on something holds, or `count`."""
  low, high = 0, count
  while low < high:
    middle = (low + high) // 2
    if holds(middle):
      high = middle
    else:
      low = middle + 1
  return low
