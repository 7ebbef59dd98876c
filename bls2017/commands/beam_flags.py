"""Flags and steps of the commands that are Apache Beam pipelines."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType
from typing import Callable

from absl import flags

from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.commands import coding_flags

INPUT_GLOB = flags.DEFINE_string(
  "input_glob",
  None,
  "Pattern of the inputs; * stays within a folder, ** does not.",
)
ATTEMPTS = flags.DEFINE_integer(
  "attempts",
  3,
  "How often the pipeline is run if it fails, as Beam's direct runner does with"
  " a worker that was killed. What is done is not done again.",
  lower_bound=1,
)

_log = logging.getLogger(__name__)


def run(
  arguments: list[str],
  extension: str,
  make_work: Callable[[], worker_threads.Work],
  usage: str,
) -> int:
  """Runs the pipeline, reports every failure and what was done.

  Args:
    arguments: Beam's options.
    extension: Of the outputs.
    make_work: Makes the work in each worker.
    usage: The command's usage line.

  Returns:
    0, or the exit code of the first input that failed.
  """
  pattern, output_dir = INPUT_GLOB.value, coding_flags.OUTPUT_DIR.value
  if not (pattern and output_dir):
    raise errors.UsageError(
      f"--input_glob and --output_dir are needed; usage: {usage}"
    )
  pipeline = _pipeline()
  pipeline.check_options(arguments)
  # What is wrong with the model or a setting is said once and here.
  make_work()
  request = pipeline.Request(
    pattern, output_dir, extension, make_work, coding_flags.OVERWRITE.value
  )
  summary = pipeline.run(request, arguments, ATTEMPTS.value)
  for outcome in summary.failures.values():
    _log.error("bls2017: %s", outcome.error)
  print(f"bls2017: {summary}", file=sys.stderr)
  return summary.exit_code


def _pipeline() -> ModuleType:
  if importlib.util.find_spec("apache_beam") is None:
    raise errors.UsageError(
      "this command needs Apache Beam: pip install 'bls2017[beam]'"
    )
  # Beam warns of each optional package it does not find.
  root = logging.getLogger()
  level = root.level
  root.setLevel(logging.ERROR)
  try:
    from bls2017.bulk import beam_pipeline
  finally:
    root.setLevel(level)
  return beam_pipeline
