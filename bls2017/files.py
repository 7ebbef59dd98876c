"""Bytes in and out of files, where "-" is standard input or output."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile

from bls2017 import errors

STANDARD_STREAM = "-"

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def read(path: str, limit: int | None = None) -> bytes:
  """All bytes of a file.

  Args:
    path: The file; "-" is standard input.
    limit: Refuse more bytes than this.

  Raises:
    errors.UnreadableInputError: if the file cannot be read.
    errors.LimitError: if it is longer than the limit.
  """
  size = -1 if limit is None else limit + 1
  try:
    if path == STANDARD_STREAM:
      data = sys.stdin.buffer.read(size)
    else:
      with open(path, "rb") as f:
        data = f.read(size)
  except OSError as e:
    raise errors.UnreadableInputError(
      f"cannot read {path}: {e.strerror or e}"
    ) from e
  if limit is not None and len(data) > limit:
    raise errors.LimitError(f"{path} is longer than {limit} bytes")
  return data


def check_output(path: str, overwrite: bool) -> None:
  """Refuses an output that `write` would refuse, before any work is done.

  Raises:
    errors.OutputError: if the file exists and is not to be overwritten, is a
      directory, or its directory does not exist.
  """
  if path == STANDARD_STREAM:
    return
  if os.path.isdir(path):
    raise errors.OutputError(f"{path} is a directory")
  if os.path.lexists(path) and not overwrite:
    raise errors.OutputExistsError(f"{path} exists")
  directory = os.path.dirname(os.path.abspath(path))
  if not os.path.isdir(directory):
    raise errors.OutputError(f"the directory {directory} does not exist")


def make_directory(path: str) -> None:
  """Makes a directory and those above it, where they are missing.

  Raises:
    errors.OutputError: if it cannot be made.
  """
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as e:
    raise errors.OutputError(f"cannot make {path}: {e.strerror or e}") from e


def write(path: str, data: bytes, overwrite: bool = False) -> None:
  """Writes a file, whole or not at all.

  The bytes go to a temporary name in the same directory, reach the disk, and
  are then given their name, so that a crash leaves the old file or the new one.

  Args:
    path: The file; "-" is standard output.
    data: Its content.
    overwrite: Whether a file that exists is replaced.

  Raises:
    errors.OutputError: if the file exists or cannot be written.
  """
  check_output(path, overwrite)
  try:
    if path == STANDARD_STREAM:
      sys.stdout.buffer.write(data)
      sys.stdout.buffer.flush()
      return
    directory, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(".tmp", f".{name[:100]}.", directory)
    try:
      with os.fdopen(handle, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
      os.chmod(temporary, 0o666 & ~_umask())
      if overwrite:
        os.replace(temporary, path)
      else:
        _rename_new(temporary, path)
    finally:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
  except FileExistsError as e:
    raise errors.OutputExistsError(f"{path} exists") from e
  except OSError as e:
    raise errors.OutputError(f"cannot write {path}: {e.strerror or e}") from e


def _rename_new(source: str, target: str) -> None:
  """Gives a file its name; raises FileExistsError where that is taken."""
  try:
    # A link fails where a file came into being meanwhile; a rename would
    # replace it.
    os.link(source, target)
  except OSError as e:
    if e.errno not in _NO_HARD_LINKS:
      raise
    if os.path.lexists(target):
      raise FileExistsError(target) from e
    os.rename(source, target)


def _umask() -> int:
  current = os.umask(0)
  os.umask(current)
  return current
