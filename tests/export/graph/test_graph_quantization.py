"""A graph chooses the symbols and activities that the library chooses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bls2017.encode import quantization
from bls2017.format import coding_tables
from export.graph import graph_quantization, graph_tables
from tests import images
from tests.export import library


def test_code_lengths_of_all_frequencies_are_equal():
  frequency = np.arange(1, coding_tables.TOTAL)
  cdf = np.stack([np.zeros_like(frequency), frequency], 1)
  np.testing.assert_array_equal(
    graph_quantization.code_lengths(tf.constant(cdf, tf.int32)).numpy(),
    coding_tables.code_lengths(cdf),
  )


@pytest.fixture(params=["several activities", "one"])
def tables(request, frozen_model):
  tables = frozen_model.tables
  if request.param == "one":
    cdfs = [cdf[:1] for cdf in tables.cdfs]
    tables = dataclasses.replace(tables, activity_cdf=None, cdfs=cdfs)
  return tables


@pytest.mark.parametrize("index", [0, 3, 8])
def test_rows_are_the_librarys(frozen_model, tables, index):
  y = library.latents(frozen_model, images.photograph(80, 112), index)
  y = y.reshape(-1, y.shape[-1])
  graph = graph_tables.GraphTables(tables)
  channels = graph.channels(tf.constant(index))
  activities, indices = graph_quantization.quantize(
    graph_quantization.scaled(y, channels),
    channels,
    graph.for_qualities(tf.constant([index])),
  )
  of_quality = tables.for_quality(index)
  rows = quantization.Quantizer(of_quality).quantize_latents(y, optimised=True)[
    0
  ]
  np.testing.assert_array_equal(indices, rows[:, -indices.shape[1] :])
  if tables.num_activities > 1:
    np.testing.assert_array_equal(activities, rows[:, 0])
  else:
    assert not activities.numpy().any()
