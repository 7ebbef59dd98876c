"""The transforms of an image in a graph, strip by strip.

A strip is as wide as the image, and so high that its largest tensor takes some
tens of megabytes. Each strip hands on the rows that the next one needs, so no
product is computed twice, and the bits do not depend on the height of strips.
"""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from bls2017.format import lanes
from bls2017.model import frozen_transforms

STRIP_POSITIONS = 4096
"""Latents of a strip, at least; below twice as many, an image is one strip."""

_MIN_STRIP_ROWS = 2
"""Rows of latents that a strip must have to give any output."""


def analysis(
  transforms: frozen_transforms.FrozenTransforms, x: tf.Tensor
) -> tf.Tensor:
  """Computes the latents of an image.

  Args:
    transforms: The model's.
    x: uint8 [H, W, 3], H and W multiples of 16.

  Returns:
    float32 [H/16, W/16, C].
  """
  return _in_strips(
    x,
    lanes.DOWNSAMPLING,
    transforms.analysis_start,
    transforms.analysis_strip,
    tf.float32,
  )


def synthesis(
  transforms: frozen_transforms.FrozenTransforms, y: tf.Tensor
) -> tf.Tensor:
  """Computes an image of latents.

  Args:
    transforms: The model's.
    y: float32 [h, w, C].

  Returns:
    uint8 [16 h, 16 w, 3].
  """
  return _in_strips(
    y, 1, transforms.pixels_start, transforms.pixels_strip, tf.uint8
  )


def _in_strips(
  x: tf.Tensor,
  scale: int,
  start: Callable[[tf.Tensor], frozen_transforms.Carried],
  step: Callable[..., tuple[tf.Tensor, frozen_transforms.Carried]],
  dtype: tf.DType,
) -> tf.Tensor:
  """The outputs of all strips; `x` has `scale` rows for a row of latents."""
  height, width, _ = tf.unstack(tf.shape(x) // scale)
  rows = tf.maximum(-(-STRIP_POSITIONS // width), _MIN_STRIP_ROWS)
  count = tf.maximum(height // rows, 1)
  first_carried = start(width)

  def turn(
    i: tf.Tensor, carried: frozen_transforms.Carried, done: tf.TensorArray
  ) -> tuple[Any, ...]:
    first, end = i * height // count, (i + 1) * height // count
    strip = x[first * scale : end * scale]
    out, carried = step(strip[None], carried, i + 1 == count)
    return i + 1, carried, done.write(i, out[0])

  _, _, done = tf.while_loop(
    lambda i, *_: i < count,
    turn,
    (0, first_carried, tf.TensorArray(dtype, count, infer_shape=False)),
    shape_invariants=(
      tf.TensorShape(()),
      tuple(tf.TensorShape((1, None, None, c.shape[3])) for c in first_carried),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )
  return done.concat()
