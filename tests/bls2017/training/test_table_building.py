"""Tables made from a prior: integers that describe it closely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.common import config
from bls2017.encode import activities
from bls2017.format import coding_tables, container
from bls2017.training import priors, table_building
from tests import laws

LEVELS, CHANNELS = 2, 5
MODEL = config.ModelConfig(lmbdas=(0.01, 0.04), num_latents=CHANNELS)
SCALE = np.array([[0.01, 0.3, 1, 4, 12], [0.01, 0.5, 2, 8, 24]])


def _build(prior, gain, inverse_gain):
  share = table_building.Share(LEVELS)
  return table_building.build(prior, gain, inverse_gain, MODEL, share)


@pytest.fixture(scope="module", params=["deep_factorized", "piecewise_linear"])
def prior(request):
  prior = priors.make_prior(request.param, LEVELS, CHANNELS)
  prior.set_scale(SCALE)
  return prior


@pytest.fixture(scope="module")
def tables(prior):
  gain = np.array([[1.0] * CHANNELS, [2.0] * CHANNELS], np.float32)
  return _build(prior, gain, 1 / gain)


def test_frequencies_are_the_masses_of_the_prior(prior, tables):
  for level in range(LEVELS):
    quality = tables.for_quality(8 * level)
    counts = coding_tables.frequencies(quality.cdf)[0]
    for channel, start in zip(quality.live, quality.starts):
      size = quality.maximum[channel] - quality.minimum[channel] + 1
      y = np.zeros((size, LEVELS, CHANNELS), np.float32)
      symbols = np.arange(size) + quality.minimum[channel]
      y[:, level, channel] = symbols + quality.offset[channel]
      mass = 2.0 ** -prior.bits(y, y).numpy()[:, level, channel]
      frequency = counts[start : start + size] / coding_tables.TOTAL
      # Five binary digits, and what the units of rare symbols cost; both are
      # the largest one's loss.
      np.testing.assert_allclose(frequency, mass, atol=5e-3, rtol=0.04)


def test_masses_outside_a_table_are_negligible(prior, tables):
  for level in range(LEVELS):
    quality = tables.for_quality(8 * level)
    ends = np.stack([quality.minimum - 0.5, quality.maximum + 0.5])
    y = np.zeros((2, LEVELS, CHANNELS), np.float32)
    y[:, level] = ends + quality.offset
    below, above = (f.numpy()[:, level] for f in prior.cumulative()(y))
    assert np.all(below[0] <= 2 * table_building.TAIL_MASS)
    assert np.all(above[1] <= 2 * table_building.TAIL_MASS)


def test_rates_rise_with_quality_and_lanes_become_shorter(tables):
  assert len(tables) == 9
  rates = [_bits(tables.for_quality(index)) for index in range(len(tables))]
  assert np.all(np.diff(rates) > 0)
  lanes = table_building.with_lanes(tables).lane_positions
  assert np.all(np.diff(lanes.astype(int)) <= 0)


def _bits(quality):
  """Bits of a position."""
  counts = coding_tables.frequencies(quality.cdf)
  return float((counts / coding_tables.TOTAL * quality.code_lengths).sum())


def test_a_lane_may_be_as_long_again_as_its_cost_asks_for(tables):
  made = table_building.with_lanes(tables)
  for index in range(len(made)):
    quality = made.for_quality(index)
    usual = quality.lane_positions / table_building.MOST_LANE
    share = 8 * container.LANE_BYTES / (usual * _bits(quality))
    steps = usual * quality.columns
    # The scarcer of both, rounded to a position.
    assert share < 1.02 * activities.LANE_SHARE
    assert steps > 0.98 * activities.LANE_STEPS
    longest = quality.max_lane_bytes(quality.lane_positions)
    assert longest <= coding_tables.MAX_LANE_BYTES


@laws.examples(200)
@given(
  seed=st.integers(0, 2**32 - 1),
  size=st.integers(1, 400),
  sharpness=st.floats(0.1, 30),
)
def test_frequencies_are_close_to_the_best(seed, size, sharpness):
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


def test_channels_that_sleep_at_a_level_wake_right_above_it():
  # The last two are of no use at the first level; training left them anywhere.
  prior = priors.make_prior("deep_factorized", LEVELS, CHANNELS)
  prior.set_scale(np.array([[2, 2, 2, 0.01, 0.01], [4, 4, 4, 4, 0.01]]))
  gain = np.float32([[1, 1, 1, 0.01, 0.01], [2, 2, 2, 2, 0.02]])
  inverse_gain = np.float32([[1, 1, 1, 0.3, 0.3], [0.5, 0.5, 0.5, 0.5, 0.3]])
  tables = _build(prior, gain, inverse_gain)
  np.testing.assert_array_equal(tables.gain[::8], gain)
  np.testing.assert_array_equal(tables.inverse_gain[::8], inverse_gain)
  assert tables.size[0, 3] < 0.3 * tables.size[0, 2]
  for index in range(1, 9):
    # Its density is that of the level above alone, the others' are mixtures.
    assert tables.size[index, 3] > 0.7 * tables.size[index, 2]
    assert tables.size[index, 4] < 0.3 * tables.size[index, 2]
    # Its gains are those of the first three, which are equal at that level.
    for gains in (tables.gain, tables.inverse_gain):
      np.testing.assert_allclose(gains[index, 3], gains[index, 2], rtol=1e-6)
