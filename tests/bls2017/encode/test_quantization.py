"""Laws of the quantizer."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from bls2017.encode import quantization
from tests.bls2017.format import tables_strategy

SHAPE, HALF = (60, 50), (30, 50)
"""Positions along both sides."""


@pytest.fixture(scope="module", params=[0, 1, 2])
def tables(request):
  return tables_strategy.make_tables(request.param, 6, 40, 0.3, 8)


@pytest.fixture(scope="module")
def scaled(tables):
  rng = np.random.default_rng(0)
  # More positions than are worked on at once, and values beyond the tables.
  return rng.normal(0, 6, (3000, len(tables.gain))).astype(np.float32)


def _lengths(tables, rows):
  return tables.code_lengths[0, tables.starts + rows]


def test_without_strength_symbols_are_the_nearest_ones(tables, scaled):
  quantized = quantization.Quantizer(tables).quantize(scaled, SHAPE)
  nearest = np.rint(scaled).astype(np.int32)
  inside = np.clip(nearest, tables.minimum, tables.maximum)
  expected = (inside - tables.minimum)[:, tables.live]
  np.testing.assert_array_equal(quantized.rows[:, 1:], expected)
  assert quantized.clipped == np.count_nonzero(inside != nearest) > 0
  assert quantized.bits == pytest.approx(
    _lengths(tables, expected).sum(), rel=1e-5
  )


@pytest.mark.parametrize("weight", [1.0, 4.0, 30.0])
def test_strength_minimises_bits_and_squared_error(tables, scaled, weight):
  quantizer = quantization.Quantizer(tables)
  rows = quantizer.quantize(scaled, SHAPE, 1 / (2 * weight)).rows[:, 1:]
  u = (scaled - tables.minimum)[:, tables.live]
  last = (tables.maximum - tables.minimum)[tables.live]

  def cost(rows):
    return _lengths(tables, rows) + weight * np.square(u - rows)

  lower = np.clip(np.floor(u), 0, last - 1).astype(np.int32)
  best = np.minimum(cost(lower), cost(lower + 1))
  np.testing.assert_allclose(cost(rows), best, rtol=1e-4, atol=1e-3)


def test_more_strength_never_costs_more_bits(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  bits = [
    quantizer.quantize(scaled, SHAPE, s).bits for s in (0, 0.01, 0.05, 0.2)
  ]
  assert np.all(np.diff(bits) <= 0)


def test_strength_may_differ_between_positions(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  strength = np.zeros(len(scaled), np.float32)
  strength[::2] = 0.5
  mixed = quantizer.quantize(scaled, SHAPE, strength).rows[:, 1:]
  np.testing.assert_array_equal(
    mixed[1::2], quantizer.quantize(scaled[1::2], HALF).rows[:, 1:]
  )
  # Symbols further away than the two neighbours are quantized as well.
  u = (scaled - tables.minimum)[::2, tables.live]

  def cost(rows):
    return _lengths(tables, rows) + np.square(u - rows)

  near = cost(quantizer.quantize(scaled[::2], HALF, 0.5).rows[:, 1:])
  assert np.all(cost(mixed[::2]) <= near + 1e-3)
  assert cost(mixed[::2]).sum() < near.sum()


def test_decoded_latents_lie_at_the_symbols(tables, scaled):
  quantizer = quantization.Quantizer(tables)
  y_hat = tables.latents(quantizer.quantize(scaled, SHAPE).rows)
  inside = np.clip(np.rint(scaled), tables.minimum, tables.maximum)
  expected = (inside.astype(np.float32) + tables.offset) * tables.inverse_gain
  np.testing.assert_allclose(y_hat, expected, rtol=1e-6)
  assert y_hat.dtype == np.float32


@pytest.mark.parametrize(
  "name", ["numpy", pytest.param("tensorflow", marks=pytest.mark.tensorflow)]
)
def test_bends_favour_the_cheaper_symbol_at_zero_and_lean_outward(name):
  library = importlib.import_module(name)
  lower = np.array([-3, -2, -1, 0, 1, 2])
  increase = np.float32([-4, -4, -4, 4, 4, 4])
  bends = quantization.bends(increase, lower, library.where)
  bend, outward = 16 * quantization.BEND, quantization.OUTWARD
  np.testing.assert_allclose(
    bends, [outward, outward, -bend, bend, -outward, -outward], rtol=1e-6
  )
