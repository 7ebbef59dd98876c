"""The inputs and outputs of a command that works on many files.

An input is a file, a directory, a pattern, or a list of files:

    photo.jpg       becomes OUTPUT_DIR/photo.jpg.bls
    photos          every image below it; folders are kept:
                    photos/a/x.jpg becomes OUTPUT_DIR/a/x.jpg.bls
    'photos/*/*.jpg'  what matches the pattern; folders are kept from the
                    first one with a wildcard on; ** stands for any number
    @list.txt       a path in each line; @- is standard input. Where there are
                    zero bytes (find -print0), they end the paths instead

Hidden files of a directory and files that are no images are left out. Images of
kinds that Pillow does not read are left out too, but count as failures.
"""

from __future__ import annotations

import collections
import glob
import itertools
import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bls2017 import errors, files
from bls2017.images import reading

BITSTREAM_EXTENSION = ".bls"
IMAGE_EXTENSION = ".png"

_WILDCARD = re.compile(r"[*?[]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_log = logging.getLogger(__name__)


class UnreadKindError(errors.UnreadableInputError):
  """An image in a directory, of a kind that Pillow does not read."""


class Job(NamedTuple):
  """A file to work on.

  Attributes:
    source: Path of the input.
    output: Path of the output.
    fault: Why the input cannot be worked on; None if nothing speaks against it.
  """

  source: str
  output: str
  fault: errors.CodecError | None = None


def find(
  arguments: Sequence[str],
  output_dir: str,
  extension: str,
  base_dir: str | None = None,
) -> Iterator[Job]:
  """Finds the files that arguments stand for, each with its output.

  A directory is walked while its files are worked on, with the names of one
  folder at a time in memory; only several arguments are remembered as a whole.

  Args:
    arguments: As they are described above; directories come last.
    output_dir: The directory of the outputs, need not exist.
    extension: BITSTREAM_EXTENSION to compress, IMAGE_EXTENSION, or that of
      another kind of image, to decompress.
    base_dir: Outputs keep the folders that their inputs have below this one,
      however they were named.

  Returns:
    No input twice. Folders, lists and images that cannot be read are jobs with
    a fault, and so are inputs that share the output of another one.

  Raises:
    errors.UsageError: if an argument is "-" or lies outside of `base_dir`; in
      the end, if there were no inputs.
  """
  directories = dict.fromkeys(filter(os.path.isdir, arguments))
  for directory in directories:
    _relative(directory, base_dir or directory)
  named = [
    job
    for argument in arguments
    if argument not in directories
    for job in _named(argument, base_dir)
  ]
  names = output_names([job.output for job in named], extension)
  jobs = itertools.chain(
    (job._replace(output=name) for job, name in zip(named, names)),
    *(_walk(path, extension, base_dir) for path in directories),
  )
  named_files = {os.path.abspath(job.source) for job in named}
  # The files of a single directory have outputs of their own.
  remembers = len(arguments) > 1 or bool(named)
  sources: dict[str, str] = {}

  def checked() -> Iterator[Job]:
    job = None
    for job in jobs:
      output, fault = os.path.join(output_dir, job.output), job.fault
      if remembers and not fault:
        if sources.get(output) == job.source:
          continue
        other = sources.setdefault(output, job.source)
        if other != job.source:
          fault = errors.UsageError(
            f"{other} and {job.source} would both be written to {output}; name"
            " their directory, or one above both, to keep folders apart"
          )
        elif os.path.abspath(output) in named_files:
          fault = errors.UsageError(f"{output} is input and output")
      yield Job(job.source, output, fault)
    if job is None:
      raise errors.UsageError(f"no inputs in {', '.join(arguments)}")

  return checked()


def output_names(paths: Sequence[str], extension: str) -> list[str]:
  """Names the outputs of several inputs, in the same folders.

  Where a.png.bls and a.webp.bls would both become a.png, the second one becomes
  a.webp.png.

  Args:
    paths: The inputs.
    extension: Ending of the outputs.
  """
  names = [
    os.path.join(os.path.dirname(path), renamed(path, extension))
    for path in paths
  ]
  if extension != BITSTREAM_EXTENSION:
    counts = collections.Counter(names)
    for i, path in enumerate(paths):
      stem, ending = os.path.splitext(path)
      if counts[names[i]] > 1 and ending == BITSTREAM_EXTENSION:
        kept = os.path.splitext(stem)[1]
        names[i] = stem if kept == extension else stem + extension
  return names


def renamed(path: str, extension: str) -> str:
  """Names the output of an input, without its directory.

  Compressing appends ".bls"; decompressing replaces it by ".png".
  """
  name = os.path.basename(path)
  stem, ending = os.path.splitext(name)
  if extension == BITSTREAM_EXTENSION or ending != BITSTREAM_EXTENSION:
    return name + extension
  # photo.jpg.bls was made from photo.jpg: the name keeps its stem alone.
  return os.path.splitext(stem)[0] + extension


def fixed_folder(pattern: str) -> str:
  """The folders of a pattern before its first wildcard, "/" included."""
  fixed = _WILDCARD.split(pattern, maxsplit=1)[0]
  return fixed[: fixed.rfind("/") + 1]


def _named(argument: str, base_dir: str | None) -> Iterator[Job]:
  """The jobs of an argument that is no directory; outputs are not renamed."""
  if argument == files.STANDARD_STREAM:
    raise errors.UsageError("many files need inputs with names, not '-'")
  root = base_dir
  paths = [argument]
  try:
    if argument.startswith("@"):
      paths = _read_list(argument[1:])
    elif glob.has_magic(argument) and not os.path.lexists(argument):
      root = root or fixed_folder(argument) or os.curdir
      matches = sorted(glob.glob(argument, recursive=True))
      paths = [path for path in matches if not os.path.isdir(path)]
      if not paths:
        raise errors.UnreadableInputError(f"no file matches {argument}")
  except errors.UnreadableInputError as e:
    yield Job(argument, "", e)
    return
  for path in paths:
    yield Job(path, _relative(path, root) if root else os.path.basename(path))


def _read_list(path: str) -> list[str]:
  data = files.read(path).removeprefix(_BYTE_ORDER_MARK)
  if b"\0" in data:
    lines = data.split(b"\0")
  else:
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]
  return [os.fsdecode(line) for line in lines if line]


def _walk(
  directory: str, extension: str, base_dir: str | None
) -> Iterator[Job]:
  """The jobs of a directory."""
  endings, others = {BITSTREAM_EXTENSION}, frozenset[str]()
  if extension == BITSTREAM_EXTENSION:
    endings = reading.endings()
    others = reading.OTHER_ENDINGS - endings
  unread: list[OSError] = []
  walked = os.walk(directory, onerror=unread.append)
  for folder, folders, names in itertools.chain(walked, [(directory, [], [])]):
    for e in unread:
      path, reason = str(e.filename), e.strerror or e
      fault = errors.UnreadableInputError(f"cannot read {path}: {reason}")
      yield Job(path, "", fault)
    unread.clear()
    folders[:] = sorted(f for f in folders if not f.startswith("."))
    for link in (os.path.join(folder, f) for f in folders):
      if os.path.islink(link):
        _log.warning("%s is a link to a directory and is not followed", link)
    place = _relative(folder, base_dir or directory)
    names = sorted(name for name in names if not name.startswith("."))
    ours = [name for name in names if _ending(name) in endings]
    for name, output in zip(ours, output_names(ours, extension)):
      output = os.path.normpath(os.path.join(place, output))
      yield Job(os.path.join(folder, name), output)
    for name in names:
      if _ending(name) in others:
        path = os.path.join(folder, name)
        fault = UnreadKindError(f"{path}: Pillow does not read {_ending(name)}")
        yield Job(path, "", fault)


def _ending(name: str) -> str:
  return os.path.splitext(name)[1].lower()


def _relative(path: str, root: str) -> str:
  relative = os.path.relpath(path, root)
  if relative.split(os.sep)[0] == os.pardir:
    raise errors.UsageError(f"{path} is not below the base {root}")
  return relative
