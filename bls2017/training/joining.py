"""Joins frozen models of neighbouring rates to one model of several pairs.

A pair of transforms serves a range of rates. What belongs to a quality (gains
and coding tables) stays in one set of arrays over all qualities, and the
quality chooses the pair.

Channels whose latents are 0 at all qualities of a pair are pruned: from all of
the synthesis, and from the outputs of the analysis. Those whose latents are
always another number stay: a pair trained for MS-SSIM had one, without which
MS-SSIM at its highest quality was 0.988 instead of 0.995.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.format import coding_tables
from bls2017.model import litert_graphs, model_directory
from bls2017.training import freezing, pruning
from bls2017.training.table_building import Share

_VECTOR = 16
"""Floats of the longest vector registers there are."""

_ABSENT = {
  "gain": 1.0,
  "inverse_gain": 1.0,
  "offset": 0.0,
  "minimum": 0,
  "size": 1,
}
"""Entries of the tables for a channel that a pair does not have."""


def shares(configs: Sequence[config.ModelConfig]) -> list[Share]:
  """Decides how much each of several runs contributes.

  Ranges of lambdas may overlap. A run contributes what lies below the next one:
  the highest level of a range was seen to gain the least from it.

  Args:
    configs: Of the runs, from the lowest lambdas to the highest.

  Raises:
    errors.UsageError: if a run does not begin below the next one, or does not
      reach as far as the ones before it.
  """
  result: list[Share] = []
  below, reached = None, 0.0
  for i, lmbdas in enumerate(c.lmbdas for c in configs):
    above = configs[i + 1].lmbdas[0] if i + 1 < len(configs) else None
    levels = len([x for x in lmbdas if above is None or x < above])
    if not levels or lmbdas[-1] < reached:
      raise errors.UsageError(
        "the lambdas of runs that are joined must increase from run to run"
      )
    result.append(Share(levels, below, above))
    below, reached = lmbdas[levels - 1], lmbdas[-1]
  return result


def join(
  models: Sequence[model_directory.FrozenModel],
) -> model_directory.FrozenModel:
  """One model of pruned pairs.

  Args:
    models: One or more, each of one pair, frozen with its share; of lambdas
      that increase from model to model, and as many activities.

  Raises:
    errors.UsageError: if the models do not fit together.
  """
  configs = [model.config for model in models]
  kinds = {
    (c.distortion, c.quality_steps, m.tables.num_activities)
    for c, m in zip(configs, models)
  }
  if len(kinds) > 1:
    raise errors.UsageError(
      "models of another distortion or number of activities cannot be joined"
    )
  used = [_kept(model.tables) for model in models]
  channels = max(1, *map(len, used))
  model_config = dataclasses.replace(
    configs[0],
    num_filters=max(c.num_filters for c in configs),
    num_latents=channels,
    lmbdas=sum((c.lmbdas for c in configs), ()),
  )
  tables = _joined_tables(models, used, channels)
  if len(tables) != model_config.num_qualities:
    raise errors.UsageError("the models' qualities do not complete each other")
  pairs = tuple(
    litert_graphs.pair(pruning.pruned(model.weights, kept), channels)
    for model, kept in zip(models, used)
  )
  joined = dataclasses.replace(models[0], config=model_config, pairs=pairs)
  return freezing.with_tables(joined, tables)


def _kept(tables: coding_tables.CodingTables) -> np.ndarray:
  """The channels that a pair keeps: int [U], increasing."""
  constant = np.abs(tables.minimum + tables.offset)
  used = ((tables.size > 1) | (constant >= 0.5)).any(0)
  count = used.sum()
  # oneDNN sums channels beyond whole vectors in an order that depends on how an
  # image is cut, so unused ones fill up the last vector.
  if count > _VECTOR:
    count += -count % _VECTOR
  return np.sort(np.argsort(~used, kind="stable")[:count])


def _joined_tables(
  models: Sequence[model_directory.FrozenModel],
  used: Sequence[np.ndarray],
  channels: int,
) -> coding_tables.CodingTables:
  """The tables of the used channels and of absent ones, pair after pair."""
  fields = []
  for tables, of_pair in zip((model.tables for model in models), used):
    spare = [(0, 0), (0, channels - len(of_pair))]
    arrays = {}
    for name, absent in _ABSENT.items():
      array = getattr(tables, name)[:, of_pair]
      arrays[name] = np.pad(array, spare, constant_values=absent)
    for name in ("ends", "end_cdf", "lane_positions"):
      arrays[name] = getattr(tables, name)
    arrays["order"] = _order(tables.order, of_pair, channels)
    fields.append(arrays)
  numbers = np.arange(len(models), dtype=np.uint8)
  return coding_tables.CodingTables(
    **{name: np.concatenate([f[name] for f in fields]) for name in fields[0]},
    pair=np.repeat(numbers, [len(model.tables) for model in models]),
    frequencies=[f for model in models for f in model.tables.frequencies],
  )


def _order(order: np.ndarray, of_pair: np.ndarray, channels: int) -> np.ndarray:
  """The order, uint16 [Q, channels], of the channels that a pair keeps."""
  places = np.searchsorted(of_pair, order)
  kept = np.isin(order, of_pair)
  absent = np.arange(len(of_pair), channels)
  rows = [np.concatenate([p[k], absent]) for p, k in zip(places, kept)]
  return np.array(rows, np.uint16)
