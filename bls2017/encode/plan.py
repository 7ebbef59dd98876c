"""How one image is coded, from what a caller asks for to the rows of a file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bls2017 import errors
from bls2017.encode import (
  analysis,
  region_of_interest,
  targets,
)
from bls2017.encode import options as options_lib
from bls2017.images import metrics

if TYPE_CHECKING:
  from bls2017.encode import refinement


class Plan:
  """How one image will be coded; everything is checked before work is done."""

  def __init__(
    self,
    model: analysis.PreparedModel,
    size: tuple[int, int],
    quality: float | None = None,
    options: options_lib.Options | None = None,
  ):
    """Checks what is asked for.

    Args:
      model: The model.
      size: Height and width of the image.
      quality: 1 to the model's levels; the default where there is no target.
      options: Everything else.

    Raises:
      errors.UsageError: if something is out of its range, or contradicts
        something else.
      errors.MissingPackageError: if refining was asked for without TensorFlow.
    """
    options = options or options_lib.Options()
    self._model = model
    self._options = options
    self._target = targets.target(
      quality, options, size[0] * size[1], model.model.config
    )
    self._brightness = None
    if options.roi is not None:
      self._brightness = region_of_interest.brightness(options.roi, size)
    self._refines = options.effort >= options_lib.REFINING_EFFORT
    options.check()
    _check_metric(options, size)

  def carry_out(
    self, pixels: np.ndarray, observer: refinement.StepObserver | None = None
  ) -> tuple[analysis.Candidate, bool]:
    """Codes the image.

    Args:
      pixels: uint8 [H, W, 3].
      observer: Told of the steps of refining.

    Returns:
      The best candidate, and whether refining was interrupted.

    Raises:
      errors.LimitError: if the target cannot be met.
      errors.ModelError: if the model gives latents that are not finite.
    """
    image = self._analysed(pixels)
    candidate = self._quantized(image)
    if not self._refines:
      return candidate, False
    # It needs gradients, and with them TensorFlow.
    from bls2017.encode import refinement

    refining = refinement.Refinement(
      image, self._options.metric, self._options.effort, observer
    )
    candidate = self._target.refined(image, candidate, refining.rounds)
    return candidate, refining.interrupted

  def _analysed(self, pixels: np.ndarray) -> analysis.AnalysedImage:
    error_weights = None
    if self._brightness is not None:
      error_weights = region_of_interest.error_weights(self._brightness)
    return analysis.AnalysedImage(
      pixels,
      analysis.Latents(pixels, self._model),
      self._model,
      error_weights,
    )

  def _quantized(self, image: analysis.AnalysedImage) -> analysis.Candidate:
    """The best candidate that quantization alone gives.

    With a region of interest, that of the best weight of bits in dark places.
    """
    if self._brightness is None:
      return self._target.search(image)
    darkness = region_of_interest.darkness(self._brightness)
    tried: list[analysis.Candidate] = []
    for strength in region_of_interest.STRENGTHS:
      weighted = dataclasses.replace(image, strength=strength * darkness)
      try:
        tried.append(self._target.search(weighted))
      except errors.LimitError:
        # A size may be met where bits count more, a PSNR where they count less.
        if strength == region_of_interest.STRENGTHS[-1] and not tried:
          raise
    return min(tried, key=lambda c: self._target.cost(image, c))


def _check_metric(options: options_lib.Options, size: tuple[int, int]) -> None:
  """Raises errors.UsageError where an image is too small for its metric."""
  refines = options.effort >= options_lib.REFINING_EFFORT
  if options.metric == "mse" or not refines:
    return
  if min(size) < metrics.MS_SSIM_MINIMUM_SIDE:
    raise errors.UsageError(
      "MS-SSIM is not defined for images with a side below"
      f" {metrics.MS_SSIM_MINIMUM_SIDE} pixels"
    )
