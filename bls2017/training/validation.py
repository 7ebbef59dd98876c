"""Validation: what a model does to photographs that it was not trained on."""

from __future__ import annotations

import logging
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.training import data, reports
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig

PATCH_SIZE = 256
"""Side of the patches for validation, where the photographs hold so many."""

LATENTS_OF_AN_AWAKE_CHANNEL = 10_000

_log = logging.getLogger(__name__)


class Validation(NamedTuple):
  """What a model does to held-out patches.

  Attributes:
    mean: Rates and distortions, averaged over the patches; its reconstructions
      are those of the last patch alone, float32 [1, levels, P, P, 3].
    psnr: float32 [levels], in dB, likewise averaged.
    x: The last patch, float32 [1, levels, P, P, 3].
    awake: int64 [levels], channels of which at least one latent in
      `LATENTS_OF_AN_AWAKE_CHANNEL` is not rounded to 0.
  """

  mean: model_lib.RateDistortion
  psnr: np.ndarray
  x: tf.Tensor
  awake: np.ndarray


class Validator:
  """Codes held-out patches at every level.

  Attributes:
    patches: uint8 [n, P, P, 3]; the middles of the photographs.
  """

  def __init__(
    self,
    model: model_lib.BLS2017Model,
    paths: list[str],
    train_config: TrainConfig,
  ):
    """Reads the patches.

    Args:
      model: The model.
      paths: Photographs that were held out.
      train_config: How many to use, and the side of the patches where no
        photograph has `PATCH_SIZE`.
    """
    limit = train_config.validation_images
    self._levels = model.config.num_levels
    self._rate_distortion = tf.function(model.rate_distortion, autograph=False)
    self._symbols = tf.function(model.symbols, autograph=False)
    self.patches = data.read_patches(paths, PATCH_SIZE, limit)
    if not len(self.patches):
      self.patches = data.read_patches(paths, train_config.patch_size, limit)
    if not len(self.patches):
      _log.warning("no photograph is left for validation")

  def __call__(self, stop: Callable[[], bool]) -> Validation | None:
    """Codes the patches as files would be, with rounded latents.

    Args:
      stop: Asked ahead of each patch whether to give up.

    Returns:
      The averages; None when stopped, or where there are no patches.
    """
    results, positions = [], 0
    not_zero: np.ndarray | int = 0
    for patch in self.patches:
      if stop():
        return None
      x = tf.repeat(tf.cast(patch, tf.float32)[None, None], self._levels, 1)
      rd = self._rate_distortion(x)
      symbols = self._symbols(x[0, :1])
      not_zero += tf.reduce_sum(tf.cast(symbols != 0, tf.int32), (1, 2)).numpy()
      positions += symbols.shape[1] * symbols.shape[2]
      results.append((rd[:3], reports.psnr_of_levels(rd.mse)))
    if not results:
      return None
    values, psnr = zip(*results)
    bpp, mse, distortion = (tf.reduce_mean(v, 0) for v in zip(*values))
    mean = model_lib.RateDistortion(bpp, mse, distortion, rd.x_hat)
    awake = np.sum(not_zero * LATENTS_OF_AN_AWAKE_CHANNEL >= positions, axis=1)
    return Validation(mean, np.mean(psnr, axis=0), x, awake)
