"""Speed and memory of this codec beside the plain tfc model and Pillow.

    python -m tests.benchmarks.speed [--qualities=1,6,12] [--model=DIR]

Prints a table for a 768x512 picture: bits per pixel, medians of compressing and
decompressing, and peak memory of a process that does both. Codecs take turns,
so that whatever else the machine does meets all of them. Pillow's codecs have
their default speed and about the rate of this codec; all may use every core. A
second table has the commands as whole processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Callable, NamedTuple, TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import bls2017  # noqa: E402
from bls2017.evaluation import image_codecs  # noqa: E402
from tests import images  # noqa: E402

HEIGHT, WIDTH = 512, 768
RIVALS = ("jpeg", "jpeg2000", "webp", "avif")

_Name = TypeVar("_Name")


class Contender(NamedTuple):
  """A codec at one quality: both directions, and a name."""

  name: str
  compress: Callable[[], bytes]
  decompress: Callable[[bytes], np.ndarray]


def interleaved(
  calls: Mapping[_Name, Callable[[], object]], rounds: int
) -> dict[_Name, float]:
  """Median seconds of each call; they take turns after one round of warm-up."""
  taken: dict[_Name, list[float]] = {name: [] for name in calls}
  for i in range(1 + rounds):
    for name, call in calls.items():
      started = time.perf_counter()
      call()
      if i:
        taken[name].append(time.perf_counter() - started)
  return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def rival(name: str) -> image_codecs.ImageCodec:
  """One of `RIVALS` at its default speed."""
  codec = image_codecs.REGISTRY[name]
  # JPEG 2000 has no speed, and needs to be told that its quality is a rate.
  return (
    codec if name == "jpeg2000" else dataclasses.replace(codec, settings={})
  )


def rival_qualities(x: np.ndarray, size: int) -> dict[str, float]:
  """The qualities at which the rivals' files of a picture have a size."""
  found = {}
  for name in RIVALS:
    if name in image_codecs.REGISTRY:
      codec = rival(name)
      found[name] = image_codecs.search_quality(
        codec, lambda q, codec=codec: len(codec.encode(x, q).data), size
      )
  return found


def contender(
  name: str, model: str | None, quality: float, x: np.ndarray
) -> Contender:
  """One codec.

  Args:
    name: "bls2017", "plain" (the same network as tfc's example has it) or one
      of `RIVALS`.
    model: As for `Codec.load`.
    quality: On the codec's scale.
    x: The picture, uint8 [H, W, 3].
  """
  if name in RIVALS:
    codec = rival(name)
    return Contender(
      codec.label, lambda: codec.encode(x, quality).data, codec.decode
    )
  own = bls2017.Codec.load(model)
  if name == "bls2017":
    return Contender(
      f"bls2017, quality {quality:g}",
      lambda: own.compress(x, quality),
      own.decompress,
    )
  import tensorflow as tf

  from tests.benchmarks import plain_model

  plain = plain_model.PlainModel(own.model, quality)
  shape = plain.compress(tf.constant(x))[1]
  return Contender(
    "plain tfc model",
    lambda: plain.compress(tf.constant(x))[0].numpy()[0],
    lambda data: plain.decompress(tf.constant([data]), shape).numpy(),
  )


def table(
  model: str | None, quality: float, x: np.ndarray, rounds: int
) -> list[tuple[str, str, float, float, float, float]]:
  """Measures all codecs at the rate that this codec has at a quality.

  Returns:
    For each codec its short name, its label, its quality, bits per pixel, and
    median seconds of compressing and decompressing.
  """
  size = len(bls2017.Codec.load(model).compress(x, quality))
  qualities = {"bls2017": quality, "plain": quality, **rival_qualities(x, size)}
  calls: dict[tuple[str, str], Callable[[], object]] = {}
  about = {}
  for name, own_quality in qualities.items():
    label, compress, decompress = contender(name, model, own_quality, x)
    data = compress()
    about[name] = label, own_quality, 8 * len(data) / (x.shape[0] * x.shape[1])
    calls[name, "compress"] = compress
    calls[name, "decompress"] = functools.partial(decompress, data)
  seconds = interleaved(calls, rounds)
  return [
    (name, *about[name], seconds[name, "compress"], seconds[name, "decompress"])
    for name in about
  ]


def peak_mib(name: str, model: str | None, quality: float) -> float:
  """Peak memory of a new process that codes the picture with one codec."""
  probe = json.dumps([name, model, quality])
  command = [sys.executable, "-m", "tests.benchmarks.speed", "--probe", probe]
  return float(subprocess.check_output(command))


def _probe(name: str, model: str | None, quality: float) -> float:
  """Codes the picture once, and reads the peak memory of this process."""
  chosen = contender(name, model, quality, images.photograph(HEIGHT, WIDTH))
  chosen.decompress(chosen.compress())
  with open("/proc/self/status", encoding="utf-8") as f:
    peak = re.search(r"VmHWM:\s+(\d+)", f.read())
  assert peak is not None
  return int(peak[1]) / 1024


def cold_starts(model: str | None, rounds: int) -> dict[str, float]:
  """Median seconds of the commands as whole processes, and of an import."""
  with tempfile.TemporaryDirectory() as folder:
    picture, small, back = (
      os.path.join(folder, name) for name in ("x.png", "x.bls", "back.png")
    )
    Image.fromarray(images.photograph(HEIGHT, WIDTH)).save(picture)
    command = [sys.executable, "-m", "bls2017.commands.main"]
    flags = ["--overwrite", *([f"--model={model}"] if model else [])]
    run = functools.partial(subprocess.run, check=True, capture_output=True)
    calls = {
      "import tensorflow": [sys.executable, "-c", "import tensorflow"],
      "bls2017 compress": [*command, "compress", picture, small, *flags],
      "bls2017 decompress": [*command, "decompress", small, back, *flags],
    }
    return interleaved(
      {name: functools.partial(run, call) for name, call in calls.items()},
      rounds,
    )


def main() -> None:
  """Prints both tables."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
  parser.add_argument("--qualities", default="1,6,12")
  parser.add_argument("--model")
  parser.add_argument("--rounds", type=int, default=9)
  parser.add_argument("--probe", help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.probe:
    print(_probe(*json.loads(flags.probe)))
    return
  print("| command, 768x512, cold | s |\n|---|---|")
  for name, seconds in cold_starts(flags.model, flags.rounds).items():
    print(f"| {name} | {seconds:.2f} |")
  print(
    "\n| codec, 768x512 | bpp | compress, ms | decompress, ms | peak, MiB |"
  )
  print("|---|---|---|---|---|")
  x = images.photograph(HEIGHT, WIDTH)
  for quality in map(float, flags.qualities.split(",")):
    rows = table(flags.model, quality, x, flags.rounds)
    for name, label, own_quality, bpp, *seconds in rows:
      compress, decompress = (f"{1000 * s:.1f}" for s in seconds)
      peak = peak_mib(name, flags.model, own_quality)
      print(f"| {label} | {bpp:.3f} | {compress} | {decompress} | {peak:.0f} |")


if __name__ == "__main__":
  main()
