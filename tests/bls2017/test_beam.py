"""The Beam pipeline: the same files as the command, whatever dies meanwhile."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal

import pytest
from PIL import Image

import bls2017
from bls2017 import beam, errors
from bls2017.encode import request
from bls2017.many import inputs, pool, work
from tests import commands, images

TWO_PROCESSES = [
  "--direct_num_workers=2",
  "--direct_running_mode=multi_processing",
]


@pytest.fixture
def photos(tmp_path):
  """Three images in two folders, the first with alpha, and a broken one."""
  folder = tmp_path / "photos"
  for i, (height, width) in enumerate(((37, 50), (16, 16), (33, 64))):
    path = folder / f"{i % 2}" / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(images.photograph(height, width, seed=i))
    if not i:
      image.putalpha(image.getchannel("R"))
    image.save(path)
  (folder / "0" / "broken.png").write_bytes(b"not an image")
  return folder


def _compression(quality):
  codec = bls2017.Codec.load()
  return work.compression(codec, request.Request(quality, alpha="white"))


def _decompression():
  return work.decompression(bls2017.Codec.load(), "PNG")


@pytest.fixture
def expected(photos, tmp_path):
  """What the command writes."""
  folder = tmp_path / "expected"
  pool.run(inputs.find([str(photos)], str(folder), ".bls"), _compression(1.5))
  return _files(folder)


def _files(folder):
  """Contents of all files below a folder, by their paths."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file() and path.name != beam.FAILURES_FILE
  }


def _run(pattern, out, make_work, extension=".bls", options=()):
  return beam.run(
    str(pattern), str(out), extension, make_work, False, list(options)
  )


def test_the_commands_write_what_the_others_write_and_name_failures(
  photos, tmp_path, expected
):
  out, back = tmp_path / "out", tmp_path / "back"
  done = commands.run(
    "beam_compress", f"--input_glob={photos}/**.png", f"--output-dir={out}",
    "--quality=1.5", "--alpha=white", "--job_name=thumbnails",
  )  # fmt: skip
  failure, summary = done.stderr.decode().splitlines()
  assert done.returncode == 3
  assert "broken.png" in failure and "3 of 4 files coded" in summary
  assert "1 failed" in summary and " MP/s" in summary
  assert _files(out) == expected
  (row,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
  assert row["input"] == str(photos / "0" / "broken.png")
  assert row["exit_code"] == 3 and "Pillow" in row["reason"]
  assert sorted(os.listdir(out)) == ["0", "1", "failures.jsonl"]

  done = commands.run(
    "beam_decompress", f"--input_glob={out}/**.bls", f"--output_dir={back}",
    "--format=webp",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  with Image.open(back / "1" / "1.webp") as image:
    assert image.size == (16, 16)
  done = commands.run(
    "beam_compress", "--input_glob=x", "--output_dir=y", "--no_such_option=1"
  )
  assert "--no_such_option" in commands.assert_fails(done, 2)
  done = commands.run("beam_decompress", "--input_glob=x", "--output_dir=y")
  assert "no file matches x" in commands.assert_fails(done, 3)


def test_a_rerun_does_what_is_missing_and_touches_nothing_else(
  photos, tmp_path, expected
):
  out, pattern = tmp_path / "out", photos / "**.png"
  compress = functools.partial(_compression, 1.5)
  _run(pattern, out, compress)
  (out / "0" / "0.png.bls").unlink()
  (photos / "0" / "broken.png").unlink()
  summary, reasons = _run(pattern, out, compress)
  assert (summary.done, summary.skipped, summary.failed) == (1, 2, 0)
  assert (summary.exit_code, reasons) == (0, [])
  assert summary.compressed_bytes == len(expected["0/0.png.bls"])
  assert _files(out) == expected

  summary, reasons = _run(pattern, out, functools.partial(_compression, 2))
  assert (summary.failed, summary.exit_code) == (3, 6)
  assert "quality 1.5, not 2" in reasons[0]
  assert _files(out) == expected


def test_decompressing_keeps_names_apart(tmp_path):
  data = bls2017.Codec.load().compress(images.photograph(20, 30), 1)
  for name in ("a.png.bls", "b.png.bls", "b.jpg.bls"):
    (tmp_path / name).write_bytes(data)
  out = tmp_path / "out"
  summary, _ = _run(tmp_path / "*.bls", out, _decompression, ".png")
  assert (summary.done, summary.failed) == (3, 0)
  assert sorted(_files(out)) == ["a.png", "b.jpg.png", "b.png"]
  summary, _ = _run(tmp_path / "*.bls", out, _decompression, ".png")
  assert summary.skipped == 3


def _dying_once(mark):
  """Work that kills its process on the second file, the first time."""
  sound, files = _compression(1.5), []

  def code(source, progress):
    files.append(source)
    if len(files) > 1 and not os.path.exists(mark):
      with open(mark, "wb"):
        os.kill(os.getpid(), signal.SIGKILL)
    return sound.code(source, progress)

  return dataclasses.replace(sound, code=code)


# Beam's own threads end with what they hear of the worker.
@pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_a_killed_worker_changes_nothing_in_the_end(photos, tmp_path, expected):
  out, mark = tmp_path / "out", tmp_path / "killed"
  make_work = functools.partial(_dying_once, str(mark))
  pattern = photos / "**.png"
  with pytest.raises(errors.OutputError, match="run it again to go on"):
    _run(pattern, out, make_work, options=TWO_PROCESSES)
  assert mark.exists() and _files(out).items() <= expected.items()
  summary, _ = _run(pattern, out, make_work, options=TWO_PROCESSES)
  assert _files(out) == expected
  assert summary.done + summary.skipped == 3 and summary.failed == 1
  assert sorted(os.listdir(out)) == ["0", "1", "failures.jsonl"]
