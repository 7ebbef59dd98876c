"""Activities are the cheapest ones, by trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.bitstream import lanes
from bls2017.encoder import activities, quantization
from tests import laws
from tests.bls2017.bitstream import tables_strategy


def _total(chosen, cost, own, lane_positions):
  total = 0.0
  for i, activity in enumerate(chosen):
    before = chosen[i - 1] if i % lane_positions else -1
    total += cost[i, activity] + own[before, activity]
  return total


@laws.examples(60)
@given(
  seed=st.integers(0, 2**32 - 1),
  positions=st.integers(1, 6),
  sets=st.integers(2, 3),
  lane_positions=st.integers(1, 7),
)
def test_no_other_activities_cost_less(seed, positions, sets, lane_positions):
  rng = np.random.default_rng(seed)
  cost = rng.integers(0, 9, (positions, sets)).astype(np.float32)
  own = rng.integers(0, 9, (sets + 1, sets)).astype(np.float32)
  chosen = activities.cheapest(
    tf.constant(cost), tf.constant(own), tf.constant(lane_positions)
  ).numpy()
  assert chosen.shape == (positions,)
  least = min(
    _total(other, cost, own, lane_positions)
    for other in itertools.product(range(sets), repeat=positions)
  )
  assert _total(chosen, cost, own, lane_positions) == least


@laws.examples(40)
@given(
  seed=st.integers(0, 2**32 - 1),
  positions=st.integers(1, 40),
  sets=st.integers(1, 5),
  lane_positions=st.integers(1, 9),
)
def test_the_library_chooses_as_a_graph_does(
  seed, positions, sets, lane_positions
):
  tables = tables_strategy.make_tables(seed, 4, 9, 0.5, lane_positions, sets)
  rng = np.random.default_rng(seed)
  size = (tables.maximum - tables.minimum)[tables.live] + 1
  old, new = rng.integers(0, size, (2, positions, len(size))).astype(np.int16)
  chooser = activities.Chooser(tables)
  cost = chooser.costs(old)
  chooser.change(cost, old, new)
  lengths = tf.constant(tables.code_lengths.T, tf.float32)
  place = tf.constant(new + tables.starts[tables.live])
  expected = activities.costs(place, lengths)
  np.testing.assert_array_equal(cost, expected)
  np.testing.assert_array_equal(cost, chooser.costs(new))
  own = tf.constant(tables.activity_lengths, tf.float32)
  # Whole numbers make ties.
  for bits in cost, np.floor(cost / 4):
    path = activities.cheapest(bits, own, tf.constant(lane_positions))
    np.testing.assert_array_equal(chooser.cheapest(bits), path)


@pytest.fixture(scope="module", params=[0, 1])
def tables(request):
  return tables_strategy.make_tables(request.param, 5, 30, 0.5, 7, 3)


@pytest.fixture(scope="module")
def scaled(tables):
  rng = np.random.default_rng(1)
  # More positions than are worked on at once.
  return rng.normal(0, 6, (2100, len(tables.gain))).astype(np.float32)


def test_bits_are_those_of_the_tables_that_code_each_symbol(tables, scaled):
  found = quantization.Quantizer(tables).quantize(scaled)
  assert len(set(found.rows[:, 0])) == tables.num_activities
  cdfs = tables_strategy.all_cdfs(tables)
  bits = 0.0
  for start in range(0, len(scaled), tables.lane_positions):
    lane = found.rows[start : start + tables.lane_positions]
    indices, numbers = lanes.contents(lane, len(lane), tables)
    for index, number in zip(indices[0], numbers[0]):
      cdf = cdfs[number]
      bits += 16 - np.log2(cdf[index + 1] - cdf[index])
  assert found.bits == pytest.approx(bits, rel=1e-4)


def test_an_image_is_coded_with_its_cheapest_activities(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  rng = np.random.default_rng(2)
  for strength in (0.0, 0.05):
    found = quantizer.quantize(scaled, strength)
    for _ in range(20):
      rows = found.rows.copy()
      changed = rng.integers(0, len(rows), 1 + rng.integers(50))
      rows[changed, 0] = rng.integers(0, tables.num_activities, len(changed))
      assert quantizer.bits(rows) >= found.bits


def test_activities_do_not_change_what_is_decoded(tables, scaled):
  found = quantization.Quantizer(tables).quantize(scaled)
  other = found.rows.copy()
  other[:, 0] = 0
  np.testing.assert_array_equal(
    quantization.latents(found.rows, tables),
    quantization.latents(other, tables),
  )
