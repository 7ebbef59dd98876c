"""Random coding tables and rows for them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from bls2017.format import coding_tables
from tests.bls2017.format import reference_coder


def random_cdf(rng: np.random.Generator, size: int, skew: float) -> np.ndarray:
  """uint16 [size]: a random table, as `coding_tables.packed` takes it.

  Args:
    rng: Source of randomness.
    size: Symbols, at least 1.
    skew: From 0, all symbols alike, to 1, one symbol holds nearly everything.
  """
  weights = rng.exponential(size=size) * (1 - skew) + 1e-12
  weights[rng.integers(size)] += skew * 1e3
  spare = coding_tables.TOTAL - size
  frequency = 1 + np.floor(weights / weights.sum() * spare).astype(np.int64)
  shifts = np.maximum(np.log2(frequency).astype(np.int64) - 4, 0)
  frequency = frequency >> shifts << shifts
  frequency[frequency.argmax()] += coding_tables.TOTAL - frequency.sum()
  return (np.cumsum(frequency) - frequency).astype(np.uint16)


def make_coding_tables(
  seed: int,
  channels: int,
  largest: int,
  skew: float,
  lane_positions: int = 64,
  activities: int = 1,
  ends: int = 1,
  contexts: int = 0,
  classes: int = 1,
) -> coding_tables.CodingTables:
  """Random tables of a model of one quality.

  Args:
    seed: Of all that is random.
    channels: Some of them dead.
    largest: The most symbols of a channel.
    skew: As for `random_cdf`.
    lane_positions: The most positions of a lane.
    activities: K.
    ends: G. They may repeat.
    contexts: X, if so many channels live, else all of those.
    classes: N. Two of them make one of up to 2 N contexts; contexts and
      activities share tables.
  """
  rng = np.random.default_rng(seed)
  size = rng.integers(1, largest + 1, channels)
  order = rng.permutation(channels)
  sizes = size[order][size[order] > 1].tolist()
  contexts = min(contexts, len(sizes))
  of_contexts, others = sizes[:contexts], sizes[contexts:]
  of_a_position = rng.integers(0, len(others) + 1, (activities, ends))
  of_a_position[:, -1] = len(others)

  def joined(sizes: list[int]) -> np.ndarray:
    tables = [random_cdf(rng, n, skew) for n in sizes]
    return np.concatenate([*tables, np.zeros(0, np.uint16)])

  pairs = int(rng.integers(1, 2 * classes + 1))
  counts = rng.integers(1, activities * pairs + 1, contexts)
  numbers = [rng.integers(n, size=(activities, pairs)) for n in counts]
  used = [n for n, m in zip(of_contexts, numbers) for _ in range(m.max() + 1)]
  surroundings, kind_tables = rng.integers(1, 6, 2)

  def stacked(count: int, size: int) -> np.ndarray:
    return np.stack([random_cdf(rng, size, skew) for _ in range(count)])

  def below(limit: int, *shape: int) -> np.ndarray:
    return rng.integers(limit, size=shape).astype(np.uint8)

  ones = np.ones((1, channels), np.float32)
  any_minimum = rng.integers(-9, 9, channels)
  minimum = np.where(size > 1, -rng.integers(size), any_minimum)
  tables = coding_tables.CodingTables(
    gain=ones,
    inverse_gain=ones,
    offset=0 * ones,
    minimum=minimum[None].astype(np.int16),
    size=size[None].astype(np.uint16),
    order=order[None].astype(np.uint16),
    ends=np.sort(of_a_position)[None].astype(np.uint16),
    end_cdf=stacked(activities, ends)[None],
    lane_positions=np.array([lane_positions], np.uint16),
    pair=np.zeros(1, np.uint8),
    frequencies=[
      coding_tables.Frequencies(
        cdf=np.stack([joined(others) for _ in range(activities)]),
        activity_cdf=stacked(kind_tables, activities),
        activity_tables=below(kind_tables, surroundings + 1, activities + 1),
        surroundings=below(surroundings, activities, activities),
        context_cdf=joined(used),
        context_tables=np.array(numbers, np.uint8).reshape(
          contexts, activities, pairs
        ),
        contexts_of=below(pairs, 2, contexts, classes + 1, classes + 1),
        context_classes=below(classes, sum(of_contexts)),
      )
    ],
  )
  tables.check()
  return tables


def make_tables(*args: Any, **kwargs: Any) -> coding_tables.QualityTables:
  """The tables of the one quality of `make_coding_tables`."""
  return make_coding_tables(*args, **kwargs).for_quality(0)


def likely_rows(
  tables: coding_tables.QualityTables,
  shape: tuple[int, int],
  num_lanes: int,
  seed: int,
  flat: bool,
) -> np.ndarray:
  """int32 [positions, 1 + L]: drawn from the tables, or uniformly."""
  rng = np.random.default_rng(seed)
  cdfs = reference_coder.Cdfs(tables)

  def drawn(cdf: list[int]) -> int:
    frequency = np.diff(cdf)
    size = len(frequency)
    p = np.full(size, 1 / size) if flat else frequency / frequency.sum()
    return int(rng.choice(size, p=p))

  rows: list[list[int]] = [[] for _ in range(math.prod(shape))]
  for _, position, near in reference_coder.heads(shape, num_lanes):
    known = near.of(rows)
    activity, end = divmod(drawn(cdfs.kind(known)), cdfs.num_ends)
    row = rows[position] = [activity, *cdfs.zeros]
    for j in range(cdfs.contexts):
      row[1 + j] = drawn(cdfs.context(j, activity, known))
    for j in range(cdfs.ends[activity][end]):
      row[1 + cdfs.contexts + j] = drawn(cdfs.other(j, activity))
  return np.array(rows, np.int32)


CASES = st.fixed_dictionaries(
  {
    "seed": st.integers(0, 2**32 - 1),
    "channels": st.integers(1, 12),
    "largest": st.sampled_from([1, 2, 3, 17, 300]),
    "skew": st.sampled_from([0.0, 0.5, 0.999, 1.0]),
    "activities": st.sampled_from([1, 3]),
    "ends": st.sampled_from([1, 2, 4]),
    "contexts": st.sampled_from([0, 1, 3, 12]),
    "classes": st.sampled_from([1, 4]),
    "shape": st.tuples(st.integers(1, 8), st.integers(1, 8)),
    # Few lanes often: their runs go on over several lines.
    "lanes": st.one_of(st.integers(0, 3), st.integers(0, 63)),
    "flat": st.booleans(),
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


class Case(NamedTuple):
  """Tables of a quality, an image's rows for them, its shape and its lanes."""

  tables: coding_tables.QualityTables
  rows: np.ndarray
  shape: tuple[int, int]
  num_lanes: int


def draw(case: dict[str, Any]) -> Case:
  """Makes what one of `CASES` describes."""
  values = dict(case)
  shape, flat = values.pop("shape"), values.pop("flat")
  num_lanes = 1 + values.pop("lanes") % math.prod(shape)
  tables = make_tables(**values)
  rows = likely_rows(tables, shape, num_lanes, case["seed"] + 1, flat)
  return Case(tables, rows, shape, num_lanes)
