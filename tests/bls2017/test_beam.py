"""The Beam pipeline: the same files as the command, whatever dies meanwhile."""

from __future__ import annotations

import functools
import json
import os

import pytest
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import decoder as decoder_lib
from bls2017 import errors
from bls2017.bulk import beam_pipeline, bulk_coding, inputs, worker_threads
from tests import commands, dying_work, images

QUALITY = 1.5
SIZES = ((37, 50), (16, 16), (33, 64))
TWO_PROCESSES = [
  "--direct_num_workers=2",
  "--direct_running_mode=multi_processing",
]


@pytest.fixture
def photos(tmp_path):
  """Three images in two folders, and a broken one."""
  folder = tmp_path / "photos"
  for i, (height, width) in enumerate(SIZES):
    path = folder / f"{i % 2}" / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(images.photograph(height, width, seed=i)).save(path)
  (folder / "0" / "broken.png").write_bytes(b"not an image")
  return folder


def _compression(quality):
  return functools.partial(bulk_coding.Compression, quality=quality)


def _loading(load, model, make_work):
  return functools.partial(
    bulk_coding.load, functools.partial(load, model, 2**20), make_work
  )


@pytest.fixture
def make_compression(golden_model_dir):
  return _loading(codec_lib.Codec.load, golden_model_dir, _compression(QUALITY))


def _settings(pattern, output_dir, make_work, extension=".bls", **options):
  return beam_pipeline.Settings(
    str(pattern), str(output_dir), extension, make_work, **options
  )


def _files(folder):
  """Contents of all files below a folder, by their paths."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file() and path.name != beam_pipeline.FAILURES_FILE
  }


@pytest.fixture
def expected(photos, tmp_path, make_compression):
  """What the command writes."""
  folder = tmp_path / "expected"
  jobs = inputs.find([str(photos)], str(folder), ".bls")
  worker_threads.run(jobs, make_compression())
  return _files(folder)


def test_the_pipeline_writes_what_bulk_writes_and_names_failures(
  photos, tmp_path, golden_model_dir, make_compression, expected
):
  out = tmp_path / "out"
  settings = _settings(f"{photos}/**.png", out, make_compression)
  summary = beam_pipeline.run(settings, [])
  assert _files(out) == expected
  assert (summary.done, summary.skipped, summary.exit_code) == (3, 0, 3)
  assert summary.pixels == sum(h * w for h, w in SIZES)
  assert summary.compressed_bytes == sum(map(len, expected.values()))
  (row,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
  assert row["input"] == str(photos / "0" / "broken.png")
  assert row["exit_code"] == 3 and "Pillow" in row["reason"]
  assert "broken.png" in str(summary.failures[0].error)
  assert sorted(os.listdir(out)) == ["0", "1", "failures.jsonl"]

  (out / "0" / "0.png.bls").unlink()
  (photos / "0" / "broken.png").unlink()
  summary = beam_pipeline.run(settings, [])
  assert (summary.done, summary.skipped, summary.exit_code) == (1, 2, 0)
  assert _files(out) == expected

  finer = _loading(codec_lib.Codec.load, golden_model_dir, _compression(2.0))
  other = _settings(f"{photos}/**.png", out, finer)
  summary = beam_pipeline.run(other, [])
  assert summary.exit_code == errors.OutputError.exit_code
  assert "quality 1.5, not 2" in str(summary.failures[0].error)
  assert _files(out) == expected


def test_decompressing_is_the_inverse_and_keeps_names_apart(
  tmp_path, codec, golden_model_dir
):
  x = images.photograph(20, 30)
  data = codec.compress(x, 1)
  for name in ("a.png.bls", "b.png.bls", "b.jpg.bls"):
    (tmp_path / name).write_bytes(data)
  make_work = _loading(
    decoder_lib.load, golden_model_dir, bulk_coding.Decompression
  )
  out = tmp_path / "out"
  settings = _settings(tmp_path / "*.bls", out, make_work, ".png")
  summary = beam_pipeline.run(settings, [])
  assert (summary.done, len(summary.failures)) == (3, 0)
  assert sorted(_files(out)) == ["a.png", "b.jpg.png", "b.png"]
  assert beam_pipeline.run(settings, []).skipped == 3


# Beam's own threads end with what they hear of the worker.
@pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_a_killed_worker_changes_nothing_in_the_end(
  photos, tmp_path, make_compression, expected
):
  out, mark = tmp_path / "out", tmp_path / "killed"
  dying = functools.partial(dying_work.make, make_compression, str(mark))
  settings = _settings(f"{photos}/**.png", out, dying)
  summary = beam_pipeline.run(settings, TWO_PROCESSES, attempts=2)
  assert mark.exists()
  assert _files(out) == expected
  assert summary.done + summary.skipped == 3
  assert list(summary.failures) == [0]
  assert sorted(os.listdir(out)) == ["0", "1", "failures.jsonl"]


def test_the_command_passes_beams_options_on(
  photos, tmp_path, golden_model_dir, expected
):
  out = tmp_path / "out"
  arguments = [
    "beam_compress", f"--input_glob={photos}/**.png", f"--output_dir={out}",
    "--quality=1.5", f"--model={golden_model_dir}",
  ]  # fmt: skip
  done = commands.run(*arguments, "--job_name=thumbnails")
  failure, summary = done.stderr.decode().splitlines()
  assert done.returncode == 3
  assert "broken.png" in failure and "3 of 4 files coded" in summary
  assert _files(out) == expected


def test_impossible_requests_are_refused_before_a_worker_starts(tmp_path):
  settings = _settings(tmp_path / "*.png", tmp_path / "out", None)
  with pytest.raises(errors.UnreadableInputError, match="no file matches"):
    beam_pipeline.run(settings, [])
  with pytest.raises(errors.UsageError, match="--no_such_option"):
    beam_pipeline.run(settings, ["--no_such_option=1"])
