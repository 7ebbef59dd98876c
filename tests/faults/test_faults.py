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


def test_files_decode_alike_under_every_setting(tmp_path):
  files = sorted(map(str, determinism.GOLDEN.glob("v2/*.bls")))
  model = str(determinism.GOLDEN / "v2" / "model")
  found = determinism.decode(
    files, model, str(tmp_path), determinism.settings()
  )
  assert len(found) == 12
  for i, path in enumerate(files):
    with np.load(path.replace(".bls", ".npz")) as f:
      recorded = f["symbols"]
    pixels = found[1, False, "SSE41"][i][1].astype(int)
    for symbols, other in (results[i] for results in found.values()):
      np.testing.assert_array_equal(symbols, recorded)
      assert np.abs(pixels - other).max() <= 1
