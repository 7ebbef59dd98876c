"""The network as one writes it with tfc, to compare with.

SignalConv2D with its default kernels, GDN with its default parameters, one
range coder stream by tfc's operations, as in tfc's own example of this model.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bls2017.common import config
from bls2017.evaluation import image_codecs
from bls2017.format import range_coder_tfc
from bls2017.model import model_directory

_HEADER = struct.Struct("<fHH")
"""Quality, and rows and columns of the latents."""


class PlainModel:
  """The network of a frozen model, at one quality."""

  def __init__(self, model: model_directory.FrozenModel, quality: float):
    """Builds the layers.

    Args:
      model: The frozen model.
      quality: 1 to the model's levels.
    """
    index = model.config.quality_index(quality)
    self._weights = model.weights_of(quality)
    self._channels = len(self._weights["synthesis/igdn_in/beta"])
    tables = model.tables.for_quality(index)
    fields = {
      name: getattr(tables, name)[: self._channels]
      for name in ("gain", "inverse_gain", "offset", "minimum", "maximum")
    }
    symbols = int((fields["maximum"] - fields["minimum"] + 1).sum())
    # Whatever the activity: the plain model has one table for each channel.
    self._tables = dataclasses.replace(
      tables,
      cdf=tables.cdf[:1, :symbols],
      activity_cdf=np.zeros((2, 1), np.int32),
      **fields,
    )
    self._analysis = self._layers("analysis", config.STAGES, down=True)
    stages = tuple(reversed(config.STAGES))
    self._synthesis = self._layers("synthesis", stages, down=False)
    self._lookup = range_coder_tfc.lookup(self._tables)

  def _layers(
    self, name: str, stages: tuple[tuple[int, int], ...], down: bool
  ) -> list[Any]:
    layers = []
    for i, (support, stride) in enumerate(stages):
      norm = (
        f"{name}/{i}/gdn"
        if down
        else f"{name}/{('igdn_in', '0/igdn', '1/igdn')[i]}"
      )
      kernel = np.asarray(self._weights[f"{name}/{i}/kernel"], np.float32)
      conv = tfc.SignalConv2D(
        kernel.shape[3],
        support,
        corr=down,
        strides_down=stride if down else 1,
        strides_up=1 if down else stride,
        padding="same_zeros",
        use_bias=True,
        kernel_parameter=tfc.RDFTParameter(kernel),
        bias_parameter=tf.constant(self._weights[f"{name}/{i}/bias"]),
      )
      beta, gamma = (
        self._weights[f"{norm}/beta"],
        self._weights[f"{norm}/gamma"],
      )
      # A pruned analysis has fewer outputs than its last norm has inputs.
      spare = gamma.shape[0] - gamma.shape[1]
      beta = np.pad(beta, (0, spare), constant_values=1)
      gamma = np.pad(gamma, [(0, 0), (0, spare)])
      gdn = tfc.GDN(
        inverse=not down,
        alpha_parameter=2,
        epsilon_parameter=0.5,
        beta_parameter=tfc.GDNParameter(beta, minimum=1e-6),
        gamma_parameter=tfc.GDNParameter(gamma),
      )
      layers += [conv, gdn] if down else [gdn, conv]
    return layers

  @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
  def compress(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compresses an image.

    Args:
      image: uint8 [H, W, 3], sides multiples of 8.

    Returns:
      A scalar string, and int32 [2], the shape of the latents.
    """
    shape = tf.shape(image)
    padding = [[0, -shape[0] % 16], [0, -shape[1] % 16], [0, 0]]
    x = tf.pad(image, padding, "SYMMETRIC")[None]
    x = tf.cast(x, tf.float32) / 255.0 - 0.5
    for layer in self._analysis:
      x = layer(x)
    tables = self._tables
    y = tf.round(x[0, ..., : self._channels] * tables.gain - tables.offset)
    y = tf.clip_by_value(tf.cast(y, tf.int32), tables.minimum, tables.maximum)
    symbols = tf.gather(y - tables.minimum, tables.live, axis=-1)
    handle = tfc.create_range_encoder([], self._lookup)
    handle = tfc.entropy_encode_channel(handle, symbols)
    return tfc.entropy_encode_finalize(handle), tf.shape(y)[:2]

  @tf.function(
    input_signature=[
      tf.TensorSpec((), tf.string),
      tf.TensorSpec((2,), tf.int32),
    ]
  )
  def decompress(self, string: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """The inverse of `compress`, uint8 [16 h, 16 w, 3], padding included."""
    tables = self._tables
    handle = tfc.create_range_decoder(string, self._lookup)
    _, rows = tfc.entropy_decode_channel(
      handle, tf.concat([shape, [len(tables.live)]], 0), tf.int32
    )
    spread = np.eye(self._channels, dtype=np.float32)[tables.live]
    y = tf.tensordot(tf.cast(rows, tf.float32), spread, 1) + tables.minimum
    y = (y + tables.offset) * tables.inverse_gain
    x = y[None]
    for layer in self._synthesis:
      x = layer(x)
    return tf.saturate_cast(tf.round((x[0] + 0.5) * 255.0), tf.uint8)


class PlainCodec(image_codecs.ImageCodec):
  """`PlainModel` as a codec; what it decodes still has the padding."""

  name, label = "plain", "plain model of tfc"

  def __init__(self, model: str | None = None):
    """Reads a model.

    Args:
      model: As for `Codec.load`.

    Raises:
      errors.ModelError: if it cannot be used.
    """
    frozen = model_directory.load(model)
    self._graphs = functools.cache(functools.partial(PlainModel, frozen))

  def encode(self, x: np.ndarray, quality: float) -> image_codecs.CodedImage:
    """See `image_codecs.ImageCodec`."""
    string, shape = self._graphs(quality).compress(tf.constant(x))
    header = _HEADER.pack(quality, *shape.numpy())
    return image_codecs.CodedImage(header + string.numpy())

  def decode(self, data: bytes) -> np.ndarray:
    """See `image_codecs.ImageCodec`."""
    quality, *shape = _HEADER.unpack_from(data)
    string = tf.constant(data[_HEADER.size :])
    return self._graphs(quality).decompress(string, tf.constant(shape)).numpy()
