"""The curve of a run's loss, from logs of two sittings."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.benchmarks import loss_curves


def test_time_between_two_sittings_does_not_count(
  tmp_path: pathlib.Path,
) -> None:
  # (hours on the clock, step); a day passes between the second and the third.
  sittings = [[(0, 1), (1, 100)], [(25, 101), (27, 300)]]
  for name in ("train", "validation"):
    os.mkdir(tmp_path / name)
    for number, sitting in enumerate(sittings):
      path = str(tmp_path / name / f"events.{number}")
      with tf.io.TFRecordWriter(path) as writer:
        for hour, step in sitting:
          writer.write(_event(3600.0 * hour, step).SerializeToString())
  curve = loss_curves.read(str(tmp_path))
  np.testing.assert_array_equal(curve.steps, [1, 100, 101, 300])
  np.testing.assert_allclose(curve.hours, [0, 1, 1, 3])
  np.testing.assert_allclose(
    curve.loss, [2 - 0.001 * step for step in curve.steps], rtol=1e-6
  )
  of_step, of_hour = loss_curves.slopes(curve)
  assert of_step == pytest.approx(-0.001, rel=1e-3)
  assert of_hour == pytest.approx(-0.0995, rel=1e-3)


def _event(seconds: float, step: int) -> tf.compat.v1.Event:
  loss = tf.make_tensor_proto(2 - 0.001 * step, tf.float32)
  value = tf.compat.v1.Summary.Value(tag="loss", tensor=loss)
  summary = tf.compat.v1.Summary(value=[value])
  return tf.compat.v1.Event(wall_time=seconds, step=step, summary=summary)
