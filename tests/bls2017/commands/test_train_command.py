from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import flagsaver
from tensorboard.backend.event_processing import event_accumulator

from bls2017.commands import main, train  # noqa: F401 (defines its flags)
from bls2017.training import checkpoints

STEPS = 60
PRETRAINED = pathlib.Path(main.__file__).parents[1] / "pretrained"


def _command(photographs, train_dir, *flags):
  return [
    "train",
    f"--train_glob={photographs}/*",
    f"--train_dir={train_dir}",
    "--num_filters=4",
    "--num_latents=6",
    "--lmbdas=0.01,0.1",
    "--prior=activities",
    "--validation_fraction=0.3",
    "--validation_images=2",
    "--patch_size=32",
    f"--steps={STEPS}",
    "--warmup_steps=10",
    "--start=transform_coder",
    "--save_steps=3",
    "--validation_steps=30",
    "--summary_steps=1",
    *flags,
  ]


@pytest.fixture(autouse=True)
def fresh_flags():
  """Flags that a test sets are not those of the next one."""
  with flagsaver.flagsaver():
    yield


@contextlib.contextmanager
def _started(*arguments, stderr=subprocess.PIPE):
  # With one thread sums have one order, so that runs are equal to the bit.
  threads = {"TF_NUM_INTRAOP_THREADS": "1"}
  with subprocess.Popen(
    [sys.executable, "-m", "bls2017.commands.main", *arguments],
    stderr=stderr,
    text=True,
    env={**os.environ, **threads},
  ) as process:
    try:
      yield process
    finally:
      process.kill()


def _events(train_dir, name):
  """TensorBoard's logs, one of each process, by time."""
  paths = sorted(glob.glob(os.path.join(train_dir, name, "events*")))
  logs = [
    event_accumulator.EventAccumulator(path, {"tensors": 0}).Reload()
    for path in paths
  ]
  return [log for log in logs if "loss" in log.Tags()["tensors"]]


def _losses(train_dir):
  """Losses by step, of each process of a run."""
  return [
    {
      event.step: float(tf.make_ndarray(event.tensor_proto))
      for event in log.Tensors("loss")
    }
    for log in _events(train_dir, "train")
  ]


def _newest_step(train_dir):
  paths = checkpoints.find(train_dir)
  return int(paths[-1].rpartition("-")[2]) if paths else 0


def _wait_for_step(process, train_dir, step):
  deadline = time.monotonic() + 300
  while _newest_step(train_dir) < step:
    assert process.poll() is None, process.stderr and process.stderr.read()
    assert time.monotonic() < deadline
    time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(photographs, tmp_path_factory):
  """The directory of an uninterrupted run, and its standard error."""
  train_dir = str(tmp_path_factory.mktemp("whole"))
  flagfile = os.path.join(train_dir, "run.flags")
  arguments = _command(photographs, train_dir)
  with open(flagfile, "w", encoding="utf-8") as f:
    f.write("# A comment\n" + "\n".join(arguments[1:]) + "\n")
  with _started("train", f"--flagfile={flagfile}") as process:
    _, output = process.communicate()
    assert process.returncode == 0, output
  return train_dir, output


def test_a_run_that_is_killed_and_stopped_has_the_losses_of_one_that_is_not(
  whole, photographs, tmp_path
):
  train_dir = str(tmp_path)
  arguments = _command(photographs, train_dir)
  steps = 0
  for number, code in (
    (signal.SIGKILL, -signal.SIGKILL),
    (signal.SIGTERM, 143),
    (signal.SIGINT, 130),
  ):
    with _started(*arguments) as process:
      _wait_for_step(process, train_dir, steps + 6)
      started = time.monotonic()
      process.send_signal(number)
      _, output = process.communicate()
      assert process.returncode == code, output
      assert time.monotonic() - started < 30
    # A kill may leave a newest checkpoint in pieces.
    assert not steps or "resuming from" in output
    steps = _newest_step(train_dir)
    assert steps < STEPS
    assert code < 0 or f"{steps} steps done" in output
  (expected,) = _losses(whole[0])
  assert list(expected) == list(range(1, STEPS + 1))
  parts = _losses(train_dir)
  assert len(parts) == 3
  assert set().union(*parts) == set(range(1, steps + 1))
  for part in parts:
    np.testing.assert_allclose(
      list(part.values()), [expected[s] for s in part], rtol=1e-3
    )


def test_tensorboard_shows_every_level_and_images(whole):
  scalars = {"loss"} | {
    f"{kind}/level_{k}"
    for kind in ("bpp", "psnr", "distortion")
    for k in (1, 2)
  }
  (training,) = _events(whole[0], "train")
  assert set(training.Tags()["tensors"]) == scalars | {"learning_rate"}
  (validation,) = _events(whole[0], "validation")
  assert set(validation.Tags()["tensors"]) == scalars | {
    "awake/level_1", "awake/level_2", "original_and_reconstruction"
  }  # fmt: skip
  steps = [event.step for event in validation.Tensors("loss")]
  assert steps == [30, 60]


def test_the_progress_is_short_where_there_is_no_terminal(whole):
  output = whole[1]
  assert "\r" not in output
  assert len(output.splitlines()) < 20
  last = output.splitlines()[-2]
  for part in ("60/60", "loss", "bpp", "dB", "step"):
    assert part in last
  assert f"{STEPS} steps done, 0 images skipped" in output


def test_validation_says_what_its_numbers_are(whole):
  levels = "".join(
    rf"  level {level} \(lambda {lmbda}\): [\d.]+ bpp, PSNR [\d.]+ dB,"
    r" \d+ of 6 channels awake\n"
    for level, lmbda in ((1, 0.01), (2, 0.1))
  )
  for step in (30, 60):
    first = rf"^step {step}, validation in \d+ s: loss [\d.]+\n"
    assert re.search(first + levels, whole[1], re.MULTILINE)


def test_messages_leave_a_terminals_bar_in_one_piece(photographs, tmp_path):
  ours, terminal = pty.openpty()
  size = struct.pack("4H", 24, 100, 0, 0)
  fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
  arguments = _command(
    photographs, str(tmp_path), "--steps=6", "--validation_steps=3"
  )
  with _started(*arguments, stderr=terminal) as process:
    os.close(terminal)
    output = b""
    with contextlib.suppress(OSError):  # Raised at the end of a terminal.
      while part := os.read(ours, 1 << 16):
        output += part
    assert process.wait() == 0
  os.close(ours)
  lines = output.decode().split("\n")
  shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
  messages = [line for line in shown if "validation in" in line]
  assert len(messages) == 2
  assert all(re.match(r"step \d+, validation in", m) for m in messages)
  # Only its last state stays on the screen.
  (bar,) = [line for line in shown if "%|" in line]
  assert bar.startswith("100%|") and "loss" in bar


def test_a_few_steps_need_no_other_flag(photographs, tmp_path):
  train_dir = os.path.join(tmp_path, "run")
  arguments = [
    "train", f"--train_glob={photographs}", f"--train_dir={train_dir}",
    "--num_filters=4", "--num_latents=4", "--steps=2",
  ]  # fmt: skip
  with _started(*arguments) as process:
    _, output = process.communicate()
    assert process.returncode == 0, output
  assert "2 steps done, 0 images skipped" in output


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--lmbdas=0.1,x"], "is not a number"),
    (["--lmbdas=0.2,0.1"], "must increase"),
    (["--patch_size=40"], "multiple of 16"),
    (["--learning_rate=0"], "learning_rate must be positive"),
    (["--steps=ten"], "steps"),
    (["--prior=gauss"], "prior"),
    (["--no_such_flag"], "no_such_flag"),
    (["--train_glob="], "--train_glob is needed"),
    (["--train_dir="], "--train_dir is needed"),
    (["photograph.png"], "unexpected argument"),
    (["--distortion=ms_ssim"], "161 pixels"),
  ],
)
def test_usage_errors_are_one_line_and_exit_code_2(
  flags, message, photographs, tmp_path, caplog
):
  train_dir = os.path.join(tmp_path, "run")
  assert main.main(_command(photographs, train_dir, *flags)) == 2
  (record,) = caplog.records
  assert message in record.getMessage() and "\n" not in record.getMessage()
  assert not os.path.exists(train_dir)


@pytest.mark.parametrize(
  "recipe", sorted(PRETRAINED.glob("*/*.flags")), ids=lambda path: path.name
)
def test_the_recipes_of_the_packaged_models_are_accepted(
  recipe, tmp_path, caplog
):
  nothing = f"--train_glob={tmp_path}/none/*"
  flagfile, run = f"--flagfile={recipe}", f"--train_dir={tmp_path}"
  assert main.main(["train", flagfile, nothing, run]) == 3
  assert "no training image" in caplog.text


def test_no_images_and_no_place_to_write_have_their_exit_codes(
  photographs, tmp_path, caplog
):
  nothing = _command(os.path.join(tmp_path, "none"), str(tmp_path))
  assert main.main(nothing) == 3
  path = os.path.join(tmp_path, "file")
  open(path, "w").close()
  assert main.main(_command(photographs, os.path.join(path, "run"))) == 6
  assert len(caplog.records) == 2
