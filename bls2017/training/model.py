"""The trainable model: transforms, gains, priors and the rate-distortion loss.

    x -> analysis -> y -> x gain[level] -> + uniform noise -> y_tilde -> bits
    x_hat <- synthesis <- x inverse_gain[level] <- y_tilde

One pair of transforms serves every level; a level (one lambda) has a gain and
an inverse gain for each channel and a prior of its own. With one lambda this is
the plain model of the paper, up to a redundant scale.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.encode import quantization
from bls2017.images import metrics
from bls2017.training import layers, priors


class RateDistortion(NamedTuple):
  """Rates and distortions of one batch.

  Attributes:
    bpp: float32 [levels], estimated bits per pixel.
    mse: float32 [levels], mean squared error on the 0-255 scale.
    distortion: float32 [levels], what the loss weighs: mse or 1 - MS-SSIM.
    x_hat: float32 [n, levels, H, W, 3], the reconstructions.
  """

  bpp: tf.Tensor
  mse: tf.Tensor
  distortion: tf.Tensor
  x_hat: tf.Tensor


class BLS2017Model(tf.keras.Model):
  """The nonlinear transform coder of Balle, Laparra & Simoncelli (2017)."""

  def __init__(self, model_config: config.ModelConfig, seed: int = 0):
    """Creates all variables.

    Args:
      model_config: The shape of the model.
      seed: Seed of the random initial kernels.
    """
    super().__init__(name="bls2017")
    self.config = model_config
    shape = (model_config.num_levels, model_config.num_latents)
    self.analysis = layers.AnalysisTransform(
      model_config.num_filters, model_config.num_latents, seed
    )
    self.synthesis = layers.SynthesisTransform(
      model_config.num_filters, model_config.num_latents, seed
    )
    # A finer quantization pays as lambda grows: the step goes with 1 / sqrt.
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

  def raise_gains(self, floor: float) -> None:
    """Keeps channels from falling asleep; see `TrainConfig.gain_floor`."""
    if not floor:
      return
    log_floor = math.log(floor)
    largest = tf.reduce_max(self.log_gain, axis=1, keepdims=True)
    self.log_gain.assign(tf.maximum(self.log_gain, largest + log_floor))
    self.log_inverse_gain.assign(
      tf.maximum(self.log_inverse_gain, log_floor - self.log_gain)
    )

  def rate_distortion(
    self, x: tf.Tensor, proxy: str | None = None, seed: tf.Tensor | None = None
  ) -> RateDistortion:
    """Codes patches at every level, as a file would or by a training proxy.

    Args:
      x: float32 [n, levels, H, W, 3] in 0..255, H and W multiples of 16: n
        patches for each level.
      proxy: What stands for the quantization (`TrainConfig.proxy`). By
        default latents and pixels are rounded, as when a file is written and
        read; nothing has a gradient then.
      seed: integer [2], seed of the uniform noise, which every proxy but
        "rounding" needs.

    Returns:
      Rates from the prior and distortions.
    """
    n, levels, height, width, _ = x.shape
    flat = tf.reshape(x, (-1, height, width, 3))
    y = self.analysis(flat)
    gain, inverse_gain = self.gains()
    positions = tuple(y.shape[1:3])
    y = tf.reshape(y, (-1, levels, *y.shape[1:])) * gain[:, None, None, :]
    y = tf.transpose(y, (0, 2, 3, 1, 4))  # As the prior takes them.
    y_tilde, y_hat = self._quantize(y, proxy, seed)
    bits = self.prior.bits(y_tilde, tf.round(y))
    bpp = tf.reduce_sum(bits, (0, 1, 2, 4)) / float(n * height * width)
    y_hat = tf.transpose(y_hat * inverse_gain, (0, 3, 1, 2, 4))
    x_hat = self.synthesis(
      tf.reshape(y_hat, (-1, *positions, self.config.num_latents))
    )
    x_hat = tf.reshape(x_hat, x.shape)
    if proxy is None:
      x_hat = tf.clip_by_value(tf.round(x_hat), 0.0, 255.0)
    mse = tf.reduce_mean(tf.math.squared_difference(x, x_hat), (0, 2, 3, 4))
    if self.config.distortion == "mse":
      distortion = mse
    else:
      similarity = metrics.ms_ssim_for_training(
        flat, tf.reshape(x_hat, flat.shape)
      )
      distortion = 1 - tf.reduce_mean(tf.reshape(similarity, (n, levels)), 0)
    return RateDistortion(bpp, mse, distortion, x_hat)

  def symbols(self, x: tf.Tensor) -> tf.Tensor:
    """The rounded latents of one image at every level.

    Args:
      x: float32 [1, H, W, 3] in 0..255, H and W multiples of 16.

    Returns:
      float32 [levels, H/16, W/16, C].
    """
    gain, _ = self.gains()
    return tf.round(self.analysis(x) * gain[:, None, None, :])

  def _quantize(
    self, y: tf.Tensor, proxy: str | None, seed: tf.Tensor | None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """What the prior sees of scaled latents, and what the synthesis sees.

    Args:
      y: float32 [..., levels, channels].
      proxy: As in `rate_distortion`.
      seed: integer [2].

    Returns:
      y_tilde and y_hat, float32, shaped as y.
    """
    if proxy is None or proxy == "rounding":
      return tf.round(y), tf.round(y)
    y_tilde = y + tf.random.stateless_uniform(tf.shape(y), seed, -0.5, 0.5)
    if proxy == "noise":
      return y_tilde, y_tilde
    symbols = tf.round(y) if proxy == "mixed" else self._optimised(y)
    return y_tilde, y + tf.stop_gradient(symbols - y)

  def _optimised(self, y: tf.Tensor) -> tf.Tensor:
    """Symbols that know what they cost; see `bls2017.encode.quantization`."""
    lower = tf.floor(y)
    kept = tf.abs(y) >= quantization.DEAD_ZONE
    increase = self.prior.increase(
      lower, tf.round(y) * tf.cast(kept, tf.float32)
    )
    threshold = 0.5 + quantization.bends(increase, lower, tf.where)
    return lower + tf.cast(y - lower > threshold, tf.float32)

  def lagrangian(self, rd: RateDistortion) -> tf.Tensor:
    """The loss of every level, float32 [levels]."""
    lmbda = tf.constant(self.config.lmbdas, tf.float32)
    return rd.bpp + lmbda * rd.distortion

  def prior_variables(self) -> list[tf.Variable]:
    """The variables that learn at the rate of the priors."""
    return list(self.prior.trainable_variables)

  def transform_variables(self) -> list[tf.Variable]:
    """All other variables: transforms and gains."""
    prior = {id(v) for v in self.prior_variables()}
    return [v for v in self.trainable_variables if id(v) not in prior]

  def decoder_variables(self) -> list[tf.Variable]:
    """Those of the transform's variables that act after the quantization."""
    return [*self.synthesis.trainable_variables, self.log_inverse_gain]

  def get_arrays(self) -> dict[str, np.ndarray]:
    """All weights as named float32 arrays; `set_arrays` is the inverse.

    Kernels are [height, width, in, out] as tfc.SignalConv2D uses them, GDN
    parameters are the values beta [C] and gamma [in, out], gains are
    [levels, C]; the priors' variables keep their own names.
    """
    arrays = layers.named_values(self._assigners())
    gain, inverse_gain = self.gains()
    arrays["gain"] = gain.numpy()
    arrays["inverse_gain"] = inverse_gain.numpy()
    return arrays

  def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
    """Sets all weights, or none.

    Raises:
      errors.ModelError: if an array is missing, of another shape, or not
        finite, or a gain is not positive.
    """
    expected = self.get_arrays()
    values: dict[str, np.ndarray] = {}
    for name, old in expected.items():
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
    for name, target in self._assigners().items():
      target.assign(values[name])

  def _assigners(self) -> dict[str, Any]:
    prior = {
      "prior/" + v.name.split("/")[-1].split(":")[0]: v
      for v in self.prior.trainable_variables
    }
    return {
      **self.analysis.weight_assigners(),
      **self.synthesis.weight_assigners(),
      **prior,
    }
