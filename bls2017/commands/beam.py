"""Flags and steps of the commands that are Apache Beam pipelines."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
from types import ModuleType
from typing import Callable, TypeVar

from absl import flags

from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.commands import advice, coding_flags

INPUT_GLOB = flags.DEFINE_string(
  "input_glob",
  None,
  "Pattern of the inputs; * stays within a folder, ** does not.",
)
ATTEMPTS = flags.DEFINE_integer(
  "attempts",
  3,
  "How often the pipeline is run if it fails, as Beam's direct runner does when"
  " a worker is killed. What is done is not done again.",
  lower_bound=1,
)

_C = TypeVar("_C")

_log = logging.getLogger(__name__)


def run(
  arguments: list[str],
  extension: str,
  make_codec: Callable[[str | None, int], _C],
  make_work: Callable[[_C], worker_threads.Work],
) -> int:
  """Runs the pipeline, reports every failure and what was done.

  Args:
    arguments: Beam's options.
    extension: Ending of the outputs.
    make_codec: Loads a model, from --model and --max_pixels.
    make_work: From that to what is done with each file; both are sent to each
      worker by pickle.

  Returns:
    0, or the exit code of the first input that failed.
  """
  pattern, output_dir = INPUT_GLOB.value, coding_flags.OUTPUT_DIR.value
  if not (pattern and output_dir):
    raise errors.UsageError("--input_glob and --output_dir are needed")
  pipeline = _pipeline()
  pipeline.check_options(arguments)
  from bls2017.bulk import bulk_coding

  load = functools.partial(
    bulk_coding.load,
    functools.partial(
      make_codec, coding_flags.MODEL.value, coding_flags.MAX_PIXELS.value
    ),
    make_work,
  )
  # A fault of the model or of a setting is reported here, once.
  load()
  summary = pipeline.run(
    pipeline.Settings(
      pattern, output_dir, extension, load, coding_flags.OVERWRITE.value
    ),
    arguments,
    ATTEMPTS.value,
  )
  for outcome in summary.failures.values():
    assert outcome.error is not None
    _log.error("bls2017: %s", advice.message(outcome.error))
  print(f"bls2017: {summary}", file=sys.stderr)
  return summary.exit_code


def _pipeline() -> ModuleType:
  if importlib.util.find_spec("apache_beam") is None:
    raise errors.UsageError(
      "this command needs Apache Beam: pip install 'bls2017[beam]'"
    )
  # Beam warns of each optional package that is missing.
  root = logging.getLogger()
  level = root.level
  root.setLevel(logging.ERROR)
  try:
    from bls2017.bulk import beam_pipeline
  finally:
    root.setLevel(level)
  return beam_pipeline
