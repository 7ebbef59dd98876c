"""The search for the candidate that a request asks for.

A quality needs no search. The bits of every quality follow from the tables'
code lengths, so a search for a size needs the range coder only to confirm its
result. The qualities are some 6% of the file or 0.2 dB apart. Sizes and PSNRs
in between are reached by trimming the finer one: its bits get a weight while
latents are rounded (`bls2017.encode.quantization`), just as much as needed.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.encode import candidates, region_of_interest, transparency
from bls2017.encode import request as request_lib
from bls2017.format import container
from bls2017.images import metrics
from bls2017.model import model_directory

MAX_STRENGTH = 0.25
"""Strongest trimming: the quality below is better long before it."""

FULL_USE = 0.995
"""A budget that is used to this share needs no trimming."""

LEAST_GAIN = 0.05
"""How many dB justify a part of the budget that is left unused.

A finer quality that is trimmed to the last percents of the difference between
two qualities is worse than the lower quality.
"""

PSNR_EXCESS = 0.05
"""How many dB more than asked for are not worth another step."""

BISECTIONS = 9
"""Halvings of the interval in which a strength is sought."""

PACKINGS = 6
"""Files made for one quality until one fits; the first nearly always does."""


class Encoding(NamedTuple):
  """The candidate that was found.

  Attributes:
    image: The analysed image.
    candidate: The candidate.
    stopped: True if the caller ended refining early.
  """

  image: candidates.AnalysedImage
  candidate: candidates.Candidate
  stopped: bool


def encode(
  pixels: np.ndarray,
  model: model_directory.FrozenModel,
  request: request_lib.Request,
  boxes: tuple[container.Box, ...] = (),
  progress: request_lib.Progress | None = None,
  alpha: np.ndarray | None = None,
) -> Encoding:
  """Finds the symbols that a request asks for.

  Args:
    pixels: uint8 [H, W, 3].
    model: The model.
    request: The quality or the target, and the effort.
    boxes: Metadata of the file, which counts for a size.
    progress: Told of the steps of refining.
    alpha: uint8 [H, W], by which errors count; None where all is opaque.

  Raises:
    errors.UsageError: if the request does not fit the model or the image.
    errors.LimitError: if the target cannot be met.
    errors.ModelError: if the model gives latents that are not finite.
  """
  size = pixels.shape[0], pixels.shape[1]
  _check(request, model, size)
  weights = None
  if alpha is not None:
    pixels = transparency.smeared(pixels, alpha)
    weights = transparency.error_weights(alpha)
  image = candidates.AnalysedImage(pixels, model, weights, boxes=boxes)
  if request.roi is None:
    candidate = _found(image, request)
  else:
    brightness = region_of_interest.brightness(request.roi, size)
    of_region = region_of_interest.error_weights(brightness)
    weights = of_region if weights is None else of_region * weights
    image = dataclasses.replace(image, error_weights=weights)
    darkness = region_of_interest.darkness(brightness)
    candidate = _found_for_region(image, request, darkness)
  if not request.refines:
    return Encoding(image, candidate, False)
  # It needs gradients, and with them TensorFlow.
  from bls2017.encode import refinement

  return Encoding(
    image, *refinement.refined(image, candidate, request, progress)
  )


def _check(
  request: request_lib.Request,
  model: model_directory.FrozenModel,
  size: tuple[int, int],
) -> None:
  """Refuses, before any work, a request that the model or image rules out."""
  request.quality_index(model.config)
  if request.refines and request.metric == "ms_ssim":
    if min(size) < metrics.MS_SSIM_MINIMUM_SIDE:
      raise errors.UsageError(
        "MS-SSIM is not defined for images with a side below"
        f" {metrics.MS_SSIM_MINIMUM_SIDE} pixels"
      )


def _found(
  image: candidates.AnalysedImage, request: request_lib.Request
) -> candidates.Candidate:
  """The best candidate that quantization alone gives."""
  max_bytes = request.byte_limit(math.prod(image.size))
  if max_bytes is not None:
    return finest_within(image, max_bytes)
  if request.target_psnr is not None:
    return coarsest_reaching(image, request.target_psnr)
  return image.candidate(request.quality_index(image.model.config))


def _found_for_region(
  image: candidates.AnalysedImage,
  request: request_lib.Request,
  darkness: np.ndarray,
) -> candidates.Candidate:
  """The candidate of the best weight of bits in dark places."""
  tried: list[candidates.Candidate] = []
  for strength in region_of_interest.STRENGTHS:
    weighted = dataclasses.replace(image, strength=strength * darkness)
    try:
      tried.append(_found(weighted, request))
    except errors.LimitError:
      # A size may be met where bits count more, a PSNR where they count less.
      if strength == region_of_interest.STRENGTHS[-1] and not tried:
        raise
  if request.byte_limit(1) is not None:
    return min(tried, key=image.mse)
  if request.target_psnr is not None:
    return min(tried, key=lambda candidate: candidate.bits)
  return min(tried, key=image.lagrangian)


def finest_within(
  image: candidates.AnalysedImage, max_bytes: int
) -> candidates.Candidate:
  """Finds the finest candidate whose file has at most so many bytes.

  Args:
    image: The image.
    max_bytes: The largest size.

  Raises:
    errors.LimitError: if there is none; says how small the smallest file is.
  """

  def exceeds(quality_index: int) -> bool:
    candidate = image.candidate(quality_index)
    return image.expected_bytes(candidate) > max_bytes

  qualities = len(image.model.tables)
  above = _first_true(exceeds, qualities, image.is_analysed)
  finer = trimmed(image, above, max_bytes) if above < qualities else None
  coarser = trimmed(image, above - 1, max_bytes) if above else None
  if finer and coarser:
    if image.expected_bytes(coarser) >= FULL_USE * max_bytes:
      return coarser
    gain = image.psnr(coarser) - image.psnr(finer)
    return coarser if gain > LEAST_GAIN else finer
  fitting = finer or coarser
  if fitting:
    return fitting
  smallest = len(image.file(image.candidate(0, MAX_STRENGTH)))
  raise errors.LimitError(
    f"the image cannot be coded in {max_bytes} bytes: the smallest possible"
    f" size is {smallest} bytes"
  )


def trimmed(
  image: candidates.AnalysedImage, quality_index: int, max_bytes: int
) -> candidates.Candidate | None:
  """Trims a quality as little as makes its file small enough.

  Args:
    image: The image.
    quality_index: Index of the quality.
    max_bytes: The largest size; the file itself keeps to it.

  Returns:
    None if trimming does not suffice.
  """
  budget = float(max_bytes)
  for _ in range(PACKINGS):
    candidate = _least_trimmed(image, quality_index, budget)
    if candidate is None:
      break
    excess = len(image.file(candidate)) - max_bytes
    if excess <= 0:
      return candidate
    budget -= excess
  strongest = image.candidate(quality_index, MAX_STRENGTH)
  return strongest if len(image.file(strongest)) <= max_bytes else None


def coarsest_reaching(
  image: candidates.AnalysedImage, psnr: float
) -> candidates.Candidate:
  """Finds the coarsest candidate whose decoded image has at least this PSNR.

  Args:
    image: The image.
    psnr: In dB.

  Raises:
    errors.LimitError: if there is none; says what the finest quality reaches.
  """

  def reaches(quality_index: int) -> bool:
    return image.psnr(image.candidate(quality_index)) >= psnr

  qualities = len(image.model.tables)
  quality_index = _first_true(reaches, qualities, image.is_analysed)
  if quality_index == qualities:
    finest = image.psnr(image.candidate(qualities - 1))
    raise errors.LimitError(
      f"the image cannot be coded at {psnr:g} dB: the finest quality reaches"
      f" {math.floor(finest * 100) / 100} dB"
    )
  return trimmed_to_psnr(image, quality_index, psnr)


def trimmed_to_psnr(
  image: candidates.AnalysedImage, quality_index: int, psnr: float
) -> candidates.Candidate:
  """Trims a quality that reaches a PSNR until it hardly does.

  Args:
    image: The image.
    quality_index: Index of the quality.
    psnr: In dB.
  """
  best = image.candidate(quality_index)
  excess = image.psnr(best) - psnr
  low, high = 0.0, MAX_STRENGTH
  for _ in range(BISECTIONS):
    if excess <= PSNR_EXCESS:
      break
    # PSNR falls faster and faster, so that the middle would be too far.
    strength = low + (high - low) / 4
    candidate = image.candidate(quality_index, strength)
    candidate_excess = image.psnr(candidate) - psnr
    if candidate_excess >= 0:
      low, best, excess = strength, candidate, candidate_excess
    else:
      high = strength
  return best


def _least_trimmed(
  image: candidates.AnalysedImage, quality_index: int, budget: float
) -> candidates.Candidate | None:
  """The candidate of least strength whose file is expected to fit a budget.

  None if that of the greatest strength is not.
  """
  candidate = image.candidate(quality_index)
  if image.expected_bytes(candidate) <= budget:
    return candidate
  best = image.candidate(quality_index, MAX_STRENGTH)
  if image.expected_bytes(best) > budget:
    return None
  low, high = 0.0, MAX_STRENGTH
  for _ in range(BISECTIONS):
    strength = (low + high) / 2
    candidate = image.candidate(quality_index, strength)
    if image.expected_bytes(candidate) <= budget:
      high, best = strength, candidate
    else:
      low = strength
  return best


def _first_true(
  holds: Callable[[int], bool], count: int, is_cheap: Callable[[int], bool]
) -> int:
  """The first of 0 .. count - 1 from which on something holds, or `count`.

  Asking may make other answers cheap. Cheap ones are asked as long as they can
  tell anything.
  """
  low, high = 0, count
  while low < high:
    middle = (low + high) // 2
    cheap = filter(is_cheap, range(low, high))
    asked = min(cheap, key=lambda i: abs(i - middle), default=middle)
    if holds(asked):
      high = asked
    else:
      low = asked + 1
  return low
