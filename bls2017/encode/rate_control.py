"""Candidates of a size or of a PSNR.

The bits of every quality follow from the tables' code lengths, so that a search
needs the range coder only to confirm its result. The qualities are some 6% of
the file or 0.2 dB apart. Sizes and PSNRs in between are reached by trimming the
finer one: its bits get a weight while latents are rounded
(`bls2017.encode.quantization`), just as much as needed.
"""

from __future__ import annotations

import math
from typing import Callable

from bls2017 import errors
from bls2017.encode import analysis

MAX_STRENGTH = 0.25
"""Strongest trimming: the quality below is better long before it."""

FULL_USE = 0.995
"""A budget that is used to this share needs no trimming."""

LEAST_GAIN = 0.05
"""How many dB justify a part of the budget that is left unused.

A finer quality that is trimmed to the last percents of the difference between
two qualities is worse than the lower quality.
"""

MOST_TRIMMED = 0.04
"""Share of a budget beyond which trimming costs more than the quality below.

It decides where decoded images cannot be compared (`export.graph`).
"""

PSNR_EXCESS = 0.05
"""How many dB more than asked for are not worth another step."""

BISECTIONS = 9
"""Halvings of the interval in which a strength is sought."""

PACKINGS = 6
"""Files made for one quality until one fits; the first nearly always does."""


def finest_within(
  image: analysis.AnalysedImage, max_bytes: int
) -> analysis.Candidate:
  """The finest candidate whose file has at most so many bytes.

  Args:
    image: The image.
    max_bytes: The largest size.

  Raises:
    errors.LimitError: if there is none; says what the smallest file takes.
  """

  def exceeds(quality_index: int) -> bool:
    candidate = image.candidate(quality_index)
    return image.expected_bytes(candidate) > max_bytes

  qualities = len(image.model.model.tables)
  above = _first_true(exceeds, qualities, image.latents.are_known)
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
  smallest = image.file_bytes(image.candidate(0, MAX_STRENGTH))
  raise errors.LimitError(
    f"the image cannot be coded in {max_bytes} bytes: the smallest possible"
    f" size is {smallest} bytes"
  )


def trimmed(
  image: analysis.AnalysedImage,
  quality_index: int,
  max_bytes: int,
) -> analysis.Candidate | None:
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
    excess = image.file_bytes(candidate) - max_bytes
    if excess <= 0:
      return candidate
    budget -= excess
  strongest = image.candidate(quality_index, MAX_STRENGTH)
  return strongest if image.file_bytes(strongest) <= max_bytes else None


def coarsest_reaching(
  image: analysis.AnalysedImage, psnr: float
) -> analysis.Candidate:
  """The coarsest candidate whose decoded image has at least this PSNR.

  Args:
    image: The image.
    psnr: In dB.

  Raises:
    errors.LimitError: if there is none; says what the finest quality reaches.
  """

  def reaches(quality_index: int) -> bool:
    return image.psnr(image.candidate(quality_index)) >= psnr

  qualities = len(image.model.model.tables)
  quality_index = _first_true(reaches, qualities, image.latents.are_known)
  if quality_index == qualities:
    finest = image.psnr(image.candidate(qualities - 1))
    raise errors.LimitError(
      f"the image cannot be coded at {psnr:g} dB: the finest quality reaches"
      f" {math.floor(finest * 100) / 100} dB"
    )
  return trimmed_to_psnr(image, quality_index, psnr)


def trimmed_to_psnr(
  image: analysis.AnalysedImage,
  quality_index: int,
  psnr: float,
) -> analysis.Candidate:
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
  image: analysis.AnalysedImage,
  quality_index: int,
  budget: float,
) -> analysis.Candidate | None:
  """The candidate of least strength whose file is expected to fit a budget.

  Returns:
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

  Args:
    holds: Whether it does.
    count: At least 1.
    is_cheap: Whether asking is cheap, which asking may change. Cheap ones are
      asked as long as they can tell anything.
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
