"""Flags that several coding commands share, and what they stand for.

A command names those that it knows in `SHARED_FLAGS`; main removes the others.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import errors, files
from bls2017.bulk import inputs
from bls2017.encode import options
from bls2017.images import image_io
from bls2017.model import model_directory, packaged_models

if TYPE_CHECKING:
  from bls2017 import codec as codec_lib
  from bls2017 import decoder as decoder_lib

MODEL = flags.DEFINE_string(
  "model",
  None,
  "A model of the package by its name"
  f" ({', '.join(packaged_models.names())}), or a model directory. By default"
  f" images are compressed with {packaged_models.DEFAULT}, and files are read"
  " with the model of the package that they name.",
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
  "1 (smallest file) to the model's number of levels, in the packaged model 12"
  f" (best image), in steps of 1/4; {options.DEFAULT_QUALITY:g} where nothing"
  " else is asked for.",
  short_name="q",
)
OUTPUT = flags.DEFINE_string(
  "output", None, "The output, instead of a second argument.", short_name="o"
)
FORMAT = flags.DEFINE_string(
  "format",
  inputs.IMAGE_EXTENSION,
  "Ending of outputs that are not named: png, tiff, webp, jpg ...",
)
OUTPUT_QUALITY = flags.DEFINE_integer(
  "output_quality",
  None,
  "Quality of JPEG, WebP and AVIF images, 1 to 100; by default WebP images are"
  " lossless and the others as good as their format can be.",
)
_log = logging.getLogger(__name__)


@functools.cache
def load_codec() -> codec_lib.Codec:
  """The codec that --model and --max_pixels name."""
  from bls2017 import codec

  return codec.Codec.load(MODEL.value, MAX_PIXELS.value)


@functools.cache
def load_decoder() -> decoder_lib.Decoder:
  """Likewise, of all packaged models where --model names none."""
  from bls2017 import decoder

  return decoder.load(MODEL.value, MAX_PIXELS.value)


def check_quality() -> None:
  """Says which step --quality becomes, before anything heavy is imported.

  Raises:
    errors.UsageError: if the model has no such quality.
    errors.ModelError: if the model's configuration cannot be read.
  """
  if QUALITY.value is None:
    return
  model_config = model_directory.read_config(MODEL.value)
  index = model_config.quality_index(QUALITY.value)
  step = model_config.index_quality(index)
  if step != QUALITY.value:
    _log.warning("quality %g becomes %g, the nearest step", QUALITY.value, step)


def image_extension() -> str:
  """The ending that --format names, with its dot."""
  return f".{FORMAT.value.lstrip('.')}"


def image_kind(path: str) -> str:
  """Pillow's name of the format of an output, after a check of its flags.

  Says so where the format loses again some of what was decoded.

  Raises:
    errors.UsageError: if Pillow writes no images of this ending, or they do not
      have --output_quality.
  """
  kind = image_io.check_format(path)
  image_io.check_quality(kind, OUTPUT_QUALITY.value)
  if kind in image_io.LOSSY_FORMATS and OUTPUT_QUALITY.value is None:
    _log.warning(
      "%s images lose a little again, even at their best quality", kind
    )
  return kind


def pair(arguments: list[str], extension: str) -> tuple[str, str]:
  """Input and output of a command line without --output_dir.

  Args:
    arguments: INPUT [OUTPUT]; --output may name the output as well.
    extension: Ending of an output that is not named.

  Raises:
    errors.UsageError: if there are too many, or the output is the input.
    errors.OutputError: if the output cannot be written.
  """
  stream = files.STANDARD_STREAM
  source = arguments[0]
  if OUTPUT.value:
    arguments = [*arguments, OUTPUT.value]
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
  if extension == inputs.BITSTREAM_EXTENSION and image_io.is_image(output):
    raise errors.UsageError(
      f"the output {output} is, or is named like, an image; several inputs need"
      " --output_dir"
    )
  files.check_output(output, OVERWRITE.value)
  return source, output


def _same_file(a: str, b: str) -> bool:
  try:
    return os.path.samefile(a, b)
  except OSError:
    return False
