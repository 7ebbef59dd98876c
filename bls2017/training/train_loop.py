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

import functools
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config, directory_lock
from bls2017.images import metrics
from bls2017.training import (
  checkpoints,
  data,
  initial_weights,
  reports,
  table_building,
  training_step,
  transform_coder,
)
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig

_START_PATCHES = 256
"""Photographs from which the transform coder's statistics are taken."""

_AVERAGE_YOUTH = 10
"""Steps over which a run averages what it has, not its first weights."""

_log = logging.getLogger(__name__)


class Trainer:
  """Trains one model in one directory.

  The directory holds `config.json`, `checkpoints` and TensorBoard's `train` and
  `validation`. A directory that holds checkpoints is resumed. Several workers
  share one directory, of which the chief alone writes.

  Attributes:
    model: The model.
    averaged: The model with the average of the weights, which is the one to
      use; `model` itself where no average is kept.
    reader: Reads the training patches, and knows what it skipped.
    stop: Set it to end the run, of all workers, after the next step.
    strategy: The `tf.distribute.Strategy`.
    next_example: int64 variable, number of the next training example.
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
    if model_config.distortion == "ms_ssim":
      config.require(
        train_config.patch_size >= metrics.MS_SSIM_MINIMUM_SIDE,
        f"MS-SSIM needs patches of {metrics.MS_SSIM_MINIMUM_SIDE} pixels or"
        f" more, patch_size is {train_config.patch_size}",
      )
    self.config = train_config
    self.model_config = model_config
    self.train_dir = train_dir
    self.stop = threading.Event()
    self.strategy = make_strategy(train_config.strategy)
    self._chief = self.strategy.extended.should_checkpoint
    self._take_directory()
    paths, held_out = data.split_files(
      train_config.train_glob, train_config.validation_fraction
    )
    self.reader = data.PatchReader(paths, train_config)
    with self.strategy.scope():
      self.model = model_lib.BLS2017Model(model_config, train_config.seed)
      self._training_step = training_step.TrainingStep(self.model, train_config)
      self._step = tf.Variable(0, dtype=tf.int64, name="step")
      self.next_example = tf.Variable(0, dtype=tf.int64, name="next_example")
      self._state = {
        "model": self.model,
        "optimizers": self._training_step.optimizers,
        "step": self._step,
        "next_example": self.next_example,
      }
      self.averaged = self.model
      if train_config.ema_decay:
        self.averaged = model_lib.BLS2017Model(model_config)
        self._state["average"] = self.averaged.trainable_variables
    self._restore_or_initialise()
    if self._chief:
      values = {
        "model": config.to_json(model_config),
        "train": config.to_json(train_config),
      }
      path = os.path.join(train_dir, checkpoints.CONFIG_FILE)
      config.write_json(path, values)
      self._held_out = data.read_patches(
        held_out, train_config.patch_size, train_config.validation_images
      )
      if not len(self._held_out):
        _log.warning("no photograph is left for validation")
      with checkpoints.output_errors(train_dir):
        self._writers = {
          name: tf.summary.create_file_writer(os.path.join(train_dir, name))
          for name in ("train", "validation")
        }
    # Nothing to convert here, and looking for it would take seconds.
    self._step_function = tf.function(self._distributed_step, autograph=False)
    self._rate_distortion = tf.function(
      self.averaged.rate_distortion, autograph=False
    )

  @property
  def steps_done(self) -> int:
    """Steps done so far, those before a resumption included."""
    return int(self._step.numpy())

  def run(self, on_step: Callable[[reports.Measurement], None]) -> None:
    """Trains up to the last step or until `stop` is set, and saves then too.

    Args:
      on_step: Called after every step with what was measured of its patches.

    Raises:
      errors.TrainingError: if the loss is not finite (the last checkpoint stays
        as it is), too many images cannot be used, or another worker failed.
      errors.OutputError: if a checkpoint or a log cannot be written.
    """
    batches = self._batches()
    stopped = False
    while self.steps_done < self.config.steps and not stopped:
      measured, stopped = self._run_step(batches)
      on_step(measured)
      if measured.step % self.config.summary_steps == 0:
        rate = self._training_step.optimizers["transforms"].learning_rate
        rate = float(tf.identity(rate))
        self._write_logs("train", measured, learning_rate=rate)
      if measured.step % self.config.validation_steps == 0:
        self._validate()
      is_last = stopped or measured.step == self.config.steps
      if self._chief and (
        is_last or measured.step % self.config.save_steps == 0
      ):
        checkpoints.save(self.train_dir, measured.step, self._state)

  def _take_directory(self) -> None:
    """Refuses a directory that another process or another model uses.

    A start that fails leaves no configuration behind, and one without
    checkpoints claims nothing.
    """
    if self._chief:
      with checkpoints.output_errors(self.train_dir):
        os.makedirs(self.train_dir, exist_ok=True)
        directory_lock.hold(self.train_dir)
      checkpoints.clear(self.train_dir)
    if checkpoints.find(self.train_dir):
      model_config = checkpoints.model_config(self.train_dir)
      config.require(
        model_config == self.model_config,
        f"{self.train_dir} belongs to a model of another configuration",
      )

  def _restore_or_initialise(self) -> None:
    paths = checkpoints.find(self.train_dir)
    if paths:
      path = checkpoints.read_newest(paths, self._state)
      _log.info("resuming from %s", path)
      return
    if self.config.initial_weights:
      initial_weights.apply(
        self.model, self.config.initial_weights, self.config.wake_reach
      )
    elif self.config.start == "transform_coder":
      patches = data.read_patches(
        self.reader.paths, self.config.patch_size, _START_PATCHES
      )
      transform_coder.initialise(self.model, patches, self.config.seed)
    for average, variable in self._averages():
      average.assign(variable)

  def _averages(self) -> list[tuple[tf.Variable, tf.Variable]]:
    """Each average with its variable; none where none is kept."""
    return list(
      zip(self._state.get("average", ()), self.model.trainable_variables)
    )

  def _batches(self) -> Iterator[Any]:
    batch_size = self.model_config.num_levels * self.config.patches_per_level
    start = int(self.next_example.numpy())
    make = functools.partial(
      data.training_dataset, self.reader, batch_size, start
    )
    return iter(self.strategy.distribute_datasets_from_function(make))

  def _run_step(
    self, batches: Iterator[Any]
  ) -> tuple[reports.Measurement, bool]:
    """Makes a step; returns what it did, and whether any worker shall stop."""
    step = self.steps_done + 1
    try:
      x = next(batches)
    except tf.errors.OpError as e:
      self.reader.check_skipped()
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
    measured = reports.Measurement(
      step,
      loss,
      result.bpp.numpy(),
      reports.psnr_of_levels(result.mse),
      result.distortion.numpy(),
    )
    return measured, bool(stop > 0)

  def _distributed_step(
    self, x: Any, stop: tf.Tensor
  ) -> tuple[training_step.StepResult, tf.Tensor]:
    """One step of all replicas; returns what `_replica_step` does."""
    results = self.strategy.run(self._replica_step, args=(x, stop))
    patches = self.model_config.num_levels * self.config.patches_per_level
    self._step.assign_add(1)
    self.next_example.assign_add(patches * self.strategy.num_replicas_in_sync)
    step = tf.cast(self._step, tf.float32)
    decay = tf.minimum(self.config.ema_decay, step / (step + _AVERAGE_YOUTH))
    for average, variable in self._averages():
      average.assign_add((1 - decay) * (variable - average))
    return tf.nest.map_structure(
      lambda r: self.strategy.experimental_local_results(r)[0], results
    )

  def _replica_step(
    self, x: tf.Tensor, stop: tf.Tensor
  ) -> tuple[training_step.StepResult, tf.Tensor]:
    """One step of a replica; returns its result and the workers' mean stop.

    x is float32 [n * levels, P, P, 3]; workers do the same number of steps only
    if they agree on the end.
    """
    replica = tf.distribute.get_replica_context()
    replicas = replica.num_replicas_in_sync
    number = tf.cast(replica.replica_id_in_sync_group, tf.int64)
    seed = [self.config.seed, self._step * replicas + number]
    result = self._training_step(
      tf.reshape(x, (-1, self.model_config.num_levels, *x.shape[1:])),
      tf.stack([tf.cast(s, tf.int64) for s in seed]),
    )
    # The identity puts the argument onto the replica's device.
    stop = tf.identity(stop)
    if replicas > 1:
      stop = replica.all_reduce(tf.distribute.ReduceOp.MEAN, stop)
    return result, stop

  def _validate(self) -> None:
    """Codes the held-out patches as files would be, and logs the means."""
    if not self._chief or not len(self._held_out):
      return
    started = time.monotonic()
    results = []
    for patch in self._held_out:
      if self.stop.is_set():
        return
      x = tf.cast(patch, tf.float32)[None, None]
      x = tf.repeat(x, self.model_config.num_levels, axis=1)
      results.append(self._rate_distortion(x))
    loss, bpp, distortion = (
      np.mean([getattr(rd, name) for rd in results], axis=0)
      for name in ("loss", "bpp", "distortion")
    )
    measured = reports.Measurement(
      self.steps_done,
      float(self._training_step.mean_loss(loss)),
      bpp,
      np.mean([reports.psnr_of_levels(rd.mse) for rd in results], axis=0),
      distortion,
      table_building.awake(self.averaged.gains()[0].numpy()).sum(1),
    )
    _log.info(
      "step %d, validation in %.0f s: %s",
      measured.step,
      time.monotonic() - started,
      reports.to_text(measured, self.model_config),
    )
    images = (x[0].numpy(), results[-1].x_hat[0].numpy())
    self._write_logs("validation", measured, images=images)

  def _write_logs(
    self, name: str, measured: reports.Measurement, **others: Any
  ) -> None:
    if self._chief:
      with checkpoints.output_errors(self.train_dir):
        reports.write(self._writers[name], measured, **others)


def make_strategy(name: str) -> tf.distribute.Strategy:
  """The distribution strategy that a `TrainConfig` names.

  Must be called before any other TensorFlow operation for "multi_worker",
  whose cluster comes from the environment variable TF_CONFIG.
  """
  if name == "mirrored":
    # TensorFlow's own default takes one processor where there is no GPU.
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [d.name for d in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(devices)
  if name == "multi_worker":
    return tf.distribute.MultiWorkerMirroredStrategy()
  return tf.distribute.get_strategy()
