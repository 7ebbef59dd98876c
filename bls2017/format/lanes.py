"""How an image's positions are cut into lanes.

The latents of an image are h x w positions in raster order, one for 16 x 16
pixels. A file has n lanes, each coded as a stream of its own, so that a
vectorised decoder takes one step for all of them. Each lane has a run of
positions, whose heads it codes, and a run of the table indices that follow all
heads: each run is as long as any other, but for one. The encoder chooses n.
"""

from __future__ import annotations

import numpy as np

DOWNSAMPLING = 16
"""Pixels per position along a side (paper, section 3.1: 4 x 2 x 2)."""


def latent_shape(height: int, width: int) -> tuple[int, int]:
  """Positions along both sides of an image of so many pixels: h, w."""
  return -(-height // DOWNSAMPLING), -(-width // DOWNSAMPLING)


def fewest(positions: int, lane_positions: int) -> int:
  """The fewest lanes that an image may have.

  Args:
    positions: Of the image.
    lane_positions: The most that a lane of the quality may have.
  """
  return -(-positions // lane_positions)


def bounds(total: int, num_lanes: int) -> np.ndarray:
  """Where the runs of lanes begin, and the end: int64 [lanes + 1].

  Args:
    total: Positions or table indices of all lanes.
    num_lanes: How many lanes there are.
  """
  return np.arange(num_lanes + 1) * total // num_lanes
