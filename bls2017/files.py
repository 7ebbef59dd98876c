"""Bytes in and out of files, where "-" is standard input or output.

Inputs are plain files, and pipes into which somebody writes; opening one never
waits. Outputs appear whole or not at all. An output that is a device or a pipe
is written into, and that of a link is the file to which it points. No output is
ever opened for reading.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
import sys
import time
from typing import Any, BinaryIO, Union

from bls2017 import errors

STANDARD_STREAM = "-"

Path = Union[str, "os.PathLike[str]"]

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

# Both are missing on Windows.
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)

_READER_SECONDS = 10
"""How long a pipe's reader may take to come."""

_NAME_BYTES = 64
"""How much of a file's name its temporary name has."""

_OPEN_FILES = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")
"""Names of files that the process has open already, perhaps plain ones."""


def open_input(path: Path, pipe_limit: int = -1) -> BinaryIO:
  """Opens a plain file, or a pipe into which somebody writes.

  Args:
    path: The file.
    pipe_limit: Most bytes that are read from a pipe, which is read at once; all
      of them if negative.

  Returns:
    A binary file at its start, which can seek.

  Raises:
    errors.UnreadableInputError: if it is missing or cannot be read, is a
      directory or a device that is not empty, or a pipe that nobody writes
      into.
  """
  name = os.fsdecode(path)
  try:
    # Opening a pipe would otherwise wait for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | _NO_WAITING | _BINARY)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
      os.close(descriptor)
      raise IsADirectoryError(errno.EISDIR, "it is a directory")
    f = os.fdopen(descriptor, "rb")
    if stat.S_ISREG(mode):
      return f
    with f:
      start = f.read(1)  # None, where somebody has yet to write.
      if not stat.S_ISFIFO(mode):
        if start != b"":
          raise OSError(errno.EINVAL, "it is a device")
        return io.BytesIO()  # /dev/null
      if start == b"":
        raise OSError(errno.EPIPE, "it is a pipe that nobody writes into")
      os.set_blocking(descriptor, True)
      return io.BytesIO((start or b"") + f.read(pipe_limit))
  except FileNotFoundError as e:
    raise errors.UnreadableInputError(f"{name} does not exist") from e
  except (OSError, ValueError) as e:
    raise _unreadable(name, e) from e


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
    if path != STANDARD_STREAM:
      with open_input(path, size) as f:
        data = f.read(size)
    elif sys.stdin is None:
      raise errors.UnreadableInputError("standard input is closed")
    else:
      data = sys.stdin.buffer.read(size)
  except (OSError, ValueError) as e:
    raise _unreadable(path, e) from e
  if limit is not None and len(data) > limit:
    raise errors.LimitError(f"{path} is longer than {limit} bytes")
  return data


def as_bytes(data: Any, expected: str) -> bytes:
  """The bytes of an object that holds bytes, without a copy of bytes.

  Args:
    data: The object.
    expected: What it should be; begins the message.

  Raises:
    TypeError: if it holds no bytes.
  """
  if isinstance(data, bytes):
    return data
  try:
    return memoryview(data).tobytes()
  except TypeError:
    raise TypeError(f"{expected}, not {type(data).__name__}") from None


def check_output(path: str, overwrite: bool) -> None:
  """Refuses an output that `write` would refuse, before any work is done.

  Raises:
    errors.OutputError: if the file exists and is not to be overwritten, is a
      directory, or its directory does not exist.
  """
  if path == STANDARD_STREAM:
    return
  stream = _stream_mode(path)
  if stream:
    # A disk holds data, as a plain file does.
    if stat.S_ISBLK(stream) and not overwrite:
      raise errors.OutputExistsError(f"{path} exists")
    return
  target = os.path.realpath(path)
  if os.path.isdir(target):
    raise errors.OutputError(f"{path} is a directory")
  if os.path.lexists(target) and not overwrite:
    raise errors.OutputExistsError(f"{path} exists")
  directory = os.path.dirname(target)
  if not os.path.isdir(directory):
    raise errors.OutputError(f"the directory {directory} does not exist")


def make_directory(path: str) -> None:
  """Makes a directory and those above it, where they are missing.

  Raises:
    errors.OutputError: if it cannot be made.
  """
  try:
    os.makedirs(path, exist_ok=True)
  except (OSError, ValueError) as e:
    raise errors.OutputError(f"cannot make {path}: {_reason(e)}") from e


def write(path: str, data: bytes, overwrite: bool = False) -> None:
  """Writes a file, whole or not at all.

  The bytes go to a temporary name in the same directory, reach the disk, and
  are then given their name, so that a crash leaves the old file or the new one.
  A file that is replaced hands on its mode and its owner; a new one gets the
  mode that the system gives. Devices and pipes are written into.

  Args:
    path: The file, or a link to it; "-" is standard output.
    data: Its content.
    overwrite: Whether a file that exists is replaced.

  Raises:
    errors.OutputError: if the file exists or cannot be written, or nobody reads
      the pipe.
  """
  check_output(path, overwrite)
  try:
    if path == STANDARD_STREAM:
      if sys.stdout is None:
        raise errors.OutputError("standard output is closed")
      sys.stdout.buffer.write(data)
      sys.stdout.buffer.flush()
    elif _stream_mode(path):
      with os.fdopen(_open_stream(path), "wb") as f:
        f.write(data)
    else:
      _write_plain(os.path.realpath(path), data, overwrite)
  except FileExistsError as e:
    raise errors.OutputExistsError(f"{path} exists") from e
  except (OSError, ValueError) as e:
    raise errors.OutputError(f"cannot write {path}: {_reason(e)}") from e


def _stream_mode(path: str) -> int:
  """The mode of an output that is written into as it is; 0 for plain files."""
  try:
    mode = os.stat(path).st_mode
  except (OSError, ValueError):
    return 0
  is_stream = path.startswith(_OPEN_FILES) or not stat.S_ISREG(mode)
  return mode if is_stream and not stat.S_ISDIR(mode) else 0


def _open_stream(path: str) -> int:
  """Opens a device, or a pipe as soon as it has a reader, for writing."""
  deadline = time.monotonic() + _READER_SECONDS
  while True:
    try:
      descriptor = os.open(path, os.O_WRONLY | _NO_WAITING | _BINARY)
      os.set_blocking(descriptor, True)
      return descriptor
    except OSError as e:
      if e.errno != errno.ENXIO:
        raise
      if time.monotonic() > deadline:
        raise OSError(errno.ENXIO, "it is a pipe that nobody reads") from e
    time.sleep(0.01)


def _write_plain(path: str, data: bytes, overwrite: bool) -> None:
  old = os.stat(path) if os.path.lexists(path) else None
  directory, name = os.path.split(path)
  # Names are as long as the file system allows in bytes, and of any bytes.
  name = os.fsencode(name)[:_NAME_BYTES].decode(errors="ignore")
  temporary = os.path.join(directory, f".{name}.{secrets.token_hex(8)}.tmp")
  flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
  # The system takes the umask off the mode of a new file.
  mode = stat.S_IMODE(old.st_mode) if old else 0o666
  descriptor = os.open(temporary, flags, mode)
  try:
    with os.fdopen(descriptor, "wb") as f:
      f.write(data)
      f.flush()
      os.fsync(f.fileno())
    if old:
      with contextlib.suppress(OSError, AttributeError):
        os.chown(temporary, old.st_uid, old.st_gid)
      os.chmod(temporary, mode)
    if overwrite:
      os.replace(temporary, path)
    else:
      _rename_new(temporary, path)
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(temporary)


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


def _unreadable(name: str, e: Exception) -> errors.UnreadableInputError:
  return errors.UnreadableInputError(f"cannot read {name}: {_reason(e)}")


def _reason(e: Exception) -> str:
  return str(getattr(e, "strerror", None) or e)
