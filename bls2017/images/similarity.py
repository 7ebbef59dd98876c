"""MS-SSIM against one reference, for many reconstructions of it.

The same measure as `metrics.ms_ssim` (Wang, Simoncelli & Bovik 2003; five
scales, 11-tap Gaussian window of standard deviation 1.5, window inside the
image), by separable sums instead of a depthwise convolution. What depends on
the reference alone is computed once. Plain NumPy, so that processes that only
measure need no graph.
"""

from __future__ import annotations

import math

import numpy as np

from bls2017.images import metrics

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_REACH = 5
_TAPS = np.exp(-0.5 * (np.arange(_REACH + 1) / 1.5) ** 2)
_TAPS = (_TAPS / (2 * _TAPS.sum() - _TAPS[0])).astype(np.float32)


class Reference:
  """An original image, ready to be compared with its reconstructions."""

  def __init__(self, x: np.ndarray):
    """Prepares all scales.

    Args:
      x: uint8 [H, W, 3], sRGB.
    """
    self._x = x
    self._defined = min(x.shape[:2]) >= metrics.MS_SSIM_MINIMUM_SIDE
    self._scales = []
    planes = _planes(x)
    for _ in _WEIGHTS if self._defined else ():
      self._scales.append((planes, _blur(planes), _blur(planes * planes)))
      planes = _halve(planes)

  def ms_ssim(self, x_hat: np.ndarray) -> tuple[float, float]:
    """MS-SSIM of a reconstruction.

    Args:
      x_hat: uint8 [H, W, 3] of the reference's size.

    Returns:
      That of RGB (mean of the channels) and that of Y', both in [0, 1]; nan
      where a side is below `metrics.MS_SSIM_MINIMUM_SIDE`.
    """
    if x_hat.shape != self._x.shape:
      raise ValueError(f"{x_hat.shape} is not the shape {self._x.shape}")
    if not self._defined:
      return math.nan, math.nan
    result = np.ones(4)
    y = _planes(x_hat)
    for i, (x, mean_x, square_x) in enumerate(self._scales):
      mean_y = _blur(y)
      product = mean_x * mean_y
      squares = mean_x * mean_x + mean_y * mean_y
      covariance = _blur(x * y) - product
      variances = square_x + _blur(y * y) - squares
      similarity = (2 * covariance + _C2) / (variances + _C2)
      if i == len(_WEIGHTS) - 1:  # Luminance counts at the coarsest scale.
        similarity *= (2 * product + _C1) / (squares + _C1)
      mean = similarity.mean((1, 2), dtype=np.float64)
      result *= np.maximum(mean, 0) ** _WEIGHTS[i]
      y = _halve(y)
    return float(result[:3].mean()), float(result[3])


def _planes(x: np.ndarray) -> np.ndarray:
  """R', G', B' and Y' as float32 [4, H, W] in 0..255."""
  rgb = np.moveaxis(x, -1, 0)
  return np.concatenate([rgb, metrics.luma(x)[None]]).astype(np.float32)


def _blur(x: np.ndarray) -> np.ndarray:
  """The window's weighted mean: [C, H, W] -> [C, H - 10, W - 10]."""
  for axis in (1, 2):
    size = x.shape[axis] - 2 * _REACH

    def shifted(by: int, x: np.ndarray = x, n: int = size, axis: int = axis):  # type: ignore[no-untyped-def]
      start = _REACH + by
      return x[:, start : start + n] if axis == 1 else x[..., start : start + n]

    out = shifted(0) * _TAPS[0]
    pair = np.empty_like(out)
    for by in range(1, _REACH + 1):
      np.add(shifted(-by), shifted(by), out=pair)
      pair *= _TAPS[by]
      out += pair
    x = out
  return x


def _halve(x: np.ndarray) -> np.ndarray:
  """Means of 2 x 2 samples; an odd side is continued by its last samples."""
  x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), mode="edge")
  return (
    x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
  ) / 4
