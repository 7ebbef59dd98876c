"""Activities are the cheapest ones, and change nothing that is decoded."""

from __future__ import annotations

import collections
import dataclasses
import math

import numpy as np
import pytest

from bls2017.encode import activities, quantization
from bls2017.format import coding_tables, container, lanes, range_coder
from tests.bls2017.format import reference_coder, tables_strategy

SHAPE = 42, 50
"""Positions along both sides."""


@pytest.fixture(scope="module", params=[1, 3])
def tables(request):
  """With one end of each activity, and with several."""
  return tables_strategy.make_tables(
    4, 9, 30, 0.5, 7, activities=3, ends=request.param, contexts=2, classes=3
  )


@pytest.fixture(scope="module")
def scaled(tables):
  rng = np.random.default_rng(1)
  # More positions than are worked on at once, and many zeros.
  shape = (math.prod(SHAPE), len(tables.gain))
  return rng.normal(0, 6, shape).astype(np.float32) * (rng.random(shape) > 0.5)


def test_bits_are_those_of_the_tables_that_code_each_symbol(tables, scaled):
  quantized = quantization.Quantizer(tables).quantize(scaled, SHAPE)
  rows, count = quantized.rows, quantized.num_lanes
  assert len(set(rows[:, 0])) == tables.num_activities
  assert len(set(tables.coded_others(rows))) >= tables.ends.shape[1]
  assert quantized.bits == pytest.approx(_bits(rows, count, tables), abs=1e-3)
  coded = 8 * len(b"".join(range_coder.encode(rows, SHAPE, count, tables)))
  assert coded == pytest.approx(quantized.bits, rel=0.02)


def _bits(rows, num_lanes, tables):
  """Information content of rows, whose kinds cost what their parts do."""
  near = lanes.neighbours(*SHAPE, num_lanes)
  activities = rows[:, 0]
  around = np.full(len(rows), len(tables.activity_tables) - 1)
  around[near.later] = tables.surroundings[
    activities[near.above], activities[near.below]
  ]
  left = np.append(activities, tables.num_activities)[near.left]
  numbers = (tables.ends[activities] < tables.coded_others(rows)[:, None]).sum(
    1
  )
  ends = coding_tables.code_lengths(tables.end_cdf)
  bits = tables.activity_lengths[around, left, activities].sum(dtype="f8")
  bits += ends[activities, numbers].sum()
  every = reference_coder.lane_steps(rows, SHAPE, num_lanes, tables)
  positions = collections.Counter(
    lane for lane, *_ in reference_coder.heads(SHAPE, num_lanes)
  )
  head = 1 + tables.contexts
  frequencies = [
    cdf[index + 1] - cdf[index]
    for lane, steps in enumerate(every)
    for number, (index, cdf) in enumerate(steps)
    if number % head or number >= positions[lane] * head
  ]
  lengths = coding_tables.PRECISION - np.log2(frequencies)
  return bits + coding_tables.rounded_lengths(lengths).sum()


def test_an_image_is_coded_with_its_cheapest_activities(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  # Those of the first pass do not know what they cost the second one.
  later = lanes.neighbours(*SHAPE).later
  rng = np.random.default_rng(2)
  for strength in (0.0, 0.05):
    quantized = quantizer.quantize(scaled, SHAPE, strength)
    for _ in range(6):
      rows = quantized.rows.copy()
      changed = rng.choice(later, 1 + rng.integers(50))
      rows[changed, 0] = rng.integers(0, tables.num_activities, len(changed))
      other = _bits(rows, quantized.num_lanes, tables)
      assert other >= quantized.bits - 1e-3


def test_activities_do_not_change_what_is_decoded(tables, scaled):
  quantized = quantization.Quantizer(tables).quantize(scaled, SHAPE)
  other = quantized.rows.copy()
  other[:, 0] = 0
  np.testing.assert_array_equal(
    tables.latents(quantized.rows), tables.latents(other)
  )


def test_lanes_share_the_steps_unless_that_costs_too_much(tables, scaled):
  long = dataclasses.replace(tables, lane_positions=4000)
  quantized = quantization.Quantizer(long).quantize(scaled, SHAPE)
  steps = len(scaled) * (1 + tables.contexts)
  steps += int(tables.coded_others(quantized.rows).sum())
  share = container.LANE_BYTES * 8 * quantized.num_lanes / quantized.bits
  assert share < 1.1 * activities.LANE_SHARE
  # Random symbols cost many bits.
  assert quantized.num_lanes == steps // activities.LANE_STEPS
  few = quantization.Quantizer(tables).quantize(scaled, SHAPE)
  assert few.num_lanes == lanes.fewest(len(scaled), tables.lane_positions)
