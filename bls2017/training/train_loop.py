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
  reports,
  training_step,
  transform_coder,
  validation,
)
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from bls2017.training.weight_average import WeightAverage

START_PATCHES = 256
"""Photographs from which the transform coder's statistics are taken."""

_log = logging.getLogger(__name__)


class Observer(Protocol):
  """Follows a run, for example with a progress bar."""

  def on_start(self, step: int, steps: int) -> None:
    """Called once, with the step the run goes on from and its last step."""

  def on_step(self, measured: reports.Measurement) -> None:
    """Called after every step, with what was measured of its patches."""


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
    self._take_directory()
    paths, held_out = data.split_files(
      train_config.train_glob, train_config.validation_fraction
    )
    self.reader = data.PatchReader(paths, train_config)
    with self.strategy.scope():
      self.model = model_lib.BLS2017Model(model_config, train_config.seed)
      self._training_step = training_step.TrainingStep(self.model, train_config)
      self._average = WeightAverage(self.model, train_config.ema_decay)
      self.step = tf.Variable(0, dtype=tf.int64, name="step")
      self.next_example = tf.Variable(0, dtype=tf.int64, name="next_example")
    self._validator = None
    if self._chief:
      self._validator = validation.Validator(self.model, held_out, train_config)
    self._checkpoints = checkpoints.Checkpoints(
      train_dir, self._state(), train_config.keep_checkpoints, self._chief
    )
    self._restore_or_initialise()
    self._write_config()
    # Nothing to convert here, and looking for it would take seconds.
    self._step_function = tf.function(self._distributed_step, autograph=False)

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
    board = reports.TensorBoard(self.train_dir)
    observer.on_start(self.steps_done, self.config.steps)
    while self.steps_done < self.config.steps and not self._should_stop():
      measured = self._run_step(batches)
      observer.on_step(measured)
      if self._chief and measured.step % self.config.summary_steps == 0:
        rate = self._training_step.optimizers["transforms"].learning_rate
        board.write("train", measured, float(tf.identity(rate)))
      if measured.step % self.config.validation_steps == 0:
        self._validate(board)
      if measured.step % self.config.save_steps == 0:
        self.save()
    self.save()

  def save(self) -> None:
    """Writes a checkpoint, unless the newest one is of this step."""
    self._checkpoints.save(self.steps_done)

  def averaged_arrays(self) -> dict[str, np.ndarray]:
    """The weights to use: their average, or the last ones without averaging."""
    with self._average.applied():
      return self.model.get_arrays()

  def _take_directory(self) -> None:
    """Refuses a directory that another process or another model uses.

    A start that fails leaves no configuration behind, and one without
    checkpoints claims nothing.
    """
    if self._chief:
      with checkpoints.output_errors(self.train_dir):
        os.makedirs(self.train_dir, exist_ok=True)
        directory_lock.hold(self.train_dir)
    if checkpoints.exist(self.train_dir):
      model_config = checkpoints.model_config(self.train_dir)
      if model_config != self.model_config:
        raise errors.UsageError(
          f"{self.train_dir} belongs to a model of another configuration"
        )

  def _write_config(self) -> None:
    if self._chief:
      values = {
        "model": config.to_json(self.model_config),
        "train": config.to_json(self.config),
      }
      path = os.path.join(self.train_dir, checkpoints.CONFIG_FILE)
      config.write_json(path, values)

  def _state(self) -> dict[str, Any]:
    """What a checkpoint holds."""
    return {
      "model": self.model,
      "optimizers": self._training_step.optimizers,
      "step": self.step,
      "next_example": self.next_example,
      "average": self._average.values,
    }

  def _restore_or_initialise(self) -> None:
    restored = self._checkpoints.restore()
    if restored:
      _log.info("resuming from %s", restored)
      return
    if self.config.initial_weights:
      initial_weights.apply(
        self.model, self.config.initial_weights, self.config.wake_reach
      )
    elif self.config.start == "transform_coder":
      patches = data.read_patches(
        self.reader.paths, self.config.patch_size, START_PATCHES
      )
      transform_coder.initialise(self.model, patches, self.config.seed)
    self._average.restart()

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

  def _run_step(self, batches: Iterator[Any]) -> reports.Measurement:
    step = self.steps_done + 1
    try:
      x = next(batches)
    except tf.errors.OpError as e:
      self.reader.skipped.check()
      raise errors.TrainingError(
        f"cannot read the images of step {step}: {e.message}"
      ) from e
    try:
      result, stop = self._step_function(
        x, tf.constant(float(self.stop.is_set()))
      )
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as e:
      raise errors.TrainingError(
        f"another worker was lost at step {step}; start all of them again to"
        " go on from the last checkpoint"
      ) from e
    loss = float(result.loss)
    if not np.isfinite(loss + float(result.gradient_norm)):
      raise errors.TrainingError(
        f"the loss or its gradient is not finite at step {step};"
        " the last checkpoint is unharmed"
      )
    self._stop_agreed = bool(stop > 0)
    return reports.Measurement(
      step,
      loss,
      result.bpp.numpy(),
      reports.psnr_of_levels(result.mse),
      result.distortion.numpy(),
    )

  def _distributed_step(
    self, x: Any, stop: tf.Tensor
  ) -> tuple[training_step.StepResult, tf.Tensor]:
    """One step of all replicas; returns what `_replica_step` does."""
    results = self.strategy.run(self._replica_step, args=(x, stop))
    patches = self.model_config.num_levels * self.config.patches_per_level
    self.step.assign_add(1)
    self.next_example.assign_add(patches * self.strategy.num_replicas_in_sync)
    self.model.raise_gains(self.config.gain_floor)
    self._average.update(self.step)
    return tf.nest.map_structure(
      lambda r: self.strategy.experimental_local_results(r)[0], results
    )

  def _replica_step(
    self, x: tf.Tensor, stop: tf.Tensor
  ) -> tuple[training_step.StepResult, tf.Tensor]:
    """One step of a replica.

    Args:
      x: float32 [n * levels, P, P, 3].
      stop: float32 scalar, not 0 where this worker was told to stop.

    Returns:
      What the step did, and the mean of `stop`: not 0 where any worker was told
      to stop.
    """
    replica = tf.distribute.get_replica_context()
    replicas = replica.num_replicas_in_sync
    number = tf.cast(replica.replica_id_in_sync_group, tf.int64)
    seed = [self.config.seed, self.step * replicas + number]
    result = self._training_step(
      tf.reshape(x, (-1, self.model_config.num_levels, *x.shape[1:])),
      tf.stack([tf.cast(s, tf.int64) for s in seed]),
    )
    # The identity puts the argument onto the replica's device.
    stop = tf.identity(stop)
    if replicas > 1:
      stop = replica.all_reduce(tf.distribute.ReduceOp.MEAN, stop)
    return result, stop

  def _validate(self, board: reports.TensorBoard) -> None:
    """Codes the held-out patches at every level and logs the result."""
    if self._validator is None:
      return
    started = time.monotonic()
    with self._average.applied():
      result = self._validator(self.stop.is_set)
    if result is None:
      return
    measured = reports.Measurement(
      self.steps_done,
      float(self._training_step.loss(result.mean)),
      result.mean.bpp.numpy(),
      result.psnr,
      result.mean.distortion.numpy(),
      result.awake,
    )
    _log.info(
      "step %d, validation in %.0f s: %s",
      measured.step,
      time.monotonic() - started,
      reports.to_text(measured, self.model_config),
    )
    board.write(
      "validation", measured, images=(result.x[0], result.mean.x_hat[0])
    )


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
