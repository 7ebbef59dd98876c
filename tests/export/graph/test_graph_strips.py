"""The transforms of a graph do not depend on how an image is cut."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bls2017.model import frozen_transforms, model_directory
from export.graph import graph_strips
from tests import images


@pytest.fixture(scope="module")
def transforms():
  # The packaged model: oneDNN has kernels of their own for whole vectors.
  model = model_directory.load()
  return frozen_transforms.FrozenTransforms(
    model.pairs[-1].weights, model.config.num_latents
  )


@pytest.mark.parametrize("positions", [1, 12, 10**6])
def test_strips_of_any_height_give_the_bits_of_the_whole(
  transforms, monkeypatch, positions
):
  monkeypatch.setattr(graph_strips, "STRIP_POSITIONS", positions)

  def in_a_graph(function, argument):
    return tf.function(function)(argument)

  x = tf.constant(images.photograph(176, 96))
  y = in_a_graph(lambda x: graph_strips.analysis(transforms, x), x)
  whole = in_a_graph(transforms.analysis, x[None])
  np.testing.assert_array_equal(y, whole[0])
  pixels = in_a_graph(lambda y: graph_strips.synthesis(transforms, y), y)
  whole = in_a_graph(transforms.pixels, y[None])
  np.testing.assert_array_equal(pixels, whole[0])
