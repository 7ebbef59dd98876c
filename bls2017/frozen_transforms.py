"""The transforms with constant weights, in forms that are equal but faster.

Only TensorFlow's own operations, so that these graphs run in any TensorFlow:

- GDN's sum over channels is a matrix product over all positions, not a
  convolution of width 1;
- the last synthesis stage, 9x9 up 4, is a 3x3 convolution to 4 x 4 x 3 channels
  that `depth_to_space` puts in place;
- kernels are plain constants, computed once;
- a single image is worked on in strips of rows. What lies between two stages
  then stays small: the memory of a large image is that of its ends, and no time
  goes into pages that are used once. A strip is computed with so many rows
  around it that its own do not depend on where it was cut.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bls2017 import config

STRIP_POSITIONS = 2048
"""Latent positions of a strip, about: half a megapixel."""

HALO = 2
"""Rows of latents around a strip on which its own depend.

Analysis reaches 28 pixels beyond its block (4, 2 x 4 and 2 x 8 pixels in the
three stages), synthesis 1 + 1/2 + 1/4 latents.
"""

_OUTPUT_STAGE = len(config.STAGES) - 1


class FrozenTransforms:
  """Both transforms of a model, ready to be traced into a graph."""

  def __init__(self, weights: dict[str, np.ndarray]):
    """Prepares the constants.

    Args:
      weights: Named float arrays as `BLS2017Model.get_arrays` returns them.
    """
    self._weights = {
      name: np.asarray(value, np.float32) for name, value in weights.items()
    }
    _, stride = config.STAGES[0]
    last = f"synthesis/{_OUTPUT_STAGE}"
    self._output_kernel = _subpixel_kernel(
      self._weights[f"{last}/kernel"], stride
    )
    # The offset and scale of the output are folded into its last convolution.
    self._output_kernel *= 255.0
    self._output_bias = np.tile(
      (self._weights[f"{last}/bias"] + 0.5) * 255.0, stride * stride
    )

  def analysis(self, x: tf.Tensor) -> tf.Tensor:
    """Latents of images.

    Args:
      x: float32 [N, H, W, 3] in 0..255, H and W multiples of 16.

    Returns:
      float32 [N, H/16, W/16, C].
    """
    return _in_strips(self._analysis, x, config.DOWNSAMPLING, 1)

  def _analysis(self, x: tf.Tensor) -> tf.Tensor:
    x = x / 255.0 - 0.5
    for i, (support, stride) in enumerate(config.STAGES):
      x = tf.nn.conv2d(
        x,
        self._weights[f"analysis/{i}/kernel"],
        stride,
        _padding(support, stride),
      )
      x = tf.nn.bias_add(x, self._weights[f"analysis/{i}/bias"])
      x *= tf.math.rsqrt(self._norm_pool(f"analysis/{i}/gdn", x))
    return x

  def synthesis(self, y: tf.Tensor) -> tf.Tensor:
    """Images of latents.

    Args:
      y: float32 [N, h, w, C].

    Returns:
      float32 [N, 16 h, 16 w, 3], about 0..255, not rounded or clipped.
    """
    return _in_strips(self._synthesis, y, 1, config.DOWNSAMPLING)

  def _synthesis(self, y: tf.Tensor) -> tf.Tensor:
    name = "synthesis/igdn_in"
    for i, (support, stride) in enumerate(reversed(config.STAGES)):
      y *= tf.math.sqrt(self._norm_pool(name, y))
      if i == _OUTPUT_STAGE:
        y = tf.nn.conv2d(y, self._output_kernel, 1, "SAME")
        y = tf.nn.bias_add(y, self._output_bias)
        return tf.nn.depth_to_space(y, stride)
      name = f"synthesis/{i}/igdn"
      kernel = self._weights[f"synthesis/{i}/kernel"]
      shape = tf.shape(y)
      y = tf.nn.conv2d_transpose(
        y,
        np.swapaxes(kernel, 2, 3),
        (shape[0], shape[1] * stride, shape[2] * stride, kernel.shape[3]),
        stride,
        _padding(support, stride),
      )
      y = tf.nn.bias_add(y, self._weights[f"synthesis/{i}/bias"])
    raise AssertionError("the stages end with the output")

  def _norm_pool(self, name: str, x: tf.Tensor) -> tf.Tensor:
    """Beta + x^2 gamma, the square of what GDN divides by."""
    gamma = self._weights[f"{name}/gamma"]
    flat = tf.reshape(tf.square(x), (-1, gamma.shape[0]))
    pool = tf.nn.bias_add(tf.matmul(flat, gamma), self._weights[f"{name}/beta"])
    return tf.reshape(pool, tf.shape(x))


def _in_strips(
  transform: Callable[[tf.Tensor], tf.Tensor],
  x: tf.Tensor,
  scale_in: int,
  scale_out: int,
) -> tf.Tensor:
  """Applies a transform to an image strip by strip; to a batch as a whole.

  Args:
    transform: From float32 [1, scale_in h, scale_in w, ...] to float32
      [1, scale_out h, scale_out w, ...], for any number h of rows.
    x: Its input.
    scale_in: Rows of the input for a row of latents.
    scale_out: Rows of the output for a row of latents.
  """
  if x.shape[0] != 1:
    return transform(x)
  height, width = tf.shape(x)[1] // scale_in, tf.shape(x)[2] // scale_in
  rows = tf.maximum(STRIP_POSITIONS // width, 2 * HALO)
  count = (height + rows - 1) // rows

  def strip(i: tf.Tensor, done: tf.TensorArray) -> tuple[Any, ...]:
    first, last = i * rows, tf.minimum((i + 1) * rows, height)
    start, stop = tf.maximum(first - HALO, 0), tf.minimum(last + HALO, height)
    out = transform(x[:, start * scale_in : stop * scale_in])
    own = out[0, (first - start) * scale_out : (last - start) * scale_out]
    return i + 1, done.write(i, own)

  strips = tf.TensorArray(tf.float32, count, infer_shape=False)
  _, strips = tf.while_loop(
    lambda i, _: i < count, strip, (0, strips), parallel_iterations=1
  )
  return strips.concat()[None]


def _padding(support: int, stride: int) -> list[list[int]]:
  """Zeros around an image, so that output i is centred on input stride * i."""
  half = support // 2
  side = [half, half - stride + 1]
  return [[0, 0], side, side, [0, 0]]


def _subpixel_kernel(kernel: np.ndarray, stride: int) -> np.ndarray:
  """An upsampling kernel as one that computes all phases at low resolution.

  Args:
    kernel: float [k, k, in, out] of a convolution up by `stride`; tap t adds
      input i to output stride * i + t - k // 2.
    stride: The factor.

  Returns:
    float [n, n, in, stride * stride * out]: output stride * i + phase as a
    correlation around input i, n odd.
  """
  support, _, channels_in, channels_out = kernel.shape
  reach = (support // 2 + stride - 1) // stride
  n = 2 * reach + 1
  phases = np.zeros(
    (n, n, channels_in, stride, stride, channels_out), np.float32
  )
  for u in range(n):
    for v in range(n):
      for p in range(stride):
        for q in range(stride):
          # Input i + u - reach adds to output stride * i + p with this tap.
          row = p - (u - reach) * stride + support // 2
          column = q - (v - reach) * stride + support // 2
          if 0 <= row < support and 0 <= column < support:
            phases[u, v, :, p, q] = kernel[row, column]
  return phases.reshape(n, n, channels_in, -1)
