"""Does memory level off over many images of random sizes?

    python -m tests.benchmarks.memory [--images=1000]

Compresses and decompresses images in one process, and prints the memory that it
holds as it goes on. It rises while the buffers grow to the largest sizes; then
it should stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from bls2017 import codec as codec_lib
from tests import images, memory


def resident(
  codec: codec_lib.Codec, count: int, largest: int, seed: int = 0
) -> Iterator[int]:
  """Codes images, and yields after each the bytes that the process holds.

  Args:
    codec: Codes them.
    count: Of the images.
    largest: Pixels of the longest side.
    seed: Other sizes for each.
  """
  rng = np.random.default_rng(seed)
  picture = images.photograph(largest, largest)
  for _ in range(count):
    height, width = rng.integers(1, largest + 1, 2)
    quality = rng.integers(1, codec.model.config.num_levels + 1)
    codec.decompress(codec.compress(picture[:height, :width], int(quality)))
    yield memory.resident()


def main() -> None:
  """Prints a line for every tenth of the images."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--images", type=int, default=1000)
  parser.add_argument("--largest", type=int, default=640)
  parser.add_argument("--model")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  held = resident(codec, flags.images, flags.largest)
  for number, size in enumerate(held, 1):
    if number % max(flags.images // 10, 1) == 0:
      print(f"{number} images: {size / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
  main()
