"""Works on several files at a time, with all cores.

Each thread takes one file at a time, and all share one codec. Most of a file's
time passes in LiteRT, NumPy and Pillow, which let other threads run; processes
were no faster, took twice the memory and had to be started (BUILD_NOTES.md).

A file that fails does not stop the others. One that was done by an earlier run
is skipped. Outputs appear whole or not at all, also when the run is cut short.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent import futures
from typing import Callable, NamedTuple

from bls2017 import errors, files
from bls2017.common import cores
from bls2017.many import inputs
from bls2017.many import work as work_lib


class Outcome(NamedTuple):
  """The end of the work on a file.

  Attributes:
    source: Path of the input.
    coded: The result, without its data; None if the file was skipped or failed.
    error: Why the file failed; the message names the input.
  """

  source: str
  coded: work_lib.Coded | None = None
  error: errors.CodecError | None = None


@dataclasses.dataclass
class Totals:
  """The sums of a run.

  Attributes:
    done: Files coded.
    skipped: Files that an earlier run had coded.
    failed: Files that failed.
    left_out: Images of kinds that Pillow does not read, by their ending.
    exit_code: 0, or that of the first input that failed or was left out.
    pixels: Sum over the files coded.
    compressed_bytes: Sum over the files coded, of the compressed side.
    seconds: Time the run took, by the clock.
  """

  done: int = 0
  skipped: int = 0
  failed: int = 0
  left_out: collections.Counter[str] = dataclasses.field(
    default_factory=collections.Counter
  )
  exit_code: int = 0
  pixels: int = 0
  compressed_bytes: int = 0
  seconds: float = 0.0

  def add(self, outcome: Outcome) -> None:
    """Counts an outcome; leaves `exit_code` and `seconds` alone."""
    if isinstance(outcome.error, inputs.UnreadKindError):
      self.left_out[os.path.splitext(outcome.source)[1].lower()] += 1
    elif outcome.error:
      self.failed += 1
    elif outcome.coded:
      self.done += 1
      self.pixels += outcome.coded.pixels
      self.compressed_bytes += outcome.coded.compressed_bytes
    else:
      self.skipped += 1

  def __str__(self) -> str:
    count = self.done + self.skipped + self.failed
    parts = [f"{self.done} of {count} files coded"]
    if self.done:
      parts += [
        f"{self.pixels / 1e6:.1f} megapixels",
        f"{self.compressed_bytes} bytes",
        f"{8 * self.compressed_bytes / self.pixels:.4f} bpp",
        f"{self.pixels / 1e6 / max(self.seconds, 1e-9):.2f} MP/s",
      ]
    if self.skipped:
      parts.append(f"{self.skipped} skipped (done before)")
    if self.failed:
      parts.append(f"{self.failed} failed")
    return ", ".join(parts)


def run(
  jobs: Iterable[inputs.Job],
  work: work_lib.Work,
  overwrite: bool = False,
  workers: int | None = None,
  progress: Callable[[Outcome], bool | None] = lambda outcome: None,
) -> Totals:
  """Does the work for every file.

  Args:
    jobs: Taken one by one; directories of outputs are made.
    work: What is done with each file.
    overwrite: True to do files again whose output exists.
    workers: Number of files worked on at the same time; by default the number
      of usable cores.
    progress: Called in this thread after each file, in the order in which they
      finish. If it returns True, no more files are begun.

  Returns:
    What was done.
  """
  started = time.perf_counter()
  summary, stopped = Totals(), False
  first_failure = -1
  numbered = enumerate(jobs)
  workers = workers or cores.usable_cores()
  at_work: dict[futures.Future[Outcome], int] = {}
  # At an interrupt, leaving the pool waits for the files at work.
  with futures.ThreadPoolExecutor(workers) as pool:
    while True:
      free = 0 if stopped else workers - len(at_work)
      for number, job in itertools.islice(numbered, free):
        at_work[pool.submit(_outcome, job, work, overwrite)] = number
      if not at_work:
        break
      finished, _ = futures.wait(at_work, return_when=futures.FIRST_COMPLETED)
      for future in finished:
        number, outcome = at_work.pop(future), future.result()
        summary.add(outcome)
        if outcome.error and not 0 <= first_failure < number:
          first_failure, summary.exit_code = number, outcome.error.exit_code
        stopped = bool(progress(outcome)) or stopped
  summary.seconds = time.perf_counter() - started
  return summary


@contextlib.contextmanager
def naming(source: str) -> Iterator[None]:
  """Raises any error as an errors.CodecError that names the input."""
  try:
    yield
  except errors.CodecError as e:
    text = str(e)
    if text.startswith(f"{source} ") or f" {source}: " in f" {text}":
      raise
    raise type(e)(f"{source}: {text}") from e
  except Exception as e:  # Too little memory, for example.
    reason = " ".join(f"{type(e).__name__}: {e}".split())
    raise errors.CodecError(f"{source}: {reason}") from e


def check_done(
  work: work_lib.Work,
  source: str | bytes,
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
    is_older: True if the input was changed after the output was written.

  Raises:
    errors.OutputExistsError: if the output is of another kind, or older.
    errors.CodecError: if the input cannot be read.
  """
  fault = work.fault(source, existing)
  if not fault and is_older:
    fault = "is older than its input"
  if fault:
    raise errors.OutputExistsError(f"{output} {fault}")


def _outcome(job: inputs.Job, work: work_lib.Work, overwrite: bool) -> Outcome:
  try:
    with naming(job.source):
      if job.fault:
        raise job.fault
      return Outcome(job.source, _coded(job, work, overwrite))
  except errors.CodecError as e:
    return Outcome(job.source, error=e)


def _coded(
  job: inputs.Job, work: work_lib.Work, overwrite: bool
) -> work_lib.Coded | None:
  """The result without its data; None where it is there already."""
  source, output, _ = job
  try:
    status = os.stat(source)
  except OSError as e:
    raise errors.UnreadableInputError(
      f"cannot read {source}: {e.strerror or e}"
    ) from e
  if not stat.S_ISREG(status.st_mode):
    raise errors.UnreadableInputError(f"{source} is not a regular file")
  if overwrite or not os.path.lexists(output):
    files.make_directory(os.path.dirname(output) or os.curdir)
    coded = work.code(source, None)
    # Another run may have written the same output meanwhile.
    with contextlib.suppress(errors.OutputExistsError):
      files.write(output, coded.data, overwrite)
      return coded._replace(data=b"")
  if not os.path.isfile(output):
    raise errors.OutputExistsError(f"{output} exists and is not a regular file")
  is_older = status.st_mtime > os.path.getmtime(output)
  check_done(work, source, files.read(output), output, is_older)
  return None
