"""A small model of three pairs of transforms, made once in a process."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.model import model_directory
from bls2017.training import (
  calibration,
  freezing,
  joining,
  transform_coder,
)
from bls2017.training import model as model_lib
from tests import conftest

STEPS = 4
RANGES = ((0.003, 0.006), (0.012,), (0.024, 0.048, 0.1))
USED = (5, 12, 9)
"""Channels that the pairs are to use, of 12."""


@functools.cache
def patches() -> np.ndarray:
  """Photographs for the models, uint8 [8, 64, 64, 3]."""
  rows = [conftest.synthetic_photograph(i, 64, 64) for i in range(8)]
  return np.stack(rows)


@functools.cache
def models() -> list[model_lib.BLS2017Model]:
  """Models of other numbers of filters, with channels that sleep."""
  models = []
  for number, (lmbdas, used) in enumerate(zip(RANGES, USED)):
    model = model_lib.BLS2017Model(
      config.ModelConfig(8 + number, 12, lmbdas, "activities")
    )
    transform_coder.initialise(model, patches(), seed=number)
    arrays = model.get_arrays()
    y = model.analysis(tf.cast(patches(), tf.float32)).numpy()
    deviation = y.std((0, 1, 2))
    asleep = deviation.argsort()[: 12 - used]
    arrays["gain"][:, asleep] *= 1e-4
    arrays["inverse_gain"][:, asleep] *= 1e-4
    arrays["prior/slope"][..., asleep] = 4.0
    model.set_arrays(arrays)
    models.append(model)
  return models


@functools.cache
def frozen() -> list[model_directory.FrozenModel]:
  """Each of `models`, frozen as what is joined."""
  shares = joining.shares([m.config for m in models()])
  return [
    calibration.calibrate(
      freezing.freeze(m, quality_steps=STEPS, share=share),
      patches(),
      2,
    )
    for m, share in zip(models(), shares)
  ]


@functools.cache
def model() -> model_directory.FrozenModel:
  """The model of three pairs, of 21 qualities."""
  return joining.join(frozen())
