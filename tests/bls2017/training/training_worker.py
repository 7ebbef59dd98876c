"""A training process for the tests of several devices and workers.

    python -m tests.bls2017.training.training_worker OUTPUT DEVICES STOP_AT
    SETTINGS

SETTINGS is JSON: the arguments of Trainer. Writes the losses, the weights and
the position of the run at its end to OUTPUT.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.training import reports, train_loop
from bls2017.training.train_config import TrainConfig


class Recorder:
  """Remembers losses, and stops a trainer at a step."""

  def __init__(self) -> None:
    self.measurements: dict[int, reports.Measurement] = {}
    self.trainer: train_loop.Trainer | None = None
    self.stop_at = 0

  def on_start(self, step: int, steps: int) -> None:
    self.started = step, steps

  def on_step(self, measured: reports.Measurement) -> None:
    self.measurements[measured.step] = measured
    if self.trainer is not None and measured.step == self.stop_at:
      self.trainer.stop.set()

  def losses(self) -> dict[int, float]:
    return {step: m.loss for step, m in self.measurements.items()}


def main(output: str, devices: str, stop_at: str, settings: str) -> None:
  if int(devices) > 1:
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
      processor, [tf.config.LogicalDeviceConfiguration()] * int(devices)
    )
  values = json.loads(settings)
  recorder = Recorder()
  recorder.stop_at = int(stop_at)
  trainer = recorder.trainer = train_loop.Trainer(
    config.from_json(config.ModelConfig, values["model"]),
    config.from_json(TrainConfig, values["train"]),
    values["train_dir"],
  )
  trainer.run(recorder)
  losses = recorder.losses()
  np.savez(
    output,
    steps=list(losses),
    losses=list(losses.values()),
    mse=recorder.measurements[min(losses)].distortion,
    next_example=trainer.next_example.numpy(),
    replicas=trainer.strategy.num_replicas_in_sync,
    **{f"weights/{k}": v for k, v in trainer.averaged_arrays().items()},
  )


if __name__ == "__main__":
  main(*sys.argv[1:])
