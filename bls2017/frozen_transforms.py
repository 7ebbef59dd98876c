"""The transforms with constant weights, in forms that are equal but faster.

Only TensorFlow's own operations, so that these graphs run in any TensorFlow:

- GDN's sum over channels is a matrix product over all positions, not a
  convolution of width 1;
- the last synthesis stage, 9x9 up 4, is a 3x3 convolution to 4 x 4 x 3 channels
  that `depth_to_space` puts in place;
- kernels are plain constants, computed once;
- the other two, 5x5 up 2, are four ordinary convolutions, one for each phase;
- a single image is worked on in tiles. What lies between two stages then stays
  below 32 MiB, above which the allocator takes fresh pages for every tensor,
  and the memory of a large image is that of its ends. A tile is computed with
  so much around it that it does not show where it was cut.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bls2017 import config

TILE = 56
"""Latents along a side of a tile: 0.8 megapixels."""

HALO = 2
"""Latents around a tile on which its own depend.

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
    return _in_tiles(self._analysis, x, config.DOWNSAMPLING, 1)

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
    return _in_tiles(self._synthesis, y, 1, config.DOWNSAMPLING)

  def _synthesis(self, y: tf.Tensor) -> tf.Tensor:
    name = "synthesis/igdn_in"
    for i, (_, stride) in enumerate(reversed(config.STAGES)):
      y *= tf.math.sqrt(self._norm_pool(name, y))
      if i == _OUTPUT_STAGE:
        y = tf.nn.conv2d(y, self._output_kernel, 1, "SAME")
        y = tf.nn.bias_add(y, self._output_bias)
        return tf.nn.depth_to_space(y, stride)
      name = f"synthesis/{i}/igdn"
      y = _up_phases(y, self._weights[f"synthesis/{i}/kernel"])
      y = tf.nn.bias_add(y, self._weights[f"synthesis/{i}/bias"])
    raise AssertionError("the stages end with the output")

  def _norm_pool(self, name: str, x: tf.Tensor) -> tf.Tensor:
    """Beta + x^2 gamma, the square of what GDN divides by."""
    gamma = self._weights[f"{name}/gamma"]
    flat = tf.reshape(tf.square(x), (-1, gamma.shape[0]))
    pool = tf.nn.bias_add(tf.matmul(flat, gamma), self._weights[f"{name}/beta"])
    return tf.reshape(pool, tf.shape(x))


def _in_tiles(
  transform: Callable[[tf.Tensor], tf.Tensor],
  x: tf.Tensor,
  scale_in: int,
  scale_out: int,
) -> tf.Tensor:
  """Applies a transform to an image tile by tile; to a batch as a whole.

  Args:
    transform: From float32 [1, scale_in h, scale_in w, ...] to float32
      [1, scale_out h, scale_out w, ...], for any h and w.
    x: Its input.
    scale_in: Rows and columns of the input for one of the latents.
    scale_out: Rows and columns of the output for one of the latents.
  """
  if x.shape[0] != 1:
    return transform(x)

  def across(strip: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """The rows `own` of a strip, which is as wide as the image."""

    def tile(part: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
      out = transform(tf.transpose(part, (1, 0, 2))[None])[0]
      out = out[own[0] * scale_out : own[1] * scale_out]
      return tf.transpose(
        out[:, inside[0] * scale_out : inside[1] * scale_out], (1, 0, 2)
      )

    done = _along(tf.transpose(strip, (1, 0, 2)), scale_in, tile)
    return tf.transpose(done, (1, 0, 2))

  return _along(x[0], scale_in, across)[None]


def _along(
  x: tf.Tensor,
  scale_in: int,
  part: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.Tensor:
  """Cuts a tensor along its first axis, and concatenates what becomes of it.

  Args:
    x: float32 [scale_in n, ...].
    scale_in: Its rows for one of the latents.
    part: From rows of x, and int32 [2], where the part's own latents begin and
      end in them, to float32 rows of the result.
  """
  size = tf.shape(x)[0] // scale_in
  count = (size + TILE - 1) // TILE

  def step(i: tf.Tensor, done: tf.TensorArray) -> tuple[Any, ...]:
    first, last = i * TILE, tf.minimum((i + 1) * TILE, size)
    start, stop = tf.maximum(first - HALO, 0), tf.minimum(last + HALO, size)
    rows = x[start * scale_in : stop * scale_in]
    return i + 1, done.write(i, part(rows, tf.stack([first, last]) - start))

  parts = tf.TensorArray(tf.float32, count, infer_shape=False)
  _, parts = tf.while_loop(
    lambda i, _: i < count, step, (0, parts), parallel_iterations=1
  )
  return parts.concat()


def _up_phases(y: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
  """A 5x5 convolution up by 2: four of its phases, interleaved.

  Even outputs see 3 taps along a side, odd ones 2: together the 25 of the
  kernel. TensorFlow's transposed convolution takes twice the time.

  Args:
    y: float32 [N, h, w, in].
    kernel: float32 [5, 5, in, out].

  Returns:
    float32 [N, 2 h, 2 w, out].
  """
  channels_out = kernel.shape[3]
  phases = _subpixel_kernel(kernel, 2)
  phases = phases.reshape(*phases.shape[:3], 2, 2, channels_out)
  rows = [
    tf.stack(
      [
        tf.nn.conv2d(
          y,
          phases[p:, q:, :, p, q],
          1,
          [[0, 0], [1 - p, 1], [1 - q, 1], [0, 0]],
        )
        for q in (0, 1)
      ],
      3,
    )
    for p in (0, 1)
  ]
  shape = tf.shape(y)
  return tf.reshape(
    tf.stack(rows, 2), (shape[0], 2 * shape[1], 2 * shape[2], channels_out)
  )


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
