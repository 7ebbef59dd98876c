"""Keeps two processes from writing into one directory.

The lock is the operating system's: it ends with the process, however that ends,
so none is ever left behind. The file beside the others only carries it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os

from bls2017 import errors

FILE = "lock"

_TAKEN = (errno.EACCES, errno.EAGAIN)
_held: dict[tuple[int, str], int] = {}

_log = logging.getLogger(__name__)


def hold(directory: str) -> None:
  """Takes a directory's lock and keeps it until this process ends.

  A process that has it may ask again. On a file system without locks there is
  a warning, and no lock.

  Args:
    directory: One that exists.

  Raises:
    errors.OutputError: if another process has it, or it cannot be written.
  """
  path = os.path.join(os.path.realpath(directory), FILE)
  # A forked process inherits the table, but no lock.
  key = (os.getpid(), path)
  if key in _held:
    return
  try:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
  except OSError as e:
    raise errors.OutputError(f"cannot write {path}: {e.strerror}") from e
  try:
    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as e:
    os.close(handle)
    if e.errno in _TAKEN:
      raise errors.OutputError(
        f"{directory} is in use by another process"
      ) from e
    _log.warning("%s cannot be locked: %s", directory, e.strerror)
    return
  _held[key] = handle
