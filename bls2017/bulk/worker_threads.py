"""Works on many files at once, with all cores.

Threads take one file each, so that one is read or written while another is
transformed, and share one codec and TensorFlow's own threads. Most of a file's
time passes in TensorFlow, NumPy and Pillow, which let other threads run;
processes were no faster, took twice the memory and had to be started
(BUILD_NOTES.md).

A file that fails does not stop the others. One that was done by an earlier run
is skipped. Outputs appear whole or not at all, also when the run is cut short.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Callable, Protocol

from bls2017 import errors
from bls2017.common import files
from bls2017.images import image_io

_log = logging.getLogger(__name__)

Job = tuple[str, str]
"""Paths of an input and its output."""

OLDER = "is older than its input"
"""What is wrong with an output whose input was changed afterwards."""


@dataclasses.dataclass(frozen=True)
class Coded:
  """What a file became.

  Attributes:
    data: Bytes of the output.
    pixels: Of the image.
    compressed_bytes: Of the compressed file, whichever way it went.
    note: What else there is to say of it.
  """

  data: bytes
  pixels: int
  compressed_bytes: int
  note: str = ""


class Work(Protocol):
  """What is done with each file, by several threads at once."""

  def code(self, source: image_io.Source) -> Coded:
    """Compresses or decompresses a file.

    Args:
      source: Its path or its bytes.

    Raises:
      errors.CodecError: if it cannot.
    """

  def mismatch(self, source: image_io.Source, existing: bytes) -> str:
    """Whether an output that exists is what `code` would make.

    Args:
      source: Path or bytes of the input.
      existing: Bytes of the output.

    Returns:
      "" if it is, otherwise what is wrong with it, to stand after its name.

    Raises:
      errors.CodecError: if the input cannot be read.
    """


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a job.

  Attributes:
    source: The input.
    output: The output.
    coded: The result, without its data; None if it was skipped or failed.
    error: Why it failed, its message beginning with or naming the input.
  """

  source: str
  output: str
  coded: Coded | None = None
  error: errors.CodecError | None = None


@dataclasses.dataclass
class Summary:
  """What a run did.

  Attributes:
    done: Files coded.
    skipped: Files that an earlier run had coded.
    failures: Outcomes of the others, by their place among the jobs.
    pixels: Of the files coded.
    compressed_bytes: Of their compressed form.
    seconds: By the clock.
  """

  done: int = 0
  skipped: int = 0
  failures: dict[int, Outcome] = dataclasses.field(default_factory=dict)
  pixels: int = 0
  compressed_bytes: int = 0
  seconds: float = 0.0

  @property
  def files(self) -> int:
    """All that were worked on."""
    return self.done + self.skipped + len(self.failures)

  @property
  def bpp(self) -> float:
    """Bits per pixel of all files coded."""
    return 8 * self.compressed_bytes / max(self.pixels, 1)

  @property
  def megapixels_per_second(self) -> float:
    """Megapixels coded in a second."""
    return self.pixels / 1e6 / max(self.seconds, 1e-9)

  @property
  def exit_code(self) -> int:
    """0, or that of the first input that failed."""
    error = self.failures[min(self.failures)].error if self.failures else None
    return error.exit_code if error else 0

  def add(self, place: int, outcome: Outcome) -> None:
    """Counts what became of a job."""
    if outcome.error:
      self.failures[place] = outcome
    elif outcome.coded:
      self.done += 1
      self.pixels += outcome.coded.pixels
      self.compressed_bytes += outcome.coded.compressed_bytes
    else:
      self.skipped += 1

  def __str__(self) -> str:
    parts = [f"{self.done} of {self.files} files coded"]
    if self.done:
      parts += [
        f"{self.pixels / 1e6:.1f} megapixels",
        f"{self.compressed_bytes} bytes",
        f"{self.bpp:.4f} bpp",
        f"{self.megapixels_per_second:.2f} MP/s",
      ]
    if self.skipped:
      parts.append(f"{self.skipped} skipped (done before)")
    if self.failures:
      parts.append(f"{len(self.failures)} failed")
    return ", ".join(parts)


def run(
  jobs: Sequence[Job],
  work: Work,
  overwrite: bool = False,
  workers: int | None = None,
  observer: Callable[[Outcome], None] = lambda outcome: None,
) -> Summary:
  """Does the work for every file.

  Args:
    jobs: Inputs and outputs; directories of outputs are made.
    work: What is done with each.
    overwrite: Whether files are done again whose output exists.
    workers: Files worked on at the same time; by default one more than cores.
    observer: Is told of every file, in the order in which they finish.

  Returns:
    What was done.

  Raises:
    KeyboardInterrupt: after the files at work were finished, or were given up
      at a second interrupt. Either way none is left in part.
  """
  started = time.perf_counter()
  summary = Summary()
  # One more than cores: one waits for the disk or for another's lock.
  crew = _Crew(jobs, work, overwrite, workers or usable_cores() + 1)
  with crew.at_work():
    for place, outcome in crew.outcomes():
      summary.add(place, outcome)
      observer(outcome)
  summary.seconds = time.perf_counter() - started
  return summary


def usable_cores() -> int:
  """The cores this process may run on, where the system tells."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


class _Crew:
  """Threads that take one job after the other."""

  def __init__(
    self, jobs: Sequence[Job], work: Work, overwrite: bool, workers: int
  ):
    self._jobs = jobs
    self._work = work
    self._overwrite = overwrite
    self._todo: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
    for item in enumerate(jobs):
      self._todo.put(item)
    self._outcomes: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
    # Whoever holds all permits is sure that nobody writes.
    self._permits = workers
    self._writing = threading.Semaphore(workers)
    self._stop = threading.Event()
    self._threads = [
      threading.Thread(target=self._take_jobs, daemon=True)
      for _ in range(min(workers, len(jobs)))
    ]

  def outcomes(self) -> Iterator[tuple[int, Outcome]]:
    """Places and outcomes of all jobs, as they finish."""
    for _ in self._jobs:
      yield self._outcomes.get()

  @contextlib.contextmanager
  def at_work(self) -> Iterator[None]:
    """Starts the threads; whatever happens, none of them writes afterwards."""
    try:
      for thread in self._threads:
        thread.start()
      yield
    except KeyboardInterrupt:
      _log.warning("finishing the files at work; Ctrl-C again to give them up")
      raise
    finally:
      self._stop.set()
      try:
        for thread in self._threads:
          thread.join()
      except KeyboardInterrupt:
        for _ in range(self._permits):
          self._writing.acquire()
        raise

  def _take_jobs(self) -> None:
    while not self._stop.is_set():
      try:
        place, job = self._todo.get_nowait()
      except queue.Empty:
        return
      self._outcomes.put((place, self._do(*job)))

  def _do(self, source: str, output: str) -> Outcome:
    try:
      if os.path.lexists(output) and not self._overwrite:
        _check_done(self._work, source, output)
        return Outcome(source, output)
      files.make_directory(os.path.dirname(output) or os.curdir)
      coded = self._work.code(source)
      with self._writing:
        files.write(output, coded.data, self._overwrite)
      return Outcome(source, output, dataclasses.replace(coded, data=b""))
    except errors.CodecError as e:
      return Outcome(source, output, error=_naming(source, e))
    except Exception as e:  # Too little memory, or a fault of a library.
      reason = " ".join(f"{type(e).__name__}: {e}".split())
      return Outcome(source, output, error=errors.CodecError(
        f"{source}: {reason}"
      ))  # fmt: skip


def _check_done(work: Work, source: str, output: str) -> None:
  """Refuses an output that is not what the work would make of the input."""
  wrong = work.mismatch(source, files.read(output))
  if not wrong and os.path.getmtime(source) > os.path.getmtime(output):
    wrong = OLDER
  if wrong:
    raise errors.OutputError(f"{output} {wrong}; use --overwrite to replace it")


def _naming(source: str, error: errors.CodecError) -> errors.CodecError:
  """The error with the input's name, which those of the codec do not know."""
  message = str(error)
  return error if source in message else type(error)(f"{source}: {message}")
