"""The held-out loss of training runs over the hours they took, as a PNG.

    python -m tests.benchmarks.loss_curves --output=loss.png LOW MID HIGH

Reads what runs wrote for TensorBoard. Time in which a run stood still, from
its last line to the first one after it was resumed, does not count. Prints the
slope at each end: of the line through the last third of the points.
"""

from __future__ import annotations

import argparse
import glob
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.evaluation import plots

_VALIDATION, _TRAINING = "validation", "train"


class Curve(NamedTuple):
  """Validations of a run.

  Attributes:
    hours: float64 [n], of training before each.
    steps: int64 [n].
    loss: float64 [n].
  """

  hours: np.ndarray
  steps: np.ndarray
  loss: np.ndarray


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("train_dirs", nargs="+")
  parser.add_argument("--output", required=True)
  flags = parser.parse_args()
  charts = []
  for train_dir in flags.train_dirs:
    name = os.path.basename(os.path.normpath(train_dir))
    curve = read(train_dir)
    step, hour = slopes(curve)
    print(
      f"{name}: {curve.loss[-1]:.4f} after {curve.steps[-1]} steps and"
      f" {curve.hours[-1]:.2f} hours; at the end {1000 * step:+.5f} for 1,000"
      f" steps, {100 * hour / curve.loss[-1]:+.2f}% for an hour"
    )
    series = plots.Series(name, tuple(curve.hours), tuple(curve.loss))
    charts.append(plots.Chart(name, "hours", "held-out loss", (series,)))
  plots.draw(charts, flags.output)


def read(train_dir: str) -> Curve:
  """The validations of a run, by its logs."""
  pieces = glob.glob(os.path.join(train_dir, _TRAINING, "events.*"))
  begins, ends = [], []
  for piece in pieces:
    times = [time for time, _, _ in _losses(piece)]
    if times:
      begins.append(min(times))
      ends.append(max(times))
  points = sorted(
    point
    for piece in glob.glob(os.path.join(train_dir, _VALIDATION, "events.*"))
    for point in _losses(piece)
  )
  # What a resumed run repeats counts once, as it was at last.
  last = {step: (time, loss) for time, step, loss in points}
  hours = [
    sum(
      max(0.0, min(time, end) - begin)
      for begin, end in zip(sorted(begins), sorted(ends))
    )
    for time, _ in last.values()
  ]
  return Curve(
    np.array(hours) / 3600,
    np.array(list(last), np.int64),
    np.array([loss for _, loss in last.values()]),
  )


def slopes(curve: Curve) -> tuple[float, float]:
  """Change of the loss at the end, for a step and for an hour."""
  count = max(2, len(curve.loss) // 3)
  loss = curve.loss[-count:]
  return (
    float(np.polyfit(curve.steps[-count:], loss, 1)[0]),
    float(np.polyfit(curve.hours[-count:], loss, 1)[0]),
  )


def _losses(path: str) -> list[tuple[float, int, float]]:
  """Wall time, step and loss of each event that has one."""
  found = []
  for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
    event = tf.compat.v1.Event.FromString(record)
    for value in event.summary.value:
      if value.tag == "loss":
        loss = float(tf.make_ndarray(value.tensor))
        found.append((event.wall_time, event.step, loss))
  return found


if __name__ == "__main__":
  main()
