"""Trainable parameters with a value that is a function of their variable.

tfc's `SignalConv2D` and `GDN` take such `tfc.Parameter` objects. Both classes
here can be assigned a value, which is how weights enter a model from a file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc


def dct_basis(size: int) -> np.ndarray:
  """The orthonormal two-dimensional DCT-II, one basis function a row.

  Args:
    size: Taps along a side.

  Returns:
    float32 [size**2, size**2], orthonormal.
  """
  n = np.arange(size)
  dct = np.cos(np.pi * (n[None, :] + 0.5) * n[:, None] / size)
  dct *= np.sqrt(2 / size)
  dct[0] /= np.sqrt(2)
  return np.kron(dct, dct).astype(np.float32)


@tf.keras.utils.register_keras_serializable(package="bls2017")
class OrthonormalKernelParameter(tfc.Parameter):
  """A convolution kernel stored as its coefficients in the DCT basis.

  Adam's step is of one size for every variable, so a kernel learns faster as
  frequencies than as taps; tfc's default (RDFT) shows it, but runs an FFT over
  every kernel at every call. An orthonormal real basis keeps the benefit at the
  price of one small matrix product.
  """

  def __init__(self, initial_value: Any, name: str = "kernel"):
    """Creates the variable.

    Args:
      initial_value: float [k, k, in, out], the kernel.
      name: Name of the variable.
    """
    super().__init__(name=name)
    initial_value = tf.convert_to_tensor(initial_value, tf.float32)
    self.shape = initial_value.shape
    self._basis = dct_basis(int(self.shape[0]))
    self.variable = tf.Variable(self._coefficients(initial_value), name=name)

  def _coefficients(self, kernel: tf.Tensor) -> tf.Tensor:
    """A kernel, float [k, k, in, out], as the variable: [k * k, in, out]."""
    taps = int(self.shape[0]) * int(self.shape[1])
    kernel = tf.reshape(kernel, (taps, *self.shape[2:]))
    return tf.tensordot(self._basis, kernel, 1)

  def __call__(self, compute_dtype: Any = None) -> tf.Tensor:
    """The kernel, float [k, k, in, out]."""
    kernel = tf.tensordot(self._basis, self.variable, ([0], [0]))
    kernel = tf.reshape(kernel, self.shape)
    return kernel if compute_dtype is None else tf.cast(kernel, compute_dtype)

  def assign(self, kernel: Any) -> None:
    """Sets the kernel, float [k, k, in, out]."""
    self.variable.assign(
      self._coefficients(tf.convert_to_tensor(kernel, tf.float32))
    )

  def get_config(self) -> dict[str, Any]:
    """The configuration from which Keras makes an equal parameter."""
    config = super().get_config()
    config["initial_value"] = np.asarray(self()).tolist()
    return config


@tf.keras.utils.register_keras_serializable(package="bls2017")
class NonnegativeParameter(tfc.GDNParameter):
  """tfc's nonnegative parameter of GDN, which can also be assigned a value."""

  def assign(self, value: Any) -> None:
    """Sets the value: float, the variable's shape, not below the minimum."""
    value = tf.maximum(tf.convert_to_tensor(value, tf.float32), self.minimum)
    self.variable.assign(tf.sqrt(value + self.offset**2))


def glorot_kernel(
  support: int, channels_in: int, channels_out: int, seed: int
) -> tf.Tensor:
  """A random kernel, float32 [support, support, in, out]."""
  fan = support * support * (channels_in + channels_out) / 2
  return tf.random.stateless_normal(
    (support, support, channels_in, channels_out),
    seed=(seed, 0),
    stddev=math.sqrt(1 / fan),
  )
