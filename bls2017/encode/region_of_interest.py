"""Masks that say where in an image the bits go.

A file has one quality, that of the brightest places. Where the mask is darker,
bits count more while latents are rounded, and errors count less in every
decision.
"""

from __future__ import annotations

import numpy as np

from bls2017 import errors
from bls2017.format import lanes

STRENGTHS = (0.0, 0.1, 0.3, 1.0)
"""Weights of a bit where the mask is black (`bls2017.encode.quantization`).

More weight saves bits in dark places, which allow a finer quality. But the
tables of a finer quality make dark places dearer, so all weights are tried.
"""

LEAST_WEIGHT = 0.05
"""The weight of a squared error where the mask is black."""


def brightness(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """A mask relative to its brightest place.

  Args:
    mask: uint8 [H, W].
    size: Height and width of the image.

  Returns:
    float32 [H, W] in 0..1.

  Raises:
    errors.UsageError: if the mask is of another type or size, or all black.
  """
  mask = np.asarray(mask)
  if mask.dtype != np.uint8 or mask.ndim != 2:
    raise errors.UsageError(
      "a region of interest must be uint8 [height, width],"
      f" not {mask.dtype} {list(mask.shape)}"
    )
  if mask.shape != size:
    raise errors.UsageError(
      f"the region of interest has {mask.shape[1]} x {mask.shape[0]} pixels,"
      f" the image {size[1]} x {size[0]}"
    )
  brightest = mask.max()
  if not brightest:
    raise errors.UsageError("the region of interest is all black")
  return mask.astype(np.float32) / np.float32(brightest)


def darkness(brightness: np.ndarray) -> np.ndarray:
  """How far the mask at each position is below its brightest place.

  Args:
    brightness: float32 [H, W], from `brightness`.

  Returns:
    float32 [positions] in 0..1, by the brightest pixel of each position.
  """
  block = lanes.DOWNSAMPLING
  height, width = brightness.shape
  padded = np.pad(
    brightness, ((0, -height % block), (0, -width % block)), mode="edge"
  )
  by_position = padded.reshape(
    padded.shape[0] // block, block, padded.shape[1] // block, block
  )
  return 1 - by_position.max((1, 3)).ravel()


def error_weights(brightness: np.ndarray) -> np.ndarray:
  """The weight of a squared error at each pixel: float32 [H, W], at most 1.

  Args:
    brightness: float32 [H, W], from `brightness`.
  """
  return LEAST_WEIGHT + (1 - LEAST_WEIGHT) * brightness
