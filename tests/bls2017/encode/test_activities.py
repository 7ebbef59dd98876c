"""Activities are the cheapest ones, and change nothing that is decoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.encode import activities, quantization
from bls2017.format import lanes
from tests import laws
from tests.bls2017.format import tables_strategy


@laws.examples(40)
@given(
  seed=st.integers(0, 2**32 - 1),
  entries=st.integers(0, 60),
  count=st.integers(1, 20),
)
def test_numpy_sums_as_tensorflow_does(seed, entries, count):
  rng = np.random.default_rng(seed)
  # Multiples of 1 / 256, as code lengths are.
  matrix = (rng.integers(0, 4096, (30, 3)) / 256).astype(np.float32)
  rows = rng.integers(0, 30, entries)
  positions = np.sort(rng.integers(0, count, entries)).astype(np.int32)
  sums = activities.numpy_summer(matrix)(rows, positions, count)
  expected = activities.tensorflow_summer(matrix)(rows, positions, count)
  np.testing.assert_array_equal(sums, expected)
  assert sums.dtype == expected.dtype == np.float32


@pytest.fixture(scope="module", params=[0, 1])
def tables(request):
  return tables_strategy.make_tables(request.param, 5, 30, 0.5, 7, 3)


@pytest.fixture(scope="module")
def scaled(tables):
  rng = np.random.default_rng(1)
  # More positions than are worked on at once.
  return rng.normal(0, 6, (2100, len(tables.gain))).astype(np.float32)


def test_bits_are_those_of_the_tables_that_code_each_symbol(tables, scaled):
  quantized = quantization.Quantizer(tables).quantize(scaled)
  assert len(set(quantized.rows[:, 0])) == tables.num_activities
  cdfs = tables_strategy.all_cdfs(tables)
  bits = 0.0
  for start in range(0, len(scaled), tables.lane_positions):
    lane = quantized.rows[start : start + tables.lane_positions]
    indices, numbers = lanes.contents(lane, len(lane), tables)
    for index, number in zip(indices[0], numbers[0]):
      cdf = cdfs[number]
      bits += 16 - np.log2(cdf[index + 1] - cdf[index])
  assert quantized.bits == pytest.approx(bits, rel=1e-4)


def test_an_image_is_coded_with_its_cheapest_activities(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  rng = np.random.default_rng(2)
  for strength in (0.0, 0.05):
    quantized = quantizer.quantize(scaled, strength)
    for _ in range(20):
      rows = quantized.rows.copy()
      changed = rng.integers(0, len(rows), 1 + rng.integers(50))
      rows[changed, 0] = rng.integers(0, tables.num_activities, len(changed))
      assert quantizer.bits(rows) >= quantized.bits


def test_activities_do_not_change_what_is_decoded(tables, scaled):
  quantized = quantization.Quantizer(tables).quantize(scaled)
  other = quantized.rows.copy()
  other[:, 0] = 0
  np.testing.assert_array_equal(
    quantization.latents(quantized.rows, tables),
    quantization.latents(other, tables),
  )
