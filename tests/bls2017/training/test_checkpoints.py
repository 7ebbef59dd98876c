"""Checkpoints of two variables: found, passed over when broken, and pruned."""

from __future__ import annotations

import os
import resource

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.training import checkpoints


def _state(value):
  return {"a": tf.Variable(value), "b": tf.Variable(tf.fill((3000,), value))}


def _restored(train_dir):
  """The step whose values the newest usable checkpoint has."""
  checkpoints.clear(train_dir)
  state = _state(0.0)
  path = checkpoints.read_newest(checkpoints.find(train_dir), state)
  step = int(state["a"].numpy())
  assert np.all(state["b"].numpy() == step) and path.endswith(f"-{step}")
  return step


@pytest.fixture
def saved(tmp_path):
  """A directory with checkpoints of steps 5, 9 and 10."""
  train_dir = str(tmp_path)
  checkpoints.clear(train_dir)
  assert not checkpoints.find(train_dir)
  for step in (5, 9, 10):
    checkpoints.save(train_dir, step, _state(float(step)))
  return train_dir


def _file(train_dir, step, ending):
  directory = os.path.join(train_dir, checkpoints.DIRECTORY)
  (name,) = (
    n for n in os.listdir(directory) if n.startswith(f"ckpt-{step}.{ending}")
  )
  return os.path.join(directory, name)


def test_the_newest_is_restored_by_number_and_the_oldest_deleted(saved):
  assert _restored(saved) == 10
  checkpoints.save(saved, 12, _state(12.0))
  names = [os.path.basename(path) for path in checkpoints.find(saved)]
  assert names == ["ckpt-9", "ckpt-10", "ckpt-12"]
  assert len(os.listdir(os.path.join(saved, checkpoints.DIRECTORY))) == 6


@pytest.mark.parametrize("ending", ["data", "index"])
@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_passed_over(saved, ending, left, caplog):
  path = _file(saved, 10, ending)
  os.truncate(path, int(left * os.path.getsize(path)))
  assert _restored(saved) == 9
  assert "ckpt-10 cannot be used" in caplog.text


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("ending", ["data", "index"])
def test_a_checkpoint_with_a_flipped_bit_is_passed_over(saved, ending, share):
  with open(_file(saved, 10, ending), "r+b") as f:
    data = bytearray(f.read())
    data[int(share * len(data))] ^= 0x10
    f.seek(0)
    f.write(data)
  assert _restored(saved) == 9


def test_values_that_are_not_finite_are_neither_saved_nor_restored(saved):
  with pytest.raises(errors.TrainingError, match="after step 11"):
    checkpoints.save(saved, 11, _state(np.inf))
  path = os.path.join(saved, checkpoints.DIRECTORY, "ckpt-11")
  tf.train.Checkpoint(**_state(np.nan)).write(path)
  assert _restored(saved) == 10


def test_when_all_are_broken_that_is_an_error(saved):
  for step in (5, 9, 10):
    os.truncate(_file(saved, step, "index"), 10)
  with pytest.raises(errors.ModelError, match="ckpt-10 or any before it"):
    _restored(saved)


def test_parts_that_a_kill_left_are_cleared(saved):
  directory = os.path.join(saved, checkpoints.DIRECTORY)
  os.makedirs(os.path.join(directory, "ckpt-11_temp", "part"))
  os.remove(_file(saved, 10, "index"))
  assert _restored(saved) == 9
  assert {name.partition(".")[0] for name in os.listdir(directory)} == {
    "ckpt-5", "ckpt-9"
  }  # fmt: skip


def test_a_full_disk_is_an_output_error_and_costs_no_checkpoint(saved):
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
  try:
    with pytest.raises(errors.OutputError, match="cannot write"):
      checkpoints.save(saved, 11, _state(11.0))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert _restored(saved) == 10
  assert len(checkpoints.find(saved)) == 3


def test_a_directory_that_cannot_be_made_is_an_output_error(tmp_path):
  path = tmp_path / "file"
  path.touch()
  with pytest.raises(errors.OutputError, match="cannot write"):
    checkpoints.clear(str(path / "run"))
