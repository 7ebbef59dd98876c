"""What does a region of a large file take, against a file of its size?

    python -m tests.benchmarks.region [--file=LARGE.bls]

Makes a file of 100 megapixels, or takes one that is there, and decompresses
regions of 512 x 512 pixels at random places, each beside a file of 512 x 512
pixels. Then prints the memory that a region, a preview and the whole image need
at their peak, beside file and model.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable

import numpy as np

from bls2017 import codec as codec_lib
from tests import images, memory

TILE = 1000
"""Sides of the picture that is repeated to fill the large image."""

GRAIN = 10.0
"""Standard deviation of its noise: about 1 bpp at quality 5."""


def _picture(side: int) -> np.ndarray:
  """A picture with grain, so that its file is as long as a photograph's."""
  grain = np.random.default_rng(0).normal(0, GRAIN, (side, side, 3))
  picture = images.photograph(side, side) + grain
  return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def main() -> None:
  """Prints medians in milliseconds, and memory in MiB."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--file", default="large.bls", help="made if missing")
  parser.add_argument("--tiles", type=int, default=10, help="of 1000 x 1000")
  parser.add_argument("--side", type=int, default=512)
  parser.add_argument("--quality", type=float, default=5)
  parser.add_argument("--repeats", type=int, default=15)
  parser.add_argument("--model")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model, max_pixels=2**27)
  file, side = pathlib.Path(flags.file), flags.side
  if not file.exists():
    tiles = np.tile(_picture(TILE), (flags.tiles, flags.tiles, 1))
    file.write_bytes(codec.compress(tiles, flags.quality))
  large = file.read_bytes()
  info = codec.info(large)
  small = codec.compress(_picture(side), info.quality)
  print(f"{info.width} x {info.height}, {len(large)} bytes, {info.lanes} lanes")
  rng = np.random.default_rng(0)

  def region() -> np.ndarray:
    x = int(rng.integers(info.width - side + 1))
    y = int(rng.integers(info.height - side + 1))
    return codec.decompress(large, region=(x, y, side, side))

  calls: dict[str, Callable[[], object]] = {
    "small file": lambda: codec.decompress(small),
    "checking the large one": lambda: codec.info(large),
    "region": region,
  }
  times: dict[str, list[float]] = {name: [] for name in calls}
  for _ in range(flags.repeats + 3):
    for name, call in calls.items():
      start = time.perf_counter()
      call()
      times[name].append(1000 * (time.perf_counter() - start))
  for name, taken in times.items():
    print(f"{name}: {statistics.median(taken[3:]):.1f} ms")
  for name, call in {
    "region": region,
    "preview of 1/8": lambda: codec.decompress(large, reduce=8),
    "whole image": lambda: codec.decompress(large),
  }.items():
    print(f"{name}: {memory.growth(call) / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
  main()
