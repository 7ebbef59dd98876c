"""The console script `bls2017`: picks a command, and turns errors into exits.

A command is a module with a `USAGE` line, a docstring, flags and
`run(arguments)`, which returns an exit code. `SHARED_FLAGS` are the names of
the flags that it shares with other commands; no command knows a flag that means
nothing to it. With `TAKES_OTHER_FLAGS`, unknown flags are among its arguments.
Only the chosen command is imported.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

from absl import flags

import bls2017
from bls2017 import errors
from bls2017.commands import advice, help

COMMANDS = {
  "example": "write a picture to try the codec with",
  "compress": "photographs to small files",
  "decompress": "small files to photographs",
  "info": "what a compressed file says of itself",
  "beam_compress": "photographs to small files, as an Apache Beam pipeline",
  "beam_decompress": "the inverse, as an Apache Beam pipeline",
  "train": "train a model on a folder of photographs",
  "freeze": "make a model directory from a training checkpoint",
  "export": "write a SavedModel for TF Serving",
  "evaluate": "compare with JPEG, JPEG 2000 and others: numbers and pictures",
}

ABSL_FLAGS = {"flagfile", "undefok"}
"""Flags that absl itself defines and that every command knows."""

EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
  """Runs one command line.

  Args:
    argv: Arguments after the program's name; those of the process by default.

  Returns:
    The exit code (`bls2017.errors`).
  """
  arguments = sys.argv[1:] if argv is None else argv
  if arguments[:1] == ["help"]:
    arguments = [*arguments[1:2], "--help"]
  # TensorFlow reads it when it is imported.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  logging.basicConfig(format="%(message)s", level=logging.WARNING)
  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  try:
    exit_code = _run(arguments)
    sys.stdout.flush()
    return exit_code
  except flags.Error as e:
    return _fail(str(e), errors.UsageError.exit_code)
  except errors.CodecError as e:
    return _fail(advice.message(e), e.exit_code)
  except KeyboardInterrupt:
    return _fail("interrupted", EXIT_INTERRUPTED)
  except BrokenPipeError:
    # The reader of standard output went away; nothing more can reach it.
    _discard_output()
    return errors.OutputError.exit_code
  except OSError as e:
    # Files have typed errors; this is standard output, on a full disk.
    _discard_output()
    return _fail(f"cannot write: {e}", errors.OutputError.exit_code)


def _run(arguments: list[str]) -> int:
  if not arguments or arguments[0] in ("--help", "-h"):
    print(help.overview(COMMANDS))
    return 0 if arguments else errors.UsageError.exit_code
  name = arguments[0]
  if name == "--version":
    print("bls2017", bls2017.__version__)
    return 0
  if name not in COMMANDS:
    raise errors.UsageError(f"there is no command '{name}'; see bls2017 --help")
  command = importlib.import_module(f"bls2017.commands.{name}")
  if "--help" in arguments or "-h" in arguments:
    print(help.of_command(command))
    return 0
  # Other modules define flags too, some of them absl's own. They mean nothing
  # to the command, but stay defined, since their modules read them.
  accepted = flags.FlagValues()
  for flag_name in help.flag_names(command) | ABSL_FLAGS:
    if flag_name in flags.FLAGS:
      accepted[flag_name] = flags.FLAGS[flag_name]
  # Flags may stand after the inputs.
  accepted.set_gnu_getopt(True)
  positional = accepted(
    [f"bls2017 {name}", *arguments[1:]],
    known_only=getattr(command, "TAKES_OTHER_FLAGS", False),
  )[1:]
  flags.FLAGS.mark_as_parsed()
  return int(command.run(positional))


def _discard_output() -> None:
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, exit_code: int) -> int:
  print("bls2017:", " ".join(message.split()), file=sys.stderr)
  return exit_code


if __name__ == "__main__":
  sys.exit(main())
