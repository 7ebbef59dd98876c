"""Files are written whole or not at all, and nothing waits or is replaced."""

from __future__ import annotations

import concurrent.futures
import errno
import itertools
import os
import stat
import subprocess
import sys
import threading

import pytest

from bls2017 import errors, files

pytestmark = pytest.mark.timeout(60)


def _mode(path):
  return stat.S_IMODE(os.stat(path).st_mode)


def test_reading_returns_what_was_written(tmp_path):
  path = str(tmp_path / "a")
  files.write(path, b"content")
  assert files.read(path) == b"content"
  assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_existing_file_stays_unless_told(tmp_path):
  path = str(tmp_path / "a")
  files.write(path, b"old")
  with pytest.raises(errors.OutputExistsError, match="exists"):
    files.write(path, b"new")
  assert files.read(path) == b"old"
  files.write(path, b"new", overwrite=True)
  assert files.read(path) == b"new"


def test_a_missing_directory_is_an_error(tmp_path):
  with pytest.raises(errors.OutputError, match="does not exist"):
    files.write(str(tmp_path / "no" / "a"), b"")


def test_a_directory_is_neither_input_nor_output(tmp_path):
  with pytest.raises(errors.OutputError, match="directory"):
    files.write(str(tmp_path), b"", overwrite=True)
  with pytest.raises(errors.UnreadableInputError, match="directory"):
    files.read(str(tmp_path))


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
  path = str(tmp_path / "a")
  files.write(path, b"old")

  def full(descriptor):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(errors.OutputError, match="No space left"):
    files.write(path, b"new", overwrite=True)
  assert [p.name for p in tmp_path.iterdir()] == ["a"]
  assert files.read(path) == b"old"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch):
  path = tmp_path / "a"
  fsync = os.fsync

  def race(descriptor):
    fsync(descriptor)
    path.write_bytes(b"other")

  monkeypatch.setattr(os, "fsync", race)
  with pytest.raises(errors.OutputError, match="exists"):
    files.write(str(path), b"mine")
  assert path.read_bytes() == b"other"
  assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_will_do(
  tmp_path, monkeypatch, number
):
  def link(source, target):
    raise OSError(number, "no hard links here")

  monkeypatch.setattr(os, "link", link)
  path = str(tmp_path / "a")
  files.write(path, b"old")
  assert files.read(path) == b"old"
  assert [p.name for p in tmp_path.iterdir()] == ["a"]

  monkeypatch.setattr(files, "check_output", lambda *arguments: None)
  with pytest.raises(errors.OutputError, match="exists"):
    files.write(path, b"new")
  assert files.read(path) == b"old"
  assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_reading_stops_at_the_limit(tmp_path):
  path = str(tmp_path / "a")
  files.write(path, b"12345")
  assert files.read(path, limit=5) == b"12345"
  with pytest.raises(errors.LimitError):
    files.read(path, limit=4)


@pytest.mark.parametrize("name", ["nothing", "a\0b"])
def test_what_cannot_be_read_is_named(name, tmp_path):
  with pytest.raises(errors.UnreadableInputError, match=name):
    files.read(str(tmp_path / name))


def test_modes_follow_the_umask_in_every_thread(tmp_path, monkeypatch):
  old = os.umask(0o027)
  try:
    with monkeypatch.context() as patch:
      # The umask is the whole process's: who changes it, changes it for all.
      patch.delattr(os, "umask")
      with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = [str(tmp_path / str(i)) for i in range(64)]
        list(pool.map(lambda path: files.write(path, b""), paths))
  finally:
    os.umask(old)
  assert {_mode(path) for path in paths} == {0o640}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(mode, tmp_path):
  path = tmp_path / "a"
  path.write_bytes(b"old")
  path.chmod(mode)
  files.write(str(path), b"new", overwrite=True)
  assert path.read_bytes() == b"new" and _mode(path) == mode


@pytest.mark.parametrize("exists", [False, True])
def test_the_target_of_a_link_is_written_and_the_link_stays(exists, tmp_path):
  (tmp_path / "there").mkdir()
  target, link = tmp_path / "there" / "target", tmp_path / "link"
  link.symlink_to(os.path.join("there", "target"))
  if exists:
    target.write_bytes(b"old")
    with pytest.raises(errors.OutputExistsError):
      files.write(str(link), b"new")
  files.write(str(link), b"new", overwrite=exists)
  assert link.is_symlink() and target.read_bytes() == b"new"
  assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_a_circle_of_links_is_an_error(tmp_path):
  (tmp_path / "a").symlink_to("b")
  (tmp_path / "b").symlink_to("a")
  for overwrite in (False, True):
    with pytest.raises(errors.OutputError):
      files.write(str(tmp_path / "a"), b"", overwrite)
  with pytest.raises(errors.UnreadableInputError):
    files.read(str(tmp_path / "a"))


@pytest.mark.parametrize(
  "name",
  [
    "x" * 255,
    "😀" * 63 + ".bl",
    "写真" * 42,
    os.fsdecode(b"\xff\xfe" * 120),
    " ",
  ],
  ids=["ASCII", "emoji", "Japanese", "no UTF-8", "space"],
)
def test_names_of_any_bytes_and_of_every_length_are_written(name, tmp_path):
  path = os.path.join(tmp_path, name)
  files.write(path, b"1")
  files.write(path, b"2", overwrite=True)
  assert os.listdir(tmp_path) == [name] and files.read(path) == b"2"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_pipe_is_written_into(overwrite, tmp_path):
  path = str(tmp_path / "pipe")
  os.mkfifo(path)
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    writing = pool.submit(files.write, path, bytes(100_000), overwrite)
    with open(path, "rb") as f:
      assert f.read() == bytes(100_000)
    writing.result()
  assert stat.S_ISFIFO(os.stat(path).st_mode)


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path, monkeypatch):
  path = str(tmp_path / "pipe")
  os.mkfifo(path)
  clock = itertools.count(0, 3)
  monkeypatch.setattr(files.time, "monotonic", lambda: next(clock))
  with pytest.raises(errors.OutputError, match="nobody reads"):
    files.write(path, b"")


def test_a_device_is_no_input_unless_it_is_empty():
  with pytest.raises(errors.UnreadableInputError, match="device"):
    files.read("/dev/zero")


def test_a_device_is_written_into_and_never_replaced(tmp_path):
  before = os.stat(os.devnull)
  link = tmp_path / "link"
  link.symlink_to(os.devnull)
  for path in (os.devnull, str(link)):
    for overwrite in (False, True):
      files.check_output(path, overwrite)
      files.write(path, b"anything", overwrite)
    assert files.read(path) == b""
  after = os.stat(os.devnull)
  assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)
  assert link.is_symlink()


def test_a_pipe_is_read_if_somebody_writes_into_it(tmp_path):
  path = str(tmp_path / "pipe")
  os.mkfifo(path)
  with pytest.raises(errors.UnreadableInputError, match="nobody writes"):
    files.read(path)
  for limit in (3, 4):
    # Opened for both, so that opening does not wait for the other side.
    descriptor = os.open(path, os.O_RDWR)

    def write(descriptor=descriptor):
      os.write(descriptor, b"1234")
      os.close(descriptor)

    threading.Timer(0.1, write).start()
    if limit == 4:
      assert files.read(path, limit) == b"1234"
    else:
      with pytest.raises(errors.LimitError):
        files.read(path, limit)


def test_standard_output_by_its_name_is_written_into(tmp_path):
  script = "from bls2017 import files; files.write('/dev/stdout', b'abc')"
  command = [sys.executable, "-c", script]
  done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
  assert done.stdout == b"abc"
  path = tmp_path / "plain"
  with open(path, "wb") as f:
    subprocess.run(command, stdout=f, check=True)
  assert path.read_bytes() == b"abc"


def test_closed_standard_streams_are_typed_errors(monkeypatch):
  monkeypatch.setattr(sys, "stdin", None)
  with pytest.raises(errors.UnreadableInputError, match="closed"):
    files.read(files.STANDARD_STREAM)
  monkeypatch.setattr(sys, "stdout", None)
  with pytest.raises(errors.OutputError, match="closed"):
    files.write(files.STANDARD_STREAM, b"")
