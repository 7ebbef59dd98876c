"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from bls2017 import errors, files


def test_reading_returns_what_was_written(tmp_path):
  path = str(tmp_path / "a")
  files.write(path, b"content")
  assert files.read(path) == b"content"
  assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_permissions_follow_the_umask(tmp_path):
  path = str(tmp_path / "a")
  files.write(path, b"")
  ordinary = tmp_path / "b"
  ordinary.write_bytes(b"")
  assert stat.S_IMODE(os.stat(path).st_mode) == stat.S_IMODE(
    ordinary.stat().st_mode
  )


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


def test_a_directory_is_no_output(tmp_path):
  with pytest.raises(errors.OutputError, match="directory"):
    files.write(str(tmp_path), b"", overwrite=True)


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


def test_what_cannot_be_read_is_named(tmp_path):
  with pytest.raises(errors.UnreadableInputError, match="nothing"):
    files.read(str(tmp_path / "nothing"))
