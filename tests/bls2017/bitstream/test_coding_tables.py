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
  with pytest.raises(errors.ModelError):
    _damage(codec.model.tables, name, value).check()


def test_tables_that_do_not_rise_are_refused(codec):
  tables = codec.model.tables
  row = int(np.flatnonzero(tables.size.ravel() > 3)[0])
  start = int(tables.size.ravel()[:row].sum())
  cdf = tables.cdf.copy()
  cdf[start + 1] = cdf[start + 2]
  with pytest.raises(errors.ModelError):
    dataclasses.replace(tables, cdf=cdf).check()
