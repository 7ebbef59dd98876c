"""Coding tables: damage is noticed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bls2017 import errors


def _damage(tables, name, value):
  array = getattr(tables, name).copy()
  array.flat[1] = value
  return dataclasses.replace(tables, **{name: array})


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("gain", np.nan),
    ("offset", np.inf),
    ("size", 0),
    ("size", 9000),
    ("lane_positions", 0),
  ],
)
def test_damaged_tables_are_refused(codec, name, value):
  damaged = _damage(codec.model.tables, name, value)
  with pytest.raises(errors.ModelError):
    damaged.check()
    damaged.for_quality(0)


def test_tables_that_do_not_rise_are_refused(codec):
  tables = codec.model.tables
  channel = int(np.flatnonzero(tables.size[1] > 3)[0])
  start = int(tables.size[1, :channel].sum())
  for place, value in ((start, 1), (start + 1, 0), (start + 2, 0)):
    cdfs = [cdf.copy() for cdf in tables.cdfs]
    cdfs[1][0, place] = value
    damaged = dataclasses.replace(tables, cdfs=cdfs)
    damaged.for_quality(0)
    with pytest.raises(errors.ModelError):
      damaged.for_quality(1)
