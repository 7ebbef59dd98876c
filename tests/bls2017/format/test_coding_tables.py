"""Coding tables: damage is noticed, and what follows from them is right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import coding_tables
from tests import laws
from tests.bls2017.format import tables_strategy

TABLES = tables_strategy.make_coding_tables(
  5, 12, 9, 0.3, activities=3, ends=3, contexts=2, classes=3
)
LIVE, DEAD = np.argmax(TABLES.size[0]), np.argmin(TABLES.size[0])


def _refused(tables: coding_tables.CodingTables) -> bool:
  try:
    tables.check()
    tables.for_quality(0)
  except errors.ModelError:
    return True
  return False


def _replaced(name: str, array: np.ndarray) -> coding_tables.CodingTables:
  if name not in coding_tables.Frequencies._fields:
    return dataclasses.replace(TABLES, **{name: array})
  (frequencies,) = TABLES.frequencies
  changed = frequencies._replace(**{name: array})
  return dataclasses.replace(TABLES, frequencies=[changed])


def _array(name: str) -> np.ndarray:
  if name in coding_tables.Frequencies._fields:
    return getattr(TABLES.frequencies[0], name)
  return getattr(TABLES, name)


@pytest.mark.parametrize(
  ("name", "place", "value"),
  [
    ("gain", 0, np.nan),
    ("inverse_gain", 1, -np.inf),
    ("offset", 1, np.inf),
    ("size", DEAD, 0),
    ("size", LIVE, 9000),
    ("minimum", LIVE, 1),
    ("minimum", LIVE, -9000),
    ("order", 3, TABLES.order[0, 4]),
    ("order", 0, 12),
    ("lane_positions", 0, 0),
    ("pair", 0, 1),
    ("ends", 0, 999),
    ("ends", -1, TABLES.ends[0, -1, -1] - 1),
    ("ends", -1, TABLES.ends[0, -1, -1] + 1),
    ("end_cdf", 0, 1),
    ("end_cdf", 4, 0),
    ("activity_cdf", 0, 1),
    ("activity_cdf", 1, 0),
    ("activity_tables", 0, 99),
    ("surroundings", 0, 99),
    ("cdf", 0, 1),
    ("cdf", 1, 0),
    ("cdf", -1, 0),
    ("context_cdf", 0, 1),
    ("context_cdf", 1, 0),
    ("context_tables", 0, 99),
    ("contexts_of", 0, 99),
    ("context_classes", 0, 3),
  ],
)
def test_damaged_tables_are_refused(name, place, value):
  array = _array(name).copy()
  assert not _refused(_replaced(name, array))
  array.flat[place] = value
  assert _refused(_replaced(name, array))


@pytest.mark.parametrize(
  ("name", "axis"),
  [
    (name, axis)
    for name in (*TABLES.arrays(),)
    for axis in range(_array(name).ndim)
    # One less, where the last one is not used, is another sound model.
    if (name, axis)
    not in (
      ("activity_cdf", 0),
      ("activity_tables", 0),
      ("context_tables", 2),
    )  # fmt: skip
  ],
)
def test_arrays_that_do_not_fit_the_others_are_refused(name, axis):
  array = _array(name)
  shorter = np.delete(array, -1, axis)
  assert _refused(_replaced(name, shorter))
  assert _refused(_replaced(name, array[None]))


def test_more_contexts_than_live_channels_are_refused():
  tables = tables_strategy.make_coding_tables(3, 4, 9, 0.3, contexts=4)
  (frequencies,) = tables.frequencies
  numbers = frequencies.context_tables
  for array, is_refused in (
    (numbers, False),
    (np.concatenate([numbers, numbers[:1]]), True),
    (numbers[..., 0], True),
  ):
    changed = frequencies._replace(context_tables=array)
    replaced = dataclasses.replace(tables, frequencies=[changed])
    assert _refused(replaced) == is_refused


def test_kinds_of_other_qualities_are_refused():
  ends, end_cdf = (np.tile(a, (2, 1, 1)) for a in (TABLES.ends, TABLES.end_cdf))
  assert _refused(dataclasses.replace(TABLES, ends=ends, end_cdf=end_cdf))


def test_pairs_rise_one_by_one():
  def doubled(pair):
    arrays = {
      f.name: np.concatenate([getattr(TABLES, f.name)] * 2)
      for f in dataclasses.fields(TABLES)
      if f.name != "frequencies"
    }
    arrays["pair"] = np.array(pair, np.uint8)
    frequencies = [*TABLES.frequencies] * 2
    return coding_tables.CodingTables(**arrays, frequencies=frequencies)

  for pair, is_refused in (
    ((0, 0), False), ((0, 1), False), ((0, 2), True), ((1, 0), True)
  ):  # fmt: skip
    assert _refused(doubled(pair)) == is_refused


def test_a_model_has_the_frequencies_of_each_quality():
  assert _refused(dataclasses.replace(TABLES, frequencies=[]))


@pytest.mark.parametrize(("activities", "ends"), [(33, 1), (1, 9)])
def test_more_activities_or_ends_than_decoders_hold_are_refused(
  activities, ends
):
  with pytest.raises(errors.ModelError):
    tables_strategy.make_coding_tables(
      0, 3, 9, 0.3, activities=activities, ends=ends
    )


def test_a_position_codes_as_few_others_as_an_end_allows():
  tables = TABLES.for_quality(0)
  x, others = tables.contexts, len(tables.live) - tables.contexts
  for activity, ends in enumerate(tables.ends.tolist()):
    for last in range(others + 1):
      row = np.concatenate([[activity], tables.zeros])[None]
      if last:
        row[0, x + last] += 1 if row[0, x + last] == 0 else -1
      assert tables.last_others(row[:, 1:]) == [last]
      assert tables.coded_others(row) == [min(e for e in ends if e >= last)]


def test_symbols_and_latents_follow_from_table_indices():
  tables = dataclasses.replace(
    TABLES.for_quality(0),
    offset=np.linspace(-0.4, 0.4, 12, dtype=np.float32),
    inverse_gain=np.linspace(0.5, 2, 12, dtype=np.float32),
  )
  rows = tables_strategy.likely_rows(tables, (2, 5), 1, 0, flat=True)
  symbols = tables.symbols(rows)
  for row, found in zip(rows, symbols):
    expected = tables.minimum.copy()
    for channel, index in zip(tables.live, row[1:]):
      expected[channel] += index
    np.testing.assert_array_equal(found, expected)
  y_hat = (symbols.astype(np.float32) + tables.offset) * tables.inverse_gain
  np.testing.assert_array_equal(tables.latents(rows), y_hat)


def test_code_lengths_are_those_of_the_frequencies():
  tables = TABLES.for_quality(0)
  number = tables.activity_tables[1, 2]
  shares = np.diff([*tables.activity_cdf[number].tolist(), 65536])
  np.testing.assert_allclose(
    tables.activity_lengths[1, 2], 16 - np.log2(shares), atol=2e-3
  )
  start = int(tables.context_starts[1, 0, 0])
  cdf = tables.context_cdf[start : start + tables.sizes[1]].tolist()
  np.testing.assert_allclose(
    tables.context_lengths[start : start + len(cdf)],
    16 - np.log2(np.diff([*cdf, 65536])),
    atol=2e-3,
  )


def test_tables_of_kinds_are_products_of_those_of_activities_and_ends():
  tables = TABLES.for_quality(0)
  ends = np.diff(np.append(tables.end_cdf, [[65536]] * 3, 1).astype(int))
  for cdf, kinds in zip(tables.activity_cdf.tolist(), tables.kind_cdf.tolist()):
    shares = np.diff([*cdf, 65536])[:, None] * ends / 65536
    found = np.diff([*kinds, 65536])
    assert found.min() >= 1
    np.testing.assert_allclose(found, shares.ravel(), atol=9)


@laws.examples(200)
@given(
  tables=st.lists(
    st.lists(st.integers(0, 207), min_size=1, max_size=20), max_size=4
  )
)
def test_stored_tables_are_refused_or_come_back(tables):
  stored = np.array([v for table in tables for v in table], np.uint8)
  sizes = np.array([len(table) for table in tables], np.intp)
  frequencies = [
    [v if v < 32 else (16 + v % 16) * 2 ** (v // 16 - 1) for v in table]
    for table in tables
  ]
  lacking = [65536 - sum(table) for table in frequencies]
  for table, lacks in zip(frequencies, lacking):
    table[table.index(max(table))] += lacks
  if (
    any(min(table) < 1 for table in frequencies) or min(lacking, default=0) < 0
  ):
    with pytest.raises(errors.ModelError):
      coding_tables.unpacked(stored, sizes)
    return
  cdf = coding_tables.unpacked(stored, sizes)
  expected = [sum(t[:i]) for t in frequencies for i in range(len(t))]
  assert cdf.tolist() == expected
  again = coding_tables.unpacked(coding_tables.packed(cdf), sizes)
  np.testing.assert_array_equal(again, cdf)


@pytest.mark.parametrize(
  ("stored", "sizes"),
  [
    ([208, 1], [2]),
    ([255], [1]),
    ([207, 207], [2]),
    ([1, 1], [3]),
    ([1, 1], [1]),
    ([], [2]),
  ],
)
def test_bytes_that_store_no_tables_are_refused(stored, sizes):
  with pytest.raises(errors.ModelError):
    coding_tables.unpacked(np.array(stored, np.uint8), np.array(sizes))
