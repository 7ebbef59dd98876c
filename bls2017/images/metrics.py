"""Distortion measures: PSNR of RGB and of luma, and MS-SSIM."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

MS_SSIM_MINIMUM_SIDE = 161
"""Smallest side at which all five scales of MS-SSIM hold an 11-tap window."""

_MAX_VALUE = 255.0
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST_STRUCTURE = 1e-3


def mse_to_psnr(mse: float) -> float:
  """PSNR in dB of a mean squared error on the 0-255 scale; inf for 0."""
  return math.inf if mse == 0 else 10 * math.log10(_MAX_VALUE**2 / mse)


def psnr(x: np.ndarray, x_hat: np.ndarray) -> float:
  """PSNR over all samples of two images.

  Args:
    x: uint8 [H, W, 3] or [H, W].
    x_hat: the same shape.

  Returns:
    dB; inf for equal images.
  """
  difference = x.astype(np.float64) - x_hat.astype(np.float64)
  return mse_to_psnr(float(np.mean(np.square(difference))))


def luma(x: np.ndarray) -> np.ndarray:
  """Y' of ITU-R BT.601 in full range, as JPEG has it.

  Args:
    x: uint8 [H, W, 3], sRGB.

  Returns:
    float64 [H, W] in 0..255, not rounded.
  """
  return x.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def psnr_luma(x: np.ndarray, x_hat: np.ndarray) -> float:
  """PSNR in dB of Y' alone; uint8 [H, W, 3] both, inf for equal lumas."""
  return mse_to_psnr(float(np.mean(np.square(luma(x) - luma(x_hat)))))


def ms_ssim(x: np.ndarray, x_hat: np.ndarray) -> float:
  """MS-SSIM with five scales (Wang, Simoncelli & Bovik 2003), mean of channels.

  Args:
    x: uint8 [H, W, 3], or float [H, W] in 0..255 for luma.
    x_hat: the same shape.

  Returns:
    In [0, 1]; nan where a side is below 161 pixels, for the coarsest scale then
    has no room for the window and the measure is not defined.
  """
  if min(x.shape[:2]) < MS_SSIM_MINIMUM_SIDE:
    return math.nan
  if x.ndim == 2:
    x, x_hat = x[..., None], x_hat[..., None]
  value = tf.image.ssim_multiscale(
    tf.cast(x, tf.float32), tf.cast(x_hat, tf.float32), _MAX_VALUE
  )
  return float(value)


def ms_ssim_db(value: float) -> float:
  """-10 log10(1 - MS-SSIM), which spreads the values close to 1."""
  return math.inf if value >= 1 else -10 * math.log10(1 - value)


def ms_ssim_for_training(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """MS-SSIM of a batch, with gradients that are finite everywhere.

  TensorFlow's own has a gradient of NaN where the structures of two images are
  uncorrelated or opposed at some scale, as they are when training starts. Here
  such a scale counts as barely correlated instead; elsewhere both are equal.

  Args:
    x: float32 [N, H, W, 3] in 0..255, sides at least 161.
    x_hat: the same shape.

  Returns:
    float32 [N].
  """
  product = 1.0
  for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
    if scale:
      x, x_hat = _halve(x), _halve(x_hat)
    luminance, structure = _ssim_terms(x, x_hat)
    if scale == len(_MS_SSIM_WEIGHTS) - 1:
      structure *= luminance
    value = tf.reduce_mean(structure, (1, 2))  # [N, 3]
    product *= tf.maximum(value, _LEAST_STRUCTURE) ** weight
  return tf.reduce_mean(product, -1)


def _halve(x: tf.Tensor) -> tf.Tensor:
  """Averages of 2x2 pixels; an odd last row or column counts twice."""
  odd = [[0, 0], [0, x.shape[1] % 2], [0, x.shape[2] % 2], [0, 0]]
  return tf.nn.avg_pool2d(tf.pad(x, odd, "SYMMETRIC"), 2, 2, "VALID")


def _ssim_terms(x: tf.Tensor, x_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """The luminance and the contrast-structure term of SSIM at every window.

  Args:
    x: float32 [N, H, W, C].
    x_hat: the same shape.

  Returns:
    float32 [N, H - 10, W - 10, C], both.
  """
  c1, c2 = (0.01 * _MAX_VALUE) ** 2, (0.03 * _MAX_VALUE) ** 2
  mean, mean_hat = _blur(x), _blur(x_hat)
  product = mean * mean_hat
  squares = mean**2 + mean_hat**2
  luminance = (2 * product + c1) / (squares + c1)
  covariance = _blur(x * x_hat) - product
  variances = _blur(x**2 + x_hat**2) - squares
  return luminance, (2 * covariance + c2) / (variances + c2)


def _blur(x: tf.Tensor) -> tf.Tensor:
  """Averages under the Gaussian window of SSIM, where it fits."""
  taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
  taps = np.tile((taps / taps.sum())[:, None], (1, x.shape[-1]))
  for shape in ((11, 1, -1, 1), (1, 11, -1, 1)):
    kernel = tf.constant(taps.reshape(shape), tf.float32)
    x = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
  return x
