"""Flags and steps that the coding commands share."""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Callable

from absl import flags

from bls2017 import errors, files, image_io

if TYPE_CHECKING:
  from bls2017 import codec as codec_lib

MODEL = flags.DEFINE_string(
  "model", None, "Model directory; by default the one in the package."
)
OUTPUT_DIR = flags.DEFINE_string(
  "output_dir", None, "Directory for the outputs; allows several inputs."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels", image_io.MAX_PIXELS, "Refuse larger images.", lower_bound=1
)
VERBOSE = flags.DEFINE_bool("verbose", False, "Say what was done.")

_log = logging.getLogger(__name__)


def pairs(
  arguments: list[str], rename: str, usage: str
) -> list[tuple[str, str]]:
  """Inputs and outputs of a command line, checked before any work is done.

  Args:
    arguments: INPUT [OUTPUT], or with --output_dir one or more inputs.
    rename: Extension of outputs that are not named.
    usage: The command's usage line.

  Raises:
    errors.UsageError: if there are too few or too many, or an output is also
      an input.
    errors.OutputError: if an output cannot be written.
  """
  stream = files.STANDARD_STREAM
  if not arguments:
    raise errors.UsageError(f"an input is needed; usage: {usage}")
  if OUTPUT_DIR.value:
    if stream in arguments:
      raise errors.UsageError("--output_dir needs inputs with names")
    found = [
      (path, os.path.join(OUTPUT_DIR.value, renamed(path, rename)))
      for path in arguments
    ]
    outputs = [output for _, output in found]
    twice = next((o for o in outputs if outputs.count(o) > 1), None)
    if twice:
      raise errors.UsageError(f"two inputs would be written to {twice}")
    _make_directory(OUTPUT_DIR.value)
  elif len(arguments) > 2:
    raise errors.UsageError("several inputs need --output_dir")
  elif len(arguments) == 2:
    found = [(arguments[0], arguments[1])]
  elif arguments[0] == stream:
    found = [(stream, stream)]
  else:
    directory = os.path.dirname(arguments[0])
    name = renamed(arguments[0], rename)
    found = [(arguments[0], os.path.join(directory, name))]
  for source, output in found:
    if output != stream and _same_file(source, output):
      raise errors.UsageError(f"{output} is input and output")
    files.check_output(output, OVERWRITE.value)
  return found


def renamed(path: str, extension: str) -> str:
  """The name of the output of an input.

  Compressing appends ".bls"; decompressing replaces it by ".png".
  """
  name = os.path.basename(path)
  if extension == ".bls":
    return name + extension
  stem, ending = os.path.splitext(name)
  if ending == ".bls":
    # photo.jpg.bls was made from photo.jpg: the name keeps its stem alone.
    return os.path.splitext(stem)[0] + extension
  return name + extension


def for_each(
  found: list[tuple[str, str]], work: Callable[[str, str], None]
) -> int:
  """Does the work for every input and output.

  With several inputs a failure is reported and the rest goes on.

  Returns:
    0, or the exit code of the first failure.
  """
  if len(found) == 1:
    work(*found[0])
    return 0
  exit_code = 0
  for source, output in found:
    try:
      work(source, output)
    except errors.CodecError as e:
      _log.error("bls2017: %s", e)
      exit_code = exit_code or e.exit_code
  return exit_code


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


def _make_directory(path: str) -> None:
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as e:
    raise errors.OutputError(f"cannot make {path}: {e.strerror or e}") from e
