"""Random coding tables and symbols for them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from bls2017.format import coding_tables


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


def likely_symbols(
  tables: coding_tables.QualityTables, positions: int, seed: int, flat: bool
) -> np.ndarray:
  """int32 [positions, columns]: drawn from the tables, or uniformly."""
  rng = np.random.default_rng(seed)

  def drawn(number: int) -> int:
    frequency = np.diff(cdfs[number])
    size = len(frequency)
    p = np.full(size, 1 / size) if flat else frequency / frequency.sum()
    return rng.choice(size, p=p)

  cdfs = all_cdfs(tables)
  live, sets = len(tables.live), tables.num_activities
  found = np.zeros((positions, tables.columns), np.int32)
  activity = sets
  for i, symbols in enumerate(found):
    if sets > 1:
      before = activity if i % tables.lane_positions else sets
      symbols[0] = activity = drawn(sets * live + before)
    first = activity * live if sets > 1 else 0
    symbols[tables.activity_columns :] = [drawn(first + c) for c in range(live)]
  return found


def all_cdfs(tables: coding_tables.QualityTables) -> list[list[int]]:
  """Every table whole, numbered as in `lanes.Contents`."""
  live = [c for c in range(len(tables.gain)) if c in tables.live]
  size = tables.maximum - tables.minimum + 1
  found = []
  for row in tables.cdf.tolist():
    for c in live:
      start = tables.starts[c]
      found.append([*row[start : start + size[c]], coding_tables.TOTAL])
  if tables.num_activities > 1:
    for row in tables.activity_cdf.tolist():
      found.append([*row, coding_tables.TOTAL])
  return found


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


def draw(case: dict) -> tuple[coding_tables.QualityTables, np.ndarray]:
  """The tables and symbols of a case."""
  tables = make_tables(
    case["seed"], case["channels"], case["largest"], case["skew"],
    case["lane_positions"], case["activities"],
  )  # fmt: skip
  symbols = likely_symbols(
    tables, case["positions"], case["seed"] + 1, case["flat"]
  )
  return tables, symbols
