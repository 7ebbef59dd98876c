"""Analysis, and the synthesis of bls2017/format/FORMAT.md, in 64-bit floats.

Written from the normative description alone, so that it shares no trick with
the transforms it is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def analysis(image: np.ndarray, weights: Weights) -> np.ndarray:
  """The latents of an image.

  Args:
    image: uint8 [H, W, 3], H and W multiples of 16.
    weights: Named float arrays of a pair.

  Returns:
    float64 [H/16, W/16, channels of the pair].
  """
  x = image / 255 - 0.5
  for i, stride in enumerate((4, 2, 2)):
    x = _down(x, weights, f"analysis/{i}", stride)
    pool = _norm_pool(x, weights, f"analysis/{i}/gdn")
    x = x[..., : pool.shape[2]] / np.sqrt(pool)
  return x


def synthesis(latents: np.ndarray, weights: Weights) -> np.ndarray:
  """The image of latents, about 0..255, not rounded or clipped.

  Args:
    latents: float [h, w, C]; channels that the pair lacks are ignored.
    weights: Named float arrays of a pair.

  Returns:
    float64 [16 h, 16 w, 3].
  """
  channels = len(weights["synthesis/igdn_in/beta"])
  y = latents[..., :channels].astype(np.float64)
  y = y * np.sqrt(_norm_pool(y, weights, "synthesis/igdn_in"))
  for i in range(2):
    y = _up(y, weights, f"synthesis/{i}", 2)
    y = y * np.sqrt(_norm_pool(y, weights, f"synthesis/{i}/igdn"))
  return 255 * _up(y, weights, "synthesis/2", 4) + 127.5


def _array(weights: Weights, name: str) -> np.ndarray:
  return weights[name].astype(np.float64)


def _norm_pool(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
  gamma = _array(weights, f"{name}/gamma")
  return _array(weights, f"{name}/beta") + np.square(x) @ gamma


def _down(
  x: np.ndarray, weights: Weights, name: str, stride: int
) -> np.ndarray:
  """A convolution whose output i is centred on input stride * i."""
  kernel = _array(weights, f"{name}/kernel")
  support = len(kernel)
  height, width, _ = x.shape
  x = np.pad(x, ((support // 2, support), (support // 2, support), (0, 0)))
  y = _array(weights, f"{name}/bias")
  for u in range(support):
    for v in range(support):
      taps = x[u : u + height : stride, v : v + width : stride]
      y = y + taps @ kernel[u, v]
  return y


def _up(y: np.ndarray, weights: Weights, name: str, stride: int) -> np.ndarray:
  """Tap t adds input i to output stride * i + t - support // 2."""
  kernel = _array(weights, f"{name}/kernel")
  support = len(kernel)
  height, width = stride * y.shape[0], stride * y.shape[1]
  x = np.zeros((height + support, width + support, kernel.shape[3]))
  for u in range(support):
    for v in range(support):
      x[u : u + height : stride, v : v + width : stride] += y @ kernel[u, v]
  first = support // 2
  x = x[first : first + height, first : first + width]
  return x + _array(weights, f"{name}/bias")
