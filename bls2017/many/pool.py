"""Works on many files at once, with all cores.

Each thread takes one file at a time, so that one file is read or written while
another is transformed. All threads share one codec and TensorFlow's threads.
Most of a file's time passes in TensorFlow, NumPy and Pillow, which let other
threads run; processes were no faster, took twice the memory and had to be
started (BUILD_NOTES.md).

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

from bls2017 import errors, files
from bls2017.images import image_io

_log = logging.getLogger(__name__)

Job = tuple[str, str]
"""Paths of an input and its output."""


@dataclasses.dataclass(frozen=True)
class Coded:
  """The result of working on one file.

  Attributes:
    data: Bytes of the output.
    pixels: Number of the image's pixels.
    compressed_bytes: Length of the compressed file, which is the output or the
      input.
    note: What else there is to say of the file; may be empty.
  """

  data: bytes
  pixels: int
  compressed_bytes: int
  note: str = ""


class Work(Protocol):
  """What is done with each file; several threads may call it at once."""

  def code(self, source: image_io.Source) -> Coded:
    """Compresses or decompresses a file.

    Args:
      source: Path or bytes of the input.

    Raises:
      errors.CodecError: if the input cannot be read or coded.
    """

  def mismatch(self, source: image_io.Source, existing: bytes) -> str:
    """Whether an output that exists is what `code` would make.

    Args:
      source: Path or bytes of the input.
      existing: Bytes of the output.

    Returns:
      "" if it is; otherwise what is wrong with the output, as the end of a
      sentence that begins with its name.

    Raises:
      errors.CodecError: if the input cannot be read.
    """


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a job.

  Attributes:
    source: Path of the input.
    output: Path of the output.
    coded: The result, without its data; None if the file was skipped or failed.
    error: Why the file failed; the message names the input.
  """

  source: str
  output: str
  coded: Coded | None = None
  error: errors.CodecError | None = None


@dataclasses.dataclass
class Summary:
  """What a run did.

  Attributes:
    done: Number of files coded.
    skipped: Number of files that an earlier run had coded.
    failures: Outcomes of the other files, by their number among the jobs.
    pixels: Sum over the files coded.
    compressed_bytes: Sum over the files coded, of the compressed side.
    seconds: Time the run took, by the clock.
  """

  done: int = 0
  skipped: int = 0
  failures: dict[int, Outcome] = dataclasses.field(default_factory=dict)
  pixels: int = 0
  compressed_bytes: int = 0
  seconds: float = 0.0

  @property
  def files(self) -> int:
    """The number of all jobs."""
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

  def add(self, number: int, outcome: Outcome) -> None:
    """Counts what became of the job of this number."""
    if outcome.error:
      self.failures[number] = outcome
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
  on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> Summary:
  """Does the work for every file.

  Args:
    jobs: Inputs and outputs; directories of outputs are made.
    work: What is done with each file.
    overwrite: Whether files are done again whose output exists.
    workers: Number of files worked on at the same time; by default one more
      than there are cores.
    on_outcome: Called in this thread after each file, in the order in which
      they finish.

  Returns:
    What was done.

  Raises:
    KeyboardInterrupt: after the files at work were finished, or, at a second
      interrupt, given up. No output is left in part either way.
  """
  started = time.perf_counter()
  summary = Summary()
  # One thread is usually waiting for the disk or for another's lock.
  crew = _Crew(jobs, work, overwrite, workers or usable_cores() + 1)
  with crew.at_work():
    for number, outcome in crew.outcomes():
      summary.add(number, outcome)
      on_outcome(outcome)
  summary.seconds = time.perf_counter() - started
  return summary


def usable_cores() -> int:
  """The cores this process may run on, where the system tells."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def naming(source: str, error: errors.CodecError) -> errors.CodecError:
  """The error with the name of the input, which the codec does not know."""
  if source in str(error):
    return error
  return type(error)(f"{source}: {error}")


@contextlib.contextmanager
def codec_errors_only() -> Iterator[None]:
  """Raises anything else, such as too little memory, as errors.CodecError."""
  try:
    yield
  except errors.CodecError:
    raise
  except Exception as e:
    reason = " ".join(f"{type(e).__name__}: {e}".split())
    raise errors.CodecError(reason) from e


def check_done(
  work: Work,
  source: image_io.Source,
  existing: bytes,
  output: str,
  is_older: bool,
) -> None:
  """Refuses an output that is not what the work would make of its input.

  Args:
    work: What is done with each file.
    source: Path or bytes of the input.
    existing: Bytes of the output.
    output: Path of the output.
    is_older: Whether the input was changed after the output was written.

  Raises:
    errors.OutputExistsError: if the output is of another kind, or older.
    errors.CodecError: if the input cannot be read.
  """
  fault = work.mismatch(source, existing)
  if not fault and is_older:
    fault = "is older than its input"
  if fault:
    raise errors.OutputExistsError(f"{output} {fault}")


class _Crew:
  """Threads that take one job after the other."""

  def __init__(
    self, jobs: Sequence[Job], work: Work, overwrite: bool, workers: int
  ):
    self._jobs = jobs
    self._work = work
    self._overwrite = overwrite
    self._todo: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
    for numbered_job in enumerate(jobs):
      self._todo.put(numbered_job)
    self._outcomes: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
    # A thread writes while it holds a permit; taking all permits makes sure
    # that no thread writes any more.
    self._permits = workers
    self._writing = threading.Semaphore(workers)
    self._stop = threading.Event()
    self._threads = [
      threading.Thread(target=self._take_jobs, daemon=True)
      for _ in range(min(workers, len(jobs)))
    ]

  def outcomes(self) -> Iterator[tuple[int, Outcome]]:
    """Numbers and outcomes of all jobs, as they finish."""
    for _ in self._jobs:
      yield self._outcomes.get()

  @contextlib.contextmanager
  def at_work(self) -> Iterator[None]:
    """Starts the threads; on leaving, waits until none of them writes."""
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
        number, job = self._todo.get_nowait()
      except queue.Empty:
        return
      self._outcomes.put((number, self._do(*job)))

  def _do(self, source: str, output: str) -> Outcome:
    try:
      with codec_errors_only():
        return Outcome(source, output, self._coded(source, output))
    except errors.CodecError as e:
      return Outcome(source, output, error=naming(source, e))

  def _coded(self, source: str, output: str) -> Coded | None:
    """The result without its data; None where it is there already."""
    if os.path.lexists(output) and not self._overwrite:
      is_older = os.path.getmtime(source) > os.path.getmtime(output)
      check_done(self._work, source, files.read(output), output, is_older)
      return None
    files.make_directory(os.path.dirname(output) or os.curdir)
    coded = self._work.code(source)
    with self._writing:
      files.write(output, coded.data, self._overwrite)
    return dataclasses.replace(coded, data=b"")
