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
from bls2017.training import train_loop
from bls2017.training.train_config import TrainConfig


def train(trainer, stop_at=0):
  """Runs a trainer, tells it to stop after a step, returns losses by step."""
  losses = {}

  def on_step(measured):
    losses[measured.step] = measured.loss
    if measured.step == stop_at:
      trainer.stop.set()

  trainer.run(on_step)
  return losses


def main(output, devices, stop_at, settings):
  if int(devices) > 1:
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
      processor, [tf.config.LogicalDeviceConfiguration()] * int(devices)
    )
  values = json.loads(settings)
  trainer = train_loop.Trainer(
    config.from_json(config.ModelConfig, values["model"]),
    config.from_json(TrainConfig, values["train"]),
    values["train_dir"],
  )
  losses = train(trainer, int(stop_at))
  np.savez(
    output,
    steps=list(losses),
    losses=list(losses.values()),
    next_example=trainer.next_example.numpy(),
    replicas=trainer.strategy.num_replicas_in_sync,
    **{f"weights/{k}": v for k, v in trainer.averaged.get_arrays().items()},
  )


if __name__ == "__main__":
  main(*sys.argv[1:])
