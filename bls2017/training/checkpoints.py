"""The checkpoints of a training run: written whole, read with a way back.

A checkpoint `ckpt-STEP` is whole once its `.index` file is, which TensorFlow
writes last. The files in the directory decide what there is to resume from; the
`checkpoint` state file beside them only tells `tf.train.CheckpointManager` what
to delete, and is made anew from them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.training import model as model_lib
from bls2017.training.weight_average import WeightAverage

CONFIG_FILE = "config.json"
"""The run's configuration, inside its directory."""

DIRECTORY = "checkpoints"
"""Where a run keeps its checkpoints, inside its own directory."""

_NAME = "ckpt"
_MESSAGE_CHARACTERS = 200

_log = logging.getLogger(__name__)


class _Reader:
  """Reads the newest usable one of several checkpoints."""

  def __init__(self, **state: Any):
    self.checkpoint = tf.train.Checkpoint(**state)

  def read_newest(self, paths: list[str]) -> str:
    """Restores the last path that is whole and finite, and returns it.

    Raises:
      errors.ModelError: if none is.
    """
    problems = []
    for path in reversed(paths):
      problem = self._read(path)
      if problem is None:
        return path
      _log.warning("checkpoint %s cannot be used: %s", path, problem)
      problems.append(problem)
    raise errors.ModelError(
      f"cannot use the checkpoint {paths[-1]}"
      f"{' or any before it' if paths[1:] else ''}: {problems[0]}"
    )

  def finite(self) -> bool:
    """Whether all values are finite."""
    objects = tf.train.TrackableView(self.checkpoint).descendants()
    return all(
      bool(tf.reduce_all(tf.math.is_finite(v)))
      for v in objects
      if isinstance(v, tf.Variable) and v.dtype.is_floating
    )

  def _read(self, path: str) -> str | None:
    """Restores a checkpoint; returns what is wrong with it, if anything."""
    try:
      # Values are read at once, by checksum, since every variable exists.
      status = self.checkpoint.read(path)
      status.assert_existing_objects_matched().expect_partial()
    except Exception as e:  # Damaged files raise errors of many kinds.
      return " ".join(str(e).split())[:_MESSAGE_CHARACTERS]
    return None if self.finite() else "it has values that are not finite"


class Checkpoints:
  """Saves and restores the state of one run.

  Attributes:
    directory: Where the checkpoints are.
  """

  def __init__(
    self, train_dir: str, state: dict[str, Any], keep: int, writer: bool = True
  ):
    """Finds the checkpoints of a run, and clears what a kill left behind.

    Args:
      train_dir: Directory of the run.
      state: Trackable objects by name.
      keep: How many checkpoints to keep.
      writer: Whether this process saves; the others only read.

    Raises:
      errors.OutputError: if the directory cannot be written.
    """
    self.directory = os.path.join(train_dir, DIRECTORY)
    self._writer = writer
    self._reader = _Reader(**state)
    self._saved_step: int | None = None
    if writer:
      with output_errors(self.directory):
        os.makedirs(self.directory, exist_ok=True)
        _remove_leftovers(self.directory)
        _write_state(self.directory)
    self._manager = tf.train.CheckpointManager(
      self._reader.checkpoint, self.directory, keep, checkpoint_name=_NAME
    )

  def restore(self) -> str | None:
    """Restores the newest checkpoint that is whole and finite.

    Returns:
      Its path, or None where there is no checkpoint at all.

    Raises:
      errors.ModelError: if there are checkpoints, but none can be used.
    """
    paths = find(self.directory)
    if not paths:
      return None
    path = self._reader.read_newest(paths)
    self._saved_step = _number(path)
    return path

  def save(self, step: int) -> None:
    """Writes a checkpoint, unless the last one is of this step.

    Raises:
      errors.TrainingError: if a value is not finite; nothing is written then.
      errors.OutputError: if it cannot be written; the others stay as they are.
    """
    if not self._writer or step == self._saved_step:
      return
    if not self._reader.finite():
      raise errors.TrainingError(
        f"the weights are not finite after step {step};"
        " the last checkpoint is unharmed"
      )
    with output_errors(self.directory):
      self._manager.save(checkpoint_number=step)
    self._saved_step = step


def load_model(
  train_dir: str, checkpoint: str | None = None
) -> tuple[model_lib.BLS2017Model, int]:
  """The model of a run, also while the run goes on.

  Args:
    train_dir: Directory of the run.
    checkpoint: Path prefix of a checkpoint; by default the newest whole one.

  Returns:
    The model, with the average of its weights where the run keeps one, and the
    step it was saved at.

  Raises:
    errors.ModelError: if there is no checkpoint that can be used.
  """
  values = config.read_json(os.path.join(train_dir, CONFIG_FILE))
  model = model_lib.BLS2017Model(model_config(train_dir))
  average = WeightAverage(model, values.get("train", {}).get("ema_decay", 0.0))
  step = tf.Variable(0, dtype=tf.int64)
  directory = os.path.join(train_dir, DIRECTORY)
  paths = [checkpoint] if checkpoint else find(directory)
  if not paths:
    raise errors.ModelError(f"there are no checkpoints in {directory}")
  reader = _Reader(model=model, average=average.values, step=step)
  reader.read_newest(paths)
  average.apply()
  return model, int(step.numpy())


def model_config(train_dir: str) -> config.ModelConfig:
  """The model that a run trains.

  Raises:
    errors.ModelError: if its configuration cannot be read.
  """
  values = config.read_json(os.path.join(train_dir, CONFIG_FILE))
  return config.from_json(config.ModelConfig, values.get("model", {}))


def exist(train_dir: str) -> bool:
  """Whether a run has saved anything."""
  return bool(find(os.path.join(train_dir, DIRECTORY)))


def find(directory: str) -> list[str]:
  """Paths of the checkpoints in a directory, the oldest first."""
  names = os.listdir(directory) if os.path.isdir(directory) else []
  prefixes = [
    os.path.join(directory, name[: -len(".index")])
    for name in names
    if re.fullmatch(rf"{_NAME}-\d+\.index", name)
  ]
  return sorted(prefixes, key=_number)


def _number(path: str) -> int:
  return int(path.rpartition("-")[2])


def _remove_leftovers(directory: str) -> None:
  """Deletes what a process that was killed while saving had written."""
  whole = {os.path.basename(path) for path in find(directory)}
  for name in os.listdir(directory):
    path = os.path.join(directory, name)
    if re.fullmatch(rf"{_NAME}-\d+_temp", name):
      shutil.rmtree(path)
    elif re.match(rf"{_NAME}-\d+\.data-", name):
      if name.partition(".")[0] not in whole:
        os.remove(path)


def _write_state(directory: str) -> None:
  """Tells `tf.train.CheckpointManager` which checkpoints there are."""
  paths = find(directory)
  if paths:
    tf.compat.v1.train.update_checkpoint_state(
      directory,
      paths[-1],
      paths,
      all_model_checkpoint_timestamps=[
        os.path.getmtime(f"{path}.index") for path in paths
      ],
    )


@contextlib.contextmanager
def output_errors(path: str) -> Iterator[None]:
  """Turns failures to write into `errors.OutputError`."""
  try:
    yield
  except (OSError, tf.errors.OpError) as e:
    reason = e.message if isinstance(e, tf.errors.OpError) else e.strerror
    reason = " ".join(str(reason or e).split())[:_MESSAGE_CHARACTERS]
    raise errors.OutputError(f"cannot write {path}: {reason}") from e
