"""A synthetic photograph: smooth shading, edges and texture, from a seed."""

from __future__ import annotations

import numpy as np


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
  """Draws a picture that a transform coder can work with.

  Args:
    height: Pixels.
    width: Pixels.
    seed: Another picture for each.

  Returns:
    uint8 [height, width, 3].
  """
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:height, :width] / 64.0
  image = np.zeros((height, width, 3))
  for _ in range(6):
    fy, fx, phase = rng.normal(0, 1.5, 3)
    wave = np.sin(fy * y + fx * x + phase)[..., None]
    image += wave * rng.normal(0, 25, 3)
  for _ in range(5):
    centre_y, centre_x = rng.uniform(0, [height, width]) / 64.0
    inside = np.hypot(y - centre_y, x - centre_x) < rng.uniform(0.2, 1.5)
    image[inside] += rng.normal(0, 50, 3)
  image += rng.normal(0, 4, (height, width, 1))
  return np.clip(np.rint(image + 128), 0, 255).astype(np.uint8)
