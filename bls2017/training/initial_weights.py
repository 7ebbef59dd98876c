"""The weights of a model directory, to start a training run from.

It may be of other lambdas. A level starts from the quality of the nearest one.
The quantization step falls with the root of lambda, so gains follow it, and the
means and deviations of the latents with them, which the coding tables tell.
Lambdas of another distortion are compared by their ratio to the least of those
that are usual for it (`config.LMBDAS`).

A channel that a level did not use stays unused: its gain fell to a hundredth of
the others', it is rounded to zero everywhere, and little pulls it up again. So
channels may be woken: where one sleeps, it starts from the nearest quality that
uses it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017.common import config
from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import model as model_lib
from bls2017.training import pruning, table_building

_ROUNDING_VARIANCE = 1 / 12
_ASLEEP = 0.01
"""Gain of a pruned channel, as a share of others, and its inverse gain."""


class _Latents(NamedTuple):
  """What is known of the latents of a pair of transforms at n lambdas."""

  lmbdas: np.ndarray  # float64 [n], of the distortion that is wanted
  gain: np.ndarray  # float32 [n, C]
  inverse_gain: np.ndarray  # float32 [n, C]
  used: np.ndarray  # bool [n, C], channels that are coded
  mean: np.ndarray  # float64 [n, C]
  scale: np.ndarray  # float64 [n, K, C], deviations, activities by size
  share: np.ndarray  # float64 [n, K], how often an activity is chosen


def apply(
  model: model_lib.BLS2017Model, path: str, wake_reach: float = 0.0
) -> None:
  """Sets all weights of a model.

  Args:
    model: The model.
    path: A model directory or the name of a packaged model, of as many filters
      and at most as many latents. Of several pairs of transforms, the one that
      codes the middle of the model's lambdas is taken.
    wake_reach: Channels that the source uses at lambdas up to so many times the
      model's largest one are awake at all levels. 0 wakes none.

  Raises:
    errors.ModelError: if the weights cannot be read or do not fit.
  """
  frozen = model_directory.load(path)
  qualities = np.arange(len(frozen.tables))
  source_lmbdas = np.array([frozen.config.lmbda(i) for i in qualities])
  source_lmbdas *= config.LMBDAS[model.config.distortion][0]
  source_lmbdas /= config.LMBDAS[frozen.config.distortion][0]
  lmbdas = np.array(model.config.lmbdas)
  distance = np.abs(np.log(source_lmbdas) - np.log(lmbdas).mean())
  pairs = np.array([frozen.tables.pair_of(i) for i in qualities])
  pair = pairs[distance.argmin()]
  of_pair = qualities[pairs == pair]
  weights = frozen.pairs[pair].weights
  source = _latents(
    frozen.tables, of_pair, source_lmbdas[of_pair],
    present=len(weights["synthesis/igdn_in/beta"]),
    channels=model.config.num_latents,
  )  # fmt: skip
  nearest, rows = _rows(source, lmbdas, wake_reach)
  # A finer quantization multiplies gains and latents.
  finer = np.sqrt(lmbdas[:, None] / source.lmbdas[rows])
  gain, inverse_gain, mean = (
    np.take_along_axis(array, rows, 0)
    for array in (source.gain, source.inverse_gain, source.mean)
  )
  scale = np.take_along_axis(source.scale, rows[:, None], 0)
  model.set_arrays(
    {
      **model.get_arrays(),
      **pruning.widened(weights, model.config.num_latents),
      "gain": gain * finer,
      "inverse_gain": inverse_gain / finer,
    }
  )
  model.prior.set_activities(
    mean * finer, scale * finer[:, None], source.share[nearest]
  )


def _rows(
  source: _Latents, lmbdas: np.ndarray, wake_reach: float
) -> tuple[np.ndarray, np.ndarray]:
  """Rows of the source: [levels], and [levels, C] with those of waking."""
  distance = np.abs(np.log(lmbdas)[:, None] - np.log(source.lmbdas))
  nearest = distance.argmin(1)
  allowed = source.lmbdas <= wake_reach * lmbdas.max() * (1 + 1e-6)
  candidates = source.used & allowed[:, None]  # [n, C]
  wakes = ~source.used[nearest] & candidates.any(0)  # [levels, C]
  waking = np.where(candidates, distance[..., None], np.inf).argmin(1)
  return nearest, np.where(wakes, waking, nearest[:, None])


def _latents(
  tables: coding_tables.CodingTables,
  qualities: np.ndarray,
  lmbdas: np.ndarray,
  present: int,
  channels: int,
) -> _Latents:
  """What the tables of some qualities tell; pruned channels sleep."""

  def widened(array: np.ndarray, absent: float) -> np.ndarray:
    spare = [(0, 0)] * (array.ndim - 1) + [(0, max(channels - present, 0))]
    return np.pad(array[..., :present], spare, constant_values=absent)

  gain = tables.gain[qualities]
  used = (tables.size[qualities] > 1) & table_building.awake(gain)
  moments = [_moments(tables.for_quality(i)) for i in qualities]
  mean, scale, share = (np.stack(of_all) for of_all in zip(*moments))
  return _Latents(
    lmbdas,
    widened(gain, _ASLEEP * float(gain.max())),
    widened(tables.inverse_gain[qualities], _ASLEEP),
    widened(used, False),
    widened(mean, 0.0),
    widened(scale, 0.0),
    share,
  )


def _moments(
  tables: coding_tables.QualityTables,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Means [C] and deviations [K, C] of latents, shares [K] of activities."""
  size = tables.maximum - tables.minimum + 1
  channel = np.repeat(np.arange(len(size)), size)
  number = np.arange(len(channel)) - tables.starts[channel]
  value = number + tables.minimum[channel] + tables.offset[channel]
  mass = 2.0**-tables.code_lengths
  share = 2.0 ** -tables.activity_lengths[-1]
  share /= share.sum()

  def mean_of(x: np.ndarray, density: np.ndarray) -> np.ndarray:
    sums = np.add.reduceat(density * x, tables.starts, axis=-1)
    return sums / np.add.reduceat(density, tables.starts, axis=-1)

  mean = mean_of(value, share @ mass)
  variance = mean_of((value - mean[channel]) ** 2, mass)
  scale = np.sqrt(np.maximum(variance - _ROUNDING_VARIANCE, 0))
  order = np.log(scale + 1e-3).mean(1).argsort()
  return mean, scale[order], share[order]
