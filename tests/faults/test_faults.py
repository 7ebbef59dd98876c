"""Short forms of the kill loops and of the settings of the processor."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from tests.faults import determinism, kill_writer


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path):
  written, _ = kill_writer.run(10, str(tmp_path))
  assert written >= 10


def test_training_that_is_killed_goes_on(tmp_path):
  # A process that has used TensorFlow, as this one may, must not be forked.
  done = subprocess.run(
    [sys.executable, "-m", "tests.faults.kill_training", "--kills=3"],
    capture_output=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr.decode()
  assert b"no state lost" in done.stdout


def test_files_decode_alike_under_every_setting():
  model = str(determinism.GOLDEN / "model")
  first = None
  for setting in determinism.SETTINGS:
    found = determinism.decode(determinism.FILES, model, setting)
    first = first or found
    for path, (symbols, pixels), (_, others) in zip(
      determinism.FILES, found, first
    ):
      with np.load(path.replace(".bls", ".npz")) as recorded:
        np.testing.assert_array_equal(symbols, recorded["symbols"])
      assert np.abs(pixels.astype(int) - others).max() <= 1
