"""Parameters of tfc's `SignalConv2D` and `GDN` that can be assigned values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc


def dct_basis(size: int) -> np.ndarray:
  """The orthonormal DCT-II of blocks of `size` x `size`.

  Returns:
    float32 [size**2, size**2], one basis function a row.
  """
  n = np.arange(size)
  dct = np.cos(np.pi * (n[None, :] + 0.5) * n[:, None] / size)
  dct *= np.sqrt(2 / size)
  dct[0] /= np.sqrt(2)
  return np.kron(dct, dct).astype(np.float32)


class OrthonormalKernelParameter(tfc.Parameter):
  """A convolution kernel stored as its coefficients in the DCT basis.

  Adam's step is of one size for every variable, so a kernel learns faster as
  frequencies than as taps. tfc's default (RDFT) shows it, but runs an FFT over
  every kernel at every call. An orthonormal real basis keeps the benefit at the
  price of one small matrix product.
  """

  def __init__(self, initial_value: Any, name: str = "kernel"):
    super().__init__(name=name)
    initial_value = tf.convert_to_tensor(initial_value, tf.float32)
    self.shape = initial_value.shape
    self._basis = dct_basis(int(self.shape[0]))
    self.variable = tf.Variable(self._coefficients(initial_value), name=name)

  def _coefficients(self, kernel: tf.Tensor) -> tf.Tensor:
    """A kernel, float [k, k, in, out], as the variable: [k * k, in, out]."""
    kernel = tf.reshape(kernel, (len(self._basis), *self.shape[2:]))
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
    """The arguments of an equal parameter, which tfc asks of each class."""
    return {**super().get_config(), "initial_value": self().numpy()}


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
