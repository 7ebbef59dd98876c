"""Does memory level off over many images of random sizes?

    python -m tests.benchmarks.memory [--images=1000] [--threads=12]

Compresses and decompresses images in one process, and prints the memory that it
holds as it goes on. It rises while the buffers grow to the largest sizes; then
it should stay. Several threads must give what one gives.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
from collections.abc import Iterator

import numpy as np

from bls2017 import codec as codec_lib
from tests import images, memory


def digests(
  codec: codec_lib.Codec, count: int, largest: int, threads: int = 1
) -> Iterator[bytes]:
  """Codes images of random sizes and qualities.

  Args:
    codec: Codes them.
    count: Of the images.
    largest: Pixels of the longest side.
    threads: That share the codec.

  Yields:
    The SHA-256 of each file and of its decoded pixels, in one order for any
    number of threads.
  """
  rng = np.random.default_rng(0)
  picture = images.photograph(largest, largest)

  def digest(height: int, width: int, quality: int) -> bytes:
    data = codec.compress(picture[:height, :width], quality)
    return hashlib.sha256(data + codec.decompress(data).tobytes()).digest()

  sizes = rng.integers(1, largest + 1, (2, count))
  qualities = rng.integers(1, codec.model.config.num_levels + 1, count)
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    yield from pool.map(digest, *sizes, qualities.tolist())


def main() -> None:
  """Prints a line for every tenth of the images."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--images", type=int, default=1000)
  parser.add_argument("--largest", type=int, default=640)
  parser.add_argument("--threads", type=int, default=1)
  parser.add_argument("--model")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  found = []
  for digest in digests(codec, flags.images, flags.largest, flags.threads):
    found.append(digest)
    if len(found) % max(flags.images // 10, 1) == 0:
      print(f"{len(found)} images: {memory.resident() / 2**20:.0f} MiB")
  if flags.threads > 1:
    alone = list(digests(codec, flags.images, flags.largest))
    print("as one thread" if found == alone else "NOT as one thread")


if __name__ == "__main__":
  main()
