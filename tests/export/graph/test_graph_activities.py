"""Activities are the cheapest ones, in a graph as in the library."""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.encode import activities
from export.graph import graph_activities
from tests import laws
from tests.bls2017.format import tables_strategy


def _total(chosen, cost, activity_lengths, lane_positions):
  total = 0.0
  for i, activity in enumerate(chosen):
    before = chosen[i - 1] if i % lane_positions else -1
    total += cost[i, activity] + activity_lengths[before, activity]
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
  activity_lengths = rng.integers(0, 9, (sets + 1, sets)).astype(np.float32)
  chosen = graph_activities.cheapest(
    tf.constant(cost),
    tf.constant(activity_lengths),
    tf.constant(lane_positions),
  ).numpy()
  assert chosen.shape == (positions,)
  least = min(
    _total(other, cost, activity_lengths, lane_positions)
    for other in itertools.product(range(sets), repeat=positions)
  )
  assert _total(chosen, cost, activity_lengths, lane_positions) == least


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
  indices = rng.integers(0, size, (positions, len(size))).astype(np.int16)
  chooser = activities.Chooser(tables)
  cost = chooser.costs(indices)
  found = graph_activities.costs(
    tf.constant(indices + tables.starts[tables.live]),
    tf.constant(tables.code_lengths.T, tf.float32),
  )
  np.testing.assert_array_equal(found, cost)
  activity_lengths = tf.constant(tables.activity_lengths, tf.float32)
  # Whole numbers make ties.
  for bits in cost, np.floor(cost / 4):
    path = graph_activities.cheapest(
      bits, activity_lengths, tf.constant(lane_positions)
    )
    np.testing.assert_array_equal(chooser.cheapest(bits), path)
