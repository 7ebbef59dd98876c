"""Parts of images: which latents they need, and how they are made smaller."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.bitstream import lanes
from bls2017.common import config

REACH = 2
"""Positions around a pixel's own that its value depends on.

The stages of synthesis reach 1 row of their input: 16, 8 and 4 pixels, which
are less than two positions.
"""

REDUCTIONS = (1, 2, 4, 8)


class Region(NamedTuple):
  """A rectangle of pixels, or of positions.

  Attributes:
    x: Columns left of it.
    y: Rows above it.
    width: Columns.
    height: Rows.
  """

  x: int
  y: int
  width: int
  height: int

  def check(self, height: int, width: int) -> None:
    """Raises errors.UsageError unless it lies in an image and has pixels."""
    if (
      min(self.x, self.y) < 0
      or min(self.width, self.height) < 1
      or self.x + self.width > width
      or self.y + self.height > height
    ):
      raise errors.UsageError(
        f"the region of {self.width} x {self.height} pixels at ({self.x},"
        f" {self.y}) does not lie in the image of {width} x {height}"
      )

  def positions(self, height: int, width: int) -> Region:
    """The positions that the pixels of this region depend on.

    Args:
      height: Of the image in pixels.
      width: Likewise.
    """
    h, w = lanes.latent_shape(height, width)
    step = config.DOWNSAMPLING
    left, top = max(self.x // step - REACH, 0), max(self.y // step - REACH, 0)
    right = min((self.x + self.width - 1) // step + REACH + 1, w)
    bottom = min((self.y + self.height - 1) // step + REACH + 1, h)
    return Region(left, top, right - left, bottom - top)

  def indices(self, columns: int) -> np.ndarray:
    """Raster indices of positions: int [height, width].

    Args:
      columns: Of the whole grid.
    """
    rows = np.arange(self.y, self.y + self.height)
    return rows[:, None] * columns + np.arange(self.x, self.x + self.width)


def reduced(image: np.ndarray, factor: int) -> np.ndarray:
  """An image made smaller: means of boxes of factor x factor pixels.

  Boxes at the right and lower borders may have fewer pixels. Some rows are
  worked on at once, so that it takes little memory besides the image.

  Args:
    image: uint8 [H, W, 3].
    factor: One of `REDUCTIONS`.

  Returns:
    uint8 [ceil(H / factor), ceil(W / factor), 3].
  """
  if factor == 1:
    return image
  height, width = image.shape[:2]
  small = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
  columns = np.arange(0, width, factor)
  widths = np.diff(columns, append=width)
  for top in range(0, height, factor):
    box = image[top : top + factor]
    sums = np.add.reduceat(box.sum(0, dtype=np.uint32), columns, axis=0)
    counts = (len(box) * widths)[:, None].astype(np.uint32)
    small[top // factor] = (2 * sums + counts) // (2 * counts)
  return small
