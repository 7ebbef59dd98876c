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

STEPS = 8


def _settings(
  tiny_config: config.ModelConfig,
  photographs: str,
  train_dir: str,
  **kwargs: object,
) -> str:
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
  train = TrainConfig(**{**values, **kwargs})
  return json.dumps(
    {
      "model": config.to_json(tiny_config),
      "train": config.to_json(train),
      "train_dir": train_dir,
    }
  )


def _start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
  return subprocess.Popen(
    [
      sys.executable,
      "-m",
      "tests.bls2017.training.training_worker",
      *arguments,
    ],
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, **environment},
  )


def _finish(processes: list[subprocess.Popen[str]]) -> None:
  try:
    for process in processes:
      _, output = process.communicate(timeout=300)
      assert process.returncode == 0, output[-3000:]
  finally:
    for process in processes:
      process.kill()


def _free_ports(count: int) -> list[int]:
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for s in sockets:
      s.bind(("127.0.0.1", 0))
    return [s.getsockname()[1] for s in sockets]


def _run_workers(
  directory: str, settings: str, stop_at: tuple[int, int]
) -> list[dict[str, np.ndarray]]:
  """Trains with two worker processes; returns what each of them knows."""
  addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
  outputs = [os.path.join(directory, f"worker{i}.npz") for i in range(2)]
  _finish(
    [
      _start(
        [outputs[i], "1", str(stop_at[i]), settings],
        TF_CONFIG=json.dumps(
          {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": i},
          }
        ),
      )
      for i in range(2)
    ]
  )
  return [dict(np.load(path)) for path in outputs]


def _assert_equal_weights(results: list[dict[str, np.ndarray]]) -> None:
  names = [n for n in results[0] if n.startswith("weights/")]
  assert names
  for name in names:
    np.testing.assert_array_equal(results[0][name], results[1][name], name)


def test_two_workers_agree_stop_together_and_resume(
  tiny_config: config.ModelConfig, photographs: str, tmp_path: os.PathLike
) -> None:
  train_dir = os.path.join(tmp_path, "run")
  settings = _settings(
    tiny_config, photographs, train_dir, strategy="multi_worker"
  )
  # One worker is told to stop; the other one hears of it with the next step.
  stopped = _run_workers(str(tmp_path), settings, (0, 4))
  for result in stopped:
    assert list(result["steps"]) == [1, 2, 3, 4, 5]
    assert result["next_example"] == 5 * 2 * tiny_config.num_levels
  _assert_equal_weights(stopped)
  resumed = _run_workers(str(tmp_path), settings, (0, 0))
  for result in resumed:
    assert list(result["steps"]) == [6, 7, 8]
    assert result["next_example"] == STEPS * 2 * tiny_config.num_levels
  np.testing.assert_array_equal(resumed[0]["losses"], resumed[1]["losses"])
  _assert_equal_weights(resumed)
  assert sorted(os.listdir(train_dir)) == [
    "checkpoints", "config.json", "lock", "train", "validation",
  ]  # fmt: skip


def test_two_devices_do_what_one_does_with_twice_the_patches(
  tiny_config: config.ModelConfig, photographs: str, tmp_path: os.PathLike
) -> None:
  outputs = [os.path.join(tmp_path, f"{n}.npz") for n in ("two", "one")]
  two, one = (
    # What one worker does beside its steps is the other test's business.
    _settings(
      tiny_config,
      photographs,
      output[:-4],
      start="random",
      validation_steps=STEPS + 1,
      **kwargs,
    )
    for output, kwargs in zip(
      outputs, ({"strategy": "mirrored"}, {"patches_per_level": 2})
    )
  )
  _finish(
    [_start([outputs[0], "2", "0", two]), _start([outputs[1], "1", "0", one])]
  )
  mirrored, single = (dict(np.load(path)) for path in outputs)
  assert mirrored["replicas"] == 2 and single["replicas"] == 1
  assert mirrored["next_example"] == single["next_example"]
  assert mirrored["next_example"] == STEPS * 2 * tiny_config.num_levels
  # Equal patches and weights; only the noise differs.
  np.testing.assert_allclose(mirrored["losses"], single["losses"], rtol=0.1)
  np.testing.assert_allclose(mirrored["mse"], single["mse"], rtol=0.05)
  kernel = "weights/synthesis/2/kernel"
  np.testing.assert_allclose(mirrored[kernel], single[kernel], atol=0.02)


def test_the_default_strategy_is_no_distribution() -> None:
  from bls2017.training import distribution

  strategy = distribution.make_strategy("none")
  assert strategy.num_replicas_in_sync == 1
  assert distribution.is_chief(strategy)
