"""Parts of images: which latents they need, and how they are made smaller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.format import lanes

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


def check_reduction(factor: int) -> None:
  """Raises errors.UsageError unless it is one of `REDUCTIONS`."""
  if factor not in REDUCTIONS:
    raise errors.UsageError(
      f"an image can be reduced by one of {REDUCTIONS}, not {factor}"
    )


def assembled(
  bands: Iterable[np.ndarray], part: Region, factor: int = 1
) -> np.ndarray:
  """A part of an image that comes in bands, made smaller as they come.

  Samples are means of boxes of factor x factor pixels, which begin at the upper
  left corner of the part; those at its right and lower borders may have fewer.

  Args:
    bands: uint8 [n, W, 3], the rows of the image from top to bottom; none is
      asked for below the part.
    part: Pixels inside of the image.
    factor: One of `REDUCTIONS`.

  Returns:
    uint8 [ceil(part.height / factor), ceil(part.width / factor), 3].
  """
  height, width = -(-part.height // factor), -(-part.width // factor)
  image = np.empty((height, width, 3), np.uint8)
  waiting = np.empty((0, part.width, 3), np.uint8)
  top, bottom, done = -part.y, part.height, 0
  for band in bands:
    rows = band[max(-top, 0) : max(bottom - top, 0)]
    rows = rows[:, part.x : part.x + part.width]
    top += len(band)
    if len(waiting):
      rows = np.concatenate([waiting, rows])
    ready = len(rows) if top >= bottom else len(rows) // factor * factor
    boxes = image[done : done - (-ready // factor)]
    boxes[:] = rows[:ready] if factor == 1 else _means(rows[:ready], factor)
    done += len(boxes)
    if top >= bottom:
      break
    # A copy, so that the band can be freed.
    waiting = rows[ready:].copy()
  return image


def _means(image: np.ndarray, factor: int) -> np.ndarray:
  """Means of boxes of factor x factor pixels, of each row of boxes by itself.

  Args:
    image: uint8 [H, W, 3].
    factor: Above 1.

  Returns:
    uint8 [ceil(H / factor), ceil(W / factor), 3].
  """
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
