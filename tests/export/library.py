"""The library's symbols of an image, by the transforms that the export has.

The library itself runs them on LiteRT, whose latents differ in their last bits,
and so now and then a symbol.
"""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from bls2017.encode import quantization
from bls2017.model import frozen_transforms, model_directory


def latents(
  model: model_directory.FrozenModel, x: np.ndarray, index: int
) -> np.ndarray:
  """The latents of an image by the pair of a quality: float32 [h, w, C]."""
  pair = model.pairs[model.tables.pair_of(index)]
  transforms = frozen_transforms.FrozenTransforms(
    pair.weights, model.config.num_latents
  )
  padding = [(0, -side % 16) for side in x.shape[:2]]
  x = np.pad(x, [*padding, (0, 0)], mode="edge")
  return tf.function(transforms.analysis)(x[None])[0].numpy()


def symbols(
  model: model_directory.FrozenModel, x: np.ndarray, quality: float
) -> np.ndarray:
  """The symbols that the library chooses: int32 [h, w, C]."""
  index = model.config.quality_index(quality)
  tables = model.tables.for_quality(index)
  y = latents(model, x, index)
  quantized = quantization.Quantizer(tables).quantize_latents(
    y.reshape(-1, y.shape[-1]), y.shape[:2], optimised=True
  )
  found = np.tile(tables.minimum, (len(quantized.rows), 1))
  live = len(tables.live)
  found[:, tables.live] += quantized.rows[:, quantized.rows.shape[1] - live :]
  return found.reshape(y.shape)


def png(x: np.ndarray) -> bytes:
  """A PNG file of an image, uint8 [H, W, 3]."""
  buffer = io.BytesIO()
  Image.fromarray(x).save(buffer, "PNG")
  return buffer.getvalue()


def pixels(file: bytes) -> np.ndarray:
  """The pixels of an image file: int [H, W, 3]."""
  return np.array(Image.open(io.BytesIO(file))).astype(int)
