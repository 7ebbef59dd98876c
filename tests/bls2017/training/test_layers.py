"""The transforms against the paper's formulas, written out in NumPy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bls2017.training import layers


def _randomised(layer: tf.keras.layers.Layer, x: np.ndarray) -> dict:
  """Builds a transform, gives it weights without structure, returns them."""
  layer(x)
  rng = np.random.default_rng(0)
  weights = {}
  for name, weight in layer.named_weights().items():
    value = 0.05 * rng.normal(size=tf.convert_to_tensor(weight).shape)
    if name.endswith(("beta", "gamma")):
      value = 2 * np.abs(value)
    weight.assign(value)
    weights[name] = tf.convert_to_tensor(weight).numpy()
  return weights


def _gdn(x: np.ndarray, beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
  """The paper's equation 2: x_i / (beta_i + sum_j gamma_ji x_j^2)^(1/2)."""
  return x / np.sqrt(beta + np.square(x) @ gamma)


def _correlate(
  x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int
) -> np.ndarray:
  """Every output is a sum over a window around input position stride * i."""
  half = len(kernel) // 2
  padded = np.pad(x, ((half, half), (half, half), (0, 0)))
  rows, columns = x.shape[0] // stride, x.shape[1] // stride
  out = np.empty((rows, columns, kernel.shape[3]))
  for i in range(rows):
    for j in range(columns):
      window = padded[i * stride :, j * stride :][: len(kernel), : len(kernel)]
      out[i, j] = np.einsum("hwc,hwcd->d", window, kernel) + bias
  return out


def _spread(
  y: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int
) -> np.ndarray:
  """Every input adds its kernel around output position stride * i."""
  half, size = len(kernel) // 2, len(kernel)
  height, width = y.shape[0] * stride, y.shape[1] * stride
  out = np.zeros((height + 2 * half, width + 2 * half, kernel.shape[3]))
  for i in range(y.shape[0]):
    for j in range(y.shape[1]):
      block = np.einsum("c,hwcd->hwd", y[i, j], kernel)
      out[i * stride :, j * stride :][:size, :size] += block
  return out[half : half + height, half : half + width] + bias


def test_analysis_is_the_papers() -> None:
  x = np.random.default_rng(1).uniform(0, 255, (1, 32, 48, 3)).astype("f4")
  layer = layers.AnalysisTransform(5, 7)
  w = _randomised(layer, x)
  expected = x[0] / 255.0 - 0.5
  for i, (support, stride) in enumerate(((9, 4), (5, 2), (5, 2))):
    kernel = w[f"analysis/{i}/kernel"]
    assert kernel.shape[:2] == (support, support)
    expected = _correlate(expected, kernel, w[f"analysis/{i}/bias"], stride)
    expected = _gdn(
      expected, w[f"analysis/{i}/gdn/beta"], w[f"analysis/{i}/gdn/gamma"]
    )
  assert layer(x).shape == (1, 2, 3, 7)
  np.testing.assert_allclose(layer(x)[0], expected, rtol=1e-3, atol=1e-4)


def test_synthesis_is_the_papers() -> None:
  y = np.random.default_rng(2).normal(size=(1, 2, 3, 7)).astype("f4")
  layer = layers.SynthesisTransform(5, 7)
  w = _randomised(layer, y)
  expected = y[0]
  names = ("synthesis/igdn_in", "synthesis/0/igdn", "synthesis/1/igdn")
  for i, (support, stride) in enumerate(((5, 2), (5, 2), (9, 4))):
    beta, gamma = w[f"{names[i]}/beta"], w[f"{names[i]}/gamma"]
    expected = expected * np.sqrt(beta + np.square(expected) @ gamma)
    kernel = w[f"synthesis/{i}/kernel"]
    assert kernel.shape[:2] == (support, support)
    expected = _spread(expected, kernel, w[f"synthesis/{i}/bias"], stride)
  expected = (expected + 0.5) * 255.0
  np.testing.assert_allclose(layer(y)[0], expected, rtol=1e-3, atol=1e-2)
