"""Tables made from a prior: integers that describe it closely."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.common import config
from bls2017.format import coding_tables, container
from bls2017.training import priors, table_building
from tests import laws

LEVELS, CHANNELS = 2, 5
MODEL = config.ModelConfig(lmbdas=(0.01, 0.04), num_latents=CHANNELS)


@pytest.fixture(scope="module", params=["deep_factorized", "piecewise_linear"])
def prior(request):
  prior = priors.make_prior(request.param, LEVELS, CHANNELS)
  prior.set_scale(np.array([[0.01, 0.3, 1, 4, 12], [0.01, 0.5, 2, 8, 24]]))
  return prior


@pytest.fixture(scope="module")
def tables(prior):
  gain = np.array([[1.0] * CHANNELS, [2.0] * CHANNELS], np.float32)
  return table_building.build(prior, gain, 1 / gain, MODEL)


def test_there_is_a_table_for_every_eighth(tables):
  assert len(tables) == 9
  tables.check()
  for index in range(len(tables)):
    quality = tables.for_quality(index)
    (cdf,) = quality.cdf
    begins = np.zeros(len(cdf), bool)
    begins[quality.starts] = True
    np.testing.assert_array_equal(cdf == 0, begins)
    assert np.all(coding_tables.upper_ends(quality.cdf) > cdf)


def test_frequencies_are_the_masses_of_the_prior(prior, tables):
  for level in range(LEVELS):
    quality = tables.for_quality(8 * level)
    counts = (coding_tables.upper_ends(quality.cdf) - quality.cdf)[0]
    for channel in quality.live:
      size = quality.maximum[channel] - quality.minimum[channel] + 1
      y = np.zeros((size, LEVELS, CHANNELS), np.float32)
      symbols = np.arange(size) + quality.minimum[channel]
      y[:, level, channel] = symbols + quality.offset[channel]
      mass = 2.0 ** -prior.bits(y).numpy()[:, level, channel]
      start = quality.starts[channel]
      frequency = counts[start : start + size] / coding_tables.TOTAL
      # One unit of rounding, and what the units of rare symbols cost.
      np.testing.assert_allclose(frequency, mass, atol=2e-3, rtol=0.02)


def test_what_lies_outside_a_table_is_negligible(prior, tables):
  for level in range(LEVELS):
    quality = tables.for_quality(8 * level)
    offset = quality.offset[:, None]
    ends = np.stack([quality.minimum - 0.5, quality.maximum + 0.5]) + offset.T
    y = np.zeros((2, LEVELS, CHANNELS), np.float32)
    y[:, level] = ends
    below, above = (f.numpy()[:, level] for f in prior.cumulative()(y))
    assert np.all(below[0] <= 2 * table_building.TAIL_MASS)
    assert np.all(above[1] <= 2 * table_building.TAIL_MASS)


def test_rates_rise_with_quality(tables):
  rates = []
  for index in range(len(tables)):
    cdf = tables.for_quality(index).cdf
    p = (coding_tables.upper_ends(cdf) - cdf) / coding_tables.TOTAL
    rates.append(-np.sum(p * np.log2(p)))
  assert np.all(np.diff(rates) > 0)
  assert np.all(np.diff(tables.lane_positions.astype(int)) <= 0)


def test_a_channel_that_is_nearly_always_the_same_is_not_coded():
  nearly = np.array([3e-6, 1 - 5e-6, 2e-6])
  minimum, cdf = table_building._quantize(nearly, -1)
  assert minimum == 0
  assert cdf.tolist() == [0]
  minimum, cdf = table_building._quantize(np.array([1e-3, 1 - 2e-3, 1e-3]), -1)
  assert minimum == -1
  assert len(cdf) == 3


@laws.examples(200)
@given(
  seed=st.integers(0, 2**32 - 1),
  size=st.integers(2, 400),
  sharpness=st.floats(0.1, 30),
)
def test_quantized_frequencies_are_close_to_the_best(seed, size, sharpness):
  rng = np.random.default_rng(seed)
  p = rng.exponential(size=size) ** sharpness + 1e-30
  p /= p.sum()
  frequency = table_building.frequencies(p)
  assert frequency.sum() == coding_tables.TOTAL
  assert frequency.min() >= 1
  entropy = -np.sum(p * np.log2(p))
  cost = -np.sum(p * np.log2(frequency / coding_tables.TOTAL))
  # A symbol that is rarer than a unit takes a whole one from the others.
  assert cost <= entropy + 2 * size / coding_tables.TOTAL + 1e-4


def test_a_lane_never_exceeds_its_length_field(tables):
  for index in range(len(tables)):
    quality = tables.for_quality(index)
    longest = quality.max_lane_bytes(quality.lane_positions)
    assert longest <= coding_tables.MAX_LANE_BYTES


def test_channels_that_sleep_at_a_level_wake_right_above_it():
  # The last two are of no use at the first level; training left them anywhere.
  prior = priors.make_prior("deep_factorized", LEVELS, CHANNELS)
  prior.set_scale(np.array([[2, 2, 2, 0.01, 0.01], [4, 4, 4, 4, 0.01]]))
  gain = np.float32([[1, 1, 1, 0.01, 0.01], [2, 2, 2, 2, 0.02]])
  inverse_gain = np.float32([[1, 1, 1, 0.3, 0.3], [0.5, 0.5, 0.5, 0.5, 0.3]])
  tables = table_building.build(prior, gain, inverse_gain, MODEL)
  for level in range(LEVELS):
    np.testing.assert_array_equal(tables.gain[8 * level], gain[level])
    np.testing.assert_array_equal(
      tables.inverse_gain[8 * level], inverse_gain[level]
    )
  assert tables.size[0, 3] < 0.3 * tables.size[0, 2]
  for index in range(1, 9):
    # Its density is that of the level above alone, the others' are mixtures.
    assert tables.size[index, 3] > 0.7 * tables.size[index, 2]
    assert tables.size[index, 4] < 0.3 * tables.size[index, 2]
    # Like the first three, which have the same gains at the level above.
    np.testing.assert_allclose(tables.gain[index, 3], tables.gain[index, 2])
    np.testing.assert_allclose(
      tables.inverse_gain[index, 3], tables.inverse_gain[index, 2], rtol=1e-6
    )


@pytest.mark.parametrize("version", [2, 3])
def test_lanes_are_as_short_as_their_cost_allows(codec, version):
  made = table_building.with_lanes(codec.model.tables, version)
  for index in range(len(made)):
    quality = made.for_quality(index)
    lane = container.overhead_bytes(1, version)
    lane -= container.overhead_bytes(0, version)
    bits = _mean_bits(quality)
    share = 8 * lane / (quality.lane_positions * bits)
    assert 0.004 < share < 0.0082
    # What the first activity of a lane costs more is not counted here.
    assert share < 0.0052 or quality.lane_positions * quality.columns > 1400


def test_long_lanes_may_cost_more(codec):
  # The same bits in three times as many columns: a lane has many steps.
  tables = codec.model.tables.for_quality(0)
  positions = table_building.lane_positions(tables, 2)
  assert positions * tables.columns <= 1500
  few = dataclasses.replace(tables, live=np.repeat(tables.live, 3))
  fewer = table_building.lane_positions(few, 2)
  assert fewer < positions
  assert fewer * few.columns > 1500


def _mean_bits(tables):
  """Bits of a position whose activity follows the table of the first ones."""
  share = _masses(tables.activity_cdf)
  activity = (share * tables.activity_lengths).sum(1)
  symbols = (_masses(tables.cdf) * tables.code_lengths).sum(1)
  return float(share[-1] @ (symbols + activity[:-1]))


def _masses(cdf):
  return (coding_tables.upper_ends(cdf) - cdf) / coding_tables.TOTAL
