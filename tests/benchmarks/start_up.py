"""A cold `bls2017 compress` against `import tensorflow`.

    python -m tests.benchmarks.start_up [RUNS]

Both start a process each time, in turns. Prints medians by the clock and of the
processor time, and their ratios; the second is less shy of other work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from tests import images

SIDE = 128


def _seconds(command: list[str]) -> np.ndarray:
  """By the clock, and of the processor, for one process."""
  before, start = os.times(), time.perf_counter()
  subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
  after, end = os.times(), time.perf_counter()
  used = after.children_user + after.children_system
  used -= before.children_user + before.children_system
  return np.array([end - start, used])


def main(runs: int = 9) -> None:
  """Prints what was measured."""
  with tempfile.TemporaryDirectory() as folder:
    source = f"{folder}/photograph.png"
    Image.fromarray(images.photograph(SIDE, SIDE)).save(source)
    command = ["-m", "bls2017.commands.main", "compress", source]
    commands = {
      "import tensorflow": ["-c", "import tensorflow"],
      "bls2017 compress": [*command, f"{folder}/out.bls", "--overwrite"],
    }
    taken: dict[str, list[np.ndarray]] = {name: [] for name in commands}
    for run in range(runs + 1):
      for name, arguments in commands.items():
        seconds = _seconds([sys.executable, *arguments])
        if run:  # The first one fills the disk's cache.
          taken[name].append(seconds)
  medians = {name: np.median(values, 0) for name, values in taken.items()}
  for name, (clock, cpu) in medians.items():
    print(f"{name}: {clock:.2f} s, CPU {cpu:.2f} s")
  clock, cpu = medians["bls2017 compress"] / medians["import tensorflow"]
  print(f"{SIDE}x{SIDE}, {runs} runs: ratio {clock:.2f}, of CPU {cpu:.2f}")


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
