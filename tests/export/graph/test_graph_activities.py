"""Activities are the cheapest ones."""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import lanes
from export.graph import graph_activities
from tests import laws


def _total(chosen, costs, activity_bits, firsts):
  total = 0.0
  for i, activity in enumerate(chosen):
    before = -1 if i in firsts else chosen[i - 1]
    total += costs[i, activity] + activity_bits[before, activity]
  return total


@laws.examples(40)
@given(
  seed=st.integers(0, 2**32 - 1),
  positions=st.integers(1, 6),
  sets=st.integers(2, 3),
  lanes_of=st.integers(0, 5),
)
def test_no_other_activities_cost_less(seed, positions, sets, lanes_of):
  num_lanes = 1 + lanes_of % positions
  rng = np.random.default_rng(seed)
  costs = rng.integers(0, 9, (positions, sets)).astype(np.float32)
  activity_bits = rng.integers(0, 9, (sets + 1, sets)).astype(np.float32)
  chosen = graph_activities.cheapest(
    tf.constant(costs), tf.constant(activity_bits), tf.constant(num_lanes)
  ).numpy()
  assert chosen.shape == (positions,)
  firsts = lanes.bounds(positions, num_lanes)[:-1].tolist()
  least = min(
    _total(other, costs, activity_bits, firsts)
    for other in itertools.product(range(sets), repeat=positions)
  )
  assert _total(chosen, costs, activity_bits, firsts) == least
