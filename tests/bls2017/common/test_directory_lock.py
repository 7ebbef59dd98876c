"""One directory, one writer."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from bls2017 import errors
from bls2017.common import directory_lock

HOLDER = """
import sys
from bls2017.common import directory_lock
directory_lock.hold(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def _other(directory) -> subprocess.Popen:
  """A process that tries to hold a directory, and to keep it."""
  return subprocess.Popen(
    [sys.executable, "-c", HOLDER, str(directory)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
  with _other(tmp_path) as process:
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(errors.OutputError, match="in use by another"):
      directory_lock.hold(str(tmp_path))
    process.kill()
  directory_lock.hold(str(tmp_path))
  directory_lock.hold(os.path.join(tmp_path, "."))
  with _other(tmp_path) as process:
    _, error = process.communicate()
  assert b"in use by another process" in error


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(b"")
  with pytest.raises(errors.OutputError, match="cannot write"):
    directory_lock.hold(str(path))


def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, caplog):
  def lockf(handle, operation):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "lockf", lockf)
  directory_lock.hold(str(tmp_path))
  assert "No locks available" in caplog.text
