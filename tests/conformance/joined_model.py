"""The model of two pairs of transforms in the conformance set.

It is made of the golden model, whose channels it shares out: so it needs no
training, and its pairs have other numbers of channels. In one of the channels
that a pair lacks all symbols are another number than 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bls2017.model import model_directory
from bls2017.training import freezing, joining

QUALITIES = ((0, 2, 4), (6, 8))
"""Indices of the golden model's qualities that each pair has."""

UNUSED = (slice(1, None, 2), slice(3))
"""Its channels that each pair lacks; of those that the other lacks, it has."""

CONSTANT = 2
"""The only symbol of the first of them."""


def make(golden: model_directory.FrozenModel) -> model_directory.FrozenModel:
  """Joins two parts of the golden model."""
  parts = [
    _part(golden, number, list(qualities), unused)
    for number, (qualities, unused) in enumerate(zip(QUALITIES, UNUSED))
  ]
  return joining.join(parts)


def _part(
  golden: model_directory.FrozenModel,
  number: int,
  qualities: Sequence[int],
  unused: slice,
) -> model_directory.FrozenModel:
  """A model of one level, of some qualities and channels of the golden one."""
  tables = golden.tables
  arrays = {
    name: getattr(tables, name)[qualities]
    for name in (
      "gain", "inverse_gain", "offset", "minimum", "size", "activity_cdf",
      "lane_positions",
    )
  }  # fmt: skip
  arrays["minimum"][:, unused] = 0
  arrays["minimum"][:, unused.start or 0] = CONSTANT
  arrays["size"][:, unused] = 1
  config = dataclasses.replace(
    golden.config, lmbdas=golden.config.lmbdas[number:][:1], quality_steps=4
  )
  kept = [_without(tables.cdfs[i], tables.size[i], unused) for i in qualities]
  part = dataclasses.replace(golden, config=config)
  return freezing.with_tables(
    part, dataclasses.replace(tables, **arrays, cdfs=kept)
  )


def _without(cdf: np.ndarray, size: np.ndarray, unused: slice) -> np.ndarray:
  """Tables uint16 [K, S] of which those of unused channels have one symbol."""
  channels = np.split(cdf, np.cumsum(size)[:-1], axis=1)
  channels[unused] = [channel[:, :1] for channel in channels[unused]]
  return np.concatenate(channels, axis=1)
