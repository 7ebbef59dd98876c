"""The codec against the plain tfc model, AVIF and the matrix product's rate.

    python -m tests.benchmarks.coding [--quality=5] [--runs=9] [--sizes=...]

All take turns; medians are compared. The plain model is that of
`tests.benchmarks.serving`. AVIF is Pillow's with its default settings, at the
quality whose file is closest to ours. The rate counts the products of the
paper's layers, whatever more or less the graphs compute.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from typing import Any, Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow is imported before the package that would set it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from bls2017 import codec as codec_lib  # noqa: E402
from bls2017 import config, lanes, model_directory  # noqa: E402
from tests.benchmarks import serving  # noqa: E402

_SIDE = 2048


def _products(model: model_directory.FrozenModel, shape: tuple) -> float:
  """Multiplications and additions of the analysis, or of the synthesis."""
  positions = float(np.prod(lanes.latent_shape(*shape)))
  total = 0.0
  for i in range(len(config.STAGES)):
    positions_after = positions * 4 ** (len(config.STAGES) - 1 - i)
    *_, channels = model.weights[f"analysis/{i}/kernel"].shape
    kernel = model.weights[f"analysis/{i}/kernel"].size
    total += 2 * positions_after * (kernel + channels**2)
  return total


def _avif(image: np.ndarray, size: int) -> int:
  """AVIF's quality whose file is closest to so many bytes."""
  distance = {}
  low, high = 0, 100
  while low <= high:
    quality = (low + high) // 2
    found = len(_avif_bytes(image, quality))
    distance[quality] = abs(found - size)
    low, high = (quality + 1, high) if found < size else (low, quality - 1)
  return min(distance, key=lambda quality: distance[quality])


def _avif_bytes(image: np.ndarray, quality: int) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "AVIF", quality=quality)
  return buffer.getvalue()


def _medians(
  calls: dict[str, Callable[[], Any]], runs: int
) -> dict[str, np.ndarray]:
  """Seconds by the clock and of the processor, of interleaved calls."""
  taken: dict[str, list] = {name: [] for name in calls}
  for run in range(runs + 1):
    for name, call in calls.items():
      start = np.array([time.perf_counter(), time.process_time()])
      call()
      end = np.array([time.perf_counter(), time.process_time()])
      if run:  # The first one traces and allocates.
        taken[name].append(end - start)
  return {name: np.median(values, 0) for name, values in taken.items()}


def _benchmark(
  codec: codec_lib.Codec, height: int, width: int, quality: float, runs: int
) -> None:
  image = serving._photograph(height, width)
  plain = serving.PlainModel(codec.model, quality)
  tensor = tf.constant(image)
  string, shape = plain.compress(tensor)
  data = codec.compress(image, quality)
  latents = codec._transforms.latents(image)
  square = tf.random.normal((_SIDE, _SIDE))
  product = tf.function(lambda: tf.matmul(square, square))
  avif = _avif(image, len(data))
  medians = _medians(
    {
      "matrix product": product,
      "analysis": lambda: codec._transforms.latents(image),
      "synthesis": lambda: codec._transforms.image(
        lambda first, end: latents[first:end], height, width
      ),
      "compress": lambda: codec.compress(image, quality),
      "decompress": lambda: codec.decompress(data),
      "plain compress": lambda: plain.compress(tensor),
      "plain decompress": lambda: plain.decompress(string, shape),
      "AVIF compress": lambda: _avif_bytes(image, avif),
    },
    runs,
  )
  rate = 2 * _SIDE**3 / medians["matrix product"]
  print(f"{width}x{height}, {8 * len(data) / (height * width):.3f} bpp")
  for name, (clock, cpu) in medians.items():
    print(f"  {name}: {1e3 * clock:.1f} ms, CPU {1e3 * cpu:.1f}")
  for name in ("analysis", "synthesis"):
    share = _products(codec.model, (height, width)) / medians[name] / rate
    print(
      f"  {name} at {share[0]:.2f} of the matrix product's"
      f" {rate[0] / 1e9:.0f} GFLOP/s; by CPU {share[1]:.2f}"
    )
  ours = medians["compress"] + medians["decompress"]
  theirs = medians["plain compress"] + medians["plain decompress"]
  print("  {:.2f} times as fast as plain; by CPU {:.2f}".format(*theirs / ours))
  ratio = medians["AVIF compress"] / medians["compress"]
  print("  {:.2f} times as fast as AVIF; by CPU {:.2f}".format(*ratio))


def main() -> None:
  """Prints what was measured."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--quality", type=float, default=5.0)
  parser.add_argument("--runs", type=int, default=9)
  parser.add_argument("--sizes", nargs="+", default=["128x128", "512x768"])
  arguments = parser.parse_args()
  codec = codec_lib.Codec(model_directory.load())
  for size in arguments.sizes:
    height, width = map(int, size.split("x"))
    _benchmark(codec, height, width, arguments.quality, arguments.runs)


if __name__ == "__main__":
  main()
