"""What the file of an image is to be: of a quality, of a size, or of a PSNR.

Each kind of target searches a candidate, says what better candidates have less
of, and improves one by refining.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Protocol

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.encoder import analysis, rate_control
from bls2017.encoder import options as options_lib

_HEADROOM = 1.03
"""Refining at a fixed quality makes a file smaller by about this factor."""

_PSNR_GAIN = 0.05
"""Refining at a fixed quality raises the PSNR by at least so many dB."""

_LEANING = 0.49
"""How far a latent may lie from the refined symbol that it is rounded to."""

Refine = Callable[[analysis.Candidate], np.ndarray]
"""Gives better symbols than a candidate's: float32 [positions, C]."""


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
  """A quality of the model, and its index; costs are Lagrangians."""

  quality_index: int
  quality: float

  def search(self, image: analysis.AnalysedImage) -> analysis.Candidate:
    """See `Target.search`."""
    return image.candidate(self.quality_index)

  def refined(
    self,
    image: analysis.AnalysedImage,
    candidate: analysis.Candidate,
    refine: Refine,
  ) -> analysis.Candidate:
    """See `Target.refined`; refining only improves on its start."""
    # Optimised quantization is better on average, not for every image.
    rounded = self.search(image.rounded())
    start = min(candidate, rounded, key=image.lagrangian)
    return image.candidate_of(self.quality_index, refine(start))

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
    max_bytes = int(_HEADROOM * self.max_bytes)
    index = rate_control.finest_within(image, max_bytes).quality_index
    symbols = refine(image.candidate(index))
    trimmed = rate_control.trimmed(
      image.rounded(), index, self.max_bytes, _leaning(image, index, symbols)
    )
    return min(candidate, trimmed or candidate, key=image.mse)

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
    nearby = rate_control.coarsest_reaching(image, self.psnr - _PSNR_GAIN)
    index = nearby.quality_index
    symbols = refine(image.candidate(index))
    if image.psnr(image.candidate_of(index, symbols)) < self.psnr:
      return candidate
    trimmed = rate_control.trimmed_to_psnr(
      image.rounded(), index, self.psnr, _leaning(image, index, symbols)
    )
    return min(candidate, trimmed, key=lambda c: c.bits)

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
  if options.target_bpp is not None:
    return SizeTarget(math.floor(options.target_bpp * pixels / 8))
  if options.max_bytes is not None:
    return SizeTarget(math.floor(options.max_bytes))
  if options.target_psnr is not None:
    return PsnrTarget(options.target_psnr)
  if quality is None:
    quality = options_lib.DEFAULT_QUALITY
  index = model_config.quality_index(quality)
  return QualityTarget(index, model_config.index_quality(index))


def _leaning(
  image: analysis.AnalysedImage, quality_index: int, symbols: np.ndarray
) -> np.ndarray:
  """Latents that round to refined symbols, near those of the analysis.

  Trimming them changes first the symbols that cost the least error.
  """
  lean = image.scaled(quality_index) - symbols
  return symbols + np.clip(lean, -_LEANING, _LEANING)
