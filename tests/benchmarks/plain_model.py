"""The network as tensorflow-compression's own example of it has it.

SignalConv2D with its default kernels, GDN with its default parameters, and one
range coder stream of `ContinuousBatchedEntropyModel`. The weights are those of
a frozen model, so that both compute the same transforms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bls2017.common import config
from bls2017.model import model_directory
from tests import images


class PlainModel:
  """The network of a frozen model, at one quality from 1 to its levels."""

  def __init__(self, model: model_directory.FrozenModel, quality: float):
    index = model.config.quality_index(quality)
    weights = model.pair_of(index).weights
    tables = model.tables.for_quality(index)
    self._channels = len(weights["synthesis/igdn_in/beta"])
    self._gain = tables.gain[: self._channels]
    self._inverse_gain = tables.inverse_gain[: self._channels]
    norms = ("0/gdn", "1/gdn", "2/gdn")
    self._analysis = [
      layer
      for i, (stage, norm) in enumerate(zip(config.STAGES, norms))
      for layer in (
        _convolution(weights, f"analysis/{i}", *stage, down=True),
        _gdn(weights, f"analysis/{norm}", inverse=False),
      )
    ]
    norms = ("igdn_in", "0/igdn", "1/igdn")
    self._synthesis = [
      layer
      for i, (stage, norm) in enumerate(zip(reversed(config.STAGES), norms))
      for layer in (
        _gdn(weights, f"synthesis/{norm}", inverse=True),
        _convolution(weights, f"synthesis/{i}", *stage, down=False),
      )
    ]
    # A density of each channel's spread, as a trained prior would have it.
    latents = self._latents(images.photograph(256, 256))
    spread = tf.reduce_mean(tf.abs(latents), (0, 1, 2))
    self._entropy_model = tfc.ContinuousBatchedEntropyModel(
      tfc.NoisyLaplace(loc=0.0, scale=tf.maximum(spread, 0.05)),
      coding_rank=3,
      compression=True,
    )

  def _latents(self, image: tf.Tensor) -> tf.Tensor:
    height, width = tf.unstack(tf.shape(image)[:2])
    padding = [[0, -height % 16], [0, -width % 16], [0, 0]]
    x = tf.cast(tf.pad(image, padding, "SYMMETRIC")[None], tf.float32)
    y = _applied(self._analysis, x / 255.0 - 0.5)
    return y[..., : self._channels] * self._gain

  @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
  def compress(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compresses an image.

    Args:
      image: uint8 [H, W, 3].

    Returns:
      A string [1], and int32 [2], the shape of the latents.
    """
    y = self._latents(image)
    return self._entropy_model.compress(y), tf.shape(y)[1:3]

  @tf.function(
    input_signature=[
      tf.TensorSpec((1,), tf.string),
      tf.TensorSpec((2,), tf.int32),
    ]
  )
  def decompress(self, string: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """The inverse of `compress`: uint8 [16 h, 16 w, 3], padding included."""
    y_hat = self._entropy_model.decompress(string, shape) * self._inverse_gain
    x_hat = _applied(self._synthesis, y_hat)[0]
    return tf.saturate_cast(tf.round((x_hat + 0.5) * 255.0), tf.uint8)


def _convolution(
  weights: Any, name: str, support: int, stride: int, down: bool
) -> Any:
  kernel = np.asarray(weights[f"{name}/kernel"], np.float32)
  return tfc.SignalConv2D(
    kernel.shape[3],
    support,
    corr=down,
    strides_down=stride if down else 1,
    strides_up=1 if down else stride,
    padding="same_zeros",
    use_bias=True,
    kernel_parameter=tfc.RDFTParameter(kernel),
    bias_parameter=tf.constant(weights[f"{name}/bias"]),
  )


def _gdn(weights: Any, name: str, inverse: bool) -> Any:
  beta, gamma = weights[f"{name}/beta"], weights[f"{name}/gamma"]
  # A pruned analysis has fewer outputs than its last norm has inputs.
  spare = gamma.shape[0] - gamma.shape[1]
  beta = np.pad(beta, (0, spare), constant_values=1)
  gamma = np.pad(gamma, [(0, 0), (0, spare)])
  return tfc.GDN(
    inverse=inverse,
    alpha_parameter=2,
    epsilon_parameter=0.5,
    beta_parameter=tfc.GDNParameter(beta, minimum=1e-6),
    gamma_parameter=tfc.GDNParameter(gamma),
  )


def _applied(layers: list[Any], x: tf.Tensor) -> tf.Tensor:
  for layer in layers:
    x = layer(x)
  return x
