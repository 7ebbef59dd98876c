"""Flags that several coding commands share, and what they stand for.

A command names those that it knows in `SHARED_FLAGS`; main removes the others.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import errors
from bls2017.bulk import inputs
from bls2017.common import config, files
from bls2017.images import image_io
from bls2017.transforms import runtimes

if TYPE_CHECKING:
  from bls2017 import codec as codec_lib

MODEL = flags.DEFINE_string(
  "model", None, "Model directory; by default the one in the package."
)
MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels", image_io.MAX_PIXELS, "Refuse larger images.", lower_bound=1
)
OUTPUT_DIR = flags.DEFINE_string(
  "output_dir",
  None,
  "Directory for the outputs of any number of inputs. What is done already is"
  " skipped.",
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
VERBOSE = flags.DEFINE_bool("verbose", False, "Say what was done.")
QUALITY = flags.DEFINE_float(
  "quality",
  None,
  "1 (smallest file) to the model's number of levels, in the packaged model"
  f" {len(config.LMBDAS['mse'])} (best image), in steps of"
  f" 1/{config.QUALITY_STEPS}.",
)
FORMAT = flags.DEFINE_string(
  "format",
  inputs.IMAGE_EXTENSION,
  "Ending of outputs that are not named: png, tiff, webp, jpg ...",
)


RUNTIME = flags.DEFINE_enum(
  "runtime",
  runtimes.AUTO,
  runtimes.RUNTIMES,
  "What codes images; auto is LiteRT where it is installed, else TensorFlow.",
)


@functools.cache
def load_codec() -> codec_lib.Codec:
  """The codec that --model, --max_pixels and --runtime name."""
  from bls2017 import codec
  from bls2017.transforms import model_directory

  return codec.Codec(
    model_directory.load(MODEL.value),
    max_pixels=MAX_PIXELS.value,
    runtime=RUNTIME.value,
  )


def image_extension() -> str:
  """The ending that --format names, with its dot."""
  return f".{FORMAT.value.lstrip('.')}"


def pair(arguments: list[str], extension: str) -> tuple[str, str]:
  """Input and output of a command line without --output_dir.

  Args:
    arguments: INPUT [OUTPUT].
    extension: Ending of an output that is not named.

  Raises:
    errors.UsageError: if there are too many, or the output is the input.
    errors.OutputError: if the output cannot be written.
  """
  stream = files.STANDARD_STREAM
  source = arguments[0]
  if len(arguments) > 2 or os.path.isdir(source):
    raise errors.UsageError("several inputs need --output_dir")
  if len(arguments) == 2:
    output = arguments[1]
  elif source == stream:
    output = stream
  else:
    name = inputs.renamed(source, extension)
    output = os.path.join(os.path.dirname(source), name)
  if output != stream and _same_file(source, output):
    raise errors.UsageError(f"{output} is input and output")
  files.check_output(output, OVERWRITE.value)
  return source, output


def _same_file(a: str, b: str) -> bool:
  try:
    return os.path.samefile(a, b)
  except OSError:
    return False
