"""The export against the library and the plain tfc model.

    python -m tests.benchmarks.serving [--model=DIR] [--large_runs=0]

All but the clients take and give image tensors; these send a PNG and a file
over gRPC and REST to a server in this process. Runs are interleaved, so that
whatever else the machine does slows all of them; medians are printed. A batch
holds images of all the qualities, and is compared with the same images one at a
time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

# TensorFlow is imported before the package that would set it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from bls2017 import codec as codec_lib  # noqa: E402
from bls2017.images import writing  # noqa: E402
from bls2017.model import model_directory  # noqa: E402
from export import client, export_model  # noqa: E402
from tests import images  # noqa: E402
from tests.benchmarks import plain_model  # noqa: E402
from tests.export import model_server  # noqa: E402

SIZES = ((512, 768), (3000, 4000))
BATCH = 8
PIXEL_LIMIT = 2**26
MEMORY_SIZES = ((512, 768), (1024, 1024), (2048, 2048))

Calls = dict[tuple[str, str], Callable[[], object]]


def _photograph(height: int, width: int) -> np.ndarray:
  if height * width < 2**20:
    return images.photograph(height, width)
  tile = images.photograph(500, 500)
  return np.tile(tile, (height // 500, width // 500, 1))


def _medians(calls: Calls, runs: int) -> dict[tuple[str, str], float]:
  """Median milliseconds of each call, interleaved."""
  taken: dict[tuple[str, str], list[float]] = {name: [] for name in calls}
  for run in range(runs + 1):
    for name, call in calls.items():
      start = time.perf_counter()
      call()
      if run:  # The first one compiles and allocates.
        taken[name].append(1e3 * (time.perf_counter() - start))
  return {name: float(np.median(times)) for name, times in taken.items()}


def _calls(
  served: model_server.SessionModel,
  codec: codec_lib.Codec,
  image: np.ndarray,
  quality: float,
) -> Calls:
  """Compressing and decompressing one image, in all ways."""
  plain, tensor = plain_model.PlainModel(codec.model, quality), image
  string, shape = plain.compress(tf.constant(tensor))
  data = codec.compress(image, quality)
  return {
    ("plain", "compress"): lambda: plain.compress(tf.constant(tensor)),
    ("plain", "decompress"): lambda: plain.decompress(string, shape),
    ("library", "compress"): lambda: codec.compress(image, quality),
    ("library", "decompress"): lambda: codec.decompress(data),
    ("export", "compress"): lambda: served(
      "compress_image", image=image[None], quality=[quality]
    ),
    ("export", "decompress"): lambda: served(
      "decompress_image", compressed_bytes=[data]
    ),
  }


def _compare(
  served: model_server.SessionModel,
  codec: codec_lib.Codec,
  qualities: list[float],
  runs: int,
  large_runs: int,
) -> None:
  print("| size | quality | model | compress, ms | decompress, ms |")
  print("|---|---|---|---|---|")
  for height, width in SIZES:
    image = _photograph(height, width)
    count = runs if height < 1000 else large_runs
    for quality in qualities if count else ():
      medians = _medians(_calls(served, codec, image, quality), count)
      for name in ("plain", "library", "export"):
        print(
          f"| {width}x{height} | {quality} | {name} |"
          f" {medians[name, 'compress']:.0f} |"
          f" {medians[name, 'decompress']:.0f} |",
          flush=True,
        )


def _batch(
  codec: codec_lib.Codec, qualities: list[float]
) -> tuple[np.ndarray, list[float], list[bytes]]:
  """Images of all the qualities, the quality of each, and their files."""
  chosen = [qualities[i % len(qualities)] for i in range(BATCH)]
  pixels = np.stack(
    [images.photograph(*SIZES[0], seed=i) for i in range(BATCH)]
  )
  return pixels, chosen, [codec.compress(x, q) for x, q in zip(pixels, chosen)]


def _compare_batches(
  served: model_server.SessionModel,
  codec: codec_lib.Codec,
  qualities: list[float],
  runs: int,
) -> None:
  """Batches of images against the same images one at a time."""
  pixels, chosen, data = _batch(codec, qualities)

  def there(step: int) -> None:
    for i in range(0, BATCH, step):
      part = slice(i, i + step)
      served("compress_image", image=pixels[part], quality=chosen[part])

  def back(step: int) -> None:
    for i in range(0, BATCH, step):
      served("decompress_image", compressed_bytes=data[i : i + step])

  calls: Calls = {}
  for step in (1, BATCH):
    calls["compress", str(step)] = lambda n=step: there(n)
    calls["decompress", str(step)] = lambda n=step: back(n)
  medians = _medians(calls, runs)
  print("| images at a time | compress, ms each | decompress, ms each |")
  print("|---|---|---|")
  for step in (1, BATCH):
    cells = [
      medians[way, str(step)] / BATCH for way in ("compress", "decompress")
    ]
    print(f"| {step} | {cells[0]:.0f} | {cells[1]:.0f} |", flush=True)


def _compare_transports(
  model: model_server.SessionModel,
  codec: codec_lib.Codec,
  qualities: list[float],
  runs: int,
) -> None:
  """What clients send, and how long they wait, for image files."""
  x = _photograph(*SIZES[0])
  megapixels = x.shape[0] * x.shape[1] / 1e6
  png = writing.encode(x, "PNG").data
  print(
    "| client | quality | PNG there, bytes a pixel | file back |"
    " compress, ms a megapixel | decompress |"
  )
  print("|---|---|---|---|---|---|")
  with (
    model_server.grpc_server(model) as grpc_address,
    model_server.rest_server(model) as rest_address,
    client.GrpcClient(grpc_address) as grpc,
    client.RestClient(rest_address) as rest,
  ):
    for quality in qualities:
      data = codec.compress(x, quality)
      calls: Calls = {}
      for name, sender in (("gRPC", grpc), ("REST", rest)):
        calls[name, "compress"] = lambda c=sender, q=quality: c.compress(png, q)
        calls[name, "decompress"] = lambda c=sender, d=data: c.decompress(d)
      medians = _medians(calls, runs)
      for name, growth in (("gRPC", 1.0), ("REST", 4 / 3)):  # JSON has base64.
        sizes = (growth * len(content) / 1e6 for content in (png, data))
        waits = (medians[name, step] for step in ("compress", "decompress"))
        cells = [f"{size / megapixels:.3f}" for size in sizes]
        cells += [f"{wait / megapixels:.0f}" for wait in waits]
        print(f"| {name} | {quality} | {' | '.join(cells)} |", flush=True)


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
  parser.add_argument("--qualities", type=float, nargs="+", default=[4, 7, 10])
  parser.add_argument("--runs", type=int, default=7)
  parser.add_argument("--large_runs", type=int, default=3)
  parser.add_argument("--nomemory", action="store_true")
  arguments = parser.parse_args()
  model = model_directory.load(arguments.model)
  with tempfile.TemporaryDirectory() as directory:
    path = export_model.export(model, directory, max_pixels=PIXEL_LIMIT)
    served = model_server.SessionModel(path)
    codec = codec_lib.Codec(model)
    qualities = arguments.qualities
    _compare_batches(served, codec, qualities, arguments.runs)
    _compare(served, codec, qualities, arguments.runs, arguments.large_runs)
    _compare_transports(served, codec, qualities, arguments.runs)
    if not arguments.nomemory:
      _memory(path, qualities[len(qualities) // 2])


if __name__ == "__main__":
  main()
