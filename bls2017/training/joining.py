"""Joins frozen models of neighbouring rates to one model of several pairs.

A pair of transforms serves a range of rates. What belongs to a quality (gains
and coding tables) stays in one set of arrays over all qualities, and the
quality chooses the pair.

Channels whose latents are 0 at all qualities of a pair are pruned: from all of
the synthesis, and from the outputs of the analysis. They remain part of the
last norm of the analysis, where they measure how busy a place is; without them,
the held-out loss of a model of low rates rose by a quarter. Channels whose
latents are always another number stay: a pair trained for MS-SSIM had one,
without which MS-SSIM at its highest quality was 0.988 instead of 0.995.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import freezing, table_building

_VECTOR = 16
"""Floats of the longest vector registers there are."""

_ABSENT = {
  "gain": 1.0,
  "inverse_gain": 1.0,
  "offset": 0.0,
  "minimum": 0,
  "size": 1,
}
"""What tables hold of a channel that a pair does not have."""


@dataclasses.dataclass(frozen=True)
class Share:
  """What a run contributes to a model of several.

  Attributes:
    neighbours: Of its levels, where they do not reach into the next run's.
    num_levels: How many of its levels it contributes, from the lowest one on.
  """

  neighbours: table_building.Neighbours
  num_levels: int


def shares(configs: Sequence[config.ModelConfig]) -> list[Share]:
  """What each of several runs contributes.

  Ranges of lambdas may overlap. A run contributes what lies below the next one:
  the highest level of a range was seen to gain the least from it.

  Args:
    configs: Of the runs, from the lowest lambdas to the highest.

  Raises:
    errors.UsageError: if a run does not begin below the next one, or does not
      reach as far as the ones before it.
  """
  begins = [*(c.lmbdas[0] for c in configs[1:]), math.inf]
  reached = -math.inf
  below = None
  result = []
  for model_config, begin in zip(configs, begins):
    lmbdas = model_config.lmbdas
    count = int(np.searchsorted(lmbdas, begin))
    if not count or lmbdas[-1] < reached:
      raise errors.UsageError(
        "the lambdas of runs that are joined must increase from run to run"
      )
    above = begin if count == len(lmbdas) and begin < math.inf else None
    result.append(Share(table_building.Neighbours(below, above), count))
    reached, below = lmbdas[-1], lmbdas[count - 1]
  return result


def contribution(
  model: model_directory.FrozenModel, share: Share
) -> model_directory.FrozenModel:
  """A model without the levels that another one contributes.

  Args:
    model: Frozen with the neighbours of its share; of one pair.
    share: From `shares`.
  """
  steps, lmbdas = model.config.quality_steps, model.config.lmbdas
  dropped = len(lmbdas) - share.num_levels
  if not dropped:
    return model
  lower = table_building.qualities_below(steps)
  count = len(model.tables) - (dropped - 1) * steps - 1 - lower
  arrays = model.tables.arrays()
  del arrays["cdf"]
  tables = coding_tables.CodingTables(
    **{name: array[:count] for name, array in arrays.items()},
    cdfs=[model.tables.cdfs[i] for i in range(count)],
  )
  reduced = dataclasses.replace(
    model,
    config=dataclasses.replace(model.config, lmbdas=lmbdas[: share.num_levels]),
  )
  return freezing.with_tables(reduced, tables, model.format_version)


def join(
  models: Sequence[model_directory.FrozenModel],
) -> model_directory.FrozenModel:
  """One model of pruned pairs.

  Args:
    models: One or more, each of one pair, of lambdas that increase from model
      to model. Their tables have the qualities that `contribution` leaves them,
      and the same number of activities.

  Returns:
    A model of as many pairs.

  Raises:
    errors.UsageError: if the models do not fit together.
  """
  configs = [model.config for model in models]
  common = {
    (c.distortion, c.quality_steps, m.tables.num_activities, m.format_version)
    for c, m in zip(configs, models)
  }
  if len(common) > 1:
    raise errors.UsageError(
      "models of another distortion or number of activities cannot be joined"
    )
  used = [_kept(_needed(m.tables)) for m in models]
  channels = max(1, *map(len, used))
  model_config = dataclasses.replace(
    configs[0],
    num_filters=max(c.num_filters for c in configs),
    num_latents=channels,
    lmbdas=sum((c.lmbdas for c in configs), ()),
  )
  tables = _joined(
    [_pruned_tables(m.tables, u, channels) for m, u in zip(models, used)]
  )
  if len(tables) != model_config.num_qualities:
    raise errors.UsageError("the models' qualities do not complete each other")
  pairs = tuple(
    model_directory.TransformPair(pruned(model.weights, channels_of_pair))
    for model, channels_of_pair in zip(models, used)
  )
  joined = dataclasses.replace(models[0], config=model_config, pairs=pairs)
  return freezing.with_tables(joined, tables, models[0].format_version)


def _needed(tables: coding_tables.CodingTables) -> np.ndarray:
  """The channels whose latents are not 0 everywhere at all qualities: bool [C].

  A latent that is always the same is not coded either. If it is not 0, the
  synthesis has learned to count on it.
  """
  constant = np.abs(tables.minimum + tables.offset)
  return ((tables.size > 1) | (constant >= 0.5)).any(0)


def _kept(used: np.ndarray) -> np.ndarray:
  """The channels that a pair keeps: int [U], increasing, from bool [C].

  Those that are used, and unused ones up to a whole number of vectors: oneDNN
  sums what is left over in an order that depends on how an image is cut.
  """
  count = used.sum()
  if count > _VECTOR:
    count += -count % _VECTOR
  return np.sort(np.argsort(~used, kind="stable")[:count])


def pruned(
  weights: Mapping[str, np.ndarray], used: np.ndarray
) -> dict[str, np.ndarray]:
  """Transforms whose latents are the used channels alone.

  Args:
    weights: Of both transforms, with C channels of latents.
    used: int [U], the channels that stay, increasing; at least one.

  Returns:
    Weights with U channels of latents. The analysis is the same function, and
    so is the synthesis where the other latents are 0.
  """
  result = dict(weights)
  last = "analysis/2"
  count = weights[f"{last}/bias"].shape[0]
  order = np.concatenate([used, np.setdiff1d(np.arange(count), used)])
  result[f"{last}/kernel"] = weights[f"{last}/kernel"][..., order]
  result[f"{last}/bias"] = weights[f"{last}/bias"][order]
  gamma = weights[f"{last}/gdn/gamma"]
  result[f"{last}/gdn/gamma"] = gamma[order][:, used]
  result[f"{last}/gdn/beta"] = weights[f"{last}/gdn/beta"][used]
  first = "synthesis/igdn_in"
  result[f"{first}/gamma"] = weights[f"{first}/gamma"][used][:, used]
  result[f"{first}/beta"] = weights[f"{first}/beta"][used]
  kernel = weights["synthesis/0/kernel"]
  result["synthesis/0/kernel"] = kernel[:, :, used]
  return result


def _pruned_tables(
  tables: coding_tables.CodingTables, used: np.ndarray, channels: int
) -> coding_tables.CodingTables:
  """Tables of the used channels, and of absent ones up to a number."""
  spare = channels - len(used)
  changes: dict[str, np.ndarray] = {}
  for name, absent in _ABSENT.items():
    array = getattr(tables, name)[:, used]
    changes[name] = np.pad(array, [(0, 0), (0, spare)], constant_values=absent)
  cdfs = []
  for quality in map(tables.for_quality, range(len(tables))):
    size = quality.maximum - quality.minimum + 1
    is_used = np.isin(np.arange(len(size)), used)
    cdf = quality.cdf[:, np.repeat(is_used, size)]
    cdfs.append(np.pad(cdf, [(0, 0), (0, spare)]).astype(np.uint16))
  return dataclasses.replace(tables, **changes, cdfs=cdfs)


def _joined(
  tables: Sequence[coding_tables.CodingTables],
) -> coding_tables.CodingTables:
  """The tables of all pairs, one after the other."""
  if len(tables) == 1:
    return tables[0]
  fields = [t.arrays() for t in tables]
  names = fields[0].keys() - {"cdf"}
  pair = np.repeat(np.arange(len(tables)), [len(t) for t in tables])
  return coding_tables.CodingTables(
    **{name: np.concatenate([f[name] for f in fields]) for name in names},
    cdfs=[cdf for t in tables for cdf in t.cdfs],
    pair=pair.astype(np.uint8),
  )
