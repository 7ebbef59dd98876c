"""Several devices and several machines, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys

import numpy as np

from bls2017.common import config
from bls2017.training.train_config import TrainConfig

STEPS = 6


def _settings(photographs, train_dir, **changes):
  values = {
    "train_glob": os.path.join(photographs, "*"),
    "patch_size": 32,
    "warmup_steps": 2,
    "steps": STEPS,
    "ema_decay": 0.9,
    "start": "transform_coder",
    "save_steps": 3,
    "validation_fraction": 0.3,
    "validation_steps": 4,
    "validation_images": 1,
    "summary_steps": 2,
  }
  model = config.ModelConfig(num_filters=4, num_latents=6, lmbdas=(0.01, 0.1))
  return json.dumps(
    {
      "model": config.to_json(model),
      "train": config.to_json(TrainConfig(**{**values, **changes})),
      "train_dir": train_dir,
    }
  )


def _run(*processes):
  """Runs workers side by side; returns what each of them wrote."""
  started = [
    subprocess.Popen(
      [sys.executable, "-m", "tests.bls2017.training.training_worker", *argv],
      stderr=subprocess.PIPE,
      text=True,
      env={**os.environ, **environment},
    )
    for argv, environment in processes
  ]
  try:
    for process in started:
      _, output = process.communicate(timeout=300)
      assert process.returncode == 0, output[-3000:]
  finally:
    for process in started:
      process.kill()
  return [dict(np.load(argv[0])) for argv, _ in processes]


def _run_cluster(directory, settings, stop_at):
  """Trains with two workers, and checks that they agree."""
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in stop_at]
    for s in sockets:
      s.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
  results = _run(
    *(
      (
        [os.path.join(directory, f"{i}.npz"), "1", str(step), settings],
        {
          "TF_CONFIG": json.dumps(
            {
              "cluster": {"worker": addresses},
              "task": {"type": "worker", "index": i},
            }
          )
        },
      )
      for i, step in enumerate(stop_at)
    )
  )
  for name, value in results[0].items():
    np.testing.assert_array_equal(value, results[1][name], name)
  return results


def test_two_workers_agree_stop_together_and_resume(photographs, tmp_path):
  train_dir = os.path.join(tmp_path, "run")
  settings = _settings(photographs, train_dir, strategy="multi_worker")
  # One worker is told to stop; the other one hears of it with the next step.
  stopped, _ = _run_cluster(str(tmp_path), settings, (0, 3))
  assert list(stopped["steps"]) == [1, 2, 3, 4]
  assert stopped["next_example"] == 4 * 2 * 2
  resumed, _ = _run_cluster(str(tmp_path), settings, (0, 0))
  assert list(resumed["steps"]) == [5, 6]
  assert resumed["next_example"] == STEPS * 2 * 2
  assert sorted(os.listdir(train_dir)) == [
    "checkpoints", "config.json", "lock", "train", "validation",
  ]  # fmt: skip


def test_two_devices_do_what_one_does_with_twice_the_patches(
  photographs, tmp_path
):
  processes = []
  for devices, changes in (
    ("2", {"strategy": "mirrored"}),
    ("1", {"patches_per_level": 2}),
  ):
    run = os.path.join(tmp_path, devices)
    settings = _settings(
      photographs, run, start="random", validation_steps=STEPS + 1, **changes
    )
    processes.append(([f"{run}.npz", devices, "0", settings], {}))
  mirrored, single = _run(*processes)
  assert mirrored["replicas"] == 2 and single["replicas"] == 1
  assert mirrored["next_example"] == single["next_example"] == STEPS * 2 * 2
  # Equal patches and weights; only the noise differs.
  np.testing.assert_allclose(mirrored["losses"], single["losses"], rtol=0.1)
  kernel = "weights/synthesis/2/kernel"
  np.testing.assert_allclose(mirrored[kernel], single[kernel], atol=0.02)
