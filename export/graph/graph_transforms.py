"""The transforms of a model in a graph; a quality chooses the pair.

The latents of all pairs have the channels of the coding tables: those that a
pair lacks are 0, and its synthesis ignores them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import tensorflow as tf

from bls2017.format import lanes
from bls2017.model import frozen_transforms
from export.graph import graph_strips

if TYPE_CHECKING:
  from bls2017.model import model_directory


class GraphTransforms(tf.Module):
  """Analysis and synthesis of all pairs of a model.

  Kernels are variables: a server holds a variable once, but a constant several
  times for each signature, since it copies and optimises its graph.
  """

  def __init__(self, model: model_directory.FrozenModel):
    super().__init__()
    self._channels = model.config.num_latents
    self._kernels: list[tf.Variable] = []
    pairs = [
      frozen_transforms.FrozenTransforms(
        pair.weights, self._channels, self._hold
      )
      for pair in model.pairs
    ]
    self._pair_of = np.array(
      [model.tables.pair_of(index) for index in range(len(model.tables))],
      np.int32,
    )
    image = tf.TensorSpec((None, None, 3), tf.uint8)
    latents = tf.TensorSpec((None, None, self._channels), tf.float32)
    self._analyses = [
      _held_once(functools.partial(graph_strips.analysis, pair), image)
      for pair in pairs
    ]
    self._syntheses = [
      _held_once(functools.partial(graph_strips.synthesis, pair), latents)
      for pair in pairs
    ]

  def _hold(self, kernel: np.ndarray) -> tf.Variable:
    self._kernels.append(tf.Variable(kernel, trainable=False))
    return self._kernels[-1]

  def latents(self, image: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Computes the latents of an image with the pair of a quality.

    The last column and row are repeated up to multiples of 16.

    Args:
      image: uint8 [H, W, 3].
      index: int32 scalar, index of the quality.

    Returns:
      float32 [positions, C].
    """
    y = self._chosen(self._analyses, index, _pad(image))
    return tf.reshape(y, (-1, self._channels))

  def image(self, latents: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Computes the image of latents with the pair of a quality.

    Args:
      latents: float32 [h, w, C].
      index: int32 scalar, index of the quality.

    Returns:
      uint8 [16 h, 16 w, 3].
    """
    return self._chosen(self._syntheses, index, latents)

  def _chosen(
    self,
    functions: list[Callable[[tf.Tensor], tf.Tensor]],
    index: tf.Tensor,
    argument: tf.Tensor,
  ) -> tf.Tensor:
    """The value of the function of one pair; the others are not called."""
    if len(functions) == 1:
      return functions[0](argument)
    return tf.switch_case(
      tf.gather(self._pair_of, index),
      [functools.partial(f, argument) for f in functions],
    )


def _held_once(function: Callable[..., Any], argument: tf.TensorSpec) -> Any:
  """A function that is in memory once, wherever it is called from."""
  return tf.function(
    function,
    input_signature=[argument],
    autograph=False,
    experimental_attributes={"_noinline": True},
  )


def _pad(image: tf.Tensor) -> tf.Tensor:
  height, width, _ = tf.unstack(tf.shape(image))
  bottom = -height % lanes.DOWNSAMPLING
  right = -width % lanes.DOWNSAMPLING
  image = tf.concat([image, tf.tile(image[-1:], [bottom, 1, 1])], 0)
  return tf.concat([image, tf.tile(image[:, -1:], [1, right, 1])], 1)
