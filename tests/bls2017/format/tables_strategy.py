"""Random coding tables and symbols for them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from bls2017.format import coding_tables
from tests.bls2017.format import reference_coder


def random_cdf(rng: np.random.Generator, size: int, skew: float) -> np.ndarray:
  """uint16 [size]: cumulative frequencies of a random table.

  Args:
    rng: Source of randomness.
    size: Symbols, at least 1.
    skew: From 0, all symbols alike, to 1, one symbol holds nearly everything.
  """
  weights = rng.exponential(size=size) * (1 - skew) + 1e-12
  weights[rng.integers(size)] += skew * 1e3
  spare = coding_tables.TOTAL - size
  frequency = 1 + np.floor(weights / weights.sum() * spare).astype(np.int64)
  frequency[frequency.argmax()] += coding_tables.TOTAL - frequency.sum()
  return np.cumsum(frequency) - frequency


def make_tables(
  seed: int,
  channels: int,
  largest: int,
  skew: float,
  lane_positions: int,
  activities: int = 1,
) -> coding_tables.QualityTables:
  """Random tables of one quality, some of the channels dead."""
  rng = np.random.default_rng(seed)
  size = rng.integers(1, largest + 1, channels).astype(np.uint16)
  rows = [
    random_cdf(rng, int(n), skew) for _ in range(activities) for n in size
  ]
  own = None
  if activities > 1:
    own = [random_cdf(rng, activities, skew) for _ in range(activities + 1)]
    own = np.stack(own)[None].astype(np.uint16)
  ones = np.ones((1, channels), np.float32)
  tables = coding_tables.CodingTables(
    gain=ones,
    inverse_gain=ones,
    offset=0 * ones,
    minimum=rng.integers(-9, 9, (1, channels)).astype(np.int16),
    size=size[None],
    cdfs=[np.concatenate(rows).astype(np.uint16).reshape(activities, -1)],
    lane_positions=np.array([lane_positions], np.uint16),
    activity_cdf=own,
  )
  tables.check()
  return tables.for_quality(0)


def likely_rows(
  tables: coding_tables.QualityTables, positions: int, seed: int, flat: bool
) -> np.ndarray:
  """int32 [positions, 1 + L]: drawn from the tables, or uniformly."""
  rng = np.random.default_rng(seed)

  def drawn(cdf: list[int]) -> int:
    frequency = np.diff(cdf)
    size = len(frequency)
    p = np.full(size, 1 / size) if flat else frequency / frequency.sum()
    return rng.choice(size, p=p)

  rows = np.zeros((positions, tables.columns), np.int32)
  for i, row in enumerate(rows):
    is_first = i % tables.lane_positions == 0
    before = tables.num_activities if is_first else rows[i - 1, 0]
    row[0] = drawn(reference_coder.activity_cdf(tables, before))
    row[1:] = list(map(drawn, reference_coder.channel_cdfs(tables, row[0])))
  return rows


CASES = st.fixed_dictionaries(
  {
    "seed": st.integers(0, 2**32 - 1),
    "channels": st.integers(1, 12),
    "largest": st.sampled_from([1, 2, 3, 17, 300]),
    "skew": st.sampled_from([0.0, 0.5, 0.999, 1.0]),
    "lane_positions": st.integers(1, 20),
    "positions": st.integers(1, 60),
    "flat": st.booleans(),
    "activities": st.sampled_from([1, 3]),
  }
)
"""Tables, sizes, lanes, and whether symbols follow the tables."""

CHANGES = st.tuples(
  st.integers(0, 100),
  st.one_of(
    st.binary(max_size=6),
    st.integers(1, 4).map(bytes),
    st.lists(st.sampled_from([0, 255]), max_size=6).map(bytes),
    st.integers(200, 400).map(bytes),
  ),
  st.booleans(),
)
"""A lane's number, bytes, and whether they are appended or replace its own."""


def draw(case: dict) -> tuple[coding_tables.QualityTables, np.ndarray]:
  """The tables and rows of a case."""
  tables = make_tables(
    case["seed"], case["channels"], case["largest"], case["skew"],
    case["lane_positions"], case["activities"],
  )  # fmt: skip
  rows = likely_rows(tables, case["positions"], case["seed"] + 1, case["flat"])
  return tables, rows
