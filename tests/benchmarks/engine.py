"""Times this package against another checkout of it, in turns.

    python -m tests.benchmarks.engine --images='kodak/*.png' --other=DIR \
      --other-python=PYTHON --other-engine=tensorflow

Run it in this checkout. The first image is coded alone, and copies of all of
them as a folder.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import NamedTuple

from PIL import Image

_WORKER = """
import concurrent.futures, resource, sys, time
import bls2017
import numpy as np
from PIL import Image
path, *engine = sys.argv[1:]
codec = bls2017.Codec.load(**{"runtime": name for name in engine})
x = np.asarray(Image.open(path))
def code(_):
  for quality in (1, 4, 6, 9):  # Each has other transforms.
    codec.decompress(codec.compress(x, quality))
for line in sys.stdin:
  way, quality = line.split()
  start = time.perf_counter()
  if way == "compress":
    data = codec.compress(x, float(quality))
  elif way == "decompress":
    codec.decompress(data)
  else:
    list(concurrent.futures.ThreadPoolExecutor(3).map(code, range(3)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
  print(1000 * (time.perf_counter() - start), flush=True)
"""


class Side(NamedTuple):
  """A checkout, the Python that runs it, and its engine, if it has several."""

  checkout: str
  python: str
  engine: str

  def start(self, *arguments: str) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": self.checkout, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
      [self.python, *arguments], cwd=self.checkout,
      env={**os.environ, **environment}, text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def workers(sides, path: str) -> list[subprocess.Popen[str]]:
  """Starts processes that code an image as lines ask them to."""
  return [s.start("-c", _WORKER, path, *s.engine.split()) for s in sides]


def ask(processes, line: str, number: int) -> float:
  print(line, file=processes[number].stdin, flush=True)
  return float(processes[number].stdout.readline())


def run(sides, arguments: list[str], number: int) -> float:
  """Runs a command; in its arguments, {} stands for the side's number."""
  side = sides[number]
  engine = [f"--runtime={name}" for name in side.engine.split()]
  line = [argument.format(number) for argument in arguments]
  start = time.perf_counter()
  program = ("-m", "bls2017.commands.main", *line, *engine, "--overwrite")
  assert not side.start(*program).wait()
  return time.perf_counter() - start


def report(name: str, measure, repeats: int) -> None:
  """Prints a row: the medians of side 0 and side 1, and their ratio."""
  measured = [(measure(0), measure(1)) for _ in range(repeats)]
  other, this = map(statistics.median, zip(*measured))
  row = f"| {name} | {other:.4g} | {this:.4g} | {this / other:.3f} |"
  print(row, flush=True)


def main() -> None:
  """Prints a table."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--images", required=True)
  parser.add_argument("--other", required=True, help="a checkout")
  parser.add_argument("--other-python", default=sys.executable)
  parser.add_argument("--other-engine", default="", help="litert or tensorflow")
  parser.add_argument("--repeats", type=int, default=31)
  parser.add_argument("--files", type=int, default=100)
  flags = parser.parse_args()
  here = os.getcwd()
  other = Side(flags.other, flags.other_python, flags.other_engine)
  sides = [other, Side(here, sys.executable, "")]
  paths = sorted(map(os.path.abspath, glob.glob(flags.images)))
  print("| | other | this | ratio |\n|---|---|---|---|")
  processes = workers(sides, paths[0])
  for quality in (1, 4, 6, 9, 12):
    for way in ("compress", "decompress"):
      measure = partial(ask, processes, f"{way} {quality}")
      measure(0), measure(1)  # The first call prepares what others use.
      report(f"{way} at {quality}, ms", measure, flags.repeats)
  with tempfile.TemporaryDirectory() as folder:
    os.mkdir(f"{folder}/in")
    for number in range(flags.files):
      shutil.copy(paths[number % len(paths)], f"{folder}/in/{number}.png")
    file, large = f"{folder}/file.bls", f"{folder}/large.png"
    run(sides, ["compress", paths[0], file], 0)
    timed, outputs = partial(partial, run, sides), f"--output_dir={folder}/"
    cold = timed(["decompress", file, f"{folder}/back.png"])
    report("decompress, cold, s", cold, 9)
    there = timed(["compress", f"{outputs}{{}}", f"{folder}/in"])
    report("compress a folder, s", there, 3)
    again = timed(["decompress", f"{outputs}back", f"{folder}/{{}}"])
    report("decompress a folder, s", again, 3)
    Image.open(paths[0]).resize((2000, 1504)).save(large)
    report("peak, MiB", partial(ask, workers(sides, large), "threads 0"), 1)


if __name__ == "__main__":
  main()
