"""Flags and steps that the coding commands share."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import errors
from bls2017.bulk import bulk_inputs
from bls2017.common import files
from bls2017.images import image_io

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
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels", image_io.MAX_PIXELS, "Refuse larger images.", lower_bound=1
)
VERBOSE = flags.DEFINE_bool("verbose", False, "Say what was done.")


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


@functools.cache
def load_codec() -> codec_lib.Codec:
  """The codec that --model and --max_pixels name."""
  from bls2017 import codec
  from bls2017.transforms import model_directory

  return codec.Codec(
    model_directory.load(MODEL.value), max_pixels=MAX_PIXELS.value
  )


def _same_file(a: str, b: str) -> bool:
  try:
    return os.path.samefile(a, b)
  except OSError:
    return False
