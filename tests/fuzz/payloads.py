"""Holds all decoders to one verdict and equal symbols on hostile files.

    python -m tests.fuzz.payloads --decoders=library,reference --streams=1000000
    python -m tests.fuzz.payloads --damage

A worker process decodes files of a small model (`forger`) with each of the
decoders of tests/decoders.py, under a cap on its memory; a watchdog ends it
when a file takes too long. A stream is the content of one lane. `--damage`
tries every truncation, flipped bit and more of the golden files instead.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import faulthandler
import multiprocessing
import resource
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bls2017.model import model_directory
from tests import decoders
from tests.fuzz import container, forger

MAX_PIXELS = 1 << 22
HANG_SECONDS = 300.0

MEMORY = 1 << 30
"""Bytes that a worker may take beside what it has after its first files."""


class Tally(NamedTuple):
  """The results of a run.

  Attributes:
    files: Files that were decoded.
    sound: Those that all decoders accept.
    slowest: Most seconds of the processor that a file took the first decoder.
  """

  files: int
  sound: int
  slowest: float


def agreed(outcomes: Sequence[decoders.Outcome]) -> bool:
  """Tells whether decoders end a file alike, in all that they tell."""
  symbols = [o.symbols for o in outcomes if o.symbols is not None]
  pixels = [o.pixels.astype(int) for o in outcomes if o.pixels is not None]
  return (
    len({o.error for o in outcomes}) == 1
    and all(np.array_equal(symbols[0], other) for other in symbols)
    and all(other.shape == pixels[0].shape for other in pixels)
    and all(np.abs(pixels[0] - other).max() <= 1 for other in pixels)
  )


def compare(
  compared: Sequence[decoders.Decoder], files: Iterable[bytes]
) -> Tally:
  """Decodes files with all decoders.

  Raises:
    AssertionError: if decoders do not agree; with the file in hexadecimal.
  """
  count, sound, slowest = 0, 0, 0.0
  for data in files:
    started = time.process_time()
    outcomes = [compared[0](data)]
    slowest = max(slowest, time.process_time() - started)
    outcomes += [decode(data) for decode in compared[1:]]
    assert agreed(outcomes), f"{[o.error for o in outcomes]}: {data.hex()}"
    count += 1
    sound += not outcomes[0].error
  return Tally(count, sound, slowest)


def check_damage(data: bytes, share: int = 1) -> Tally:
  """Damages a file of the golden model in every place.

  Args:
    data: The file.
    share: Make each so manyth readable again, and decode it.

  Returns:
    The tally of the readable ones.

  Raises:
    AssertionError: if one is not refused as it is, or decoders do not agree.
  """
  model = model_directory.load(str(forger.GOLDEN / "model"))
  makers = decoders.library, decoders.reference
  # The reference would take long for images of many pixels.
  compared = [make(model, 1 << 16) for make in makers]
  files = sum(forger.damaged(data).values(), [])
  assert not compare(compared, files).sound
  return compare(compared, map(container.readable, files[::share]))


def work(
  makers: Sequence[decoders.Maker],
  seed: int,
  streams: int,
  hang_seconds: float = HANG_SECONDS,
) -> Tally:
  """Compares decoders in this process, which ends if a file takes too long.

  Args:
    makers: Of the decoders.
    seed: Of the files.
    streams: How many to decode.
    hang_seconds: How long a file may take, by the clock.
  """
  model = forger.model()
  compared = [make(model, MAX_PIXELS) for make in makers]

  def run(seed: int, streams: int) -> Tally:
    def watched() -> Iterable[bytes]:
      for data in forger.hostile_files(model, seed, streams):
        faulthandler.dump_traceback_later(hang_seconds, exit=True)
        yield data
      faulthandler.cancel_dump_traceback_later()

    return compare(compared, watched())

  run(0, 300)  # The first files of each size need time and memory.
  with open("/proc/self/statm", encoding="ascii") as f:
    most = int(f.read().split()[0]) * resource.getpagesize() + MEMORY
  resource.setrlimit(resource.RLIMIT_AS, (most, most))
  return run(seed, streams)


def watch(*arguments: object) -> Tally:
  """Runs `work` in a process of its own.

  Raises:
    concurrent.futures.process.BrokenProcessPool: if it crashes or hangs, after
      it has written to standard error where.
  """
  with concurrent.futures.ProcessPoolExecutor(
    1, multiprocessing.get_context("spawn")
  ) as pool:
    return pool.submit(work, *arguments).result()


def main() -> None:
  """Prints the results of a run."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--decoders", default=",".join(decoders.DECODERS))
  parser.add_argument("--streams", type=int, default=1_000_000)
  parser.add_argument("--seed", type=int, default=1)
  parser.add_argument("--damage", action="store_true")
  arguments = parser.parse_args()
  if arguments.damage:
    for path in sorted(forger.GOLDEN.glob("*.bls")):
      print(path.name, check_damage(path.read_bytes()), flush=True)
    return
  makers = [decoders.DECODERS[name] for name in arguments.decoders.split(",")]
  print(watch(makers, arguments.seed, arguments.streams))


if __name__ == "__main__":
  main()
