"""Weights of an earlier model to start a training run from.

Three kinds of places hold some: a file of named arrays, the directory of a run,
and a model directory. The last one has coding tables instead of a prior; the
prior then starts from the means and deviations that the tables tell.
"""

from __future__ import annotations

import os
import zipfile

import numpy as np

from bls2017 import errors
from bls2017.bitstream import coding_tables
from bls2017.common import config
from bls2017.training import checkpoints, priors
from bls2017.training import model as model_lib
from bls2017.transforms import model_directory

_ROUNDING_VARIANCE = 1 / 12


def apply(model: model_lib.BLS2017Model, path: str) -> None:
  """Sets all weights of a model.

  Args:
    model: The model.
    path: A weights file (.npz), the directory of a run, or a model directory,
      of a model of the same shape.

  Raises:
    errors.ModelError: if the weights cannot be read or do not fit.
  """
  if os.path.exists(os.path.join(path, model_directory.TABLES_FILE)):
    _apply_frozen(model, model_directory.load(path))
  elif os.path.isdir(path):
    model.set_arrays(checkpoints.load_model(path)[0].get_arrays())
  else:
    model.set_arrays(read_file(path))


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


def _apply_frozen(
  model: model_lib.BLS2017Model, frozen: model_directory.FrozenModel
) -> None:
  if frozen.config.lmbdas != model.config.lmbdas:
    raise errors.ModelError("the weights are of a model of other lambdas")
  levels = slice(None, None, config.QUALITY_STEPS)
  model.set_arrays(
    {
      **model.get_arrays(),
      **frozen.weights,
      "gain": frozen.tables.gain[levels],
      "inverse_gain": frozen.tables.inverse_gain[levels],
    }
  )
  indices = range(0, len(frozen.tables), config.QUALITY_STEPS)
  tables = [frozen.tables.for_quality(i) for i in indices]
  mean, scale, share = (np.stack(a) for a in zip(*map(_moments, tables)))
  prior = model.prior
  if isinstance(prior, priors.ActivityPrior) and share.shape == tuple(
    prior.logits.shape
  ):
    prior.set_activities(mean, scale, share)
  else:
    prior.set_scale(np.sqrt(np.einsum("lk,lkc->lc", share, scale**2)))


def _moments(
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
