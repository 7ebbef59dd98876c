"""The inputs and outputs of a command that works on many files.

An input is a file, a directory, a pattern, or a list of files:

    photo.jpg       becomes OUTPUT_DIR/photo.jpg.bls
    photos          every image below it; folders are kept:
                    photos/a/x.jpg becomes OUTPUT_DIR/a/x.jpg.bls
    'photos/*/*.jpg'  what matches the pattern; folders are kept from the
                    first one with a wildcard on; ** stands for any number
    @list.txt       a path in each line; @- is standard input. Where there are
                    zero bytes (find -print0), they end the paths instead

What a directory holds besides images, and hidden files, are left out.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence

from PIL import Image

from bls2017 import errors, files

BITSTREAM_EXTENSION = ".bls"
IMAGE_EXTENSION = ".png"

_WILDCARD = re.compile(r"[*?[]")


def find(
  arguments: Sequence[str],
  output_dir: str,
  extension: str,
  base_dir: str | None = None,
) -> list[tuple[str, str]]:
  """The files that arguments stand for, each with its output.

  Args:
    arguments: As they are described above.
    output_dir: The directory of the outputs, need not exist.
    extension: BITSTREAM_EXTENSION to compress, IMAGE_EXTENSION, or that of
      another kind of image, to decompress.
    base_dir: Outputs keep the folders that their inputs have below this one,
      however they were named.

  Returns:
    Pairs of input and output, in the order of the arguments, no input twice.

  Raises:
    errors.UsageError: if there are none, two inputs have one output, or an
      output is an input.
    errors.UnreadableInputError: if a list or a directory cannot be read, or a
      pattern matches nothing.
  """
  endings = {BITSTREAM_EXTENSION}
  if extension == BITSTREAM_EXTENSION:
    endings = _image_endings()
  relatives: dict[str, str] = {}
  for argument in arguments:
    for path, relative in _expand(argument, endings):
      if base_dir is not None:
        relative = _below(path, base_dir)
      relatives[path] = relative
  if not relatives:
    raise errors.UsageError(f"no inputs in {', '.join(arguments)}")
  names = output_names(list(relatives.values()), extension)
  outputs = {
    path: os.path.join(output_dir, name) for path, name in zip(relatives, names)
  }
  _check(outputs)
  return list(outputs.items())


def output_names(paths: Sequence[str], extension: str) -> list[str]:
  """The names of the outputs of several inputs, in the same folders.

  Where a.png.bls and a.webp.bls would both become a.png, the second one becomes
  a.webp.png.

  Args:
    paths: The inputs.
    extension: Ending of the outputs.
  """
  short = [
    os.path.join(os.path.dirname(path), renamed(path, extension))
    for path in paths
  ]
  names = []
  for path, name in zip(paths, short):
    stem, ending = os.path.splitext(path)
    if ending == BITSTREAM_EXTENSION and short.count(name) > 1:
      kept = os.path.splitext(stem)[1]
      name = stem if kept == extension else stem + extension
    names.append(name)
  return names


def renamed(path: str, extension: str) -> str:
  """The name of the output of an input, without its directory.

  Compressing appends ".bls"; decompressing replaces it by ".png".
  """
  name = os.path.basename(path)
  if extension == BITSTREAM_EXTENSION:
    return name + extension
  stem, ending = os.path.splitext(name)
  if ending == BITSTREAM_EXTENSION:
    # photo.jpg.bls was made from photo.jpg: the name keeps its stem alone.
    return os.path.splitext(stem)[0] + extension
  return name + extension


def fixed_folder(pattern: str) -> str:
  """The folders of a pattern before its first wildcard, "/" included."""
  fixed = _WILDCARD.split(pattern, maxsplit=1)[0]
  return fixed[: fixed.rfind("/") + 1]


def _expand(argument: str, endings: set[str]) -> Iterator[tuple[str, str]]:
  """Paths of inputs, each with its path below the output directory."""
  if argument == files.STANDARD_STREAM:
    raise errors.UsageError("many files need inputs with names, not '-'")
  if argument.startswith("@"):
    for path in _read_list(argument[1:]):
      yield path, os.path.basename(path)
  elif os.path.isdir(argument):
    for path in _walk(argument):
      if os.path.splitext(path)[1].lower() in endings:
        yield path, os.path.relpath(path, argument)
  elif glob.has_magic(argument) and not os.path.lexists(argument):
    matches = sorted(glob.glob(argument, recursive=True))
    matches = [path for path in matches if os.path.isfile(path)]
    if not matches:
      raise errors.UnreadableInputError(f"no file matches {argument}")
    for path in matches:
      yield path, os.path.relpath(path, fixed_folder(argument) or os.curdir)
  else:
    yield argument, os.path.basename(argument)


def _read_list(path: str) -> list[str]:
  data = files.read(path)
  separator = b"\0" if b"\0" in data else b"\n"
  lines = data.split(separator)
  if separator == b"\n":
    lines = [line.rstrip(b"\r") for line in lines]
  return [os.fsdecode(line) for line in lines if line]


def _walk(directory: str) -> Iterator[str]:
  def fail(e: OSError) -> None:
    raise errors.UnreadableInputError(
      f"cannot read {e.filename}: {e.strerror or e}"
    ) from e

  for root, folders, names in os.walk(directory, onerror=fail):
    folders[:] = sorted(f for f in folders if not f.startswith("."))
    for name in sorted(names):
      if not name.startswith("."):
        yield os.path.join(root, name)


def _image_endings() -> set[str]:
  Image.init()
  return {e for e, kind in Image.EXTENSION.items() if kind in Image.OPEN}


def _below(path: str, base_dir: str) -> str:
  relative = os.path.relpath(path, base_dir)
  if relative.split(os.sep)[0] == os.pardir:
    raise errors.UsageError(f"{path} is not below the base {base_dir}")
  return relative


def _check(outputs: dict[str, str]) -> None:
  """Refuses outputs that would replace each other or an input."""
  sources: dict[str, str] = {}
  inputs = {os.path.realpath(path) for path in outputs}
  for source, output in outputs.items():
    other = sources.setdefault(output, source)
    if other != source:
      raise errors.UsageError(
        f"{other} and {source} would both be written to {output}; name their"
        " directory, or one above both, to keep folders apart"
      )
    if os.path.realpath(output) in inputs:
      raise errors.UsageError(f"{output} is input and output")
