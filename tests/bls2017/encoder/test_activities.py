"""Activities are the cheapest ones, and change nothing that is decoded."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017.bitstream import lanes
from bls2017.encoder import quantization
from tests.bls2017.bitstream import tables_strategy


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
