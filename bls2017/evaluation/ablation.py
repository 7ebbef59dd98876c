"""Small models trained alike but for one choice, to see what the choice does.

All of them see the same patches in the same order, start from the same random
kernels, and take the same number of steps.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from bls2017.training.training_step import TrainingStep

NONLINEARITIES = ("gdn", "relu", "linear")

LMBDAS = config.LMBDAS["mse"][::2]
"""Four levels are enough for a curve."""

PATCH_SIZE = 128
_WARMUP_STEPS = 100
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Variant:
  """A small model.

  Attributes:
    nonlinearity: "gdn", "relu" (between the stages, none at the latents) or
      "linear".
    prior: As in `config.ModelConfig`.
    num_filters: As there.
    num_latents: As there.
  """

  nonlinearity: str = "gdn"
  prior: str = "deep_factorized"
  num_filters: int = 48
  num_latents: int = 96


class Trained(NamedTuple):
  """A small model after its training, and the seconds that a step took."""

  model: model_lib.BLS2017Model
  seconds_per_step: float


def make(variant: Variant) -> model_lib.BLS2017Model:
  """The model of a variant, untrained."""
  model = model_lib.BLS2017Model(
    config.ModelConfig(
      num_filters=variant.num_filters,
      num_latents=variant.num_latents,
      lmbdas=LMBDAS,
      prior=variant.prior,
    ),
    seed=_SEED,
  )
  if variant.nonlinearity == "gdn":
    return model
  inner = tf.nn.relu if variant.nonlinearity == "relu" else tf.identity
  # Both ends of the latents stay linear: a ReLU there would forbid their signs.
  ends = {"2/gdn", "igdn_in"}
  for transform in (model.analysis, model.synthesis):
    transform.gdns = {
      name: tf.identity if name in ends else inner for name in transform.gdns
    }
  return model


def train(
  variant: Variant,
  patches: np.ndarray,
  steps: int,
  on_step: Callable[[], None],
) -> Trained:
  """Trains a small model.

  Args:
    variant: Which one.
    patches: uint8 [n, P, P, 3]; steps take them in turn.
    steps: How many, at least 1.
    on_step: Called after each.

  Raises:
    errors.TrainingError: if the loss is not finite in the end.
  """
  model = make(variant)
  settings = TrainConfig(steps=steps, warmup_steps=_WARMUP_STEPS)
  training_step = TrainingStep(model, settings)
  levels = model.config.num_levels

  @tf.function(autograph=False)
  def step(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    seed = tf.stack([tf.constant(_SEED, tf.int64), number])
    return training_step(x, seed).loss

  order = np.random.default_rng(_SEED).integers(
    len(patches), size=(steps, levels)
  )
  seconds = []
  for number, chosen in enumerate(order):
    started = time.perf_counter()
    x = tf.constant(patches[chosen][None], tf.float32)
    loss = step(x, tf.constant(number, tf.int64))
    seconds.append(time.perf_counter() - started)
    on_step()
  if not np.isfinite(float(loss)):
    raise errors.TrainingError(f"{variant} did not train: its loss is {loss}")
  # The median leaves out the first step, which traces the graph.
  return Trained(model, float(np.median(seconds)))
