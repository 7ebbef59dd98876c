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

NONLINEARITIES = ("gdn", "relu", "linear")

LMBDAS = tuple(0.0018 * 1.93**k for k in (0, 2, 4, 6))
"""Four levels are enough for a curve."""

PATCH_SIZE = 128
_LEARNING_RATE = 1e-3
_PRIOR_FACTOR = 5.0
_WARMUP_STEPS = 100
_CLIP_NORM = 1.0
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
  levels = model.config.num_levels
  transform_variables = model.transform_variables()
  prior_variables = model.prior_variables()
  variables = transform_variables + prior_variables
  optimizers = [_adam(_LEARNING_RATE, steps) for _ in range(2)]
  optimizers[1] = _adam(_LEARNING_RATE * _PRIOR_FACTOR, steps)
  optimizers[0].build(transform_variables)
  optimizers[1].build(prior_variables)
  weights = np.asarray(LMBDAS, np.float32) ** -0.45
  weights /= weights.mean()

  @tf.function
  def step(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
      seed = tf.stack([tf.constant(_SEED, tf.int64), number])
      rd = model.rate_distortion(x, "noise", seed)
      loss = tf.reduce_mean(weights * model.lagrangian(rd))
    gradients, _ = tf.clip_by_global_norm(
      tape.gradient(loss, variables), _CLIP_NORM
    )
    count = len(transform_variables)
    optimizers[0].apply_gradients(zip(gradients[:count], transform_variables))
    optimizers[1].apply_gradients(zip(gradients[count:], prior_variables))
    return loss

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


def _adam(rate: float, steps: int) -> tf.keras.optimizers.Optimizer:
  warmup = min(_WARMUP_STEPS, steps // 2)
  schedule = tf.keras.optimizers.schedules.CosineDecay(
    rate / 10,
    decay_steps=max(steps - warmup, 1),
    alpha=0.02,
    warmup_target=rate,
    warmup_steps=warmup,
  )
  return tf.keras.optimizers.Adam(schedule)
