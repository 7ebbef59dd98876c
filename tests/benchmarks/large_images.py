"""Peak memory and time per megapixel of large images.

    python -m tests.benchmarks.large_images [HEIGHTxWIDTH ...]

Each size is compressed and decompressed in a process of its own, a photograph
of 500x500 pixels laid side by side. Without sizes: 12 and 100 megapixels.
"""

from __future__ import annotations

import subprocess
import sys

SIZES = ("3000x4000", "10000x10000")

_SCRIPT = r"""
import os, re, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
from bls2017 import codec, model_directory
from tests import images
def peak():
  # Not getrusage, whose maximum is inherited from the parent.
  with open("/proc/self/status") as f:
    return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) / 1024
height, width = map(int, sys.argv[1].split("x"))
both = codec.Codec(model_directory.load(), max_pixels=height * width)
tile = images.photograph(500, 500)
both.decompress(both.compress(tile))
image = np.empty((height, width, 3), np.uint8)
for top in range(0, height, 500):
  for left in range(0, width, 500):
    part = image[top : top + 500, left : left + 500]
    part[:] = tile[: part.shape[0], : part.shape[1]]
million = height * width / 1e6
def timed(function, argument):
  start = time.perf_counter(), time.process_time()
  result = function(argument)
  clock, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
  clock, cpu = clock / million, cpu / million
  return result, f"{clock:.3f} s (CPU {cpu:.3f}) a megapixel"
data, there = timed(both.compress, image)
after = peak()
_, back = timed(both.decompress, data)
print(f"{height}x{width}: compress {there}, peak {after:.0f} MiB;"
      f" decompress {back}, peak {peak():.0f} MiB (image included)")
"""


def main(*sizes: str) -> None:
  """Prints what was measured."""
  for size in sizes or SIZES:
    subprocess.run([sys.executable, "-c", _SCRIPT, size], check=True)


if __name__ == "__main__":
  main(*sys.argv[1:])
