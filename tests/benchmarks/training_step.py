"""Steps a second with the orthonormal kernel parameter and with tfc's default.

    python -m tests.benchmarks.training_step [FILTERS LATENTS [ROUNDS]]

Times the gradient step of 8 patches of 128x128, one for each of 8 levels, of
two models that differ in nothing else. They take turns, so that whatever else
the machine does meets both; prints both medians and their ratio.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_compression as tfc  # noqa: E402

from bls2017 import config, parameters  # noqa: E402
from bls2017 import model as model_lib  # noqa: E402

PATCH = 128
WARM_UP = 2


def training_step(model: model_lib.BLS2017Model) -> Callable[[], Any]:
  """A whole training step: forward, backward, clipping, Adam."""
  optimizer = tf.keras.optimizers.Adam(1e-4)
  optimizer.build(model.trainable_variables)
  shape = (1, model.config.num_levels, PATCH, PATCH, 3)
  x = tf.constant(np.random.default_rng(0).uniform(0, 255, shape), tf.float32)

  @tf.function(autograph=False)
  def step() -> tf.Tensor:
    with tf.GradientTape() as tape:
      seed = optimizer.iterations + [0, 1]
      rd = model.rate_distortion(x, "noise", seed)
      loss = tf.reduce_mean(model.lagrangian(rd))
    variables = model.trainable_variables
    gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
    optimizer.apply_gradients(zip(gradients, variables))
    return loss

  return step


def main(filters: int = 128, latents: int = 320, rounds: int = 20) -> None:
  model_config = config.ModelConfig(filters, latents)
  steps = {"orthonormal": training_step(model_lib.BLS2017Model(model_config))}
  default = mock.patch.object(
    parameters,
    "OrthonormalKernelParameter",
    lambda value, name: tfc.RDFTParameter(value, name=name),
  )
  with default:
    steps["RDFT"] = training_step(model_lib.BLS2017Model(model_config))
  times: dict[str, list[float]] = {name: [] for name in steps}
  for i in range(WARM_UP + rounds):
    for name, step in steps.items():
      started = time.perf_counter()
      float(step())
      if i >= WARM_UP:
        times[name].append(time.perf_counter() - started)
  medians = {name: float(np.median(t)) for name, t in times.items()}
  for name, seconds in medians.items():
    print(f"{name}: {1000 * seconds:.0f} ms, {1 / seconds:.2f} steps/s")
  ratio = medians["RDFT"] / medians["orthonormal"]
  print(
    f"{filters} filters, {latents} latents: {ratio:.2f} times the steps/s"
    f" (medians of {rounds} interleaved rounds)"
  )


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
