"""How an image's positions are cut into lanes.

The latents of an image are h x w positions in raster order, one for 16 x 16
pixels. A file has n lanes, each coded as a stream of its own, so that a
vectorised decoder takes one step for all of them. The encoder chooses n. Each
lane has three runs, which are as long as other lanes', but for one: of the
positions of even lines, whose heads it codes in a first pass; of those of odd
lines, in a second pass; and of the table indices that follow all heads.

When the second pass begins, all even lines are known. So the tables of heads
may know some neighbours of a position:

- the one to the left, if it is in the same run;
- in the first pass, the second one to the left, if it is in the same run;
- in the second pass, those above and below, in whatever lanes. Below the last
  line, the one above counts twice.
"""

from __future__ import annotations

from typing import NamedTuple

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


def most_positions(height: int, width: int, num_lanes: int) -> int:
  """The most positions that a lane of an image of h x w positions has.

  Args:
    height: h.
    width: w.
    num_lanes: How many lanes there are.
  """
  rows = (height + 1) // 2, height // 2
  return sum(-(-count * width // num_lanes) for count in rows)


class Neighbours(NamedTuple):
  """The positions that those of an image know; P, their number, is none.

  Attributes:
    left: int32 [P].
    second: int32 [P], left of that, in the first pass.
    later: int32 [n], the positions of the second pass.
    above: int32 [n], of each of those.
    below: int32 [n].
  """

  left: np.ndarray
  second: np.ndarray
  later: np.ndarray
  above: np.ndarray
  below: np.ndarray


def passes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """The positions of both passes, int32 each, of h x w positions."""
  grid = np.arange(height * width, dtype=np.int32).reshape(height, width)
  return grid[::2].ravel(), grid[1::2].ravel()


def neighbours(height: int, width: int, num_lanes: int = 1) -> Neighbours:
  """The neighbours of each of h x w positions.

  Args:
    height: h.
    width: w.
    num_lanes: How many lanes there are.
  """
  total = height * width
  grid = np.arange(total, dtype=np.int32).reshape(height, width)
  left, second = np.full((2, height, width), total, np.int32)
  left[:, 1:] = grid[:, :-1]
  second[::2, 2:] = grid[::2, :-2]
  left, second = left.ravel(), second.ravel()
  for positions in passes(height, width):
    runs = bounds(len(positions), num_lanes)
    first, lengths = runs[:-1], np.diff(runs)
    left[positions[first[lengths > 0]]] = total
    for step in (0, 1):
      second[positions[first[lengths > step] + step]] = total
  later = np.arange(1, height, 2)
  below = np.where(later + 1 < height, later + 1, later - 1)
  return Neighbours(
    left, second, *(grid[rows].ravel() for rows in (later, later - 1, below))
  )
