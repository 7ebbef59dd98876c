"""Runs the console script as a user does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SECONDS = 300
"""After which a command has hung."""

_OUTPUTS = ("stdout", "stderr")

# A shell that starts a job with "&" lets it ignore Ctrl-C.
_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from bls2017.model import packaged_models
packaged_models.SEARCH_PATH[:0] = filter(None, [sys.argv.pop(1)])
from bls2017.commands import main
sys.exit(main.main())
"""

_FORKING = """
import importlib, json, os, sys
from bls2017.commands import main
importlib.import_module("bls2017.commands.compress")
MODES = {"stdin": os.O_RDONLY, "stdout": os.O_CREAT | os.O_WRONLY}
MODES["stderr"] = MODES["stdout"]
for arguments, folder, streams in json.load(sys.stdin):
  process = os.fork()
  if not process:
    os.chdir(folder)
    for number, (name, mode) in enumerate(MODES.items()):
      if streams[name]:
        opened = os.open(streams[name], mode, 0o666)
        os.dup2(opened, number)
        os.close(opened)
      else:
        os.close(number)
        setattr(sys, name, None)
    sys.exit(main.main(arguments))
  _, status = os.waitpid(process, 0)
  print(os.waitstatus_to_exitcode(status), flush=True)
"""


def line(*arguments: str, models: str = "") -> list[str]:
  """The command line of a process, for those who start it themselves.

  Args:
    *arguments: Of bls2017.
    models: A folder whose models count as packaged ones.
  """
  return [sys.executable, "-c", _PROGRAM, models, *arguments]


def run(
  *arguments: str, models: str = "", **options
) -> subprocess.CompletedProcess:
  """A finished `bls2017` process, its outputs as bytes."""
  return subprocess.run(
    line(*arguments, models=models),
    capture_output=True,
    check=False,
    timeout=SECONDS,
    **options,
  )


def run_with_models(
  folder: str, *arguments: str
) -> subprocess.CompletedProcess:
  """As `run`, where the models in a folder count as packaged ones."""
  return run(*arguments, models=folder)


class Line(NamedTuple):
  """A command line for `run_several`.

  Attributes:
    arguments: Of bls2017.
    folder: The current directory.
    streams: Files for standard streams ("stdin", "stdout", "stderr"); None for
      one that is closed.
  """

  arguments: Sequence[str]
  folder: str = "."
  streams: Mapping[str, str | None] = {}


def run_several(
  command_lines: Sequence[Line | Sequence[str]],
) -> list[subprocess.CompletedProcess]:
  """As `run` for each, in processes that share the imports."""
  lines = [x if isinstance(x, Line) else Line(x) for x in command_lines]
  with tempfile.TemporaryDirectory() as directory:
    outputs = [
      {name: os.path.join(directory, f"{i}.{name}") for name in _OUTPUTS}
      for i in range(len(lines))
    ]
    asked = [
      (line.arguments, os.path.abspath(line.folder),
       {"stdin": os.devnull, **kept, **line.streams})
      for line, kept in zip(lines, outputs)
    ]  # fmt: skip
    parent = subprocess.run(
      [sys.executable, "-c", _FORKING],
      input=json.dumps(asked).encode(),
      capture_output=True,
      check=False,
      timeout=SECONDS,
      env=environment(),
    )
    assert parent.returncode == 0, parent.stderr.decode()
    return [
      subprocess.CompletedProcess(
        line.arguments, int(code), *(_content(kept[n]) for n in _OUTPUTS)
      )
      for line, code, kept in zip(lines, parent.stdout.split(), outputs)
    ]


def environment() -> dict[str, str]:
  """That of this process; the same package is imported, wherever one is."""
  paths = map(os.path.abspath, filter(None, sys.path))
  return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _content(path: str) -> bytes:
  if not os.path.exists(path):
    return b""
  with open(path, "rb") as f:
    return f.read()


def assert_fails(process: subprocess.CompletedProcess, exit_code: int) -> str:
  """One line on standard error, nothing else; returns the line."""
  error = process.stderr.decode()
  assert process.returncode == exit_code, error
  assert process.stdout == b""
  assert error.startswith("bls2017: ")
  assert error.count("\n") == 1
  return error
