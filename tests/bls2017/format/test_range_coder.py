"""Laws of the range coder, for every runtime."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import (
  coding_tables,
  lanes,
  range_coder_numpy,
  range_coder_tfc,
)
from export.range_coder import range_coder_stock
from tests import laws
from tests.bls2017.format import reference_coder, tables_strategy

RUNTIMES = {
  "tfc": range_coder_tfc.TfcRangeCoder(),
  "numpy": range_coder_numpy.NumpyRangeCoder(),
  "stock": range_coder_stock.StockRangeCoder(),
}
EXAMPLES = laws.examples(60)


def _lane_slices(positions, tables):
  step = tables.lane_positions
  return [
    slice(i * step, min((i + 1) * step, positions))
    for i in range(lanes.num_lanes(positions, step))
  ]


class _Lane:
  """The normative order of a lane: what is coded, each with which table."""

  def __init__(self, tables, positions):
    self._cdfs = tables_strategy.all_cdfs(tables)
    self._live, self._sets = len(tables.live), tables.num_activities
    self._positions = positions

  def encode(self, symbols):
    """One stream of int32 [positions, columns]."""
    values, cdfs = self._order(symbols)
    return reference_coder.encode(values, cdfs)

  def decode(self, stream):
    """Its inverse, for any bytes."""
    if self._sets == 1:
      values = reference_coder.decode(stream, self._cdfs * self._positions)
      return np.reshape(values, (self._positions, self._live))
    # Which table comes next is known only after what was decoded: each prefix
    # is decoded anew.
    activities = []
    for _ in range(self._positions):
      tables = self._activity_cdfs([*activities, 0])
      activities = reference_coder.decode(stream, tables)
    tables = self._activity_cdfs(activities) + self._symbol_cdfs(activities)
    values = reference_coder.decode(stream, tables)[self._positions :]
    values = np.array(values, int).reshape(self._positions, self._live)
    return np.concatenate([np.array(activities)[:, None], values], 1)

  def _order(self, symbols):
    if self._sets == 1:
      return symbols.ravel().tolist(), self._cdfs * len(symbols)
    activities = symbols[:, 0].tolist()
    return (
      activities + symbols[:, 1:].ravel().tolist(),
      self._activity_cdfs(activities) + self._symbol_cdfs(activities),
    )

  def _activity_cdfs(self, activities):
    before = [self._sets, *activities[:-1]]
    return [self._cdfs[self._sets * self._live + k] for k in before]

  def _symbol_cdfs(self, activities):
    live = self._live
    return [self._cdfs[k * live + c] for k in activities for c in range(live)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@EXAMPLES
@given(case=tables_strategy.CASES)
def test_decoding_inverts_encoding(runtime, case):
  coder = RUNTIMES[runtime]
  tables, symbols = tables_strategy.draw(case)
  streams = coder.encode(symbols, tables)
  assert len(streams) == lanes.num_lanes(len(symbols), tables.lane_positions)
  decoded = coder.decode(streams, len(symbols), tables)
  np.testing.assert_array_equal(decoded, symbols)


@pytest.mark.parametrize("runtime", RUNTIMES)
@EXAMPLES
@given(case=tables_strategy.CASES)
def test_streams_are_those_of_the_normative_description(runtime, case):
  tables, symbols = tables_strategy.draw(case)
  streams = RUNTIMES[runtime].encode(symbols, tables)
  for stream, part in zip(streams, _lane_slices(len(symbols), tables)):
    lane = _Lane(tables, part.stop - part.start)
    assert stream == lane.encode(symbols[part])
    np.testing.assert_array_equal(lane.decode(stream), symbols[part])


@pytest.mark.parametrize("runtime", RUNTIMES)
@EXAMPLES
@given(
  case=tables_strategy.CASES,
  hostile=st.lists(st.binary(max_size=12), min_size=1, max_size=3),
)
def test_foreign_bytes_are_refused_or_what_an_encoder_writes(
  runtime, case, hostile
):
  coder = RUNTIMES[runtime]
  tables, symbols = tables_strategy.draw(case)
  count = lanes.num_lanes(len(symbols), tables.lane_positions)
  streams = (hostile * count)[:count]
  try:
    decoded = coder.decode(streams, len(symbols), tables)
  except errors.BitstreamError:
    # Only bytes that another sequence of symbols shares may be refused.
    each = [
      _Lane(tables, part.stop - part.start)
      for part in _lane_slices(len(symbols), tables)
    ]
    assert [x.encode(x.decode(s)) for s, x in zip(streams, each)] != streams
  else:
    assert coder.encode(decoded, tables) == streams


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_trailing_zero_is_refused(runtime):
  coder = RUNTIMES[runtime]
  tables = tables_strategy.make_tables(3, 4, 17, 0.5, 8)
  symbols = tables_strategy.likely_symbols(tables, 20, 4, flat=False)
  streams = coder.encode(symbols, tables)
  for lane in range(len(streams)):
    longer = list(streams)
    longer[lane] += b"\0"
    with pytest.raises(errors.BitstreamError):
      coder.decode(longer, len(symbols), tables)


@pytest.mark.parametrize("payload", [b"\xff\x20", b"", b"\xff" * 64])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bytes_that_trap_an_escape_code_end(runtime, payload):
  # tfc with its escape code never returns from ff 20.
  tables = tables_strategy.make_tables(5, 4, 300, 0.999, 64)
  coder = RUNTIMES[runtime]
  try:
    decoded = coder.decode([payload], 64, tables)
  except errors.BitstreamError:
    return
  assert coder.encode(decoded, tables) == [payload]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_thousand_bits_may_take_one_byte(runtime):
  # The middle symbol's interval lies around 1/2 for ever. So nothing can be
  # refused for being too short.
  symbols = np.ones((1000, 1), np.int32)
  tables = tables_strategy.make_tables(0, 1, 2, 0.0, 1000)
  tables = dataclasses.replace(
    tables,
    minimum=np.zeros(1, np.int32),
    maximum=np.full(1, 2, np.int32),
    live=np.zeros(1, np.int32),
    cdf=np.array([[0, 1 << 14, 3 << 14]], np.int32),
  )
  coder = RUNTIMES[runtime]
  assert coder.encode(symbols, tables) == [b"\x80"]
  np.testing.assert_array_equal(coder.decode([b"\x80"], 1000, tables), symbols)


@EXAMPLES
@given(case=tables_strategy.CASES)
def test_a_stream_costs_what_the_tables_say(case):
  case = {**case, "lane_positions": 60}
  tables, symbols = tables_strategy.draw(case)
  indices, numbers = lanes.contents(symbols, len(symbols), tables)
  cdfs = tables_strategy.all_cdfs(tables)
  masses = [
    np.diff(cdfs[n])[s] / coding_tables.TOTAL
    for n, s in zip(numbers.ravel(), indices.ravel())
  ]
  bits = -np.log2(masses).sum()
  (stream,) = RUNTIMES["tfc"].encode(symbols, tables)
  # At most two bytes at the end; a little less precision in every step.
  assert 8 * len(stream) <= bits * 1.01 + 0.01 * symbols.size + 17
  assert len(stream) <= tables.max_lane_bytes(len(symbols))
