"""Runs the console script as a user does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

_FORKED = """
import importlib, json, os, sys
from bls2017.commands import main
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
importlib.import_module("bls2017.codec")
for number, arguments in enumerate(json.load(sys.stdin)):
  process = os.fork()
  if not process:
    for stream, name in ((1, "out"), (2, "err")):
      os.dup2(os.open(f"{number}.{name}", os.O_CREAT | os.O_WRONLY), stream)
    sys.exit(main.main(arguments))
  _, status = os.waitpid(process, 0)
  print(os.waitstatus_to_exitcode(status), flush=True)
"""


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
  """A finished `bls2017` process, its outputs as bytes."""
  return subprocess.run(
    [sys.executable, "-m", "bls2017.commands.main", *arguments],
    capture_output=True,
    check=False,
    timeout=300,
    **options,
  )


_REGISTERED = """
import sys
from bls2017.model import packaged_models
packaged_models.SEARCH_PATH.insert(0, sys.argv.pop(1))
from bls2017.commands import main
sys.exit(main.main())
"""


def run_with_models(
  folder: str, *arguments: str
) -> subprocess.CompletedProcess:
  """As `run`, where the models in a folder count as packaged ones."""
  return subprocess.run(
    [sys.executable, "-c", _REGISTERED, folder, *arguments],
    capture_output=True,
    check=False,
    timeout=300,
  )


def run_several(
  command_lines: list[list[str]],
) -> list[subprocess.CompletedProcess]:
  """As `run` for each, in processes that share the import of TensorFlow."""
  with tempfile.TemporaryDirectory() as directory:
    parent = subprocess.run(
      [sys.executable, "-c", _FORKED],
      input=json.dumps(command_lines).encode(),
      capture_output=True,
      check=False,
      timeout=300,
      cwd=directory,
      env={
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
          map(os.path.abspath, filter(None, sys.path))
        ),
      },
    )
    assert parent.returncode == 0, parent.stderr.decode()
    finished = []
    for number, code in enumerate(parent.stdout.split()):
      outputs = []
      for name in ("out", "err"):
        with open(os.path.join(directory, f"{number}.{name}"), "rb") as f:
          outputs.append(f.read())
      finished.append(
        subprocess.CompletedProcess(command_lines[number], int(code), *outputs)
      )
  return finished


def assert_fails(process: subprocess.CompletedProcess, exit_code: int) -> str:
  """One line on standard error, nothing else; returns the line."""
  error = process.stderr.decode()
  assert process.returncode == exit_code, error
  assert process.stdout == b""
  assert error.startswith("bls2017: ")
  assert error.count("\n") == 1
  return error
