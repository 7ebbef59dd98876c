"""Images worked on in strips, so that memory and time grow with their pixels.

A strip is as wide as the image, and as high as pays for its steps: its largest
tensor takes some tens of megabytes. What the neighbour below needs of it is
carried over (`frozen_transforms`), so strips cost no product twice, and the
result has the same bits whatever their height.

The loop is Python's: the graph of a strip is small and is traced in a fraction
of a second, an image never exists in floating point as a whole, and an image of
one strip needs no loop. `export.graph.graph_strips` has the loop of a graph.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.format import lanes
from bls2017.model import frozen_transforms

STRIP_POSITIONS = 4096
"""Latents of a strip, at least; below twice as many, an image is one strip."""

MIN_STRIP_ROWS = 2
"""Rows of latents that a strip must have to give any output."""


def num_strips(height: Any, width: Any) -> Any:
  """How many strips there are.

  Args:
    height: Rows of latents, an int or an int32 scalar.
    width: Columns of latents, likewise.
  """
  rows = -(-STRIP_POSITIONS // width)
  if isinstance(height, int):
    return max(height // max(rows, MIN_STRIP_ROWS), 1)
  return tf.maximum(height // tf.maximum(rows, MIN_STRIP_ROWS), 1)


class Transforms:
  """The transforms of a model for numpy arrays.

  Attributes:
    frozen: What they are made of.
  """

  def __init__(self, weights: Mapping[str, np.ndarray], num_latents: int):
    """Prepares the graphs; they are traced when they are first used.

    Args:
      weights: As for `frozen_transforms.FrozenTransforms`.
      num_latents: C.
    """
    self.frozen = frozen_transforms.FrozenTransforms(weights, num_latents)
    self._image = tf.TensorSpec((1, None, None, 3), tf.uint8)
    self._latents = tf.TensorSpec((1, None, None, num_latents), tf.float32)

  def latents(self, image: np.ndarray) -> np.ndarray:
    """The latents of an image.

    The last column and row are repeated up to multiples of 16.

    Args:
      image: uint8 [H, W, 3].

    Returns:
      float32 [h, w, C].
    """
    height, width = lanes.latent_shape(*image.shape[:2])
    count = num_strips(height, width)
    if count == 1:
      return self._analysis(_pad(image)[None])[0].numpy()
    latents = np.empty((height, width, self._latents.shape[3]), np.float32)
    carried = self.frozen.analysis_start(width)
    done = 0
    for i in range(count):
      first, end = _bounds(i, count, height)
      rows = image[first * config.DOWNSAMPLING : end * config.DOWNSAMPLING]
      y, carried = self._analysis_strip(
        _pad(rows)[None], carried, i + 1 == count
      )
      latents[done : done + y.shape[1]] = y[0].numpy()
      done += y.shape[1]
    return latents

  def bands(
    self, latents: Callable[[int, int], np.ndarray], height: int, width: int
  ) -> Iterator[np.ndarray]:
    """See `runtimes.Transforms.bands`."""
    rows, columns = lanes.latent_shape(height, width)
    count = num_strips(rows, columns)
    if count == 1:
      yield self._pixels(latents(0, rows)[None])[0].numpy()[:height, :width]
      return
    carried = self.frozen.pixels_start(columns)
    done = 0
    for i in range(count):
      y = latents(*_bounds(i, count, rows))
      x, carried = self._pixels_strip(y[None], carried, i + 1 == count)
      yield x[0].numpy()[: height - done, :width]
      done += x.shape[1]

  @functools.cached_property
  def _analysis(self) -> Any:
    return _traced(self.frozen.analysis, self._image)

  @functools.cached_property
  def _pixels(self) -> Any:
    return _traced(self.frozen.pixels, self._latents)

  @functools.cached_property
  def _analysis_strip(self) -> Any:
    carried = _carried_spec(self.frozen.analysis_start(1))
    return _traced(self.frozen.analysis_strip, self._image, carried, _TRUTH)

  @functools.cached_property
  def _pixels_strip(self) -> Any:
    carried = _carried_spec(self.frozen.pixels_start(1))
    return _traced(self.frozen.pixels_strip, self._latents, carried, _TRUTH)


_TRUTH = tf.TensorSpec((), tf.bool)


def _traced(function: Callable[..., Any], *signature: Any) -> Any:
  return tf.function(function, input_signature=signature, autograph=False)


def _carried_spec(start: frozen_transforms.Carried) -> tuple[Any, ...]:
  return tuple(
    tf.TensorSpec((1, None, None, x.shape[3]), tf.float32) for x in start
  )


def _bounds(i: int, count: int, height: int) -> tuple[int, int]:
  """The first row of latents of strip i, and the one after its last."""
  return i * height // count, (i + 1) * height // count


def _pad(image: np.ndarray) -> np.ndarray:
  """Repeats the last row and column up to multiples of 16."""
  height, width = image.shape[:2]
  bottom = -height % config.DOWNSAMPLING
  right = -width % config.DOWNSAMPLING
  if not (bottom or right):
    return image
  return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
