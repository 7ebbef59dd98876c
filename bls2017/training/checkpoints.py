"""The checkpoints of a training run: written whole, read with a way back.

A checkpoint `ckpt-STEP` is whole once its `.index` file is, which TensorFlow
writes last. The files in the directory decide what there is to resume from.
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

CONFIG_FILE, DIRECTORY = "config.json", "checkpoints"
"""Inside the directory of a run."""

KEPT = 3
"""How many of the newest checkpoints are kept."""

_PREFIX = "ckpt-"
_MESSAGE_CHARACTERS = 200

_log = logging.getLogger(__name__)


def save(train_dir: str, step: int, state: dict[str, Any]) -> None:
  """Writes a checkpoint, and deletes all but the newest `KEPT`.

  Args:
    train_dir: Directory of the run.
    step: Number of the checkpoint.
    state: Trackable objects by name.

  Raises:
    errors.TrainingError: if a value is not finite; nothing is written then.
    errors.OutputError: if it cannot be written; the others stay as they are.
  """
  checkpoint = tf.train.Checkpoint(**state)
  if not _is_finite(checkpoint):
    raise errors.TrainingError(
      f"the weights are not finite after step {step};"
      " the last checkpoint is unharmed"
    )
  directory = os.path.join(train_dir, DIRECTORY)
  with output_errors(directory):
    checkpoint.write(os.path.join(directory, f"{_PREFIX}{step}"))
    for path in find(train_dir)[:-KEPT]:
      os.remove(f"{path}.index")
  clear(train_dir)


def clear(train_dir: str) -> None:
  """Makes the directory, and deletes parts of checkpoints that a kill left.

  Raises:
    errors.OutputError: if it cannot be written.
  """
  directory = os.path.join(train_dir, DIRECTORY)
  whole = {os.path.basename(path) for path in find(train_dir)}
  with output_errors(directory):
    os.makedirs(directory, exist_ok=True)
    for name in os.listdir(directory):
      path = os.path.join(directory, name)
      if re.fullmatch(rf"{_PREFIX}\d+_temp", name):
        shutil.rmtree(path)
      elif name.startswith(_PREFIX) and name.partition(".")[0] not in whole:
        os.remove(path)


def read_newest(paths: list[str], state: dict[str, Any]) -> str:
  """Reads the last of some checkpoints that is whole and finite.

  Args:
    paths: From `find`, at least one.
    state: As for `save`; it may lack objects.

  Returns:
    The path of the checkpoint.

  Raises:
    errors.ModelError: if none can be used.
  """
  checkpoint = tf.train.Checkpoint(**state)
  problems = []
  for path in reversed(paths):
    try:
      # Values are read at once, by checksum, since every variable exists.
      status = checkpoint.read(path)
      status.assert_existing_objects_matched().expect_partial()
      if _is_finite(checkpoint):
        return path
      problems.append("it has values that are not finite")
    except Exception as e:  # Damaged files raise errors of many kinds.
      problems.append(_in_one_line(str(e)))
    _log.warning("checkpoint %s cannot be used: %s", path, problems[-1])
  raise errors.ModelError(
    f"cannot use the checkpoint {paths[-1]}"
    f"{' or any before it' if paths[1:] else ''}: {problems[0]}"
  )


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
  model = model_lib.BLS2017Model(model_config(train_dir))
  step = tf.Variable(0, dtype=tf.int64)
  state: dict[str, Any] = {"model": model, "step": step}
  if _read_config(train_dir).get("train", {}).get("ema_decay"):
    state = {"average": model.trainable_variables, "step": step}
  paths = [checkpoint] if checkpoint else find(train_dir)
  if not paths:
    raise errors.ModelError(f"there are no checkpoints in {train_dir}")
  read_newest(paths, state)
  return model, int(step.numpy())


def model_config(train_dir: str) -> config.ModelConfig:
  """The model that a run trains.

  Raises:
    errors.ModelError: if its configuration cannot be read.
  """
  values = _read_config(train_dir).get("model", {})
  return config.from_json(config.ModelConfig, values)


def find(train_dir: str) -> list[str]:
  """Paths of a run's whole checkpoints, without endings, the oldest first."""
  directory = os.path.join(train_dir, DIRECTORY)
  names = os.listdir(directory) if os.path.isdir(directory) else []
  found = (re.fullmatch(rf"{_PREFIX}(\d+)\.index", name) for name in names)
  steps = sorted(int(match[1]) for match in found if match)
  return [os.path.join(directory, f"{_PREFIX}{step}") for step in steps]


@contextlib.contextmanager
def output_errors(path: str) -> Iterator[None]:
  """Turns failures to write into `errors.OutputError`."""
  try:
    yield
  except (OSError, tf.errors.OpError) as e:
    reason = e.message if isinstance(e, tf.errors.OpError) else e.strerror
    raise errors.OutputError(
      f"cannot write {path}: {_in_one_line(str(reason or e))}"
    ) from e


def _read_config(train_dir: str) -> dict[str, Any]:
  return config.read_json(os.path.join(train_dir, CONFIG_FILE))


def _is_finite(checkpoint: tf.train.Checkpoint) -> bool:
  objects = tf.train.TrackableView(checkpoint).descendants()
  return all(
    bool(tf.reduce_all(tf.math.is_finite(v)))
    for v in objects
    if isinstance(v, tf.Variable) and v.dtype.is_floating
  )


def _in_one_line(message: str) -> str:
  return " ".join(message.split())[:_MESSAGE_CHARACTERS]
