"""Kinds of alpha for tests; each makes uint8 [H, W] from a height and width."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _distance(height: int, width: int) -> np.ndarray:
  """From the middle, 1 at the borders of the longer side: float [H, W]."""
  y, x = np.mgrid[:height, :width]
  y, x = y - (height - 1) / 2, x - (width - 1) / 2
  return 2 * np.hypot(y, x) / max(height, width)


def hard(height: int, width: int) -> np.ndarray:
  """A disc cut out: 0 or 255."""
  return np.where(_distance(height, width) < 0.7, 255, 0).astype(np.uint8)


def sprite(height: int, width: int) -> np.ndarray:
  """A disc with smoothed edges and a hole."""
  large = hard(4 * height, 4 * width)
  large[height : 2 * height, width : 2 * width] = 0
  small = Image.fromarray(large).resize((width, height), Image.Resampling.BOX)
  return np.asarray(small)


def soft(height: int, width: int) -> np.ndarray:
  """A disc with a wide blurred edge."""
  blur = ImageFilter.GaussianBlur(max(height, width) / 20)
  return np.asarray(Image.fromarray(hard(height, width)).filter(blur))


def gradient(height: int, width: int) -> np.ndarray:
  """From opaque to nearly transparent."""
  distance = _distance(height, width)
  return np.rint(255 * (1 - distance / 1.5)).clip(0, 255).astype(np.uint8)


def dithered(height: int, width: int) -> np.ndarray:
  """A gradient in 0 and 255."""
  image = Image.fromarray(gradient(height, width)).convert("1").convert("L")
  return np.asarray(image)


def noise(height: int, width: int) -> np.ndarray:
  """Any value anywhere."""
  rng = np.random.default_rng(height * width)
  return rng.integers(0, 256, (height, width), np.uint8)


KINDS = (hard, sprite, soft, gradient, dithered, noise)
