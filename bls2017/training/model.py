"""The trainable model: transforms, gains, priors and the rate-distortion loss.

    x -> analysis -> y -> x gain[level] -> + uniform noise -> y_tilde -> bits
    x_hat <- synthesis <- x inverse_gain[level] <- y_tilde

One pair of transforms serves every level. A level (one lambda) has a gain and
an inverse gain for each channel, and a prior of its own. With one lambda this
is the plain model of the paper, up to a redundant scale.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.images import metrics
from bls2017.training import layers, priors


class RateDistortion(NamedTuple):
  """Rates and distortions of one batch.

  Attributes:
    loss: float32 [levels], bpp + lambda * distortion.
    bpp: float32 [levels], estimated bits per pixel.
    mse: float32 [levels], mean squared error on the 0-255 scale.
    distortion: float32 [levels], what the loss weighs: mse or 1 - MS-SSIM.
    x_hat: float32 [n, levels, H, W, 3], the reconstructions.
  """

  loss: tf.Tensor
  bpp: tf.Tensor
  mse: tf.Tensor
  distortion: tf.Tensor
  x_hat: tf.Tensor


class BLS2017Model(tf.keras.Model):
  """The nonlinear transform coder of Balle, Laparra & Simoncelli (2017)."""

  def __init__(self, model_config: config.ModelConfig, seed: int = 0):
    super().__init__(name="bls2017")
    self.config = model_config
    shape = (model_config.num_levels, model_config.num_latents)
    self.analysis = layers.AnalysisTransform(
      model_config.num_filters, model_config.num_latents, seed
    )
    self.synthesis = layers.SynthesisTransform(
      model_config.num_filters, model_config.num_latents, seed
    )
    # The quantization step falls with the root of lambda.
    lmbdas = np.asarray(model_config.lmbdas, np.float32)
    log_gain = 0.5 * np.log(lmbdas / lmbdas[0])[:, None] + np.zeros(shape, "f4")
    self.log_gain = tf.Variable(log_gain, name="log_gain")
    self.log_inverse_gain = tf.Variable(-log_gain, name="log_inverse_gain")
    self.prior = priors.make_prior(model_config.prior, *shape)
    # Builds the layers, so that every variable exists from here on.
    self.synthesis(self.analysis(tf.zeros((1, 16, 16, 3))))

  def gains(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Gains and inverse gains, float32 [levels, channels], positive."""
    return tf.exp(self.log_gain), tf.exp(self.log_inverse_gain)

  def rate_distortion(
    self, x: tf.Tensor, proxy: str | None = None, seed: tf.Tensor | None = None
  ) -> RateDistortion:
    """Codes patches at every level, as a file would or by a training proxy.

    Args:
      x: float32 [n, levels, H, W, 3] in 0..255, H and W multiples of 16: n
        patches for each level.
      proxy: What stands for quantization (`TrainConfig.proxy`). By default
        latents and pixels are rounded, as in a file; nothing has a gradient
        then.
      seed: integer [2], seed of the proxy's uniform noise.
    """
    n, levels, height, width, _ = x.shape
    flat = tf.reshape(x, (-1, height, width, 3))
    y = self.analysis(flat)  # [n * levels, h, w, C]
    gain, inverse_gain = self.gains()
    positions = tuple(y.shape[1:3])
    y = tf.reshape(y, (-1, levels, *y.shape[1:])) * gain[:, None, None, :]
    y = tf.transpose(y, (0, 2, 3, 1, 4))  # [n, h, w, levels, C]
    rounded = y_tilde = y_hat = tf.round(y)
    if proxy:
      y_tilde = y + tf.random.stateless_uniform(tf.shape(y), seed, -0.5, 0.5)
      # The gradient passes straight through the rounding.
      straight = y + tf.stop_gradient(rounded - y)
      y_hat = straight if proxy == "mixed" else y_tilde
    bits = self.prior.bits(y_tilde, rounded)
    bpp = tf.reduce_sum(bits, (0, 1, 2, 4)) / float(n * height * width)
    y_hat = tf.transpose(y_hat * inverse_gain, (0, 3, 1, 2, 4))
    x_hat = self.synthesis(
      tf.reshape(y_hat, (-1, *positions, self.config.num_latents))
    )
    x_hat = tf.reshape(x_hat, x.shape)
    if not proxy:
      x_hat = tf.clip_by_value(tf.round(x_hat), 0.0, 255.0)
    mse = tf.reduce_mean(tf.math.squared_difference(x, x_hat), (0, 2, 3, 4))
    distortion = mse
    if self.config.distortion == "ms_ssim":
      similarity = metrics.ms_ssim_for_training(
        flat, tf.reshape(x_hat, flat.shape)
      )
      distortion = 1 - tf.reduce_mean(tf.reshape(similarity, (n, levels)), 0)
    lmbda = tf.constant(self.config.lmbdas, tf.float32)
    loss = bpp + lmbda * distortion
    return RateDistortion(loss, bpp, mse, distortion, x_hat)

  def prior_variables(self) -> list[tf.Variable]:
    """The variables of the priors, which learn at a rate of their own."""
    return list(self.prior.trainable_variables)

  def transform_variables(self) -> list[tf.Variable]:
    """All other variables: transforms and gains."""
    prior = {id(v) for v in self.prior_variables()}
    return [v for v in self.trainable_variables if id(v) not in prior]

  def get_arrays(self) -> dict[str, np.ndarray]:
    """All weights as named float32 arrays; `set_arrays` is the inverse.

    Kernels are [height, width, in, out] as tfc.SignalConv2D uses them, GDN
    parameters are the values beta [C] and gamma [in, out], gains are
    [levels, C]; the priors' variables keep their own names.
    """
    gain, inverse_gain = self.gains()
    return {
      **{
        name: tf.convert_to_tensor(weight).numpy()
        for name, weight in self._named_weights().items()
      },
      "gain": gain.numpy(),
      "inverse_gain": inverse_gain.numpy(),
    }

  def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
    """Sets all weights, or none.

    Raises:
      errors.ModelError: if an array is missing, of another shape, or not
        finite, or a gain is not positive.
    """
    values: dict[str, np.ndarray] = {}
    for name, old in self.get_arrays().items():
      if name not in arrays:
        raise errors.ModelError(f"the weights lack {name}")
      value = values[name] = np.asarray(arrays[name], np.float32)
      if value.shape != old.shape:
        raise errors.ModelError(
          f"{name} has the shape {value.shape}, the model needs {old.shape}"
        )
      if not np.all(np.isfinite(value)):
        raise errors.ModelError(f"{name} has values that are not finite")
      if name.endswith("gain") and not np.all(value > 0):
        raise errors.ModelError(f"{name} has values that are not positive")
    self.log_gain.assign(np.log(values["gain"]))
    self.log_inverse_gain.assign(np.log(values["inverse_gain"]))
    for name, weight in self._named_weights().items():
      weight.assign(values[name])

  def _named_weights(self) -> dict[str, Any]:
    """The variable or tfc.Parameter behind each name, gains left out."""
    prior = {
      "prior/" + v.name.split("/")[-1].split(":")[0]: v
      for v in self.prior.trainable_variables
    }
    return {
      **self.analysis.named_weights(),
      **self.synthesis.named_weights(),
      **prior,
    }
