"""What the file of an image is to be: of a quality, of a size, or of a PSNR.

Each kind of target searches a candidate, tells which of two is better, and fits
refined symbols.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np

from bls2017 import errors
from bls2017.bitstream import coding_tables
from bls2017.encoder import analysed_image, rate_control
from bls2017.encoder import options as options_lib

_HEADROOM = 1.03
"""Refining at a fixed quality makes a file smaller by about this factor."""

_PSNR_GAIN = 0.05
"""Refining at a fixed quality raises the PSNR by at least so many dB."""

_LEANING = 0.49
"""How far a latent may lie from the refined symbol that it is rounded to."""


class Target(Protocol):
  """What a file is to be."""

  def search(
    self, image: analysed_image.AnalysedImage
  ) -> analysed_image.Candidate:
    """The best candidate that quantization alone gives.

    Raises:
      errors.LimitError: if the target cannot be met.
    """

  def refining_start(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
  ) -> analysed_image.Candidate:
    """The candidate to refine, where `search` gave this candidate."""

  def improved(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    quality_index: int,
    symbols: np.ndarray,
  ) -> analysed_image.Candidate:
    """The best candidate after refining.

    Args:
      image: The image.
      candidate: From `search`.
      quality_index: Index of the quality that was refined.
      symbols: float32 [positions, C], the refined symbols.
    """

  def is_better(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    other: analysed_image.Candidate,
  ) -> bool:
    """Whether a candidate is better than another one; both meet the target."""

  def objection(self, file_bytes: int, quality: float) -> str:
    """Why a file is not what is asked for; empty where nothing tells."""


@dataclasses.dataclass(frozen=True)
class QualityTarget:
  """A quality of the model, by its index."""

  quality_index: int

  def search(
    self, image: analysed_image.AnalysedImage
  ) -> analysed_image.Candidate:
    """See `Target.search`."""
    return image.candidate(self.quality_index)

  def refining_start(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
  ) -> analysed_image.Candidate:
    """See `Target.refining_start`."""
    # Optimised quantization is better on average, not for every image.
    rounded = self.search(image.rounded())
    return rounded if self.is_better(image, rounded, candidate) else candidate

  def improved(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    quality_index: int,
    symbols: np.ndarray,
  ) -> analysed_image.Candidate:
    """See `Target.improved`."""
    del candidate  # Refining has only improved on its start.
    return image.candidate_of(quality_index, symbols)

  def is_better(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    other: analysed_image.Candidate,
  ) -> bool:
    """See `Target.is_better`; the Lagrangian decides."""
    return image.lagrangian(candidate) < image.lagrangian(other)

  def objection(self, file_bytes: int, quality: float) -> str:
    """See `Target.objection`."""
    del file_bytes
    expected = coding_tables.index_quality(self.quality_index)
    return (
      "" if quality == expected else f"quality {quality:g}, not {expected:g}"
    )


@dataclasses.dataclass(frozen=True)
class SizeTarget:
  """The most bytes of a file."""

  max_bytes: int

  def search(
    self, image: analysed_image.AnalysedImage
  ) -> analysed_image.Candidate:
    """See `Target.search`."""
    return rate_control.finest_within(image, self.max_bytes)

  def refining_start(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
  ) -> analysed_image.Candidate:
    """See `Target.refining_start`."""
    del candidate
    max_bytes = int(_HEADROOM * self.max_bytes)
    nearby = rate_control.finest_within(image, max_bytes)
    return image.candidate(nearby.quality_index)

  def improved(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    quality_index: int,
    symbols: np.ndarray,
  ) -> analysed_image.Candidate:
    """See `Target.improved`."""
    scaled = _leaning(image, quality_index, symbols)
    trimmed = rate_control.trimmed(
      image.rounded(), quality_index, self.max_bytes, scaled
    )
    if trimmed and self.is_better(image, trimmed, candidate):
      return trimmed
    return candidate

  def is_better(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    other: analysed_image.Candidate,
  ) -> bool:
    """See `Target.is_better`."""
    return image.mse(candidate) < image.mse(other)

  def objection(self, file_bytes: int, quality: float) -> str:
    """See `Target.objection`."""
    del quality
    if file_bytes <= self.max_bytes:
      return ""
    return f"{file_bytes} bytes, more than {self.max_bytes}"


@dataclasses.dataclass(frozen=True)
class PsnrTarget:
  """The least PSNR of the decoded image in dB."""

  psnr: float

  def search(
    self, image: analysed_image.AnalysedImage
  ) -> analysed_image.Candidate:
    """See `Target.search`."""
    return rate_control.coarsest_reaching(image, self.psnr)

  def refining_start(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
  ) -> analysed_image.Candidate:
    """See `Target.refining_start`."""
    del candidate
    nearby = rate_control.coarsest_reaching(image, self.psnr - _PSNR_GAIN)
    return image.candidate(nearby.quality_index)

  def improved(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    quality_index: int,
    symbols: np.ndarray,
  ) -> analysed_image.Candidate:
    """See `Target.improved`."""
    if image.psnr(image.candidate_of(quality_index, symbols)) < self.psnr:
      return candidate
    scaled = _leaning(image, quality_index, symbols)
    trimmed = rate_control.trimmed_to_psnr(
      image.rounded(), quality_index, self.psnr, scaled
    )
    return trimmed if self.is_better(image, trimmed, candidate) else candidate

  def is_better(
    self,
    image: analysed_image.AnalysedImage,
    candidate: analysed_image.Candidate,
    other: analysed_image.Candidate,
  ) -> bool:
    """See `Target.is_better`."""
    del image
    return candidate.bits < other.bits

  def objection(self, file_bytes: int, quality: float) -> str:
    """See `Target.objection`; only the image itself could tell."""
    del file_bytes, quality
    return ""


def target(
  quality: float | None,
  options: options_lib.Options,
  pixels: int,
  levels: int,
) -> Target:
  """The target that a caller asks for.

  Args:
    quality: 1 to `levels`; the default where there is no target.
    options: May hold a target instead.
    pixels: Height times width of the image.
    levels: Number of trained levels of the model.

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
  return QualityTarget(coding_tables.quality_index(quality, levels))


def _leaning(
  image: analysed_image.AnalysedImage, quality_index: int, symbols: np.ndarray
) -> np.ndarray:
  """Latents that round to refined symbols, near what analysis gave.

  Trimming then takes first what costs least.
  """
  lean = image.scaled(quality_index) - symbols
  return symbols + np.clip(lean, -_LEANING, _LEANING)
