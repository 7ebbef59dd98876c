"""Flags and steps of the coding commands that work on many files."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Callable

from absl import flags

from bls2017.bulk import bulk_inputs, worker_threads
from bls2017.commands import coding_flags
from bls2017.common import files

if TYPE_CHECKING:
  from bls2017 import codec as codec_lib

BASE_DIR = flags.DEFINE_string(
  "base_dir",
  None,
  "In --output_dir, keep the folders that inputs have below this one.",
)
WORKERS = flags.DEFINE_integer(
  "workers",
  None,
  "Files worked on at the same time, with --output_dir; one more than cores.",
  lower_bound=1,
)

_log = logging.getLogger(__name__)


def for_each(
  arguments: list[str],
  output_dir: str,
  extension: str,
  make_work: Callable[[codec_lib.Codec], worker_threads.Work],
) -> int:
  """Works on all inputs that arguments stand for.

  Reports every failure, and in the end what was done.

  Args:
    arguments: See `bulk_inputs`.
    output_dir: Directory of the outputs, made where it is missing.
    extension: Of the outputs.
    make_work: From the codec to what is done with each file.

  Returns:
    0, or the exit code of the first input that failed.
  """
  jobs = bulk_inputs.find(arguments, output_dir, extension, BASE_DIR.value)
  files.make_directory(output_dir)
  from bls2017.commands import progress as progress_lib

  work = make_work(coding_flags.load_codec())
  progress = progress_lib.ProgressBar()

  def observe(outcome: worker_threads.Outcome) -> None:
    if outcome.error:
      _log.error("bls2017: %s", outcome.error)
    elif coding_flags.VERBOSE.value:
      note = outcome.coded.note if outcome.coded else "done before"
      _log.warning("%s: %s", outcome.source, note)
    progress.on_done()

  with progress_lib.messages_above_bars():
    progress.on_start("files", len(jobs), 0)
    try:
      summary = worker_threads.run(
        jobs, work, coding_flags.OVERWRITE.value, WORKERS.value, observe
      )
    finally:
      progress.close()
  print(f"bls2017: {summary}", file=sys.stderr)
  return summary.exit_code
