"""Weights of an earlier model to start a training run from.

Three kinds of places hold some: a file of named arrays, the directory of a run,
and a model directory. They may be of other lambdas, of another prior, or (a
model directory) of tables instead of a prior. What a level starts from is then
what the source has at the nearest lambda: a finer quantization pays as lambda
grows, so that gains follow its square root, and the means and deviations of the
latents with them. Lambdas of another distortion are compared by their ratio to
the least of those that are usual for it (`config.LMBDAS`).

A channel that a level did not use stays unused: its gain fell to a hundredth of
the others', it is rounded to zero everywhere, and little pulls it up again. So
channels may be woken: at levels where one sleeps, it starts from the nearest
lambda at which the source uses it.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import checkpoints, priors, table_building
from bls2017.training import model as model_lib

_ROUNDING_VARIANCE = 1 / 12
_ASLEEP = 0.01
"""Gain of a pruned channel, as a share of others, and its inverse gain."""

_REACH = 255
"""Largest latent of which the moments of a density are made."""


@dataclasses.dataclass(frozen=True)
class _Source:
  """Weights, with what is known of the latents at n lambdas.

  Attributes:
    transforms: Named float32 arrays of both transforms.
    lmbdas: float64 [n], increasing, as weights of the wanted distortion.
    gain: float32 [n, C].
    inverse_gain: float32 [n, C].
    used: bool [n, C], channels that are coded.
    mean: float64 [n, C], means of the latents times their gain.
    scale: float64 [n, K, C], their deviations, for each of K activities.
    share: float64 [n, K], how often an activity is chosen.
  """

  transforms: Mapping[str, np.ndarray]
  lmbdas: np.ndarray
  gain: np.ndarray
  inverse_gain: np.ndarray
  used: np.ndarray
  mean: np.ndarray
  scale: np.ndarray
  share: np.ndarray


def apply(
  model: model_lib.BLS2017Model, path: str, wake_reach: float = 0.0
) -> None:
  """Sets all weights of a model.

  Args:
    model: The model.
    path: A weights file (.npz), the directory of a run, or a model directory,
      of as many filters and latents. A weights file is of the model's lambdas.
    wake_reach: Channels that the source uses at lambdas up to so many times the
      model's largest one are awake at all levels. 0 wakes none.

  Raises:
    errors.ModelError: if the weights cannot be read or do not fit.
  """
  frozen = os.path.exists(os.path.join(path, model_directory.TABLES_FILE))
  if frozen:
    source = _from_tables(model_directory.load(path), model.config)
  else:
    trained = _read_trained(path, model.config)
    if trained.config == model.config and not wake_reach:
      model.set_arrays(trained.get_arrays())
      return
    source = _from_prior(trained, model.config)
  _apply(model, _woken(_at(source, model.config.lmbdas), source, wake_reach))


def read_file(path: str) -> dict[str, np.ndarray]:
  """Named arrays from a file, as `BLS2017Model.set_arrays` takes them.

  A file without the array "input_offset" holds a model whose input is x / 255
  instead of x / 255 - 1/2; its outer biases are moved accordingly.

  Args:
    path: An .npz file.

  Raises:
    errors.ModelError: if the file cannot be read.
  """
  try:
    with np.load(path, allow_pickle=False) as f:
      arrays = {name: np.asarray(f[name], np.float32) for name in f.files}
    if "input_offset" not in arrays:
      kernel = arrays["analysis/0/kernel"]
      arrays["analysis/0/bias"] += 0.5 * kernel.sum((0, 1, 2))
      arrays["synthesis/2/bias"] -= 0.5
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as e:
    raise errors.ModelError(f"cannot read the weights {path}: {e}") from e
  return arrays


def _read_trained(
  path: str, model_config: config.ModelConfig
) -> model_lib.BLS2017Model:
  """The model of a run, or that of a file, which has the given shape."""
  if os.path.isdir(path):
    return checkpoints.load_model(path)[0]
  arrays = read_file(path)
  for prior in config.PRIORS:
    trained = model_lib.BLS2017Model(
      dataclasses.replace(model_config, prior=prior)
    )
    if trained.get_arrays().keys() <= arrays.keys():
      break
  trained.set_arrays(arrays)
  return trained


def _from_tables(
  frozen: model_directory.FrozenModel, model_config: config.ModelConfig
) -> _Source:
  """A source of the qualities of one pair of a model directory.

  It is the pair with the quality whose lambda is nearest to the middle of the
  wanted ones.
  """
  lmbdas = _as_weights_of(
    model_config.distortion,
    frozen.config.distortion,
    [frozen.config.lmbda(i) for i in range(len(frozen.tables))],
  )
  middle = np.mean(np.log(model_config.lmbdas))
  number = frozen.tables.pair_of(int(abs(np.log(lmbdas) - middle).argmin()))
  indices = [
    i for i in range(len(lmbdas)) if frozen.tables.pair_of(i) == number
  ]
  tables = [frozen.tables.for_quality(i) for i in indices]
  mean, scale, share = (
    np.stack(a) for a in zip(*map(_moments_of_tables, tables))
  )
  weights = frozen.pairs[number].weights
  channels = model_config.num_latents
  present = len(weights["synthesis/igdn_in/beta"])

  def widened(array: np.ndarray, absent: float) -> np.ndarray:
    spare = [(0, 0)] * (array.ndim - 1) + [(0, max(channels - present, 0))]
    return np.pad(array[..., :present], spare, constant_values=absent)

  gain = frozen.tables.gain[indices]
  return _Source(
    transforms=_widened_weights(weights, channels),
    lmbdas=lmbdas[indices],
    gain=widened(gain, _ASLEEP * float(gain.max())),
    inverse_gain=widened(frozen.tables.inverse_gain[indices], _ASLEEP),
    used=widened(frozen.tables.size[indices] > 1, False),
    mean=widened(mean, 0.0),
    scale=widened(scale, 0.0),
    share=share,
  )


def _widened_weights(
  weights: Mapping[str, np.ndarray], channels: int
) -> dict[str, np.ndarray]:
  """Weights whose pruned channels of latents are back, asleep.

  See `bls2017.training.joining.pruned`. All that is multiplied by them is 0.
  """
  result = dict(weights)
  present = len(weights["synthesis/igdn_in/beta"])
  spare = max(channels - present, 0)
  for name in ("analysis/2/gdn/beta", "synthesis/igdn_in/beta"):
    result[name] = np.pad(weights[name], (0, spare), constant_values=1)
  kernel = weights["synthesis/0/kernel"]
  result["synthesis/0/kernel"] = np.pad(
    kernel, [(0, 0), (0, 0), (0, spare), (0, 0)]
  )
  for name in ("analysis/2/gdn/gamma", "synthesis/igdn_in/gamma"):
    gamma = weights[name]
    missing = max(channels - len(gamma), 0)
    result[name] = np.pad(gamma, [(0, missing), (0, spare)])
  return result


def _as_weights_of(
  distortion: str, source: str, lmbdas: Sequence[float]
) -> np.ndarray:
  """Lambdas of one distortion for another one, at which rates are alike."""
  scale = config.LMBDAS[distortion][0] / config.LMBDAS[source][0]
  return np.array(lmbdas) * scale


def _from_prior(
  trained: model_lib.BLS2017Model, model_config: config.ModelConfig
) -> _Source:
  """A source of the levels of a trained model."""
  arrays = trained.get_arrays()
  gain = arrays.pop("gain")
  prior = trained.prior
  if isinstance(prior, priors.ActivityPrior):
    mean, scale, share = prior.get_activities()
  else:
    mean, deviation = _moments_of_density(prior, gain.shape)
    scale, share = deviation[:, None], np.ones((len(gain), 1))
  return _Source(
    transforms={k: v for k, v in arrays.items() if not k.startswith("prior/")},
    lmbdas=_as_weights_of(
      model_config.distortion, trained.config.distortion, trained.config.lmbdas
    ),
    gain=gain,
    inverse_gain=arrays.pop("inverse_gain"),
    used=table_building.awake(gain),
    mean=mean,
    scale=scale,
    share=share,
  )


def _moments_of_tables(
  tables: coding_tables.QualityTables,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Means [C] and deviations [K, C] of latents, shares [K] of activities."""
  channel = np.repeat(
    np.arange(len(tables.minimum)), tables.maximum - tables.minimum + 1
  )
  number = np.arange(tables.cdf.shape[1]) - tables.starts[channel]
  value = number + tables.minimum[channel] + tables.offset[channel]
  mass = 2.0**-tables.code_lengths
  share = 2.0 ** -tables.activity_lengths[-1]
  share /= share.sum()

  def mean_of(x: np.ndarray, density: np.ndarray) -> np.ndarray:
    sums = np.add.reduceat(density * x, tables.starts, axis=-1)
    return sums / np.add.reduceat(density, tables.starts, axis=-1)

  mean = mean_of(value, share @ mass)
  variance = mean_of((value - mean[channel]) ** 2, mass)
  return mean, np.sqrt(np.maximum(variance - _ROUNDING_VARIANCE, 0)), share


def _moments_of_density(
  prior: priors.Prior, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
  """Means and deviations, float64 [levels, C], both."""
  value = np.arange(-_REACH, _REACH + 1)[:, None, None]
  edges = np.append(value, value[-1:] + 1, 0) - 0.5
  below, _ = prior.cumulative()(
    tf.constant(np.broadcast_to(edges, (len(edges), *shape)), tf.float32)
  )
  mass = np.diff(np.asarray(below, np.float64), axis=0)
  mass /= mass.sum(0)
  mean = (mass * value).sum(0)
  variance = (mass * (value - mean) ** 2).sum(0) - _ROUNDING_VARIANCE
  return mean, np.sqrt(np.maximum(variance, 0))


def _at(source: _Source, lmbdas: Sequence[float]) -> _Source:
  """The source as it is at other lambdas: that of the nearest, rescaled."""
  log_lmbdas = np.log(np.asarray(lmbdas))
  nearest = np.abs(log_lmbdas[:, None] - np.log(source.lmbdas)).argmin(1)
  # What a finer or coarser quantization makes of gains and latents.
  finer = np.sqrt(lmbdas / source.lmbdas[nearest])[:, None]
  return _Source(
    transforms=source.transforms,
    lmbdas=np.asarray(lmbdas),
    gain=source.gain[nearest] * finer,
    inverse_gain=source.inverse_gain[nearest] / finer,
    used=source.used[nearest],
    mean=source.mean[nearest] * finer,
    scale=source.scale[nearest] * finer[:, None],
    share=source.share[nearest],
  )


def _woken(levels: _Source, source: _Source, reach: float) -> _Source:
  """Levels at which sleeping channels are awake as well.

  Args:
    levels: What a model starts from.
    source: Where a channel that sleeps may be awake.
    reach: As `wake_reach` of `apply`.
  """
  gain, inverse_gain = levels.gain.copy(), levels.inverse_gain.copy()
  mean, scale = levels.mean.copy(), levels.scale.copy()
  used = levels.used.copy()
  log_lmbdas = np.log(source.lmbdas)
  allowed = source.lmbdas <= reach * levels.lmbdas.max() * (1 + 1e-6)
  candidates = source.used & allowed[:, None]
  for k, lmbda in enumerate(levels.lmbdas):
    channels = np.flatnonzero(~used[k] & candidates.any(0))
    distance = np.abs(np.log(lmbda) - log_lmbdas)[:, None]
    distances = np.where(candidates[:, channels], distance, np.inf)
    nearest = distances.argmin(0)
    finer = np.sqrt(lmbda / source.lmbdas[nearest])
    gain[k, channels] = source.gain[nearest, channels] * finer
    inverse_gain[k, channels] = source.inverse_gain[nearest, channels] / finer
    mean[k, channels] = source.mean[nearest, channels] * finer
    # Both levels' activities from smooth to busy.
    order = _by_scale(scale[k])
    for channel, row, factor in zip(channels, nearest, finer):
      there = _by_scale(source.scale[row])
      scale[k, order, channel] = source.scale[row, there, channel] * factor
    used[k, channels] = True
  return dataclasses.replace(
    levels,
    gain=gain,
    inverse_gain=inverse_gain,
    mean=mean,
    scale=scale,
    used=used,
  )


def _apply(model: model_lib.BLS2017Model, levels: _Source) -> None:
  """Sets the weights of a model of these levels."""
  model.set_arrays(
    {
      **model.get_arrays(),
      **levels.transforms,
      "gain": levels.gain,
      "inverse_gain": levels.inverse_gain,
    }
  )
  prior = model.prior
  sets = levels.share.shape[1]
  if isinstance(prior, priors.ActivityPrior) and sets % prior.ACTIVITIES == 0:
    scale, share = _merged(levels, prior.ACTIVITIES)
    prior.set_activities(levels.mean, scale, share)
  else:
    variance = np.einsum("lk,lkc->lc", levels.share, levels.scale**2)
    prior.set_scale(np.sqrt(variance))


def _merged(levels: _Source, sets: int) -> tuple[np.ndarray, np.ndarray]:
  """Deviations [n, sets, C] and shares [n, sets] of fewer activities.

  Those that are neighbours from smooth to busy become one.
  """
  parts = levels.share.shape[1] // sets
  if parts == 1:
    return levels.scale, levels.share
  order = np.stack([_by_scale(scale) for scale in levels.scale])
  share = np.take_along_axis(levels.share, order, 1)
  variance = np.take_along_axis(levels.scale, order[..., None], 1) ** 2
  share = share.reshape(len(share), sets, parts)
  variance = variance.reshape(*share.shape, -1)
  merged = np.einsum("lkp,lkpc->lkc", share, variance) / share.sum(2)[..., None]
  return np.sqrt(merged), share.sum(2)


def _by_scale(scale: np.ndarray) -> np.ndarray:
  """The order of activities from smooth to busy, [K] from float [K, C]."""
  return np.log(scale + 1e-3).mean(1).argsort()
