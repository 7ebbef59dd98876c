"""Runs the console script as a user does: in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
  """A finished `bls2017` process, its outputs as bytes."""
  return subprocess.run(
    [sys.executable, "-m", "bls2017.commands.main", *arguments],
    capture_output=True,
    check=False,
    timeout=300,
    **options,
  )


def assert_fails(process: subprocess.CompletedProcess, exit_code: int) -> str:
  """One line on standard error, nothing else; returns the line."""
  error = process.stderr.decode()
  assert process.returncode == exit_code, error
  assert process.stdout == b""
  assert error.startswith("bls2017: ")
  assert error.count("\n") == 1
  return error
