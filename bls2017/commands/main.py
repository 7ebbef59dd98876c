"""The console script `bls2017`: runs a command and turns errors into exits.

A command is a module with a `USAGE`, a docstring, `add_arguments(parser)`, and
`run(options)`, which returns an exit code. Only the chosen one is imported.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import NoReturn

import bls2017
from bls2017 import commands, errors

COMMANDS = {
  "example": "write a picture to try the codec with",
  "compress": "photographs to small files",
  "decompress": "small files to photographs",
  "info": "size, quality and model of a compressed file",
  "beam_compress": "photographs to small files on many machines",
  "beam_decompress": "small files to photographs on many machines",
  "train": "train a model on a folder of photographs",
  "freeze": "make a model directory from a training checkpoint",
  "tune_decoder": "tune the decoder of a model on the symbols of files",
  "tune_tables": "count the coding tables of a model for your photographs",
  "export": "write a SavedModel for TF Serving, or a site that decodes",
  "evaluate": "compare with JPEG, JPEG 2000 and others: numbers and pictures",
}

EXIT_INTERRUPTED = 130

_log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise errors.UsageError(message)


def main(argv: list[str] | None = None) -> int:
  """Runs one command line.

  Args:
    argv: Arguments after the program's name; those of the process by default.

  Returns:
    The exit code (`bls2017.errors`).
  """
  arguments = sys.argv[1:] if argv is None else argv
  _open_closed_streams()
  # TensorFlow reads it when it is imported.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  logging.basicConfig(format="%(message)s", level=logging.WARNING)
  # Where standard error cannot be written to, there is nobody to tell.
  logging.raiseExceptions = False
  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  # Pillow warns in lines of its own of what `images` says in one.
  warnings.filterwarnings("ignore", module=r"PIL\.")
  try:
    try:
      exit_code = _run(arguments)
    except SystemExit:  # Help was printed.
      exit_code = 0
    sys.stdout.flush()
    return exit_code
  except errors.CodecError as e:
    return _fail(commands.message(e), e.exit_code)
  except KeyboardInterrupt:
    return _fail("interrupted", EXIT_INTERRUPTED)
  except OSError as e:
    # Files have typed errors; this is standard output, on a full disk or
    # closed. Its reader may leave without a word, as `head` does.
    message = "" if isinstance(e, BrokenPipeError) else f"cannot write: {e}"
    return _fail(message, errors.OutputError.exit_code)


def _run(arguments: list[str]) -> int:
  if arguments[:1] == ["help"]:
    arguments = [*arguments[1:2], "--help"]
  if not arguments or arguments[0] in ("--help", "-h"):
    print(_overview())
    return 0 if arguments else errors.UsageError.exit_code
  name = arguments[0]
  if name == "--version":
    print("bls2017", bls2017.__version__)
    return 0
  if name not in COMMANDS:
    raise errors.UsageError(f"there is no command '{name}'; see bls2017 --help")
  module = "beam" if name.startswith("beam_") else name
  command = importlib.import_module(f"bls2017.commands.{module}")
  described = {
    "prog": f"bls2017 {name}",
    "usage": command.USAGE,
    "description": command.__doc__,
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "allow_abbrev": False,
  }
  rest = list(_plain(arguments[1:]))
  if not hasattr(command, "add_arguments"):
    from bls2017.commands import absl_flags

    return absl_flags.run(command, rest, described)
  parser = _Parser(**described)
  command.add_arguments(parser)
  options, others = parser.parse_known_intermixed_args(rest)
  if others and not hasattr(options, "others"):
    parser.error(f"unknown: {' '.join(others)}")
  options.others = others
  return int(command.run(options))


def _plain(arguments: list[str]) -> Iterator[str]:
  """Spells --max-bytes as --max_bytes, and after "--" -x as ./-x."""
  rest = iter(arguments)
  for argument in rest:
    if argument == "--":
      break
    name, equals, value = argument.partition("=")
    if name.startswith("--"):
      name = f"--{name[2:].replace('-', '_')}"
    yield name + equals + value
  for argument in rest:
    is_option = argument.startswith("-") and argument != "-"
    yield os.path.join(os.curdir, argument) if is_option else argument


def _overview() -> str:
  width = max(map(len, COMMANDS))
  rows = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
  usage = "usage: bls2017 COMMAND [OPTIONS] ..."
  more = "bls2017 help COMMAND tells more, bls2017 --version the version."
  return "\n".join([usage, "", *rows, "", more])


def _open_closed_streams() -> None:
  """Opens /dev/null in place of standard streams that are closed.

  Otherwise the next file that is opened would be taken for one. Writing to a
  standard output that was closed stays an error.
  """
  for name, flags in (
    ("stdin", os.O_RDONLY),
    ("stdout", os.O_RDONLY),
    ("stderr", os.O_WRONLY),
  ):
    if getattr(sys, name) is None:
      null = os.open(os.devnull, flags)
      setattr(sys, name, open(null, "r" if name == "stdin" else "w"))


def _fail(message: str, exit_code: int) -> int:
  try:
    sys.stdout.flush()
  except OSError:
    # Python would try again, and change the exit code.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  if message:
    _log.error("bls2017: %s", " ".join(message.split()))
  return exit_code


if __name__ == "__main__":
  sys.exit(main())
