"""The strips of a graph give the bits of the library's."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bls2017.model import model_directory, runtimes, strips
from export.graph import graph_strips
from tests import images

WHOLE = 10**6


@pytest.fixture(scope="module")
def transforms():
  # The packaged model: oneDNN has kernels of their own for whole vectors.
  model = model_directory.load()
  return strips.Transforms(model.pairs[-1].weights, model.config.num_latents)


@pytest.mark.parametrize("positions", [1, 12, WHOLE])
def test_graphs_give_the_same_bits(transforms, monkeypatch, positions):
  x = images.photograph(176, 96)
  y = transforms.latents(x)
  monkeypatch.setattr(strips, "STRIP_POSITIONS", positions)

  def in_a_graph(function, argument):
    graph = tf.function(lambda a: function(transforms.frozen, a))
    return graph(tf.constant(argument))

  np.testing.assert_array_equal(in_a_graph(graph_strips.analysis, x), y)
  pixels = in_a_graph(graph_strips.synthesis, y)
  expected = runtimes.image(
    transforms, lambda first, end: y[first:end], 176, 96
  )
  np.testing.assert_array_equal(pixels, expected)
