"""Steps a second with the orthonormal kernel parameter and with tfc's default.

    python -m tests.benchmarks.training_step [FILTERS LATENTS [ROUNDS]]

A step is the gradient step of one patch of 128x128 for each level; the two
models differ in nothing but their kernels' parameter. They take turns, so that
whatever else the machine does meets both; prints both medians and their ratio.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from typing import Callable  # noqa: E402
from unittest import mock  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_compression as tfc  # noqa: E402

from bls2017.common import config  # noqa: E402
from bls2017.training import model as model_lib  # noqa: E402
from bls2017.training import parameters  # noqa: E402
from bls2017.training.train_config import TrainConfig  # noqa: E402
from bls2017.training.training_step import TrainingStep  # noqa: E402
from tests.benchmarks import speed  # noqa: E402

PATCH = 128


def training_step(model: model_lib.BLS2017Model) -> Callable[[], object]:
  """A whole training step: forward, backward, clipping, both optimizers."""
  step = TrainingStep(model, TrainConfig())
  shape = (1, model.config.num_levels, PATCH, PATCH, 3)
  x = tf.constant(np.random.default_rng(0).uniform(0, 255, shape), tf.float32)
  function = tf.function(step, autograph=False)
  seed = tf.zeros((2,), tf.int64)
  return lambda: float(function(x, seed).loss)


def main(filters: int = 128, latents: int = 320, rounds: int = 20) -> None:
  """Prints what was measured."""
  shape = config.ModelConfig(filters, latents)
  ours = training_step(model_lib.BLS2017Model(shape))
  with mock.patch.object(
    parameters,
    "OrthonormalKernelParameter",
    lambda value, name: tfc.RDFTParameter(value, name=name),
  ):
    plain = training_step(model_lib.BLS2017Model(shape))
  medians = speed.interleaved({"bls2017": ours, "plain": plain}, rounds)
  for name, seconds in medians.items():
    print(f"{name}: {1000 * seconds:.0f} ms, {1 / seconds:.2f} steps/s")
  ratio = medians["plain"] / medians["bls2017"]
  print(
    f"{filters} filters, {latents} latents: {ratio:.2f} times the steps/s"
    f" (medians of {rounds} interleaved rounds)"
  )


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
