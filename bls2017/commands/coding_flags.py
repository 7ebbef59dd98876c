"""Flags and steps that the coding commands share."""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import TYPE_CHECKING, Callable

from absl import flags

from bls2017 import bulk, bulk_inputs, errors, files, image_io

if TYPE_CHECKING:
  from bls2017 import codec as codec_lib

MODEL = flags.DEFINE_string(
  "model", None, "Model directory; by default the one in the package."
)
OUTPUT_DIR = flags.DEFINE_string(
  "output_dir",
  None,
  "Directory for the outputs of any number of files, directories, patterns and"
  " @lists. What is done already is skipped.",
)
BASE_DIR = flags.DEFINE_string(
  "base_dir",
  None,
  "In --output_dir, keep the folders that inputs have below this one.",
)
WORKERS = flags.DEFINE_integer(
  "workers",
  None,
  "Files worked on at the same time, with --output_dir; one a core.",
  lower_bound=1,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels", image_io.MAX_PIXELS, "Refuse larger images.", lower_bound=1
)
VERBOSE = flags.DEFINE_bool("verbose", False, "Say what was done.")

_log = logging.getLogger(__name__)


def pair(arguments: list[str], extension: str, usage: str) -> tuple[str, str]:
  """Input and output of a command line without --output_dir.

  Args:
    arguments: INPUT [OUTPUT].
    extension: Of an output that is not named.
    usage: The command's usage line.

  Raises:
    errors.UsageError: if there are too few or too many, or the output is also
      the input.
    errors.OutputError: if the output cannot be written.
  """
  stream = files.STANDARD_STREAM
  check_inputs(arguments, usage)
  source = arguments[0]
  if len(arguments) > 2 or os.path.isdir(source):
    raise errors.UsageError("several inputs need --output_dir")
  if len(arguments) == 2:
    output = arguments[1]
  elif source == stream:
    output = stream
  else:
    name = bulk_inputs.renamed(source, extension)
    output = os.path.join(os.path.dirname(source), name)
  if output != stream and _same_file(source, output):
    raise errors.UsageError(f"{output} is input and output")
  files.check_output(output, OVERWRITE.value)
  return source, output


def check_inputs(arguments: list[str], usage: str) -> None:
  """Raises errors.UsageError if there are none."""
  if not arguments:
    raise errors.UsageError(f"an input is needed; usage: {usage}")


def for_each(
  arguments: list[str],
  output_dir: str,
  extension: str,
  make_work: Callable[[codec_lib.Codec], bulk.Work],
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
  from bls2017 import bulk_coding  # Imports TensorFlow.
  from bls2017.commands import progress as progress_lib

  workers = min(WORKERS.value or bulk.usable_cores(), len(jobs))
  bulk_coding.share_cores(workers)
  work = make_work(load_codec())
  progress = progress_lib.ProgressBar()

  def observe(outcome: bulk.Outcome) -> None:
    if outcome.error:
      _log.error("bls2017: %s", outcome.error)
    elif VERBOSE.value:
      note = outcome.coded.note if outcome.coded else "done before"
      _log.warning("%s: %s", outcome.source, note)
    progress.on_done()

  with progress_lib.messages_above_bars():
    progress.on_start("files", len(jobs), 0)
    try:
      summary = bulk.run(jobs, work, OVERWRITE.value, workers, observe)
    finally:
      progress.close()
  print(f"bls2017: {summary}", file=sys.stderr)
  return summary.exit_code


@functools.cache
def load_codec() -> codec_lib.Codec:
  """The codec that --model and --max_pixels name."""
  from bls2017 import codec, model_directory  # These import TensorFlow.

  return codec.Codec(
    model_directory.load(MODEL.value), max_pixels=MAX_PIXELS.value
  )


def _same_file(a: str, b: str) -> bool:
  try:
    return os.path.samefile(a, b)
  except OSError:
    return False
