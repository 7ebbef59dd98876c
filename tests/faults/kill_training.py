"""Kills a training run at random moments and resumes it, over and over.

    python -m tests.faults.kill_training --kills=200

Each life of the run is a process that resumes, trains a tiny model, and gets
SIGKILL: at any moment from its start on, or while it writes a checkpoint. Then

- the next life must resume from a step that lies no more than one save interval
  behind the last step that was done, and never before an earlier start;
- each step that is done again must have the loss it had the first time.

Lives are forked from a process that has imported TensorFlow and not used it.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import pathlib
import random
import signal
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from bls2017.common import config  # noqa: E402
from bls2017.training import checkpoints, train_loop  # noqa: E402
from bls2017.training.train_config import TrainConfig  # noqa: E402
from tests import images  # noqa: E402

SAVE_STEPS = 4
STEPS = 100_000
_PHOTOGRAPHS = 6
_LONGEST_WAIT = 1800.0


class Record:
  """Notes of the lives of a run, in memory that outlives them.

  Attributes:
    start: int64 [1], the step the present life began at, -1 before.
    step: int64 [1], the last step that the present life did, -1 before.
    losses: float32 [STEPS + 1], by step; 0 where it was not done.
  """

  def __init__(self):
    count = STEPS + 1
    self._memory = mmap.mmap(-1, 16 + 4 * count)
    numbers = np.frombuffer(self._memory, np.int64, 2)
    self.start, self.step = numbers[:1], numbers[1:]
    self.losses = np.frombuffer(self._memory, np.float32, count, 16)

  def on_step(self, measured):
    first = self.losses[measured.step]
    if first and not np.isclose(first, measured.loss, rtol=1e-3):
      raise AssertionError(
        f"step {measured.step} had loss {first}, now {measured.loss}"
      )
    self.losses[measured.step] = measured.loss
    self.step[0] = measured.step


def _live(photographs, train_dir, record):
  """A life of the run, in this process."""
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  # Tracing a step would take most of a short life.
  tf.config.run_functions_eagerly(True)
  trainer = train_loop.Trainer(
    config.ModelConfig(num_filters=4, num_latents=6, lmbdas=(0.02,)),
    TrainConfig(
      train_glob=os.path.join(photographs, "*.png"),
      patch_size=16,
      steps=STEPS,
      warmup_steps=10,
      save_steps=SAVE_STEPS,
      validation_steps=10 * SAVE_STEPS,
      summary_steps=1,
      ema_decay=0.9,
    ),
    train_dir,
  )
  record.start[0] = trainer.steps_done
  trainer.run(record.on_step)


def _fork(photographs, train_dir, record):
  record.start[0] = record.step[0] = -1
  process = os.fork()
  if process:
    return process
  try:
    _live(photographs, train_dir, record)
  except BaseException as e:  # Whatever it is, the parent must hear of it.
    print(f"{type(e).__name__}: {e}", file=sys.stderr, flush=True)
  finally:
    os._exit(1)


def _await(process, condition):
  """Waits until something is so; a life that ends by itself is a failure."""
  deadline = time.monotonic() + _LONGEST_WAIT
  while not condition():
    ended, status = os.waitpid(process, os.WNOHANG)
    assert not ended, f"the run ended with {status}"
    assert time.monotonic() < deadline, "the run hangs"
    time.sleep(0.001)


def _newest(train_dir):
  paths = checkpoints.find(train_dir)
  return int(paths[-1].rpartition("-")[2]) if paths else 0


def _kill_at(moment, process, record, train_dir, rng, life):
  """Waits for a moment and kills the process; returns seconds to a step."""
  born = time.monotonic()
  begun = pathlib.Path(train_dir, checkpoints.DIRECTORY)
  try:
    if moment == 0:  # Any, from the very beginning on.
      end = born + rng.uniform(0, 2 * life)
      _await(process, lambda: time.monotonic() > end)
    elif moment == 1:  # While a checkpoint is written.
      _await(process, lambda: any(begun.glob("ckpt-*_temp*")))
      time.sleep(rng.uniform(0, 0.02))
    else:  # Between two steps.
      _await(process, lambda: record.step[0] >= 0)
      life = time.monotonic() - born
      goal = record.step[0] + rng.randrange(3 * SAVE_STEPS)
      _await(process, lambda: record.step[0] >= goal)
  finally:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
      os.kill(process, signal.SIGKILL)
      os.waitpid(process, 0)
  return life


def run(kills, directory, seed):
  """Kills a run in a directory so many times; prints what was tried."""
  rng = random.Random(seed)
  photographs = os.path.join(directory, "photographs")
  train_dir = os.path.join(directory, "run")
  os.mkdir(photographs)
  for i in range(_PHOTOGRAPHS):
    x = images.photograph(32, 32, i)
    Image.fromarray(x).save(os.path.join(photographs, f"{i}.png"))
  record = Record()
  life = 1.0  # Seconds to the first step, as last seen.
  last_start = must = 0
  for kill in range(kills + 1):
    process = _fork(photographs, train_dir, record)
    moment = rng.randrange(3) if kill < kills else 2
    life = _kill_at(moment, process, record, train_dir, rng, life)
    start, step = int(record.start[0]), int(record.step[0])
    if start >= 0:
      assert start >= max(must, last_start), f"resumed from {start}, not {must}"
      last_start = start
    must = max(must, step - SAVE_STEPS)
    assert _newest(train_dir) >= must, f"nothing saved since step {must}"
    if kill % 10 == 9:
      print(f"{kill + 1} kills, {_newest(train_dir)} steps saved", flush=True)
  print(
    f"{kills} kills, resumed from step {last_start} at last; no state lost,"
    " every step done again had its loss"
  )


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("--kills", type=int, default=200)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as temporary:
    run(options.kills, temporary, options.seed)
