"""The transforms against the paper's formulas, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bls2017.training import layers, parameters


def _randomised(layer, x):
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


def _gdn(x, beta, gamma):
  """The paper's equation 2: x_i / (beta_i + sum_j gamma_ji x_j^2)^(1/2)."""
  return x / np.sqrt(beta + np.square(x) @ gamma)


def _correlate(x, kernel, bias, stride):
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


def _spread(y, kernel, bias, stride):
  """Every input adds its kernel around output position stride * i."""
  half, size = len(kernel) // 2, len(kernel)
  height, width = y.shape[0] * stride, y.shape[1] * stride
  out = np.zeros((height + 2 * half, width + 2 * half, kernel.shape[3]))
  for i in range(y.shape[0]):
    for j in range(y.shape[1]):
      block = np.einsum("c,hwcd->hwd", y[i, j], kernel)
      out[i * stride :, j * stride :][:size, :size] += block
  return out[half : half + height, half : half + width] + bias


def test_analysis_is_the_papers():
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


def test_synthesis_is_the_papers():
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


@pytest.mark.parametrize("size", [2, 4, 5, 9])
def test_the_basis_of_kernels_is_orthonormal_and_begins_with_a_constant(size):
  basis = parameters.dct_basis(size)
  np.testing.assert_allclose(basis @ basis.T, np.eye(size**2), atol=1e-6)
  np.testing.assert_allclose(basis[0], 1 / size, rtol=1e-6)


def test_coefficients_and_taps_have_equal_gradient_norms():
  # Orthonormal means that clipping and weight norms keep their meaning.
  kernel = np.random.default_rng(1).normal(size=(5, 5, 3, 4)).astype("f4")
  parameter = parameters.OrthonormalKernelParameter(kernel)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(parameter() ** 3)
  by_coefficients = tf.norm(tape.gradient(loss, parameter.variable))
  np.testing.assert_allclose(
    by_coefficients, np.linalg.norm(3 * kernel**2), rtol=1e-5
  )


def test_a_nonnegative_parameter_keeps_to_its_minimum():
  parameter = parameters.NonnegativeParameter(tf.ones((3,)), minimum=0.25)
  parameter.assign([-1.0, 0.1, 2.0])
  np.testing.assert_allclose(parameter(), [0.25, 0.25, 2.0], atol=1e-5)
