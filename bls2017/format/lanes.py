"""How an image's positions are cut into lanes.

The latents of an image are h x w positions in raster order, one for 16 x 16
pixels. A lane is a run of `lane_positions` consecutive positions (the last lane
may be shorter), coded as a stream of its own. Lanes make decoding parallel: a
vectorised decoder takes one step for all of them. They also let a part of an
image be decoded without the rest.
"""

from __future__ import annotations

DOWNSAMPLING = 16
"""Pixels per position along a side (paper, section 3.1: 4 x 2 x 2)."""


def latent_shape(height: int, width: int) -> tuple[int, int]:
  """Positions along both sides of an image of so many pixels: h, w."""
  return -(-height // DOWNSAMPLING), -(-width // DOWNSAMPLING)


def num_lanes(positions: int, lane_positions: int) -> int:
  """How many lanes an image of so many positions has."""
  return -(-positions // lane_positions)


def last_lane_positions(positions: int, lane_positions: int) -> int:
  """Positions of the last lane, from 1 to `lane_positions`."""
  return positions - (num_lanes(positions, lane_positions) - 1) * lane_positions
