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

import numpy as np

from bls2017.common import config
from bls2017.encode import expected_bits
from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import model as model_lib
from bls2017.training import pruning, table_building

_ROUNDING_VARIANCE = 1 / 12
_ASLEEP = 0.01
"""Gain of a pruned channel, as a share of others, and its inverse gain."""


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
  lmbdas = np.array(model.config.lmbdas)
  qualities = range(len(frozen.tables))
  source_lmbdas = np.array([frozen.config.lmbda(i) for i in qualities])
  source_lmbdas *= config.LMBDAS[model.config.distortion][0]
  source_lmbdas /= config.LMBDAS[frozen.config.distortion][0]
  middle = np.abs(np.log(source_lmbdas) - np.log(lmbdas).mean()).argmin()
  pair = frozen.tables.pair_of(int(middle))
  weights = frozen.pairs[pair].weights
  present = len(weights["synthesis/igdn_in/beta"])
  of_pair = [i for i in qualities if frozen.tables.pair_of(i) == pair]
  tables = [frozen.tables.for_quality(i) for i in of_pair]
  gain = np.stack([t.gain for t in tables])[:, :present]
  used = np.stack([t.maximum > t.minimum for t in tables])[:, :present]
  nearest, rows, finer = _sources(
    lmbdas,
    source_lmbdas[of_pair],
    used & table_building.awake(gain),
    wake_reach,
  )

  def of_levels(
    array: np.ndarray, factor: np.ndarray, absent: float
  ) -> np.ndarray:
    """Chooses rows: [n, ..., C] of the source to [levels, ..., C]."""
    index = rows.reshape(len(rows), *[1] * (array.ndim - 2), present)
    chosen = np.take_along_axis(array[..., :present], index, 0)
    chosen = chosen * factor.reshape(index.shape)
    spare = max(model.config.num_latents - present, 0)
    spares = [(0, 0)] * (array.ndim - 1) + [(0, spare)]
    return np.pad(chosen, spares, constant_values=absent)

  inverse_gain = np.stack([t.inverse_gain for t in tables])
  model.set_arrays(
    {
      **model.get_arrays(),
      **pruning.widened(weights, model.config.num_latents),
      "gain": of_levels(gain, finer, _ASLEEP * gain.max()),
      "inverse_gain": of_levels(inverse_gain, 1 / finer, _ASLEEP),
    }
  )
  mean, scale, share = map(np.stack, zip(*map(_moments, tables)))
  model.prior.set_activities(
    of_levels(mean, finer, 0), of_levels(scale, finer, 0), share[nearest]
  )


def _sources(
  lmbdas: np.ndarray,
  source_lmbdas: np.ndarray,
  used: np.ndarray,
  wake_reach: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Chooses the qualities, of n, that the levels start from.

  used is bool [n, C]. Returns the nearest one [levels], that of each channel
  [levels, C], and what multiplies gains and latents [levels, C].
  """
  distance = np.abs(np.log(lmbdas)[:, None] - np.log(source_lmbdas))
  nearest = distance.argmin(1)
  allowed = source_lmbdas <= wake_reach * lmbdas.max() * (1 + 1e-6)
  candidates = used & allowed[:, None]  # [n, C]
  wakes = ~used[nearest] & candidates.any(0)  # [levels, C]
  waking = np.where(candidates, distance[..., None], np.inf).argmin(1)
  rows = np.where(wakes, waking, nearest[:, None])
  return nearest, rows, np.sqrt(lmbdas[:, None] / source_lmbdas[rows])


def _moments(
  tables: coding_tables.QualityTables,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Means [C] and deviations [K, C] of latents, shares [K] of activities."""
  x, sets = tables.contexts, tables.num_activities
  lengths = expected_bits.of_symbols(tables)[: tables.cdf.size]
  densities = [2.0 ** -lengths.reshape(sets, -1)]
  if x:
    # The first position of a lane stands for all.
    masses = 2.0**-tables.context_lengths
    entries = [
      tables.context_starts[c, :, tables.contexts_of[0, c, -1, -1], None]
      + np.arange(tables.sizes[c])
      for c in range(x)
    ]
    densities[:0] = [masses[e] for e in entries]
  density = np.concatenate(densities, axis=1)
  channel = np.repeat(tables.live, tables.sizes)
  starts = np.cumsum(tables.sizes) - tables.sizes
  number = np.arange(len(channel)) - np.repeat(starts, tables.sizes)
  value = number + tables.minimum[channel] + tables.offset[channel]
  share = 2.0 ** -tables.activity_lengths[-1, -1]
  share /= share.sum()

  def mean_of(values: np.ndarray, density: np.ndarray) -> np.ndarray:
    sums = np.add.reduceat(density * values, starts, axis=-1)
    return sums / np.add.reduceat(density, starts, axis=-1)

  mean = tables.minimum + tables.offset
  mean[tables.live] = mean_of(value, share @ density)
  variance = np.zeros((sets, len(mean)))
  variance[:, tables.live] = mean_of((value - mean[channel]) ** 2, density)
  scale = np.sqrt(np.maximum(variance - _ROUNDING_VARIANCE, 0))
  order = np.log(scale + 1e-3).mean(1).argsort()
  return mean, scale[order], share[order]
