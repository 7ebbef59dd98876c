"""One step of training: the gradient of the loss, clipped, and what it moves.

The transforms and gains have an optimizer of their own, and the priors another,
whose rate is a multiple of it; both rates warm up linearly and then follow a
cosine down to a share of their peak.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from bls2017.training import model as model_lib
from bls2017.training import soap
from bls2017.training.train_config import TrainConfig

_OPTIMIZERS = {"adam": tf.keras.optimizers.Adam, "soap": soap.Soap}


class StepResult(NamedTuple):
  """What a step did, averaged over the replicas.

  Attributes:
    loss: float32 scalar, the weighted mean of the levels' Lagrangians.
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
    """Creates the optimizers.

    Args:
      model: The model.
      train_config: Names the proxy, the optimizer and its rates.
    """
    self._model = model
    self._config = train_config
    self._decoder_only = train_config.proxy == "rounding"
    rate = train_config.learning_rate
    prior_rate = rate * train_config.prior_learning_rate_factor
    self.optimizers = {
      "transforms": _OPTIMIZERS[train_config.optimizer](
        _schedule(rate, train_config)
      ),
      "prior": tf.keras.optimizers.Adam(_schedule(prior_rate, train_config)),
    }
    for name, variables in self._variables().items():
      self.optimizers[name].build(variables)
    weights = tf.constant(model.config.lmbdas, tf.float32)
    weights **= train_config.loss_weight_exponent
    self._level_weights = weights / tf.reduce_mean(weights)

  def loss(self, rd: model_lib.RateDistortion) -> tf.Tensor:
    """The weighted mean of the levels' Lagrangians, float32 scalar."""
    return tf.reduce_mean(self._level_weights * self._model.lagrangian(rd))

  def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> StepResult:
    """Makes the step, in the replica that calls it.

    Args:
      x: float32 [n, levels, P, P, 3], this replica's patches.
      seed: int64 [2], seed of the noise.
    """
    variables = self._variables()
    with tf.GradientTape() as tape:
      rd = self._model.rate_distortion(x, self._config.proxy, seed)
      loss = self.loss(rd)
    gradients = tape.gradient(loss, sum(variables.values(), []))
    averages = [loss, rd.bpp, rd.mse, rd.distortion]
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync > 1:
      mean = tf.distribute.ReduceOp.MEAN
      gradients = replica.all_reduce(mean, gradients)
      averages = replica.all_reduce(mean, averages)
    gradients, norm = tf.clip_by_global_norm(gradients, self._config.clip_norm)
    remaining = iter(gradients)
    for name, moved in variables.items():
      self.optimizers[name].apply_gradients(
        [(next(remaining), variable) for variable in moved],
        skip_gradients_aggregation=True,
      )
    loss, *others = averages
    return StepResult(loss, norm, *others)

  def _variables(self) -> dict[str, list[tf.Variable]]:
    """What each optimizer moves."""
    transforms = (
      self._model.decoder_variables()
      if self._decoder_only
      else self._model.transform_variables()
    )
    return {"transforms": transforms, "prior": self._model.prior_variables()}


def _schedule(rate: float, train_config: TrainConfig) -> Any:
  """The learning rate at every step, from its peak."""
  steps = train_config.steps
  warmup_steps = min(train_config.warmup_steps, steps // 2)
  warmup: dict[str, Any] = {}
  if warmup_steps:
    warmup = {"warmup_target": rate, "warmup_steps": warmup_steps}
    rate /= warmup_steps
  return tf.keras.optimizers.schedules.CosineDecay(
    rate,
    steps - warmup_steps,
    alpha=train_config.final_learning_rate,
    **warmup,
  )
