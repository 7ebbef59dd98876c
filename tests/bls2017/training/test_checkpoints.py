from __future__ import annotations

import os
import resource

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.training import checkpoints


class _Run:
  """Checkpoints of two variables, in a directory."""

  def __init__(self, train_dir: os.PathLike):
    self.directory = str(train_dir)
    self.small = tf.Variable(0.0)
    self.large = tf.Variable(tf.zeros((3000,)))
    self._state = {"small": self.small, "large": self.large}
    checkpoints.clear(self.directory)

  def save(self, step: int, value: float | None = None) -> None:
    self.small.assign(step if value is None else value)
    self.large.assign(tf.fill((3000,), float(step)))
    checkpoints.save(self.directory, step, self._state)

  def restored(self) -> int | None:
    path = checkpoints.restore(self.directory, self._state)
    if path is None:
      return None
    assert np.all(self.large.numpy() == self.small.numpy())
    assert path.endswith(f"-{int(self.small.numpy())}")
    return int(self.small.numpy())

  def steps(self) -> list[int]:
    found = checkpoints.find(self.directory)
    return [int(path.rpartition("-")[2]) for path in found]


@pytest.fixture
def saved(tmp_path: os.PathLike) -> os.PathLike:
  run = _Run(tmp_path)
  for step in (5, 9, 10):
    run.save(step)
  return tmp_path


def _file(train_dir: os.PathLike, step: int, ending: str) -> str:
  directory = os.path.join(train_dir, checkpoints.DIRECTORY)
  (name,) = (
    n for n in os.listdir(directory) if n.startswith(f"ckpt-{step}.{ending}")
  )
  return os.path.join(directory, name)


def test_there_may_be_nothing_to_restore(tmp_path: os.PathLike) -> None:
  assert _Run(tmp_path).restored() is None


def test_the_newest_is_restored_by_number_and_the_oldest_deleted(
  saved: os.PathLike,
) -> None:
  run = _Run(saved)
  assert run.restored() == 10
  run.save(12)
  assert run.steps() == [9, 10, 12]
  assert len(os.listdir(os.path.join(saved, checkpoints.DIRECTORY))) == 6


@pytest.mark.parametrize("ending", ["data", "index"])
@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_passed_over(
  saved: os.PathLike, ending: str, left: float, caplog: pytest.LogCaptureFixture
) -> None:
  path = _file(saved, 10, ending)
  os.truncate(path, int(left * os.path.getsize(path)))
  assert _Run(saved).restored() == 9
  assert "ckpt-10 cannot be used" in caplog.text


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("ending", ["data", "index"])
def test_a_checkpoint_with_a_flipped_bit_is_passed_over(
  saved: os.PathLike, ending: str, share: float
) -> None:
  with open(_file(saved, 10, ending), "r+b") as f:
    data = bytearray(f.read())
    data[int(share * len(data))] ^= 0x10
    f.seek(0)
    f.write(data)
  assert _Run(saved).restored() == 9


def test_a_checkpoint_that_is_not_finite_is_passed_over(
  saved: os.PathLike,
) -> None:
  state = {"small": tf.Variable(np.nan), "large": tf.Variable(tf.ones((3000,)))}
  tf.train.Checkpoint(**state).write(
    os.path.join(saved, checkpoints.DIRECTORY, "ckpt-11")
  )
  assert _Run(saved).restored() == 10


def test_when_all_are_broken_that_is_an_error(saved: os.PathLike) -> None:
  for step in (5, 9, 10):
    os.truncate(_file(saved, step, "index"), 10)
  with pytest.raises(errors.ModelError, match="ckpt-10 or any before it"):
    _Run(saved).restored()


def test_parts_that_a_kill_left_are_cleared(saved: os.PathLike) -> None:
  directory = os.path.join(saved, checkpoints.DIRECTORY)
  os.makedirs(os.path.join(directory, "ckpt-11_temp", "part"))
  os.remove(_file(saved, 10, "index"))
  assert _Run(saved).restored() == 9
  assert sorted(os.listdir(directory)) == [
    "ckpt-5.data-00000-of-00001",
    "ckpt-5.index",
    "ckpt-9.data-00000-of-00001",
    "ckpt-9.index",
  ]


def test_values_that_are_not_finite_are_never_saved(saved: os.PathLike) -> None:
  run = _Run(saved)
  with pytest.raises(errors.TrainingError, match="after step 11"):
    run.save(11, np.inf)
  assert run.restored() == 10


def test_a_full_disk_is_an_output_error_and_costs_no_checkpoint(
  saved: os.PathLike,
) -> None:
  run = _Run(saved)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
  try:
    with pytest.raises(errors.OutputError, match="cannot write"):
      run.save(11)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert _Run(saved).restored() == 10
  assert run.steps() == [5, 9, 10]


def test_a_directory_that_cannot_be_made_is_an_output_error(
  tmp_path: os.PathLike,
) -> None:
  path = os.path.join(tmp_path, "file")
  open(path, "w").close()
  with pytest.raises(errors.OutputError, match="cannot write"):
    checkpoints.clear(os.path.join(path, "run"))
