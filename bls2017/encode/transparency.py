"""Pixels that cannot be seen: made cheap, and left out of every judgement.

The colours under an alpha of 0 are free. They go on from those around them: a
pyramid is built of the means of visible pixels, and each level fills what the
finer one lacks.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from bls2017.common import blocks

_STRIP = 128
"""Rows that are made smaller or filled at once; an even number."""

_UNSEEN = 128
"""The colour of an image without any visible pixel: the codec's zero."""


def smeared(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
  """Gives invisible pixels colours that cost little.

  Args:
    pixels: uint8 [H, W, 3].
    alpha: uint8 [H, W].

  Returns:
    uint8 [H, W, 3]; the pixels themselves where alpha is above 0.
  """
  if not alpha.any():
    return np.full_like(pixels, _UNSEEN)
  return _filled(pixels, np.where(alpha, np.uint8(255), np.uint8(0)))


def error_weights(alpha: np.ndarray) -> np.ndarray | None:
  """What a squared error at each pixel counts: float32 [H, W] in 0..1.

  None, for 1 everywhere, where alpha, uint8 [H, W], shows no pixel at all.
  """
  return alpha / np.float32(255) if alpha.any() else None


def _filled(pixels: np.ndarray, seen: np.ndarray) -> np.ndarray:
  """Fills the pixels where `seen`, uint8 [H, W], is 0 and not 255."""
  if seen.all():
    return pixels
  height, width = seen.shape
  half = np.empty((-(-height // 2), -(-width // 2), 4), np.uint8)
  for rows in blocks.blocks(height, _STRIP):
    strip = Image.fromarray(pixels[rows])
    strip.putalpha(Image.fromarray(seen[rows]))
    half[rows.start // 2 : -(-rows.stop // 2)] = strip.reduce(2)
  half_seen = np.where(half[..., 3], np.uint8(255), np.uint8(0))
  coarse = Image.fromarray(_filled(half[..., :3], half_seen))
  filled = np.empty_like(pixels)
  for rows in blocks.blocks(height, _STRIP):
    is_seen = seen[rows, :, None] > 0
    size = (width, len(is_seen))
    box = (0, rows.start / 2, width / 2, (rows.start + len(is_seen)) / 2)
    fine = coarse.resize(size, Image.Resampling.BILINEAR, box)
    filled[rows] = np.where(is_seen, pixels[rows], np.asarray(fine))
  return filled
