"""The training loop: a `tf.function` step, validation, resumption.

The state of a run is the step, the number of the next training example, the
weights, their average and the optimizers' slots. The noise of a step is drawn
from (seed, step), the patches from (seed, example), so a run that was stopped
anywhere and resumed goes through the same losses as one that was not.

With several replicas each takes `patches_per_level` patches a level of its own
from the stream, and the loss is the average over all of them: n replicas do
exactly what one would with n times the patches, up to the noise.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config, directory_lock
from bls2017.images import metrics
from bls2017.training import (
  checkpoints,
  data,
  distribution,
  initial_weights,
  soap,
  transform_coder,
)
from bls2017.training import model as model_lib
from bls2017.training import validation as validation_lib
from bls2017.training.train_config import TrainConfig

START_PATCHES = 256
"""Photographs from which the transform coder's statistics are taken."""

_log = logging.getLogger(__name__)


class Observer(Protocol):
  """Follows a run, for example with a progress bar."""

  def on_start(self, step: int, steps: int) -> None:
    """Called once, with the step the run goes on from and its last step."""

  def on_step(self, report: validation_lib.StepReport) -> None:
    """Called after every step."""


class Trainer:
  """Trains one model in one directory.

  The directory holds `config.json`, `checkpoints` and TensorBoard's `train` and
  `validation`. A directory that holds checkpoints is resumed. Several workers
  share one directory, of which the chief alone writes.

  Attributes:
    model: The model.
    reader: Reads the training patches, and knows what it skipped.
    stop: Set it to end the run after the step that is under way. With several
      workers, one that is stopped stops all.
  """

  def __init__(
    self,
    model_config: config.ModelConfig,
    train_config: TrainConfig,
    train_dir: str,
  ):
    """Builds the model and restores the newest whole checkpoint, if any.

    Args:
      model_config: The model.
      train_config: The run.
      train_dir: Its directory, created where it is missing.

    Raises:
      errors.CodecError: if the images, the initial weights or the directory
        cannot be used, or the directory belongs to another model or is in use
        by another process.
    """
    self.config = train_config
    self.model_config = model_config
    self.train_dir = train_dir
    self.stop = threading.Event()
    self._stop_agreed = False
    _check_patch_size(model_config, train_config)
    self.strategy = distribution.make_strategy(train_config.strategy)
    self._chief = distribution.is_chief(self.strategy)
    self._write_config()
    self._find_images()
    with self.strategy.scope():
      self.model = model_lib.BLS2017Model(model_config, train_config.seed)
      self._learned = (
        self.model.transform_variables()
        if train_config.proxy != "rounding"
        else self.model.decoder_variables()
      )
      self._optimizers = self._make_optimizers()
      self.step = tf.Variable(0, dtype=tf.int64, name="step")
      self.next_example = tf.Variable(0, dtype=tf.int64, name="next_example")
      self._average = [
        tf.Variable(v, trainable=False) for v in self.model.trainable_variables
      ]
    weights = tf.constant(model_config.lmbdas, tf.float32)
    weights **= train_config.loss_weight_exponent
    self._level_weights = weights / tf.reduce_mean(weights)
    self._checkpoints = checkpoints.Checkpoints(
      train_dir,
      {
        "model": self.model,
        "optimizers": self._optimizers,
        "step": self.step,
        "next_example": self.next_example,
        "average": self._average,
      },
      train_config.keep_checkpoints,
      writer=self._chief,
    )
    restored = self._checkpoints.restore()
    if restored:
      _log.info("resuming from %s", restored)
    else:
      self._initialise()
    # Nothing to convert here, and looking for it would take seconds.
    self._step_function = tf.function(self._distributed_step, autograph=False)
    self._validation_function = tf.function(
      self.model.rate_distortion, autograph=False
    )

  @property
  def steps_done(self) -> int:
    """Steps done so far, those before a resumption included."""
    return int(self.step.numpy())

  def run(self, observer: Observer) -> None:
    """Trains up to the last step, or until `stop` is set; saves at the end.

    Raises:
      errors.TrainingError: if the loss is not finite (the last checkpoint stays
        as it is), too many images cannot be used, or another worker failed.
      errors.OutputError: if a checkpoint or a log cannot be written.
    """
    batches = self._batches()
    board = validation_lib.TensorBoard(self.train_dir)
    observer.on_start(self.steps_done, self.config.steps)
    while self.steps_done < self.config.steps and not self._should_stop():
      report = self._run_step(batches)
      observer.on_step(report)
      if self._chief and report.step % self.config.summary_steps == 0:
        rate = tf.identity(self._optimizers["transforms"].learning_rate)
        board.write("train", report, float(rate))
      if self._chief and report.step % self.config.validation_steps == 0:
        self._validate(board)
      if report.step % self.config.save_steps == 0:
        self.save()
    self.save()

  def save(self) -> None:
    """Writes a checkpoint, unless the newest one is of this step."""
    self._checkpoints.save(self.steps_done)

  def averaged_arrays(self) -> dict[str, np.ndarray]:
    """The weights to use: their average, or the last ones without averaging."""
    with _Averaged(self):
      return self.model.get_arrays()

  def _write_config(self) -> None:
    path = os.path.join(self.train_dir, checkpoints.CONFIG_FILE)
    values = {
      "model": config.to_json(self.model_config),
      "train": config.to_json(self.config),
    }
    if os.path.exists(path):
      if config.read_json(path).get("model") != values["model"]:
        raise errors.UsageError(
          f"{self.train_dir} belongs to a model of another configuration"
        )
    if self._chief:
      with checkpoints.output_errors(path):
        os.makedirs(self.train_dir, exist_ok=True)
        directory_lock.hold(self.train_dir)
        config.write_json(path, values)

  def _find_images(self) -> None:
    files, held_out = data.split_files(
      self.config.train_glob, self.config.validation_fraction
    )
    _log.info("%d files to train on, %d held out", len(files), len(held_out))
    self.reader = data.PatchReader(files, self.config)
    self._validation = np.zeros((0,), np.uint8)
    for side in (validation_lib.PATCH_SIZE, self.config.patch_size):
      if not len(self._validation) and self._chief:
        self._validation = data.central_patches(
          held_out, side, self.config.validation_images
        )
    if self._chief and not len(self._validation):
      _log.warning("no photograph is left for validation")

  def _make_optimizers(self) -> dict[str, tf.keras.optimizers.Optimizer]:
    c = self.config

    def schedule(rate: float) -> Any:
      warmup: dict[str, Any] = {}
      if c.warmup_steps:
        warmup = {"warmup_target": rate, "warmup_steps": c.warmup_steps}
        rate /= c.warmup_steps
      return tf.keras.optimizers.schedules.CosineDecay(
        rate, c.steps - c.warmup_steps, alpha=c.final_learning_rate, **warmup
      )

    kinds = {"adam": tf.keras.optimizers.Adam, "soap": soap.Soap}
    transforms = kinds[c.optimizer](schedule(c.learning_rate))
    transforms.build(self._learned)
    prior = tf.keras.optimizers.Adam(
      schedule(c.learning_rate * c.prior_learning_rate_factor)
    )
    prior.build(self.model.prior_variables())
    return {"transforms": transforms, "prior": prior}

  def _initialise(self) -> None:
    if self.config.initial_weights:
      initial_weights.apply(self.model, self.config.initial_weights)
    elif self.config.start == "transform_coder":
      patches = data.central_patches(
        self.reader.paths, self.config.patch_size, START_PATCHES
      )
      transform_coder.initialise(self.model, patches, self.config.seed)
    for average, variable in zip(self._average, self.model.trainable_variables):
      average.assign(variable)

  def _batches(self) -> Iterator[Any]:
    batch_size = self.model_config.num_levels * self.config.patches_per_level
    start = int(self.next_example.numpy())

    def make(context: tf.distribute.InputContext | None) -> tf.data.Dataset:
      dataset = data.training_dataset(self.reader, batch_size, start, context)
      options = tf.data.Options()
      options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
      )
      return dataset.with_options(options)

    if self.strategy.num_replicas_in_sync == 1:
      return iter(make(None))
    return iter(self.strategy.distribute_datasets_from_function(make))

  def _should_stop(self) -> bool:
    # Workers must all do the same number of steps: they agree within a step.
    if self.config.strategy == "multi_worker":
      return self._stop_agreed
    return self.stop.is_set()

  def _run_step(self, batches: Iterator[Any]) -> validation_lib.StepReport:
    step = self.steps_done + 1
    try:
      x = next(batches)
    except tf.errors.OpError as e:
      self.reader.skipped.check()
      raise errors.TrainingError(
        f"cannot read the images of step {step}: {e.message}"
      ) from e
    try:
      loss, norm, stop, bpp, mse, distortion = self._step_function(
        x, tf.constant(float(self.stop.is_set()))
      )
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as e:
      raise errors.TrainingError(
        f"another worker was lost at step {step}; start all of them again to"
        " go on from the last checkpoint"
      ) from e
    if not np.isfinite(loss.numpy() + norm.numpy()):
      raise errors.TrainingError(
        f"the loss or its gradient is not finite at step {step};"
        " the last checkpoint is unharmed"
      )
    self._stop_agreed = bool(stop > 0)
    psnr = validation_lib.psnr_of_levels(mse)
    return validation_lib.StepReport(
      step, float(loss), bpp.numpy(), psnr, distortion.numpy()
    )

  def _distributed_step(self, x: Any, stop: tf.Tensor) -> list[tf.Tensor]:
    """One step of all replicas; returns what `_replica_step` does."""
    results = self.strategy.run(self._replica_step, args=(x, stop))
    levels, replicas = (
      self.model_config.num_levels,
      self.strategy.num_replicas_in_sync,
    )
    self.step.assign_add(1)
    self.next_example.assign_add(
      levels * self.config.patches_per_level * replicas
    )
    self._update_average()
    return [self.strategy.experimental_local_results(r)[0] for r in results]

  def _replica_step(self, x: tf.Tensor, stop: tf.Tensor) -> list[tf.Tensor]:
    """One step of a replica.

    Args:
      x: float32 [n * levels, P, P, 3].
      stop: float32 scalar, not 0 where this worker was told to stop.

    Returns:
      Averages over the replicas: loss, norm of the gradient, stop (not 0 where
      any worker was told to), and bpp, mse and distortion, each [levels].
    """
    replica = tf.distribute.get_replica_context()
    levels, replicas = (
      self.model_config.num_levels,
      replica.num_replicas_in_sync,
    )
    x = tf.reshape(x, (-1, levels, *x.shape[1:]))
    number = tf.cast(replica.replica_id_in_sync_group, tf.int64)
    seed = tf.stack(
      [
        tf.constant(self.config.seed, tf.int64),
        self.step * replicas + number,
      ]
    )
    variables = self._learned + self.model.prior_variables()
    with tf.GradientTape() as tape:
      rd = self.model.rate_distortion(x, self.config.proxy, seed)
      loss = tf.reduce_mean(self._level_weights * self.model.lagrangian(rd))
    gradients = tape.gradient(loss, variables)
    # The identity puts the argument onto the replica's device.
    results = [loss, tf.identity(stop), rd.bpp, rd.mse, rd.distortion]
    if replicas > 1:
      mean = tf.distribute.ReduceOp.MEAN
      gradients = replica.all_reduce(mean, gradients)
      results = replica.all_reduce(mean, results)
    gradients, norm = tf.clip_by_global_norm(gradients, self.config.clip_norm)
    self._apply(gradients)
    loss, *others = results
    return [loss, norm, *others]

  def _apply(self, gradients: list[tf.Tensor]) -> None:
    count = len(self._learned)
    for name, part in (
      ("transforms", zip(gradients[:count], self._learned)),
      ("prior", zip(gradients[count:], self.model.prior_variables())),
    ):
      self._optimizers[name].apply_gradients(
        part, skip_gradients_aggregation=True
      )

  def _update_average(self) -> None:
    if not self.config.ema_decay:
      return
    # Young runs average over what they have, not over their first weights.
    step = tf.cast(self.step, tf.float32)
    decay = tf.minimum(self.config.ema_decay, step / (step + 10))
    for average, v in zip(self._average, self.model.trainable_variables):
      average.assign_add((1 - decay) * (v - average))

  def _validate(self, board: validation_lib.TensorBoard) -> None:
    """Codes the held-out patches at every level and logs the result."""
    if not len(self._validation):
      return
    started = time.monotonic()
    with _Averaged(self):
      result = validation_lib.validate(
        self._validation_function,
        self._validation,
        self.model_config.num_levels,
        self.stop.is_set,
      )
    if result is None:
      return
    bpp, psnr, distortion, images = result
    lmbda = np.asarray(self.model_config.lmbdas)
    loss = np.mean(self._level_weights * (bpp + lmbda * distortion))
    report = validation_lib.StepReport(
      self.steps_done, float(loss), bpp, psnr, distortion
    )
    _log.info(
      "step %d, validation (%.0f s): loss %.4f %s",
      report.step,
      time.monotonic() - started,
      report.loss,
      " ".join(f"({r:.3f}, {p:.2f})" for r, p in zip(bpp, psnr)),
    )
    board.write("validation", report, images=images)


class _Averaged:
  """Context in which the model holds the average of its weights."""

  def __init__(self, trainer: Trainer):
    self._variables = trainer.model.trainable_variables
    self._average = trainer._average
    self._enabled = trainer.config.ema_decay > 0
    self._kept: list[Any] = []

  def __enter__(self) -> None:
    if self._enabled:
      self._kept = [tf.identity(v) for v in self._variables]
      for variable, average in zip(self._variables, self._average):
        variable.assign(average)

  def __exit__(self, *unused: Any) -> None:
    for variable, value in zip(self._variables, self._kept):
      variable.assign(value)


def _check_patch_size(
  model_config: config.ModelConfig, train_config: TrainConfig
) -> None:
  smallest = metrics.MS_SSIM_MINIMUM_SIDE
  smallest += -smallest % config.DOWNSAMPLING
  if (
    model_config.distortion == "ms_ssim" and train_config.patch_size < smallest
  ):
    raise errors.UsageError(
      f"MS-SSIM needs patches of {smallest} pixels or more,"
      f" patch_size is {train_config.patch_size}"
    )
