"""The model of two pairs of transforms in the conformance set.

It is made of the golden model, whose channels it shares out: so it needs no
training, and its pairs have other numbers of channels. In one of the channels
that a pair lacks all symbols are another number than 0.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import freezing, joining

QUALITIES = ((0, 2, 4), (6, 8))
"""Indices of the golden model's qualities that each pair has."""

UNUSED = (tuple(range(1, 24, 2)), (0, 2, 3, 13, 15))
"""Its channels that each pair lacks; the second one has no context channel."""

CONSTANT = 2
"""The only symbol of the first of them."""


def make(golden: model_directory.FrozenModel) -> model_directory.FrozenModel:
  """Joins two parts of the golden model."""
  return joining.join(
    [_part(golden, number) for number in range(len(QUALITIES))]
  )


def _part(
  golden: model_directory.FrozenModel, number: int
) -> model_directory.FrozenModel:
  """A model of one level, of some qualities and channels of the golden one."""
  qualities, unused = list(QUALITIES[number]), list(UNUSED[number])
  tables = golden.tables
  kept = [_without(tables.for_quality(index), unused) for index in qualities]
  arrays = {
    name: getattr(tables, name)[qualities]
    for name in (
      "gain", "inverse_gain", "offset", "minimum", "size", "order", "end_cdf",
      "lane_positions", "pair",
    )
  }  # fmt: skip
  arrays["minimum"][:, unused] = 0
  arrays["minimum"][:, unused[0]] = CONSTANT
  arrays["size"][:, unused] = 1
  config = dataclasses.replace(
    golden.config, lmbdas=golden.config.lmbdas[number:][:1], quality_steps=4
  )
  return freezing.with_tables(
    dataclasses.replace(golden, config=config),
    dataclasses.replace(
      tables,
      **arrays,
      ends=np.stack([ends for ends, _ in kept]),
      frequencies=[frequencies for _, frequencies in kept],
    ),
  )


def _without(
  tables: coding_tables.QualityTables, unused: list[int]
) -> tuple[np.ndarray, coding_tables.Frequencies]:
  """The ends and frequencies that are left without some channels."""
  stays = ~np.isin(tables.live, unused)
  contexts, others = np.split(stays, [tables.contexts])
  of_contexts, of_others = np.split(tables.sizes, [tables.contexts])
  counts = tables.context_tables.astype(int).max((1, 2), initial=-1) + 1
  before = np.concatenate([[0], np.cumsum(others)]).astype(np.uint16)
  return before[tables.ends], coding_tables.Frequencies(
    cdf=tables.cdf[:, np.repeat(others, of_others)],
    activity_cdf=tables.activity_cdf,
    activity_tables=tables.activity_tables,
    surroundings=tables.surroundings,
    context_cdf=tables.context_cdf[np.repeat(contexts, of_contexts * counts)],
    context_tables=tables.context_tables[contexts],
    contexts_of=tables.contexts_of[:, contexts],
    context_classes=tables.context_classes[np.repeat(contexts, of_contexts)],
  )
