"""Training steps with the orthonormal kernel parameter and with tfc's default.

A step is the gradient step of one patch of 128x128 for each level; the two
models differ in nothing but their kernels' parameter.
"""

from __future__ import annotations

from typing import Any, Callable
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bls2017.common import config
from bls2017.training import model as model_lib
from bls2017.training import parameters
from bls2017.training.train_config import TrainConfig
from bls2017.training.training_step import TrainingStep

PATCH = 128


def steps(model_config: config.ModelConfig) -> dict[str, Callable[[], Any]]:
  """Steps to be timed: "bls2017", and "plain" with tfc's default kernels."""
  ours = training_step(model_lib.BLS2017Model(model_config))
  default = mock.patch.object(
    parameters,
    "OrthonormalKernelParameter",
    lambda value, name: tfc.RDFTParameter(value, name=name),
  )
  with default:
    plain = training_step(model_lib.BLS2017Model(model_config))
  return {"bls2017": ours, "plain": plain}


def training_step(model: model_lib.BLS2017Model) -> Callable[[], Any]:
  """A whole training step: forward, backward, clipping, both optimizers."""
  step = TrainingStep(model, TrainConfig())
  shape = (1, model.config.num_levels, PATCH, PATCH, 3)
  x = tf.constant(np.random.default_rng(0).uniform(0, 255, shape), tf.float32)
  function = tf.function(step, autograph=False)
  seed = tf.zeros((2,), tf.int64)
  return lambda: float(function(x, seed).loss)
