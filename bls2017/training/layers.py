"""The analysis and synthesis transforms of the paper (section 3.1, figure 3).

    x -> conv 9x9 /4 -> GDN -> conv 5x5 /2 -> GDN -> conv 5x5 /2 -> GDN -> y
    x_hat <- conv 9x9 x4 <- IGDN <- conv 5x5 x2 <- IGDN <- conv 5x5 x2 <- IGDN
      <- y_hat

Every GDN has the paper's exponents: z = x / sqrt(beta + gamma x^2), over all
channels of a position; its inverse multiplies where GDN divides.

Images enter as x / 255 - 1/2, so that the zeros the convolutions pad with are
mid-grey rather than a black frame that would have to be coded.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_compression as tfc

from bls2017.common import config
from bls2017.training import parameters

BETA_MINIMUM = 1e-6


class _GDN(tfc.GDN):
  """tfc's GDN without its conditionals and with a faster matrix product."""

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    squares = tf.reshape(tf.square(inputs), (-1, inputs.shape[-1]))
    pool = tf.nn.bias_add(tf.matmul(squares, self.gamma), self.beta)
    pool = tf.reshape(pool, tf.shape(inputs))
    return inputs * (tf.sqrt(pool) if self.inverse else tf.math.rsqrt(pool))


def _gdn(name: str, channels: int, inverse: bool) -> tfc.GDN:
  return _GDN(
    inverse=inverse,
    alpha_parameter=2,
    epsilon_parameter=0.5,
    beta_parameter=parameters.NonnegativeParameter(
      tf.ones((channels,)), name=f"{name}_beta", minimum=BETA_MINIMUM
    ),
    gamma_parameter=parameters.NonnegativeParameter(
      0.1 * tf.eye(channels), name=f"{name}_gamma"
    ),
    name=name,
  )


def _conv(
  name: str, support: int, channels: tuple[int, int], seed: int, **strides: int
) -> tfc.SignalConv2D:
  channels_in, channels_out = channels
  return tfc.SignalConv2D(
    channels_out,
    support,
    corr="strides_down" in strides,
    padding="same_zeros",
    use_bias=True,
    kernel_parameter=parameters.OrthonormalKernelParameter(
      parameters.glorot_kernel(support, channels_in, channels_out, seed),
      name=f"{name}_kernel",
    ),
    bias_parameter=tf.Variable(tf.zeros((channels_out,)), name=f"{name}_bias"),
    name=name,
    **strides,
  )


class _Transform(tf.keras.layers.Layer):
  """Alternating GDNs and convolutions, whose weights have names."""

  def __init__(self, name: str):
    super().__init__(name=name)
    self.convs: list[tfc.SignalConv2D] = []
    self.gdns: dict[str, tfc.GDN] = {}

  def named_weights(self) -> dict[str, Any]:
    """The tfc.Parameter or variable behind the name of each weight."""
    named = {}
    for i, conv in enumerate(self.convs):
      named[f"{self.name}/{i}/kernel"] = conv.kernel_parameter
      named[f"{self.name}/{i}/bias"] = conv.bias_parameter
    for name, gdn in self.gdns.items():
      named[f"{self.name}/{name}/beta"] = gdn.beta_parameter
      named[f"{self.name}/{name}/gamma"] = gdn.gamma_parameter
    return named


class AnalysisTransform(_Transform):
  """Image to latents: three convolutions, each followed by GDN.

  Input: float32 [N, H, W, 3] in 0..255, H and W multiples of 16.
  Output: float32 [N, H/16, W/16, num_latents].
  """

  def __init__(self, num_filters: int, num_latents: int, seed: int = 0):
    super().__init__(name="analysis")
    channels = (3, num_filters, num_filters, num_latents)
    for i, (support, stride) in enumerate(config.STAGES):
      pair = (channels[i], channels[i + 1])
      conv = _conv(
        f"analysis_{i}", support, pair, seed + i, strides_down=stride
      )
      self.convs.append(conv)
      self.gdns[f"{i}/gdn"] = _gdn(f"gdn_{i}", channels[i + 1], inverse=False)

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """The latents of images."""
    x = x / 255.0 - 0.5
    for i, conv in enumerate(self.convs):
      x = self.gdns[f"{i}/gdn"](conv(x))
    return x


class SynthesisTransform(_Transform):
  """Latents to image: three convolutions, each preceded by inverse GDN.

  Input: float32 [N, h, w, num_latents].
  Output: float32 [N, 16 h, 16 w, 3], about 0..255, not yet rounded or clipped.
  """

  def __init__(self, num_filters: int, num_latents: int, seed: int = 0):
    super().__init__(name="synthesis")
    channels = (num_latents, num_filters, num_filters, 3)
    self._order = ("igdn_in", "0/igdn", "1/igdn")
    for i, (support, stride) in enumerate(reversed(config.STAGES)):
      self.gdns[self._order[i]] = _gdn(f"igdn_{i}", channels[i], inverse=True)
      pair = (channels[i], channels[i + 1])
      seed_of_conv = seed + len(config.STAGES) + i
      conv = _conv(
        f"synthesis_{i}", support, pair, seed_of_conv, strides_up=stride
      )
      self.convs.append(conv)

  def call(self, y: tf.Tensor) -> tf.Tensor:
    """The images of latents."""
    for name, conv in zip(self._order, self.convs):
      y = conv(self.gdns[name](y))
    return (y + 0.5) * 255.0
