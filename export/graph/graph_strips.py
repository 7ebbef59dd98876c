"""The transforms of an image in a graph, strip by strip.

A strip is as wide as the image, and so high that its largest tensor takes some
tens of megabytes. What the strip below needs is carried over, so strips cost no
product twice, and the bits do not depend on their height.
"""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from bls2017.common import config
from bls2017.model import frozen_transforms

STRIP_POSITIONS = 4096
"""Latents of a strip, at least; below twice as many, an image is one strip."""

_MIN_STRIP_ROWS = 2
"""Rows of latents that a strip must have to give any output."""


def analysis(
  transforms: frozen_transforms.FrozenTransforms, x: tf.Tensor
) -> tf.Tensor:
  """Latents of an image, strip by strip.

  Args:
    transforms: The model's.
    x: uint8 [H, W, 3], H and W multiples of 16.

  Returns:
    float32 [H/16, W/16, C].
  """
  height, width, _ = tf.unstack(tf.shape(x) // config.DOWNSAMPLING)
  return _loop(
    x,
    (height, width),
    config.DOWNSAMPLING,
    transforms.analysis_start(width),
    transforms.analysis_strip,
    tf.float32,
  )


def synthesis(
  transforms: frozen_transforms.FrozenTransforms, y: tf.Tensor
) -> tf.Tensor:
  """An image of latents, strip by strip.

  Args:
    transforms: The model's.
    y: float32 [h, w, C].

  Returns:
    uint8 [16 h, 16 w, 3].
  """
  height, width, _ = tf.unstack(tf.shape(y))
  return _loop(
    y,
    (height, width),
    1,
    transforms.pixels_start(width),
    transforms.pixels_strip,
    tf.uint8,
  )


def _loop(
  x: tf.Tensor,
  size: tuple[tf.Tensor, tf.Tensor],
  scale: int,
  start: frozen_transforms.Carried,
  step: Callable[..., tuple[tf.Tensor, frozen_transforms.Carried]],
  dtype: tf.DType,
) -> tf.Tensor:
  """Works on the strips of a tensor, from top to bottom.

  Args:
    x: [scale h, ...].
    size: h and w, rows and columns of latents, int32 scalars.
    scale: Rows of `x` for a row of latents.
    start: What is carried to the first strip.
    step: `FrozenTransforms.analysis_strip` or `pixels_strip`.
    dtype: Type of the result.

  Returns:
    The outputs of all strips, one below the other.
  """
  height, width = size
  count = _num_strips(height, width)

  def turn(
    i: tf.Tensor, carried: frozen_transforms.Carried, done: tf.TensorArray
  ) -> tuple[Any, ...]:
    first, end = i * height // count, (i + 1) * height // count
    rows = x[first * scale : end * scale]
    out, carried = step(rows[None], carried, i + 1 == count)
    return i + 1, carried, done.write(i, out[0])

  done = tf.TensorArray(dtype, count, infer_shape=False)
  _, _, done = tf.while_loop(
    lambda i, *_: i < count,
    turn,
    (0, start, done),
    shape_invariants=(
      tf.TensorShape(()),
      tuple(tf.TensorShape((1, None, None, c.shape[3])) for c in start),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )
  return done.concat()


def _num_strips(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """How many strips so many rows and columns of latents make."""
  rows = tf.maximum(-(-STRIP_POSITIONS // width), _MIN_STRIP_ROWS)
  return tf.maximum(height // rows, 1)
