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


def _total(chosen, costs, numbers, transitions, bounds):
  """Bits of the activities of a pass; those of its lanes begin at bounds."""
  total = 0.0
  for i, activity in enumerate(chosen):
    before = 0 if i in bounds else chosen[i - 1]
    total += costs[i, activity] + transitions[numbers[i], before, activity]
  return total


@laws.examples(40)
@given(
  seed=st.integers(0, 2**32 - 1),
  positions=st.integers(0, 6),
  sets=st.integers(2, 3),
  num_lanes=st.integers(1, 8),
)
def test_no_other_activities_cost_less(seed, positions, sets, num_lanes):
  rng = np.random.default_rng(seed)
  costs = rng.integers(0, 9, (positions, sets)).astype(np.float32)
  transitions = rng.integers(0, 9, (4, sets, sets)).astype(np.float32)
  transitions[0] = transitions[0, :1]  # It does not know the left.
  numbers = rng.integers(0, 4, positions)
  bounds = lanes.bounds(positions, num_lanes)
  numbers[bounds[:-1][np.diff(bounds) > 0]] = 0
  run = np.full((max(np.diff(bounds).max(), 1), num_lanes), 2 * positions)
  # The positions of the pass are every other one.
  for lane, (first, end) in enumerate(zip(bounds, bounds[1:])):
    run[: end - first, lane] = 2 * np.arange(first, end)
  found = graph_activities.cheapest(
    *(tf.constant(np.repeat(a, 2, 0)) for a in (costs, np.int32(numbers))),
    tf.constant(transitions),
    tf.constant(run, tf.int32),
  ).numpy()
  assert not found[1::2].any()
  chosen = found[::2]
  assert chosen.shape == (positions,)
  least = min(
    _total(other, costs, numbers, transitions, bounds)
    for other in itertools.product(range(sets), repeat=positions)
  )
  assert _total(chosen, costs, numbers, transitions, bounds) == least
