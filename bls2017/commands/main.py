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
import textwrap
from types import ModuleType

from absl import flags

from bls2017 import errors

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
  "benchmark": "measure this machine's speed and memory, beside other codecs",
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
  if arguments in ([], ["help"], ["--help"], ["-h"]):
    print(_overview())
    return 0 if arguments else errors.UsageError.exit_code
  if arguments[0] not in COMMANDS:
    return _fail(
      f"there is no command '{arguments[0]}'; see bls2017 --help",
      errors.UsageError.exit_code,
    )
  # TensorFlow reads it when it is imported.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  logging.basicConfig(format="%(message)s", level=logging.WARNING)
  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  command = importlib.import_module(f"bls2017.commands.{arguments[0]}")
  if "--help" in arguments or "-h" in arguments:
    print(_help(command))
    return 0
  for name in {*flags.FLAGS} - _flag_names(command) - ABSL_FLAGS:
    delattr(flags.FLAGS, name)
  # Flags may stand after the inputs.
  flags.FLAGS.set_gnu_getopt(True)
  try:
    positional = flags.FLAGS(
      [f"bls2017 {arguments[0]}", *arguments[1:]],
      known_only=getattr(command, "TAKES_OTHER_FLAGS", False),
    )[1:]
    exit_code = command.run(positional)
    sys.stdout.flush()
    return exit_code
  except flags.Error as e:
    return _fail(str(e), errors.UsageError.exit_code)
  except errors.CodecError as e:
    return _fail(str(e), e.exit_code)
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


def _discard_output() -> None:
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, exit_code: int) -> int:
  print("bls2017:", " ".join(message.split()), file=sys.stderr)
  return exit_code


def _overview() -> str:
  width = max(map(len, COMMANDS))
  rows = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
  usage = "usage: bls2017 COMMAND [FLAGS] ..."
  more = "bls2017 COMMAND --help tells more."
  return "\n".join([usage, "", *rows, "", more])


def _flag_names(command: ModuleType) -> set[str]:
  of_module = flags.FLAGS.get_key_flags_for_module(command.__name__)
  shared = getattr(command, "SHARED_FLAGS", ())
  return {*shared, *(flag.name for flag in of_module)}


def _help(command: ModuleType) -> str:
  rows = []
  for name in sorted(_flag_names(command)):
    flag = flags.FLAGS[name]
    default = "" if flag.default is None else f" (default: {flag.default})"
    text = f"{flag.help}{default}"
    rows.append(f"  --{flag.name}")
    rows.append(textwrap.indent(textwrap.fill(text, 72), "      "))
  about = (command.__doc__ or "").strip()
  return "\n".join([f"usage: {command.USAGE}", "", about, "", "flags:", *rows])


if __name__ == "__main__":
  sys.exit(main())
