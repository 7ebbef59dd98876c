"""One step of training: the gradient of the loss, clipped, and what it moves.

The transforms and gains have one Adam, the priors another with a higher rate.
Both rates warm up linearly and then follow a cosine down.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig

PRIOR_RATE_FACTOR = 5.0
"""Rate of the priors as a multiple of the transforms'."""

CLIP_NORM = 1.0
"""Bound of the global norm of the gradients."""

LOSS_WEIGHT_EXPONENT = -0.45
"""The loss of a level is weighted by its lambda to this power."""


class StepResult(NamedTuple):
  """Measurements of a step, averaged over the replicas.

  Attributes:
    loss: float32 scalar, the weighted mean of the levels' losses.
    gradient_norm: float32 scalar, global norm before it was clipped.
    bpp: float32 [levels], estimated bits per pixel.
    mse: float32 [levels], squared error on the 0-255 scale.
    distortion: float32 [levels], what the loss weighs.
  """

  loss: tf.Tensor
  gradient_norm: tf.Tensor
  bpp: tf.Tensor
  mse: tf.Tensor
  distortion: tf.Tensor


class TrainingStep:
  """Moves the weights of a model by one step, inside a `tf.function`.

  Attributes:
    optimizers: Of the "transforms" and of the "prior", with all their slots.
  """

  def __init__(self, model: model_lib.BLS2017Model, train_config: TrainConfig):
    self._model = model
    self._proxy = train_config.proxy
    self._variables = {
      "transforms": model.transform_variables(),
      "prior": model.prior_variables(),
    }
    rate = train_config.learning_rate
    peaks = {"transforms": rate, "prior": PRIOR_RATE_FACTOR * rate}
    self.optimizers = {
      name: tf.keras.optimizers.Adam(_schedule(peak, train_config))
      for name, peak in peaks.items()
    }
    for name, variables in self._variables.items():
      self.optimizers[name].build(variables)
    weights = tf.constant(model.config.lmbdas, tf.float32)
    weights **= LOSS_WEIGHT_EXPONENT
    self._level_weights = weights / tf.reduce_mean(weights)

  def mean_loss(self, loss: tf.Tensor) -> tf.Tensor:
    """The weighted mean of the levels' losses, float32 [levels] to scalar."""
    return tf.reduce_mean(self._level_weights * loss)

  def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> StepResult:
    """Makes the step, in the replica that calls it.

    Args:
      x: float32 [n, levels, P, P, 3] in 0..255, this replica's patches.
      seed: int64 [2], seed of the noise.
    """
    with tf.GradientTape() as tape:
      rd = self._model.rate_distortion(x, self._proxy, seed)
      loss = self.mean_loss(rd.loss)
    gradients = tape.gradient(loss, sum(self._variables.values(), []))
    averages = [loss, rd.bpp, rd.mse, rd.distortion]
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync > 1:
      mean = tf.distribute.ReduceOp.MEAN
      gradients = replica.all_reduce(mean, gradients)
      averages = replica.all_reduce(mean, averages)
    gradients, norm = tf.clip_by_global_norm(gradients, CLIP_NORM)
    remaining = iter(gradients)
    for name, variables in self._variables.items():
      self.optimizers[name].apply_gradients(
        [(next(remaining), variable) for variable in variables],
        skip_gradients_aggregation=True,
      )
    loss, *others = averages
    return StepResult(loss, norm, *others)


def _schedule(peak: float, train_config: TrainConfig) -> Any:
  """The learning rate at every step."""
  steps = train_config.steps
  warmup_steps = min(train_config.warmup_steps, steps // 2)
  return tf.keras.optimizers.schedules.CosineDecay(
    peak / max(warmup_steps, 1),
    steps - warmup_steps,
    alpha=train_config.final_learning_rate,
    warmup_target=peak if warmup_steps else None,
    warmup_steps=warmup_steps,
  )
