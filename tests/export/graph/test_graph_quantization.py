"""A graph chooses the rows and lanes that the library chooses."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.encode import activities, quantization
from bls2017.format import coding_tables, lanes
from export.graph import graph_lengths, graph_quantization, graph_tables
from export.range_coder import stock_streams
from tests import images, laws
from tests.bls2017.format import tables_strategy
from tests.export import library


def test_code_lengths_of_all_frequencies_are_equal():
  frequency = np.arange(1, coding_tables.TOTAL)
  cdf = np.stack([np.zeros_like(frequency), frequency], 1)
  np.testing.assert_array_equal(
    graph_lengths.code_lengths(tf.constant(cdf, tf.int32)).numpy(),
    coding_tables.code_lengths(cdf),
  )


def _check(quantized, expected) -> None:
  rows, num_lanes = quantized
  np.testing.assert_array_equal(rows, expected.rows)
  assert num_lanes == expected.num_lanes


@laws.examples(40)
@given(case=tables_strategy.CASES, lane_positions=st.integers(1, 60))
def test_rows_of_any_latents_are_the_librarys(case, lane_positions):
  case = {**case, "lane_positions": lane_positions}
  tables, rows, shape, _ = tables_strategy.draw(case)
  spread = 0.2 + 0.1 * (tables.maximum - tables.minimum)
  rng = np.random.default_rng(case["seed"])
  scaled = rng.normal(0, spread, (len(rows), len(spread))).astype(np.float32)
  arrays = graph_tables.arrays(tables, graph_tables.Room(12, 8, 4))
  channels = graph_tables.Channels(
    gain=tables.gain, inverse_gain=tables.inverse_gain, offset=tables.offset,
    minimum=tables.minimum, maximum=tables.maximum, live=tables.live,
  )  # fmt: skip
  # So small an image has several lanes only if they may be short and dear.
  with mock.patch.multiple(activities, LANE_STEPS=20, LANE_SHARE=0.1):
    found = graph_quantization.quantize(
      tf.constant(scaled),
      tuple(map(tf.constant, shape)),
      graph_tables.Channels(*map(tf.constant, channels)),
      stock_streams.Tables(*(tf.constant(np.int32(a)) for a in arrays)),
      tf.constant(lanes.fewest(len(rows), tables.lane_positions)),
    )
    quantizer = quantization.Quantizer(tables)
    _check(found, quantizer.quantize(scaled, shape, optimised=True))


@pytest.mark.parametrize("index", [0, 3, 8])
def test_rows_of_a_photograph_are_the_librarys(frozen_model, index):
  y = library.latents(frozen_model, images.photograph(80, 112), index)
  shape = y.shape[:2]
  y = y.reshape(-1, y.shape[-1])
  graph = graph_tables.GraphTables(frozen_model.tables)
  channels = graph.channels(tf.constant(index))
  tables = frozen_model.tables.for_quality(index)
  found = graph_quantization.quantize(
    graph_quantization.scaled(y, channels),
    tuple(map(tf.constant, shape)),
    channels,
    graph.for_quality(tf.constant(index)),
    graph.fewest_lanes(tf.constant(index), shape),
  )
  quantizer = quantization.Quantizer(tables)
  _check(found, quantizer.quantize_latents(y, shape, optimised=True))
