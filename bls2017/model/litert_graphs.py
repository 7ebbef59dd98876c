"""Makes the graphs that LiteRT runs of a model's transforms.

All their constants are 32-bit floats. The converter's 16-bit floats round the
biases and the scaled kernels too: then 1.5% of the samples of a photograph are
a level from what 64-bit floats give, instead of 0.006%.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bls2017.model import (
  frozen_transforms,
  litert_transforms,
  model_directory,
)


def convert(
  weights: Mapping[str, np.ndarray], num_latents: int
) -> dict[str, bytes]:
  """The graphs of a model, for images of any size.

  Args:
    weights: As for `frozen_transforms.FrozenTransforms`.
    num_latents: C.

  Returns:
    For each of `model_directory.GRAPHS`, the content of a .tflite file:
    `FrozenTransforms.analysis` of uint8 [1, H, W, 3], and
    `FrozenTransforms.pixels` of float32 [1, h, w, C].
  """
  transforms = frozen_transforms.FrozenTransforms(weights, num_latents)
  image = tf.TensorSpec((1, None, None, 3), tf.uint8)
  latents = tf.TensorSpec((1, None, None, num_latents), tf.float32)
  return {
    litert_transforms.ANALYSIS: _converted(transforms.analysis, image),
    litert_transforms.SYNTHESIS: _converted(transforms.pixels, latents),
  }


def pair(
  weights: Mapping[str, np.ndarray], num_latents: int
) -> model_directory.TransformPair:
  """Makes a pair of transforms, whose graphs are made when they are needed.

  Args:
    weights: As for `convert`.
    num_latents: C.
  """

  @functools.cache
  def graphs() -> dict[str, bytes]:
    return convert(weights, num_latents)

  return model_directory.TransformPair(
    weights, model_directory.LazyGraphs(lambda name: graphs()[name])
  )


def _converted(function: Callable[..., Any], spec: tf.TensorSpec) -> bytes:
  traced = tf.function(function, input_signature=[spec], autograph=False)
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [traced.get_concrete_function()], trackable_obj=tf.Module()
  )
  return bytes(converter.convert())
