"""What is measured in a process of its own: memory, many files, large images.

    python -m bls2017.evaluation.benchmark.probes NAME ARGUMENTS(JSON)

prints what the function NAME of this module returns, as JSON.
"""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.bulk import bulk_coding, worker_threads
from bls2017.evaluation import image_codecs
from bls2017.evaluation.benchmark import contenders, photograph, timing
from bls2017.images import image_io
from bls2017.model import model_directory

_MEGA = 1e6
_PICTURES = 10
_PARTS, _TURNS = 5, 6


def call(probe: str, /, **arguments: Any) -> dict[str, float]:
  """Calls a function of this module in a new process.

  Raises:
    errors.CodecError: if the process fails.
  """
  done = subprocess.run(
    [sys.executable, "-m", __name__, probe, json.dumps(arguments)],
    stdout=subprocess.PIPE,
    check=False,
  )
  if done.returncode:
    raise errors.CodecError(f"the probe '{probe}' ended with {done.returncode}")
  return json.loads(done.stdout)


def peak_memory(
  name: str,
  model: str | None,
  quality: float,
  height: int,
  width: int,
) -> dict[str, float]:
  """Peak memory of a codec that compresses and decompresses one image.

  Args:
    name: One of `contenders.available`.
    model: As for `Codec.load`.
    quality: On the codec's scale.
    height: Pixels.
    width: Pixels.

  Returns:
    "compress" and "decompress": MiB of the whole process. "seconds_compress"
    and "seconds_decompress".
  """
  codec = contenders.make(name, model)
  x = photograph.tiled(height, width)
  started = time.perf_counter()
  data = codec.encode(x, quality).data
  between, compressing = time.perf_counter(), timing.peak_mib()
  codec.decode(data)
  ended = time.perf_counter()
  return {
    "compress": compressing,
    "decompress": timing.peak_mib(),
    "seconds_compress": between - started,
    "seconds_decompress": ended - between,
  }


def large(
  model: str | None, quality: float, small: list[int], side: int
) -> dict[str, float]:
  """A large image, beside one of usual size in the same process.

  Args:
    model: As for `Codec.load`.
    quality: Of both files.
    small: Height and width of the usual size.
    side: Pixels of the large one's sides.

  Returns:
    Seconds a megapixel of both, compressing and decompressing, and the peak
    memory of the process in MiB.
  """
  codec = contenders.make(image_codecs.Learned.name, model)
  measured = {}
  for size, (height, width), rounds in (
    ("small", small, 3),
    ("large", (side, side), 1),
  ):
    x = photograph.tiled(height, width)
    compressing, coded = _timed(
      lambda image: codec.encode(image, quality), x, rounds
    )
    del x  # Whoever decompresses does not have it.
    decompressing, _ = _timed(codec.decode, coded.data, rounds)
    megapixels = height * width / _MEGA
    measured[f"{size}_compress"] = compressing / megapixels
    measured[f"{size}_decompress"] = decompressing / megapixels
  return {**measured, "peak_mib": timing.peak_mib()}


def _timed(
  step: Callable[[Any], Any], argument: Any, rounds: int
) -> tuple[float, Any]:
  """Median seconds of a step, and its last result."""
  times = []
  for _ in range(rounds):
    result = None  # One result at a time.
    started = time.perf_counter()
    result = step(argument)
    times.append(time.perf_counter() - started)
  return float(np.median(times)), result


def many_files(
  model: str | None, quality: float, images: int, height: int, width: int
) -> dict[str, float]:
  """Many files, beside one image's transforms on one core.

  Args:
    model: As for `Codec.load`.
    quality: Of the files.
    images: How many.
    height: Pixels of each.
    width: Pixels of each.

  Returns:
    For each direction the megapixels a second of the files, of the transform
    alone on one core, and of the transform on every core at the same time;
    the number of cores.
  """
  cores = worker_threads.usable_cores()
  frozen = model_directory.load(model)
  codec = codec_lib.Codec(frozen)
  alone = timing.transforms(frozen, quality, height, width)
  works: dict[str, worker_threads.Work] = {
    "compress": bulk_coding.Compression(codec, quality),
    "decompress": bulk_coding.Decompression(codec),
  }
  measured: dict[str, float] = {"cores": cores}
  with tempfile.TemporaryDirectory() as folder:
    names = [os.path.join(folder, f"{i}") for i in range(images)]
    pictures = [
      image_io.encode(photograph.photograph(height, width, seed), "JPEG")
      for seed in range(min(images, _PICTURES))
    ]
    for name, picture in zip(names, itertools.cycle(pictures)):
      with open(f"{name}.jpg", "wb") as f:
        f.write(picture)
    jobs = {
      "compress": [(f"{n}.jpg", f"{n}.bls") for n in names],
      "decompress": [(f"{n}.bls", f"{n}.png") for n in names],
    }
    for step, transform in (
      ("compress", "analysis"),
      ("decompress", "synthesis"),
    ):
      # The first file prepares graphs and tables.
      worker_threads.run(jobs[step][:1], works[step], workers=1)
      speeds = _beside_transform(jobs[step], works[step], alone[transform])
      megapixels = height * width / _MEGA
      for name, images_per_second in zip(
        (step, f"{transform}_one_core", f"{transform}_all_cores"), speeds
      ):
        measured[name] = megapixels * images_per_second
  return measured


def _beside_transform(
  jobs: list[worker_threads.Job],
  work: worker_threads.Work,
  transform: Callable[[], Any],
) -> tuple[float, float, float]:
  """Images a second: files, a transform alone, and one on each core.

  They take turns, a part of the files after the other.
  """
  cores = worker_threads.usable_cores()
  length = -(-len(jobs) // _PARTS)
  parts = [jobs[i : i + length] for i in range(0, len(jobs), length)]
  clock = time.perf_counter
  spent = np.zeros(3)
  with concurrent.futures.ThreadPoolExecutor(cores) as threads:
    transform()
    for part in parts:
      times = [clock()]
      worker_threads.run(part, work, overwrite=True)
      times.append(clock())
      with timing.one_core():
        for _ in range(_TURNS):
          transform()
      times.append(clock())
      turns = [threads.submit(transform) for _ in range(_TURNS * cores)]
      concurrent.futures.wait(turns)
      times.append(clock())
      spent += np.diff(times)
  turns_taken = _TURNS * len(parts)
  files, alone, together = spent
  return len(jobs) / files, turns_taken / alone, turns_taken * cores / together


def cold_start(model: str | None, rounds: int) -> dict[str, float]:
  """Seconds of whole processes that take turns, cold each time.

  Returns:
    "compress" of a 128x128 image, "decompress" of it, and "import", of
    TensorFlow alone.
  """
  with tempfile.TemporaryDirectory() as folder:
    image, small = os.path.join(folder, "x.png"), os.path.join(folder, "x.bls")
    back = os.path.join(folder, "back.png")
    image_io.write(photograph.photograph(128, 128), image)
    command = [sys.executable, "-m", "bls2017.commands.main"]
    flags = ["--overwrite", *([f"--model={model}"] if model else [])]
    run = functools.partial(subprocess.run, check=True, capture_output=True)
    return timing.interleaved(
      {
        "import": lambda: run([sys.executable, "-c", "import tensorflow"]),
        "compress": lambda: run([*command, "compress", image, small, *flags]),
        "decompress": lambda: run(
          [*command, "decompress", small, back, *flags]
        ),
      },
      rounds,
    )


if __name__ == "__main__":
  print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
