"""What the file of an image is to be: of a quality, of a size, or of a PSNR.

Each kind of target searches a candidate, says what better candidates have less
of, and improves one by refining.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Callable, Protocol

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.encode import analysis, rate_control
from bls2017.encode import options as options_lib

_SHARE_USED = 0.999
"""Share of the bits of a size that refining uses: lanes end in whole bytes."""

_MOST_EXCESS = 10.0
"""How many dB more than asked for refining gives away at most."""

_AS_GOOD = 10**0.005
"""Factor of a distortion that nobody sees: 0.05 dB."""

Refine = Callable[..., Iterator[np.ndarray]]
"""Improves a candidate round by round: `refinement.Refinement.rounds`.

A higher effort passes through the results of all lower ones. So what holds from
each result to the next better one holds between any two efforts.
"""


class Target(Protocol):
  """What a file is to be."""

  def search(self, image: analysis.AnalysedImage) -> analysis.Candidate:
    """The best candidate that quantization alone gives.

    Raises:
      errors.LimitError: if the target cannot be met.
    """

  def refined(
    self,
    image: analysis.AnalysedImage,
    candidate: analysis.Candidate,
    refine: Refine,
  ) -> analysis.Candidate:
    """The better one of a candidate, from `search`, and a refined one."""

  def cost(
    self, image: analysis.AnalysedImage, candidate: analysis.Candidate
  ) -> float:
    """What a candidate that meets the target is to have little of."""

  def objection(self, file_bytes: int, quality: float) -> str:
    """Says why a file is not what is asked for; empty where nothing tells."""


@dataclasses.dataclass(frozen=True)
class QualityTarget:
  """A quality of the model, and its index; costs are Lagrangians.

  More effort gives a file that is not larger, of an image that is not worse:
  its distortion by the metric grows by 0.05 dB at most.
  """

  quality_index: int
  quality: float
  metric: str = options_lib.METRICS[0]

  def search(self, image: analysis.AnalysedImage) -> analysis.Candidate:
    """See `Target.search`."""
    return image.candidate(self.quality_index)

  def refined(
    self,
    image: analysis.AnalysedImage,
    candidate: analysis.Candidate,
    refine: Refine,
  ) -> analysis.Candidate:
    """See `Target.refined`."""
    best, best_bytes = candidate, image.file_bytes(candidate)
    least = image.distortion(candidate, self.metric)
    for symbols in refine(candidate, max_distortion=least):
      smaller = image.candidate_of(self.quality_index, symbols)
      smaller_bytes = image.file_bytes(smaller)
      distortion = image.distortion(smaller, self.metric)
      if smaller_bytes <= best_bytes and distortion <= least * _AS_GOOD:
        best, best_bytes = smaller, smaller_bytes
        least = min(least, distortion)
    return best

  def cost(
    self, image: analysis.AnalysedImage, candidate: analysis.Candidate
  ) -> float:
    """See `Target.cost`."""
    return image.lagrangian(candidate)

  def objection(self, file_bytes: int, quality: float) -> str:
    """See `Target.objection`."""
    del file_bytes
    if quality == self.quality:
      return ""
    return f"quality {quality:g}, not {self.quality:g}"


@dataclasses.dataclass(frozen=True)
class SizeTarget:
  """The most bytes of a file; costs are squared errors."""

  max_bytes: int
  metric: str = options_lib.METRICS[0]

  def search(self, image: analysis.AnalysedImage) -> analysis.Candidate:
    """See `Target.search`."""
    return rate_control.finest_within(image, self.max_bytes)

  def refined(
    self,
    image: analysis.AnalysedImage,
    candidate: analysis.Candidate,
    refine: Refine,
  ) -> analysis.Candidate:
    """See `Target.refined`."""
    spare_bytes = self.max_bytes - image.file_bytes(candidate)
    max_bits = _SHARE_USED * (candidate.bits + 8 * spare_bytes)
    best, least = candidate, image.distortion(candidate, self.metric)
    for symbols in refine(candidate, max_bits=max_bits):
      better = image.candidate_of(candidate.quality_index, symbols)
      distortion = image.distortion(better, self.metric)
      fits = image.file_bytes(better) <= self.max_bytes
      if fits and distortion < least:
        best, least = better, distortion
    return best

  def cost(
    self, image: analysis.AnalysedImage, candidate: analysis.Candidate
  ) -> float:
    """See `Target.cost`."""
    return image.mse(candidate)

  def objection(self, file_bytes: int, quality: float) -> str:
    """See `Target.objection`."""
    del quality
    if file_bytes <= self.max_bytes:
      return ""
    return f"{file_bytes} bytes, more than {self.max_bytes}"


@dataclasses.dataclass(frozen=True)
class PsnrTarget:
  """The least PSNR of the decoded image in dB; costs are bits."""

  psnr: float

  def search(self, image: analysis.AnalysedImage) -> analysis.Candidate:
    """See `Target.search`."""
    return rate_control.coarsest_reaching(image, self.psnr)

  def refined(
    self,
    image: analysis.AnalysedImage,
    candidate: analysis.Candidate,
    refine: Refine,
  ) -> analysis.Candidate:
    """See `Target.refined`."""
    best, best_bytes = candidate, image.file_bytes(candidate)
    excess = min(image.psnr(candidate) - self.psnr, _MOST_EXCESS)
    max_distortion = image.weighted_mse(candidate) * 10 ** (excess / 10)
    for symbols in refine(candidate, max_distortion=max_distortion):
      smaller = image.candidate_of(candidate.quality_index, symbols)
      smaller_bytes = image.file_bytes(smaller)
      if smaller_bytes <= best_bytes and image.psnr(smaller) >= self.psnr:
        best, best_bytes = smaller, smaller_bytes
    return best

  def cost(
    self, image: analysis.AnalysedImage, candidate: analysis.Candidate
  ) -> float:
    """See `Target.cost`."""
    del image
    return candidate.bits

  def objection(self, file_bytes: int, quality: float) -> str:
    """See `Target.objection`; only the image itself could tell."""
    del file_bytes, quality
    return ""


def target(
  quality: float | None,
  options: options_lib.Options,
  pixels: int,
  model_config: config.ModelConfig,
) -> Target:
  """The target that a caller asks for.

  Args:
    quality: 1 to the number of levels; the default where there is no target.
    options: May hold a target instead.
    pixels: Height times width of the image.
    model_config: Of the model.

  Raises:
    errors.UsageError: if there is more than one, or one is out of its range.
  """
  values = {
    "quality": quality,
    "target_bpp": options.target_bpp,
    "max_bytes": options.max_bytes,
    "target_psnr": options.target_psnr,
  }
  given = {name: value for name, value in values.items() if value is not None}
  if len(given) > 1:
    raise errors.UsageError(f"{' and '.join(given)} contradict each other")
  for name, value in given.items():
    if name != "quality" and not (math.isfinite(value) and value > 0):
      raise errors.UsageError(f"{name} must be positive, not {float(value)}")
  metric = options.metric
  if options.target_bpp is not None:
    return SizeTarget(math.floor(options.target_bpp * pixels / 8), metric)
  if options.max_bytes is not None:
    return SizeTarget(math.floor(options.max_bytes), metric)
  if options.target_psnr is not None:
    return PsnrTarget(options.target_psnr)
  if quality is None:
    quality = min(options_lib.DEFAULT_QUALITY, model_config.num_levels)
  index = model_config.quality_index(quality)
  return QualityTarget(index, model_config.index_quality(index), metric)
