"""Measures of distortion: PSNR of RGB and of luma, and MS-SSIM.

MS-SSIM is that of Wang, Simoncelli & Bovik (2003): five scales, an 11-tap
Gaussian window of standard deviation 1.5 inside the image. Its constants and
its formula stand here once, in `_scales` and `_similarities`, which use only
arithmetic that NumPy arrays and TensorFlow tensors share. Blurring, halving and
the mean exist twice, because no implementation serves both uses: training and
refinement need gradients; measuring compares many reconstructions with one
original, which NumPy does on one thread without a graph, and sooner than
TensorFlow's own operation does it for RGB alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import numpy as np

if TYPE_CHECKING:
  import tensorflow as tf

MS_SSIM_MINIMUM_SIDE = 161
"""Smallest side in pixels at which the window fits into all five scales."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of R', G' and B' in Y' of ITU-R BT.601."""

_MAX_VALUE = 255.0
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * _MAX_VALUE) ** 2, (0.03 * _MAX_VALUE) ** 2
_REACH = 5
_WINDOW = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / 1.5) ** 2)
_WINDOW = (_WINDOW / _WINDOW.sum()).astype(np.float32)
_LEAST_TRAINED_MEAN = 1e-3
"""At a mean of zero the power's gradient would not be finite."""


def mse_to_psnr(mse: float) -> float:
  """PSNR in dB of a mean squared error on the 0-255 scale; inf for 0."""
  return math.inf if mse == 0 else 10 * math.log10(_MAX_VALUE**2 / mse)


def psnr(
  x: np.ndarray, x_hat: np.ndarray, weights: np.ndarray | None = None
) -> float:
  """PSNR over all samples of two images.

  Args:
    x: uint8 [H, W, 3] or [H, W].
    x_hat: the same shape.
    weights: uint8 [H, W], what the squared errors of [H, W, 3] count, such as
      alpha; all count alike by default, and where all weights are 0.

  Returns:
    dB; inf for equal images.
  """
  difference = x.astype(np.float64) - x_hat.astype(np.float64)
  squares = np.square(difference)
  if weights is not None and weights.any():
    squares = squares * (weights / weights.mean())[..., None]
  return mse_to_psnr(float(np.mean(squares)))


def luma(x: np.ndarray) -> np.ndarray:
  """Y' of ITU-R BT.601 in full range, as JPEG has it.

  Args:
    x: uint8 [H, W, 3], sRGB.

  Returns:
    float64 [H, W] in 0..255, not rounded.
  """
  return x.astype(np.float64) @ np.array(LUMA)


def psnr_luma(x: np.ndarray, x_hat: np.ndarray) -> float:
  """PSNR in dB of Y' alone; uint8 [H, W, 3] both, inf for equal lumas."""
  return mse_to_psnr(float(np.mean(np.square(luma(x) - luma(x_hat)))))


def ms_ssim(x: np.ndarray, x_hat: np.ndarray) -> float:
  """MS-SSIM of RGB, the mean of the channels.

  Args:
    x: uint8 [H, W, 3].
    x_hat: the same shape.

  Returns:
    In [0, 1]; nan where a side is below `MS_SSIM_MINIMUM_SIDE`.
  """
  return Reference(x).ms_ssim(x_hat)[0]


def ms_ssim_db(value: float) -> float:
  """-10 log10(1 - MS-SSIM), which spreads the values close to 1."""
  return math.inf if value >= 1 else -10 * math.log10(1 - value)


class Reference:
  """An original image, ready to be compared with many reconstructions."""

  def __init__(self, x: np.ndarray):
    """Computes what depends on the original alone.

    Args:
      x: uint8 [H, W, 3], sRGB.
    """
    self._shape = x.shape
    self._scales: list[_Scale] = []
    if min(x.shape[:2]) >= MS_SSIM_MINIMUM_SIDE:
      self._scales = _scales(_planes(x), _NUMPY)

  def ms_ssim(self, x_hat: np.ndarray) -> tuple[float, float]:
    """MS-SSIM of a reconstruction.

    Args:
      x_hat: uint8 [H, W, 3] of the original's size.

    Returns:
      That of RGB (mean of the channels) and that of Y', both in [0, 1]; nan
      where a side is below `MS_SSIM_MINIMUM_SIDE`.

    Raises:
      ValueError: if the sizes differ.
    """
    if x_hat.shape != self._shape:
      raise ValueError(f"{x_hat.shape} is not the shape {self._shape}")
    if not self._scales:
      return math.nan, math.nan
    values = _similarities(self._scales, _planes(x_hat), _NUMPY)
    return float(values[:3].mean()), float(values[3])


def ms_ssim_for_training(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """MS-SSIM of a batch, with gradients that are finite everywhere.

  Where the structures of two images are uncorrelated or opposed at some scale,
  as they are when training starts, the gradient of the measure is not finite.
  Here such a scale counts as barely correlated instead; elsewhere the value is
  that of `ms_ssim`.

  Args:
    x: float32 [N, H, W, 3] in 0..255, sides of `MS_SSIM_MINIMUM_SIDE` or more.
    x_hat: the same shape.

  Returns:
    float32 [N].
  """
  import tensorflow as tf

  scales = _scales(x, _TENSORFLOW)
  return tf.reduce_mean(_similarities(scales, x_hat, _TENSORFLOW), -1)


class _Operations(NamedTuple):
  """The steps in which NumPy and TensorFlow differ, over an image's axes 1, 2.

  Attributes:
    blur: Means under the window, wherever it lies inside.
    halve: Means of 2x2 samples; an odd last row or column counts twice.
    mean: Mean of all samples, at least a bound.
  """

  blur: Callable[[Any], Any]
  halve: Callable[[Any], Any]
  mean: Callable[[Any], Any]


class _Scale(NamedTuple):
  """An original at one scale, its blurred samples, and blurred squares."""

  x: Any
  mean: Any
  square: Any


def _scales(x: Any, operations: _Operations) -> list[_Scale]:
  """An original at all scales, from fine to coarse."""
  scales: list[_Scale] = []
  for _ in _WEIGHTS:
    x = operations.halve(x) if scales else x
    scales.append(_Scale(x, operations.blur(x), operations.blur(x * x)))
  return scales


def _similarities(
  scales: list[_Scale], x_hat: Any, operations: _Operations
) -> Any:
  """MS-SSIM of every channel of a reconstruction of `scales`."""
  value = 1.0
  for (x, mean, square), weight in zip(scales, _WEIGHTS):
    x_hat = operations.halve(x_hat) if x is not scales[0].x else x_hat
    mean_hat = operations.blur(x_hat)
    product = mean * mean_hat
    squares = mean * mean + mean_hat * mean_hat
    covariance = operations.blur(x * x_hat) - product
    variances = square + operations.blur(x_hat * x_hat) - squares
    similarity = (2 * covariance + _C2) / (variances + _C2)
    if x is scales[-1].x:  # Luminance counts at the coarsest scale.
      similarity *= (2 * product + _C1) / (squares + _C1)
    value *= operations.mean(similarity) ** weight
  return value


def _planes(x: np.ndarray) -> np.ndarray:
  """R', G', B' and Y' as float32 [4, H, W] in 0..255."""
  rgb = np.moveaxis(x, -1, 0)
  return np.concatenate([rgb, luma(x)[None]]).astype(np.float32)


def _blur_array(x: np.ndarray) -> np.ndarray:
  """float32 [C, H, W] -> [C, H - 10, W - 10]; symmetric taps share sums."""
  for _ in range(2):
    x = x.swapaxes(1, 2)
    end = x.shape[1] - 2 * _REACH
    blurred = x[:, _REACH : _REACH + end] * _WINDOW[_REACH]
    for low in range(_REACH):
      high = 2 * _REACH - low
      pair = x[:, low : low + end] + x[:, high : high + end]
      pair *= _WINDOW[low]
      blurred += pair
    x = blurred
  return x


def _halve_array(x: np.ndarray) -> np.ndarray:
  """float32 [C, H, W] -> [C, ceil(H / 2), ceil(W / 2)]."""
  x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), mode="edge")
  even, odd = x[:, ::2], x[:, 1::2]
  return (even[..., ::2] + odd[..., ::2] + even[..., 1::2] + odd[..., 1::2]) / 4


def _blur_tensor(x: tf.Tensor) -> tf.Tensor:
  """float32 [N, H, W, C] -> [N, H - 10, W - 10, C]."""
  import tensorflow as tf

  for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
    kernel = tf.constant(_WINDOW.reshape(shape))
    kernel = tf.tile(kernel, (1, 1, x.shape[-1], 1))
    x = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
  return x


def _halve_tensor(x: tf.Tensor) -> tf.Tensor:
  """float32 [N, H, W, C] -> [N, ceil(H / 2), ceil(W / 2), C]."""
  import tensorflow as tf

  odd = [[0, 0], [0, x.shape[1] % 2], [0, x.shape[2] % 2], [0, 0]]
  return tf.nn.avg_pool2d(tf.pad(x, odd, "SYMMETRIC"), 2, 2, "VALID")


def _bounded_mean(x: tf.Tensor) -> tf.Tensor:
  """float32 [N, H, W, C] -> [N, C]."""
  import tensorflow as tf

  return tf.maximum(tf.reduce_mean(x, (1, 2)), _LEAST_TRAINED_MEAN)


_NUMPY = _Operations(
  _blur_array,
  _halve_array,
  lambda x: np.maximum(x.mean((1, 2), dtype=np.float64), 0.0),
)
_TENSORFLOW = _Operations(
  _blur_tensor,
  _halve_tensor,
  _bounded_mean,
)
