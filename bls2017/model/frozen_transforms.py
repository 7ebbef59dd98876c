"""The transforms with fixed weights, in forms that are equal but faster.

Only TensorFlow's own operations, so that these graphs run in any TensorFlow:

- the last synthesis stage, 9x9 up 4, is a 3x3 convolution to 4 x 4 x 3 channels
  that are put in place afterwards; for two thirds of them, a 2x3 convolution;
- the other two, 5x5 up 2, are four ordinary convolutions, one for each phase;
- kernels are computed once, in the form that convolutions take, and hold the
  scale of the pixels; biases are constants next to the convolutions, which
  TensorFlow then adds in the same pass;
- pixels are rounded before they are put in place: bytes move, not floats;
- an image can be worked on in strips, from top to bottom. Every stage keeps the
  last rows of what it has seen, as many as the next strip's convolution reaches
  back, so nothing is computed twice.

All operations give an output the same bits wherever the image was cut:
convolutions sum the taps of an output in one order, and GDN uses a convolution
of width 1, a square root and a division. A matrix product sums in an order that
depends on its size, and `rsqrt` on the place in a vector.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.format import lanes

_OUTPUT_STAGE = len(config.STAGES) - 1
_OUTPUT_CUT = 16
"""Channels of the last synthesis stage that see 3 rows of its input.

Those of the first row of phases, 12, do; oneDNN computes 16 at a time.
"""
_OUTPUT_PARTS = (slice(_OUTPUT_CUT), slice(_OUTPUT_CUT, None))
_SYNTHESIS_REACH = 1
"""Rows of its input above and below that a synthesis stage depends on."""

_MIDDLE = 127.5
_RANGE = 255.0

Carried = tuple[tf.Tensor, ...]
"""The rows that each stage keeps between strips: float32 [1, n, width, C]."""


class _Rows(Protocol):
  """Gives a stage the rows around its input."""

  def __call__(
    self, x: tf.Tensor, support: int, stride: int
  ) -> tuple[tf.Tensor, list[int]]:
    """The rows to convolve, and the zeros to add above and below them."""


class FrozenTransforms:
  """Both transforms of a model, ready to be traced into a graph."""

  def __init__(
    self,
    weights: Mapping[str, np.ndarray],
    num_latents: int | None = None,
    hold: Callable[[np.ndarray], Any] = np.asarray,
  ):
    """Prepares the kernels.

    Args:
      weights: Named float arrays as `BLS2017Model.get_arrays` returns them. The
        last GDN of the analysis may have fewer outputs than inputs; the others
        are part of its norm alone.
      num_latents: C, where it is more than the outputs of the analysis: then
        channels that are 0 follow them, which the synthesis ignores.
      hold: What makes of each kernel what the graphs use. An array becomes a
        constant of every graph that uses it, a variable is there once for all.
    """
    self._weights = {
      name: np.asarray(value, np.float32) for name, value in weights.items()
    }
    self._kernels = {name: hold(kernel) for name, kernel in self._to_kernels()}
    self._outputs = len(self._weights["synthesis/igdn_in/beta"])
    self._spare = (num_latents or self._outputs) - self._outputs
    _, stride = config.STAGES[0]
    bias = self._weights[f"synthesis/{_OUTPUT_STAGE}/bias"]
    self._output_bias = np.tile(bias * _RANGE + _MIDDLE, stride * stride)

  def _to_kernels(self) -> Iterator[tuple[str, np.ndarray]]:
    """The kernels of all convolutions, with the names of `_kernels`."""
    for name, value in self._weights.items():
      if name.endswith("/gamma"):
        yield name, value[None, None]
    for i in range(len(config.STAGES)):
      kernel = self._weights[f"analysis/{i}/kernel"]
      yield f"analysis/{i}", kernel if i else kernel / _RANGE
    for i in range(_OUTPUT_STAGE):
      phases = _subpixel_kernel(self._weights[f"synthesis/{i}/kernel"], 2)
      phases = phases.reshape(*phases.shape[:3], 2, 2, -1)
      for p, q in itertools.product((0, 1), repeat=2):
        yield f"synthesis/{i}/{p}{q}", phases[p:, q:, :, p, q]
    _, stride = config.STAGES[0]
    output = _RANGE * _subpixel_kernel(
      self._weights[f"synthesis/{_OUTPUT_STAGE}/kernel"], stride
    )
    for p, part in enumerate(_OUTPUT_PARTS):
      yield f"synthesis/{_OUTPUT_STAGE}/{p}", output[p:, ..., part]

  def analysis(self, x: tf.Tensor) -> tf.Tensor:
    """Latents of images.

    Args:
      x: [N, H, W, 3] of any type, in 0..255, H and W multiples of 16.

    Returns:
      float32 [N, H/16, W/16, C].
    """
    return self._analysis(x, _whole)

  def analysis_start(self, width: tf.Tensor) -> Carried:
    """The rows that the stages of analysis keep before the first strip.

    Args:
      width: int32 scalar, columns of latents.
    """
    columns, channels = width * lanes.DOWNSAMPLING, 3
    carried = []
    for i, (support, stride) in enumerate(config.STAGES):
      carried.append(_zeros(support // 2, columns, channels))
      columns //= stride
      channels = self._weights[f"analysis/{i}/bias"].shape[0]
    return tuple(carried)

  def analysis_strip(
    self, x: tf.Tensor, carried: Carried, last: tf.Tensor
  ) -> tuple[tf.Tensor, Carried]:
    """Latents of the next strip of an image.

    The lowest row of latents depends on pixels below it, so it comes with the
    next strip.

    Args:
      x: [1, 16 rows, W, 3] of any type, in 0..255; two rows of latents or more
        unless it is the last strip.
      carried: From `analysis_start` or the strip above.
      last: bool scalar, whether this is the last strip.

    Returns:
      float32 [1, n, W/16, C], and what the next strip needs.
    """
    rows = _Strip(carried, last)
    return self._analysis(x, rows), rows.kept()

  def _analysis(self, x: tf.Tensor, rows: _Rows) -> tf.Tensor:
    x = tf.cast(x, tf.float32) - _MIDDLE
    for i, (support, stride) in enumerate(config.STAGES):
      x, above_and_below = rows(x, support, stride)
      side = _padding(support, stride)
      x = tf.nn.conv2d(
        x,
        self._kernels[f"analysis/{i}"],
        stride,
        [[0, 0], above_and_below, side, [0, 0]],
      )
      x = tf.nn.bias_add(x, self._weights[f"analysis/{i}/bias"])
      pool = self._norm_pool(f"analysis/{i}/gdn", x)
      if pool.shape[3] < x.shape[3]:
        x = x[..., : pool.shape[3]]
      x /= tf.math.sqrt(pool)
    if self._spare:
      x = tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, self._spare]])
    return x

  def synthesis(self, y: tf.Tensor) -> tf.Tensor:
    """Images of latents.

    Args:
      y: float32 [N, h, w, C].

    Returns:
      float32 [N, 16 h, 16 w, 3], about 0..255, not rounded or clipped.
    """
    return _in_place(self._synthesis(y, _whole))

  def pixels(self, y: tf.Tensor) -> tf.Tensor:
    """`synthesis`, rounded and clipped: uint8 [N, 16 h, 16 w, 3]."""
    return _in_place(_to_bytes(self._synthesis(y, _whole)))

  def pixels_start(self, width: tf.Tensor) -> Carried:
    """The rows that the stages of synthesis keep before the first strip.

    Args:
      width: int32 scalar, columns of latents.
    """
    carried = []
    for i, (_, stride) in enumerate(reversed(config.STAGES)):
      channels = self._weights[f"synthesis/{i}/kernel"].shape[2]
      carried.append(_zeros(_SYNTHESIS_REACH, width, channels))
      width *= stride
    return tuple(carried)

  def pixels_strip(
    self, y: tf.Tensor, carried: Carried, last: tf.Tensor
  ) -> tuple[tf.Tensor, Carried]:
    """Pixels of the next strip of latents.

    The lowest rows depend on latents below, so they come with the next strip.

    Args:
      y: float32 [1, h, w, C]; h at least 2 unless it is the last strip.
      carried: From `pixels_start` or the strip above.
      last: bool scalar, whether this is the last strip.

    Returns:
      uint8 [1, n, 16 w, 3], and what the next strip needs.
    """
    rows = _Strip(carried, last)
    x = _in_place(_to_bytes(self._synthesis(y, rows)))
    return x, rows.kept()

  def _synthesis(self, y: tf.Tensor, rows: _Rows) -> tf.Tensor:
    """float32 [N, h, w, 4 * 4 * 3], the phases of the last stage."""
    if self._spare:
      y = y[..., : self._outputs]
    support = 2 * _SYNTHESIS_REACH + 1
    name = "synthesis/igdn_in"
    for i in range(_OUTPUT_STAGE):
      y *= tf.math.sqrt(self._norm_pool(name, y))
      y, above_and_below = rows(y, support, 1)
      y = _up_phases(
        y,
        [
          [self._kernels[f"synthesis/{i}/{p}{q}"] for q in (0, 1)]
          for p in (0, 1)
        ],
        self._weights[f"synthesis/{i}/bias"],
        above_and_below,
      )
      name = f"synthesis/{i}/igdn"
    y *= tf.math.sqrt(self._norm_pool(name, y))
    y, above_and_below = rows(y, support, 1)
    side = _padding(support, 1)
    parts = []
    for p, part in enumerate(_OUTPUT_PARTS):
      seen, ends = _seen_by_phase(y, p, above_and_below)
      kernel = self._kernels[f"synthesis/{_OUTPUT_STAGE}/{p}"]
      x = tf.nn.conv2d(seen, kernel, 1, [[0, 0], ends, side, [0, 0]])
      parts.append(tf.nn.bias_add(x, self._output_bias[part]))
    return tf.concat(parts, 3)

  def _norm_pool(self, name: str, x: tf.Tensor) -> tf.Tensor:
    """Beta + x^2 gamma, the square of what GDN divides by."""
    gamma = self._kernels[f"{name}/gamma"]
    pool = tf.nn.conv2d(tf.square(x), gamma, 1, "VALID")
    return tf.nn.bias_add(pool, self._weights[f"{name}/beta"])


def _whole(
  x: tf.Tensor, support: int, stride: int
) -> tuple[tf.Tensor, list[int]]:
  """`_Rows` of an image as a whole: there is nothing around it."""
  return x, _padding(support, stride)


class _Strip:
  """`_Rows` of a strip: what was carried above, and zeros below the last."""

  def __init__(self, carried: Carried, last: tf.Tensor):
    self._carried = carried
    self._last = last
    self._kept: list[tf.Tensor] = []

  def __call__(
    self, x: tf.Tensor, support: int, stride: int
  ) -> tuple[tf.Tensor, list[int]]:
    _, below = _padding(support, stride)
    size = tf.shape(x)
    end = tf.zeros(
      tf.stack([1, tf.where(self._last, below, 0), size[2], x.shape[3]])
    )
    x = tf.concat([self._carried[len(self._kept)], x, end], 1)
    done = (tf.shape(x)[1] - support) // stride + 1
    self._kept.append(x[:, done * stride :])
    return x, [0, 0]

  def kept(self) -> Carried:
    """The rows for the strip below, when all stages are done."""
    return tuple(self._kept)


def _zeros(rows: int, columns: tf.Tensor, channels: int) -> tf.Tensor:
  return tf.zeros(tf.stack([1, rows, columns, channels]))


def _to_bytes(x: tf.Tensor) -> tf.Tensor:
  return tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8)


def _in_place(x: tf.Tensor) -> tf.Tensor:
  """Puts the phases of the last stage where they belong."""
  _, stride = config.STAGES[0]
  n, h, w, _ = tf.unstack(tf.shape(x))
  # As `tf.nn.depth_to_space`, which takes a core twice as long.
  x = tf.reshape(x, tf.stack([n, h, w, stride, stride * 3]))
  x = tf.transpose(x, (0, 1, 3, 2, 4))
  return tf.reshape(x, tf.stack([n, h * stride, w * stride, 3]))


def _up_phases(
  y: tf.Tensor,
  kernels: list[list[Any]],
  bias: np.ndarray,
  above_and_below: list[int],
) -> tf.Tensor:
  """A 5x5 convolution up by 2: four of its phases, interleaved.

  Even outputs see 3 taps along a side, odd ones 2: together the 25 of the
  kernel. TensorFlow's transposed convolution takes twice the time.

  Args:
    y: float32 [N, n, w, in]: h rows and those around them.
    kernels: Of each phase of rows and columns, float32 [3 or 2, 3 or 2, in,
      out].
    bias: float32 [out].
    above_and_below: Rows of zeros to be added to `y`; n and they are h + 2.

  Returns:
    float32 [N, 2 h, 2 w, out].
  """
  rows = []
  for p in (0, 1):
    seen, padding = _seen_by_phase(y, p, above_and_below)
    columns = [
      tf.nn.bias_add(
        tf.nn.conv2d(
          seen,
          kernels[p][q],
          1,
          [[0, 0], padding, [1 - q, 1], [0, 0]],
        ),
        bias,
      )
      for q in (0, 1)
    ]
    rows.append(tf.stack(columns, 3))
  shape = tf.shape(rows[0])
  return tf.reshape(
    tf.stack(rows, 2), (shape[0], 2 * shape[1], 2 * shape[2], len(bias))
  )


def _seen_by_phase(
  y: tf.Tensor, phase: int, above_and_below: list[int]
) -> tuple[tf.Tensor, list[int]]:
  """The input rows of a phase: the first phase sees the row above, others not.

  Args:
    y: As for `_up_phases`.
    phase: 0 for the first, else 1.
    above_and_below: As for `_up_phases`.

  Returns:
    Rows to convolve, and the zeros to add above and below them.
  """
  above, below = above_and_below
  if phase and not above:  # In a strip, N is 1.
    y = y[0][1:][None]  # TensorFlow cuts along the first axis without a copy.
  return y, [max(above - phase, 0), below]


def _padding(support: int, stride: int) -> list[int]:
  """Zeros before and after a side: output i is centred on input stride * i."""
  half = support // 2
  return [half, half - stride + 1]


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
