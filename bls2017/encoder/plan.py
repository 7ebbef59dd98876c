"""What a caller asks for, and how an image is coded to meet it."""

from __future__ import annotations

import dataclasses

import numpy as np

from bls2017 import errors
from bls2017.bitstream import coding_tables
from bls2017.encoder import (
  image_encoding,
  rate_control,
  refinement,
  region_of_interest,
)
from bls2017.images import metrics

DEFAULT_QUALITY = 5.0
DEFAULT_EFFORT = 3
MAX_EFFORT = 9

_HEADROOM = 1.03
"""Refining at a fixed quality makes a file smaller by about this factor."""

_PSNR_GAIN = 0.05
"""Refining at a fixed quality raises the PSNR by at least so many dB."""

_LEANING = 0.49


OPTIMISED_EFFORT = 2
"""The least effort at which quantization weighs what a symbol costs."""


@dataclasses.dataclass(frozen=True)
class Options:
  """How an image is compressed; at most one target, and none with a quality.

  Attributes:
    target_bpp: Most bits per pixel of the file.
    max_bytes: Most bytes of the file.
    target_psnr: Least PSNR of the decoded image in dB.
    effort: 1 to 9.
    metric: What refining improves, one of `refinement.METRICS`.
    roi: uint8 [H, W], where the bits go; None for everywhere.
  """

  target_bpp: float | None = None
  max_bytes: int | None = None
  target_psnr: float | None = None
  effort: int = DEFAULT_EFFORT
  metric: str = refinement.METRICS[0]
  roi: np.ndarray | None = None


def target(
  pixels: int, levels: int, quality: float | None, options: Options
) -> rate_control.Target:
  """What a file is to be.

  Args:
    pixels: Of the image.
    levels: Of the model.
    quality: 1 to `levels`; the default where there is no target.
    options: May hold a target instead.

  Returns:
    A target with one attribute; a quality is one that the model has.

  Raises:
    errors.UsageError: if there is more than one, or it makes no sense.
  """
  found = rate_control.make_target(
    pixels,
    quality,
    options.target_bpp,
    options.max_bytes,
    options.target_psnr,
  )
  if found.max_bytes is not None or found.psnr is not None:
    return found
  wanted = DEFAULT_QUALITY if quality is None else quality
  index = coding_tables.quality_index(wanted, levels)
  return rate_control.Target(quality=coding_tables.index_quality(index))


class Plan:
  """How one image will be coded; everything is checked before work is done."""

  def __init__(
    self,
    primitives: image_encoding.Primitives,
    size: tuple[int, int],
    quality: float | None = None,
    options: Options | None = None,
  ):
    """Checks what is asked for.

    Args:
      primitives: Of the model.
      size: Height and width of the image.
      quality: 1 to the model's levels; the default where there is no target.
      options: Everything else.

    Raises:
      errors.UsageError: if something is out of its range, or contradicts
        something else.
    """
    options = options or Options()
    self._primitives = primitives
    self._options = options
    levels = primitives.model.config.num_levels
    self._target = target(size[0] * size[1], levels, quality, options)
    self._index = None
    if self._target.quality is not None:
      self._index = coding_tables.quality_index(self._target.quality, levels)
    if not 1 <= options.effort <= MAX_EFFORT:
      raise errors.UsageError(
        f"effort must be from 1 to {MAX_EFFORT}, not {options.effort}"
      )
    if options.metric not in refinement.METRICS:
      raise errors.UsageError(
        f"metric must be one of {', '.join(refinement.METRICS)},"
        f" not {options.metric!r}"
      )
    self._bright = None
    if options.roi is not None:
      self._bright = region_of_interest.brightness(options.roi, size)
    if self._refines:
      refinement.check(options.metric, size, self._bright is not None)

  @property
  def _refines(self) -> bool:
    return self._options.effort >= refinement.FIRST_EFFORT

  def start(
    self, image: np.ndarray, latents: np.ndarray
  ) -> image_encoding.ImageEncoding:
    """The image with its latents, float32 [positions, C]."""
    weight = None
    if self._bright is not None:
      weight = region_of_interest.weight(self._bright)
    return image_encoding.ImageEncoding(
      image,
      latents,
      self._primitives,
      weight=weight,
      optimised=self._options.effort >= OPTIMISED_EFFORT
      and self._options.metric == "mse",
    )

  def carry_out(
    self,
    image: image_encoding.ImageEncoding,
    observer: refinement.Observer | None = None,
  ) -> tuple[image_encoding.Attempt, bool]:
    """Codes the image.

    Args:
      image: From `start`.
      observer: Told how refining goes on.

    Returns:
      What was found, and whether refining was interrupted.

    Raises:
      errors.LimitError: if the target cannot be met.
    """
    image, attempt = self._drawn(image)
    if not self._refines:
      return attempt, False
    if self._index is None:
      nearby = self._without_refining(image, _HEADROOM, _PSNR_GAIN)
      start = image.attempt(nearby.index)
    else:
      # What is cheaper on average need not be so for every image.
      rounded = image.rounded().attempt(self._index)
      if self._is_better(image, rounded, attempt):
        attempt = rounded
      start = attempt
    refined = refinement.refine(
      image,
      start,
      self._objective(image, start),
      self._options.effort,
      observer,
    )
    found = self._fitted(image, start, refined)
    # At a fixed quality refining has only improved on its start.
    better = found is not None and (
      self._index is not None or self._is_better(image, found, attempt)
    )
    return (found if better and found else attempt), refined.interrupted

  def _drawn(
    self, image: image_encoding.ImageEncoding
  ) -> tuple[image_encoding.ImageEncoding, image_encoding.Attempt]:
    """The image with the best weight of its mask, and how it is coded."""
    if self._bright is None:
      return image, self._without_refining(image, 1.0, 0.0)
    dark = region_of_interest.darkness(self._bright)
    best = None
    for strength in region_of_interest.STRENGTHS:
      candidate = image.with_strength(strength * dark)
      try:
        attempt = self._without_refining(candidate, 1.0, 0.0)
      except errors.LimitError:
        # Where bits count more, a size can be kept, where less, a PSNR.
        if strength == region_of_interest.STRENGTHS[-1] and best is None:
          raise
        continue
      if best is None or self._is_better(image, attempt, best[1]):
        best = candidate, attempt
    assert best is not None
    return best

  def _without_refining(
    self, image: image_encoding.ImageEncoding, headroom: float, margin: float
  ) -> image_encoding.Attempt:
    if self._index is not None:
      return image.attempt(self._index)
    if self._target.max_bytes is not None:
      limit = int(headroom * self._target.max_bytes)
      return rate_control.finest_within(image, limit)
    assert self._target.psnr is not None
    return rate_control.coarsest_reaching(image, self._target.psnr - margin)

  def _objective(
    self, image: image_encoding.ImageEncoding, start: image_encoding.Attempt
  ) -> refinement.Objective:
    model = self._primitives.model.config
    lmbda = refinement.lmbda_of(start.index, model.lmbdas)
    metric = self._options.metric
    if metric != model.distortion:
      # The other measure gets the weight that its distortion had in the loss.
      values = {"mse": image.mse(start)}
      decoded = image.decoded(start)
      values["ms_ssim"] = 1 - metrics.ms_ssim(image.image, decoded)
      lmbda *= values[model.distortion] / max(values[metric], 1e-6)
    return refinement.Objective(metric, lmbda)

  def _fitted(
    self,
    image: image_encoding.ImageEncoding,
    start: image_encoding.Attempt,
    refined: refinement.Refined,
  ) -> image_encoding.Attempt | None:
    """What was refined, trimmed to the target; None if it cannot meet it."""
    index = start.index
    best = image.of_symbols(index, refined.symbols)
    if self._index is not None:
      return best
    # Rounds to the refined symbols, and leans towards what analysis gave.
    lean = np.clip(image.scaled(index) - refined.symbols, -_LEANING, _LEANING)
    scaled = refined.symbols + lean
    # Where bits count more was settled by refining.
    image = image.rounded()
    if self._target.max_bytes is not None:
      return rate_control.trimmed(image, index, self._target.max_bytes, scaled)
    assert self._target.psnr is not None
    if rate_control.psnr_of(image, best) < self._target.psnr:
      return None
    return rate_control.trimmed_to_psnr(image, index, self._target.psnr, scaled)

  def _is_better(
    self,
    image: image_encoding.ImageEncoding,
    found: image_encoding.Attempt,
    other: image_encoding.Attempt,
  ) -> bool:
    if self._target.max_bytes is not None:
      return image.mse(found) < image.mse(other)
    if self._target.psnr is not None:
      return found.bits < other.bits
    lmbda = refinement.lmbda_of(
      found.index, self._primitives.model.config.lmbdas
    )
    values = [
      a.bits / image.pixels + lmbda * image.weighted_mse(a)
      for a in (found, other)
    ]
    return values[0] < values[1]
