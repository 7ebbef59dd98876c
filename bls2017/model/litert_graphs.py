"""Makes the graphs that LiteRT runs of a model's transforms.

Their weights have 16 bits where the decoded image of a test picture stays
within `MAX_LEVELS` and `MAX_DECIBELS` of what 32 bits give; else they have 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bls2017.model import (
  frozen_transforms,
  litert_transforms,
  model_directory,
)

MAX_LEVELS = 1
"""Levels of 0..255 by which a pixel may differ."""

MAX_DECIBELS = 0.02
"""By how much the PSNR of the picture may differ."""

_PICTURE = 128
"""Sides of the test picture."""


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
  functions = {
    litert_transforms.ANALYSIS: (transforms.analysis, image),
    litert_transforms.SYNTHESIS: (transforms.pixels, latents),
  }
  graphs = {
    name: _converted(function, spec, half_precision=True)
    for name, (function, spec) in functions.items()
  }
  if not _is_near(graphs, transforms):
    graphs = {
      name: _converted(function, spec, half_precision=False)
      for name, (function, spec) in functions.items()
    }
  return graphs


def pair(
  weights: Mapping[str, np.ndarray], num_latents: int
) -> model_directory.TransformPair:
  """A pair of transforms with the graphs of its weights.

  Args:
    weights: As for `convert`.
    num_latents: C.
  """
  return model_directory.TransformPair(weights, convert(weights, num_latents))


def _converted(
  function: Callable[..., Any], spec: tf.TensorSpec, half_precision: bool
) -> bytes:
  traced = tf.function(function, input_signature=[spec], autograph=False)
  concrete = traced.get_concrete_function()
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [concrete], trackable_obj=tf.Module()
  )
  if half_precision:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
  return bytes(converter.convert())


def _is_near(
  graphs: dict[str, bytes], transforms: frozen_transforms.FrozenTransforms
) -> bool:
  """Whether graphs give a picture as the transforms do, from end to end."""
  picture = _picture()
  expected = transforms.pixels(transforms.analysis(picture)).numpy()
  latents = _run(graphs[litert_transforms.ANALYSIS], picture)
  pixels = _run(
    graphs[litert_transforms.SYNTHESIS], transforms.analysis(picture).numpy()
  )
  difference = np.abs(pixels.astype(np.int32) - expected)
  both = _run(graphs[litert_transforms.SYNTHESIS], latents)
  decibels = _psnr(both, picture) - _psnr(expected, picture)
  return bool(difference.max() <= MAX_LEVELS and abs(decibels) <= MAX_DECIBELS)


def _picture() -> np.ndarray:
  """Shading, edges and noise: uint8 [1, side, side, 3]."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:_PICTURE, :_PICTURE] / _PICTURE
  shading = 128 + 90 * np.sin(5 * x + 3 * y)
  edges = 30 * np.sign(np.sin(40 * x * y))
  noise = rng.normal(0, 4, (_PICTURE, _PICTURE, 3))
  picture = (shading + edges)[..., None] + noise
  return np.clip(np.rint(picture), 0, 255).astype(np.uint8)[None]


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
  mse = np.mean(np.square(a.astype(np.float64) - b))
  return float(10 * np.log10(255**2 / max(mse, 1e-9)))


def _run(graph: bytes, x: np.ndarray) -> np.ndarray:
  # TensorFlow's own interpreter, so that freezing needs no LiteRT.
  interpreter = tf.lite.Interpreter(model_content=graph)
  (source,), (result,) = (
    interpreter.get_input_details(),
    interpreter.get_output_details(),
  )
  interpreter.resize_tensor_input(source["index"], x.shape)
  interpreter.allocate_tensors()
  interpreter.set_tensor(source["index"], x)
  interpreter.invoke()
  return np.asarray(interpreter.get_tensor(result["index"]))
