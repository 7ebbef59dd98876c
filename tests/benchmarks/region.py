"""What a region of a large file takes, against a file of the region's size.

    python -m tests.benchmarks.region [--runtime=litert] [--file=LARGE.bls]

Makes a file of 100 megapixels, or takes one that is there, and decompresses
regions of 512 x 512 pixels at random places, each beside a file of 512 x 512
pixels: medians, by the clock. For the first region the whole file has to be
read and checked, which is measured for itself, but not for the next ones. Then
the memory that a region, a preview and the whole image need at their peak,
beside file and model.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from bls2017 import codec as codec_lib
from tests import images, memory

MAX_PIXELS = 2**27
TILE = 1000
"""Sides of the picture that is repeated to fill the large image."""

GRAIN = 10.0
"""Standard deviation of its noise: about 1 bpp at quality 5."""


def _seconds(call: Callable[[], object]) -> float:
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def _picture(side: int) -> np.ndarray:
  """A picture with grain, so that its file is as long as a photograph's."""
  grain = np.random.default_rng(0).normal(0, GRAIN, (side, side, 3))
  picture = images.photograph(side, side) + grain
  return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _large_file(
  codec: codec_lib.Codec, path: str, tiles: int, quality: float
) -> None:
  picture = np.tile(_picture(TILE), (tiles, tiles, 1))
  data = codec.compress(picture, quality)
  with open(path, "wb") as f:
    f.write(data)


def _read(path: str) -> bytes:
  with open(path, "rb") as f:
    return f.read()


def main() -> None:
  """Prints the medians in milliseconds, and memory in MiB."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--file", default="large.bls", help="made if missing")
  parser.add_argument("--tiles", type=int, default=10, help="of 1000 x 1000")
  parser.add_argument("--side", type=int, default=512)
  parser.add_argument("--quality", type=float, default=5)
  parser.add_argument("--repeats", type=int, default=15)
  parser.add_argument("--model", default=None)
  parser.add_argument("--runtime", default="auto")
  arguments = parser.parse_args()
  side = arguments.side
  codec = codec_lib.Codec.load(
    arguments.model, max_pixels=MAX_PIXELS, runtime=arguments.runtime
  )
  if not os.path.exists(arguments.file):
    _large_file(codec, arguments.file, arguments.tiles, arguments.quality)
  large = _read(arguments.file)
  about = codec.info(large)
  print(
    f"{codec.runtime}: {about.width} x {about.height}, {len(large)} bytes,"
    f" {about.lanes} lanes"
  )
  small = codec.compress(_picture(side), about.quality)
  rng = np.random.default_rng(0)

  def region(data: bytes) -> np.ndarray:
    x = int(rng.integers(about.width - side + 1))
    y = int(rng.integers(about.height - side + 1))
    return codec.decompress(data, region=(x, y, side, side))

  calls: dict[str, Callable[[], object]] = {
    "small file": lambda: codec.decompress(bytes(bytearray(small))),
    "reading and checking": lambda: codec.info(_read(arguments.file)),
    "first region": lambda: region(_read(arguments.file)),
    "next region": lambda: region(large),
  }
  times: dict[str, list[float]] = {name: [] for name in calls}
  for repeat in range(-3, arguments.repeats):
    for name, call in calls.items():
      if name == "next region":
        codec.info(large)
      seconds = _seconds(call)
      if repeat >= 0:
        times[name].append(1000 * seconds)
  medians = {name: statistics.median(t) for name, t in times.items()}
  for name, median in medians.items():
    print(f"{name}: {median:.1f} ms")
  small_file = medians["small file"]
  beside = medians["first region"] - medians["reading and checking"]
  print(
    f"region / small file: {beside / small_file:.2f} plus reading, then"
    f" {medians['next region'] / small_file:.2f}"
  )
  for name, call in {
    "region": lambda: region(large),
    "preview of 1/8": lambda: codec.decompress(large, reduce=8),
    "whole image": lambda: codec.decompress(large),
  }.items():
    print(f"{name}: {memory.growth(call) / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
  main()
