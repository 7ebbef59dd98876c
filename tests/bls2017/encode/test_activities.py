"""Activities are the cheapest ones, and change nothing that is decoded."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017.encode import quantization
from bls2017.format import range_coder
from tests.bls2017.format import tables_strategy


@pytest.fixture(scope="module", params=[0, 1])
def tables(request):
  return tables_strategy.make_tables(request.param, 5, 30, 0.5, 7, 3)


@pytest.fixture(scope="module")
def scaled(tables):
  rng = np.random.default_rng(1)
  # More positions than are worked on at once.
  return rng.normal(0, 6, (2100, len(tables.gain))).astype(np.float32)


def test_bits_are_those_of_the_tables_that_code_each_symbol(tables, scaled):
  rows, bits, _ = quantization.Quantizer(tables).quantize(scaled)
  assert len(set(rows[:, 0])) == tables.num_activities
  assert bits == pytest.approx(_bits(rows, tables), rel=1e-6)
  assert 8 * len(b"".join(range_coder.encode(rows, tables))) > 0.98 * bits


def _bits(rows, tables):
  """Information content of rows under the tables."""
  before = np.roll(rows[:, 0], 1)
  before[:: tables.lane_positions] = tables.num_activities
  entries = tables.starts[tables.live] + rows[:, 1:]
  bits = tables.activity_lengths[before, rows[:, 0]].sum()
  return bits + tables.code_lengths[rows[:, :1], entries].sum()


def test_an_image_is_coded_with_its_cheapest_activities(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  rng = np.random.default_rng(2)
  for strength in (0.0, 0.05):
    quantized = quantizer.quantize(scaled, strength)
    for _ in range(20):
      rows = quantized.rows.copy()
      changed = rng.integers(0, len(rows), 1 + rng.integers(50))
      rows[changed, 0] = rng.integers(0, tables.num_activities, len(changed))
      assert _bits(rows, tables) >= quantized.bits - 1e-3


def test_activities_do_not_change_what_is_decoded(tables, scaled):
  quantized = quantization.Quantizer(tables).quantize(scaled)
  other = quantized.rows.copy()
  other[:, 0] = 0
  np.testing.assert_array_equal(
    tables.latents(quantized.rows), tables.latents(other)
  )
