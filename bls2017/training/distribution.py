"""Training on several devices or machines (`tf.distribute`)."""

from __future__ import annotations

import tensorflow as tf


def make_strategy(name: str) -> tf.distribute.Strategy:
  """The distribution strategy that a `TrainConfig` names.

  Must be called before any other TensorFlow operation for "multi_worker",
  whose cluster comes from the environment variable TF_CONFIG.
  """
  if name == "mirrored":
    # TensorFlow's own default takes one processor where there is no GPU.
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [d.name for d in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(devices)
  if name == "multi_worker":
    return tf.distribute.MultiWorkerMirroredStrategy()
  return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process is the one that writes the files of a run."""
  resolver = strategy.cluster_resolver
  if resolver is None or not resolver.task_type:
    return True
  return resolver.task_type == "chief" or (
    resolver.task_type == "worker"
    and resolver.task_id == 0
    and "chief" not in resolver.cluster_spec().as_dict()
  )
