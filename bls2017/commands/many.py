"""Flags and steps of the commands that code many files with --output_dir."""

from __future__ import annotations

import logging
import sys
from typing import Callable

from absl import flags

from bls2017 import errors, files
from bls2017.bulk import inputs, worker_threads
from bls2017.commands import advice, coding_flags, progress

BASE_DIR = flags.DEFINE_string(
  "base_dir",
  None,
  "In --output_dir, keep the folders that inputs have below this one.",
)
WORKERS = flags.DEFINE_integer(
  "workers",
  None,
  "Files worked on at the same time with --output_dir; by default one more than"
  " there are cores.",
  lower_bound=1,
)

_log = logging.getLogger(__name__)


def for_each(
  arguments: list[str],
  output_dir: str,
  extension: str,
  make_work: Callable[[], worker_threads.Work],
) -> int:
  """Works on all inputs that arguments stand for.

  Reports every failure, and in the end what was done.

  Args:
    arguments: See `bls2017.bulk.inputs`.
    output_dir: Directory of the outputs, made where it is missing.
    extension: Ending of the outputs.
    make_work: Makes what is done with each file.

  Returns:
    0, or the exit code of the first input that failed.
  """
  if coding_flags.OUTPUT.value:
    raise errors.UsageError("--output names one output, --output_dir many")
  jobs = inputs.find(arguments, output_dir, extension, BASE_DIR.value)
  work = make_work()
  files.make_directory(output_dir)
  bar = progress.ProgressBar()

  def report(outcome: worker_threads.Outcome) -> None:
    if outcome.error:
      _log.error("bls2017: %s", advice.message(outcome.error))
    elif coding_flags.VERBOSE.value:
      note = outcome.coded.note if outcome.coded else "done before"
      _log.warning("%s: %s", outcome.source, note)
    bar.on_done()

  with progress.messages_above_bars():
    bar.on_start("files", len(jobs), 0)
    try:
      summary = worker_threads.run(
        jobs, work, coding_flags.OVERWRITE.value, WORKERS.value, report
      )
    finally:
      bar.close()
  print(f"bls2017: {summary}", file=sys.stderr)
  return summary.exit_code
