"""The export against the plain tfc model, and what it needs per megapixel.

    python -m tests.benchmarks.serving [--model=DIR] [--quality=5]

All take and give image tensors. Runs are interleaved, so that whatever else the
machine does slows all of them; the medians are compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

# TensorFlow is imported before the package that would set it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from bls2017.evaluation.benchmark import plain_model  # noqa: E402
from bls2017.transforms import model_directory  # noqa: E402
from export import export_model  # noqa: E402
from tests import images  # noqa: E402
from tests.export import model_server  # noqa: E402

SIZES = ((512, 768), (3000, 4000))
PIXEL_LIMIT = 2**26
MEMORY_SIZES = ((512, 768), (1024, 1024), (2048, 2048))


def _photograph(height: int, width: int) -> np.ndarray:
  if height * width < 2**20:
    return images.photograph(height, width)
  tile = images.photograph(500, 500)
  return np.tile(tile, (height // 500, width // 500, 1))


def _compare(calls: dict, runs: int) -> dict[tuple[str, str], np.ndarray]:
  """Median seconds of each call, interleaved: by the clock, and of the CPU."""
  taken: dict[tuple[str, str], list] = {name: [] for name in calls}
  for run in range(runs + 1):
    for name, call in calls.items():
      start = np.array([time.perf_counter(), time.process_time()])
      call()
      end = np.array([time.perf_counter(), time.process_time()])
      if run:  # The first one compiles and allocates.
        taken[name].append(end - start)
  return {name: np.median(values, axis=0) for name, values in taken.items()}


def _benchmark(
  paths: dict[str, str], model, quality: float, runs: int, large_runs: int
) -> None:
  plain = plain_model.PlainModel(model, quality)
  served = {name: model_server.SessionModel(p) for name, p in paths.items()}
  qualities = [quality]
  print("size, model: compress + decompress = both, its ratio to plain")
  for height, width in SIZES:
    image = _photograph(height, width)
    tensor = tf.constant(image)
    string, shape = plain.compress(tensor)
    data = served["stock"](
      "compress_image", image=image[None], quality=qualities
    )["compressed_bytes"]
    calls = {
      ("plain", "compress"): lambda t=tensor: plain.compress(t),
      ("plain", "decompress"): lambda s=string, n=shape: plain.decompress(s, n),
    }
    for name, loaded in served.items():
      calls[name, "compress"] = lambda m=loaded, x=image: m(
        "compress_image", image=x[None], quality=qualities
      )
      calls[name, "decompress"] = lambda m=loaded, d=data: m(
        "decompress_image", compressed_bytes=d
      )
    medians = _compare(calls, runs if height < 1000 else large_runs)
    plainly = medians["plain", "compress"] + medians["plain", "decompress"]
    for name in ("plain", *served):
      there, back = medians[name, "compress"], medians[name, "decompress"]
      clock, cpu = (there + back) / plainly
      print(
        f"{width}x{height}, {name}: {1e3 * there[0]:.0f} + {1e3 * back[0]:.0f}"
        f" = {1e3 * (there + back)[0]:.0f} ms, {clock:.2f}; CPU {cpu:.2f}",
        flush=True,
      )


_MEMORY_SCRIPT = r"""
import re, sys, time
import numpy as np
from tests.benchmarks import serving
from tests.export import model_server
path, height, width, quality = sys.argv[1:]
def peak():
  # Not getrusage, whose maximum is inherited from the parent.
  with open("/proc/self/status") as f:
    return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) / 1024
model = model_server.SessionModel(path)
small = serving._photograph(64, 64)[None]
data = model("compress_image", image=small, quality=[float(quality)])
model("decompress_image", compressed_bytes=data["compressed_bytes"])
idle = peak()
image = np.resize(serving._photograph(500, 500), (int(height), int(width), 3))
start = time.perf_counter()
data = model("compress_image", image=image[None], quality=[float(quality)])
middle, compressing = time.perf_counter(), peak()
model("decompress_image", compressed_bytes=data["compressed_bytes"])
end = time.perf_counter()
print(f"{width}x{height}: idle {idle:.0f} MiB, compressing {compressing:.0f},"
      f" both {peak():.0f}; {middle - start:.2f} s and {end - middle:.2f} s")
"""


def _memory(path: str, quality: float) -> None:
  print("peak resident memory of a process, and its first request")
  for height, width in MEMORY_SIZES:
    arguments = [path, str(height), str(width), str(quality)]
    subprocess.run(
      [sys.executable, "-c", _MEMORY_SCRIPT, *arguments], check=True
    )


def main() -> None:
  """Prints what was measured."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--model", default=None)
  parser.add_argument("--quality", type=float, default=5.0)
  parser.add_argument("--runs", type=int, default=7)
  parser.add_argument("--large_runs", type=int, default=3)
  parser.add_argument("--runtimes", nargs="+", default=["stock", "tfc"])
  arguments = parser.parse_args()
  model = model_directory.load(arguments.model)
  with tempfile.TemporaryDirectory() as directory:
    paths = {
      runtime: export_model.export(
        model,
        f"{directory}/{runtime}",
        runtime=runtime,
        max_pixels=PIXEL_LIMIT,
      )
      for runtime in arguments.runtimes
    }
    _benchmark(
      paths,
      model,
      arguments.quality,
      arguments.runs,
      arguments.large_runs,
    )
    _memory(paths["stock"], arguments.quality)


if __name__ == "__main__":
  main()
