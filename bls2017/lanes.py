"""How an image's symbols are cut into lanes.

The latents of an image are h x w positions in raster order, each with the
symbols of the live channels in increasing order. A lane is a run of
`lane_positions` consecutive positions (the last lane may be shorter), coded as
a stream of its own over (position, channel). Lanes make decoding parallel: a
vectorised decoder takes one step for all of them.
"""

from __future__ import annotations

from bls2017 import config


def latent_shape(height: int, width: int) -> tuple[int, int]:
  """Positions along both sides of an image's latents."""
  return -(-height // config.DOWNSAMPLING), -(-width // config.DOWNSAMPLING)


def num_lanes(positions: int, lane_positions: int) -> int:
  """How many lanes an image of so many positions has."""
  return -(-positions // lane_positions)


def last_lane_positions(positions: int, lane_positions: int) -> int:
  """Positions of the last lane, from 1 to `lane_positions`."""
  return positions - (num_lanes(positions, lane_positions) - 1) * lane_positions
