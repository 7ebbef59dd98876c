"""Many files at once: inputs, the loop over them, and the commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.bulk import bulk_coding, inputs, worker_threads
from bls2017.encode import options as options_lib
from bls2017.images import image_io
from tests import commands, images

SIZES = ((37, 50), (16, 16), (50, 20), (33, 64))


@pytest.fixture
def photos(tmp_path):
  """A directory of four images, one of them broken, and a text file."""
  folder = tmp_path / "photos"
  (folder / "a").mkdir(parents=True)
  for i, (height, width) in enumerate(SIZES):
    x = images.photograph(height, width, seed=i)
    Image.fromarray(x).save(folder / "a" / f"{i}.png")
  path = folder / "a" / "2.png"
  path.write_bytes(path.read_bytes()[:100])
  (folder / "notes.txt").write_text("not an image")
  (folder / ".hidden.png").write_text("not an input")
  return folder


@pytest.fixture
def compression(codec):
  return bulk_coding.Compression(codec, 1.5)


def _jobs(photos, tmp_path):
  return inputs.find([str(photos)], str(tmp_path / "out"), ".bls")


class Reversal:
  """Work that needs no codec: an output is its input backwards."""

  def code(self, source):
    with open(source, "rb") as f:
      data = f.read()[::-1]
    return worker_threads.Coded(data, pixels=10, compressed_bytes=len(data))

  def mismatch(self, source, existing):
    return "" if existing == self.code(source).data else "is another"


@pytest.fixture
def texts(tmp_path):
  jobs = []
  for i in range(20):
    source = tmp_path / f"{i}.txt"
    source.write_text(f"text {i}")
    jobs.append((str(source), str(tmp_path / "out" / f"{i}")))
  return jobs


def test_directories_keep_their_folders_and_leave_out_other_files(photos):
  jobs = inputs.find([f"{photos}/"], "out", ".bls")
  names = [f"a/{i}.png" for i in range(len(SIZES))]
  assert jobs == [
    (os.path.join(photos, n), os.path.join("out", f"{n}.bls")) for n in names
  ]


def test_patterns_keep_the_folders_they_match(photos):
  jobs = inputs.find([f"{photos}/**/[01].png"], "out", ".bls")
  assert [output for _, output in jobs] == [
    "out/a/0.png.bls",
    "out/a/1.png.bls",
  ]
  with pytest.raises(errors.UnreadableInputError, match="no file matches"):
    inputs.find([f"{photos}/*.jpg"], "out", ".bls")


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_lists_name_files_and_base_dir_keeps_folders(photos, separator):
  paths = [str(photos / "a" / "0.png"), str(photos / "a" / "1.png")]
  path = photos / "list.txt"
  path.write_bytes(separator.join([*paths, ""]).encode())
  jobs = inputs.find([f"@{path}"], "out", ".bls")
  assert jobs == [(p, f"out/{os.path.basename(p)}.bls") for p in paths]
  jobs = inputs.find([f"@{path}"], "out", ".bls", str(photos))
  assert [output for _, output in jobs] == [
    "out/a/0.png.bls",
    "out/a/1.png.bls",
  ]


def test_impossible_inputs_are_refused(photos, tmp_path):
  def find(*arguments, **options):
    return inputs.find(arguments, str(tmp_path), ".bls", **options)

  (photos / "b").mkdir()
  (photos / "b" / "0.png").write_bytes(b"")
  same_name = [str(photos / folder / "0.png") for folder in "ab"]
  with pytest.raises(errors.UsageError, match="both be written"):
    find(*same_name)
  assert len(find(*same_name, base_dir=str(photos))) == 2
  with pytest.raises(errors.UsageError, match="not below"):
    find(same_name[0], base_dir=str(photos / "b"))
  with pytest.raises(errors.UsageError, match="no inputs"):
    find(f"@{os.devnull}")
  with pytest.raises(errors.UsageError, match="names"):
    find("-")
  with pytest.raises(errors.UnreadableInputError, match="no_list"):
    find("@no_list")
  name = str(tmp_path / "x.bls")
  with pytest.raises(errors.UsageError, match="input and output"):
    find(str(tmp_path / "x"), name)


def test_what_a_folder_became_comes_back_under_names_of_its_own(tmp_path):
  paths = [f"x/a.{ending}" for ending in ("png", "webp", "tif")] + ["x/b.tif"]
  assert inputs.output_names([f"{p}.bls" for p in paths], ".png") == [
    "x/a.png", "x/a.webp.png", "x/a.tif.png", "x/b.png",
  ]  # fmt: skip
  folder = tmp_path / "small"
  folder.mkdir()
  for name in ("a.png.bls", "a.webp.bls", "b.jpg.bls"):
    (folder / name).write_bytes(b"")
  jobs = inputs.find([str(folder)], "out", ".png")
  outputs = [output for _, output in jobs]
  assert outputs == ["out/a.png", "out/a.webp.png", "out/b.png"]


def test_an_input_named_twice_is_done_once(texts, tmp_path):
  source = texts[0][0]
  jobs = inputs.find([source, source], str(tmp_path / "out"), ".bls")
  assert [s for s, _ in jobs] == [source]


def test_bulk_writes_what_the_codec_writes(
  photos, tmp_path, compression, codec
):
  seen = []
  jobs = _jobs(photos, tmp_path)
  summary = worker_threads.run(
    jobs, compression, workers=3, on_outcome=seen.append
  )
  assert {o.source for o in seen} == {source for source, _ in jobs}
  total = 0
  for i, (source, output) in enumerate(jobs):
    if i == 2:
      assert not os.path.exists(output)
      assert source in str(summary.failures[i].error)
      continue
    with open(output, "rb") as f:
      data = f.read()
    assert data == codec.compress(image_io.read_rgb(source), 1.5)
    total += len(data)
  assert (summary.done, summary.skipped, summary.exit_code) == (3, 0, 3)
  assert summary.compressed_bytes == total
  assert summary.pixels == sum(h * w for h, w in SIZES) - 50 * 20
  assert summary.bpp == 8 * total / summary.pixels

  back = [(o, f"{tmp_path}/back/{i}.png") for i, (_, o) in enumerate(jobs)]
  decompression = bulk_coding.Decompression(codec)
  summary = worker_threads.run(back, decompression, workers=2)
  assert (summary.done, list(summary.failures)) == (3, [2])
  with open(back[0][0], "rb") as f:
    expected = codec.decompress(f.read())
  np.testing.assert_array_equal(image_io.read_rgb(back[0][1]), expected)
  assert worker_threads.run(back, decompression).skipped == 3


def test_a_rerun_does_only_what_is_missing(photos, tmp_path, compression):
  jobs = _jobs(photos, tmp_path)
  worker_threads.run(jobs, compression)
  os.unlink(jobs[0][1])
  before = os.stat(jobs[1][1])
  summary = worker_threads.run(jobs, compression)
  assert (summary.done, summary.skipped, list(summary.failures)) == (1, 2, [2])
  assert os.stat(jobs[1][1]).st_mtime_ns == before.st_mtime_ns
  assert worker_threads.run(jobs, compression, overwrite=True).done == 3


def test_a_rerun_never_passes_another_output_off_as_done(
  photos, tmp_path, compression, codec
):
  jobs = _jobs(photos, tmp_path)[:2]
  worker_threads.run(jobs, compression)
  finer = bulk_coding.Compression(codec, 2)
  summary = worker_threads.run(jobs, finer)
  assert summary.exit_code == errors.OutputError.exit_code
  assert "quality 1.5, not 2" in str(summary.failures[0].error)
  assert isinstance(summary.failures[0].error, errors.OutputExistsError)
  ample = bulk_coding.Compression(
    codec, options=options_lib.Options(max_bytes=10**6)
  )
  assert worker_threads.run(jobs, ample).skipped == 2
  tight = bulk_coding.Compression(
    codec, options=options_lib.Options(max_bytes=40)
  )
  summary = worker_threads.run(jobs, tight)
  assert "bytes, more than 40" in str(summary.failures[0].error)

  later = time.time() + 10
  os.utime(jobs[0][0], (later, later))
  with open(jobs[1][1], "r+b") as f:
    f.truncate(30)
  summary = worker_threads.run(jobs, compression)
  assert "older" in str(summary.failures[0].error)
  assert "checksum" in str(summary.failures[1].error)


def test_an_image_of_another_size_is_not_what_a_file_decodes_to(
  tmp_path, codec
):
  path, output = tmp_path / "x.bls", tmp_path / "x.png"
  path.write_bytes(codec.compress(images.photograph(20, 30), 1))
  work = bulk_coding.Decompression(codec)
  Image.new("RGB", (20, 20)).save(output)
  summary = worker_threads.run([(str(path), str(output))], work)
  assert "20 x 20 pixels, not 30 x 20" in str(summary.failures[0].error)
  output.write_bytes(output.read_bytes()[:-20])
  summary = worker_threads.run([(str(path), str(output))], work)
  assert "not a whole PNG" in str(summary.failures[0].error)


def test_any_error_belongs_to_its_file(texts):
  class Failing(Reversal):
    def code(self, source):
      if source.endswith("/7.txt"):
        raise MemoryError("no room")
      if source.endswith("/3.txt"):
        raise errors.LimitError("too large")
      return super().code(source)

  summary = worker_threads.run(texts, Failing(), workers=4)
  assert summary.done == 18
  assert sorted(summary.failures) == [3, 7]
  assert str(summary.failures[3].error) == f"{texts[3][0]}: too large"
  assert "7.txt: MemoryError: no room" in str(summary.failures[7].error)
  assert summary.exit_code == errors.LimitError.exit_code


def test_an_output_directory_that_cannot_be_made_fails_its_files(
  texts, tmp_path
):
  (tmp_path / "out").write_text("a file")
  summary = worker_threads.run(texts, Reversal())
  assert len(summary.failures) == len(texts)
  assert summary.exit_code == errors.OutputError.exit_code


def test_no_jobs_are_no_work():
  assert worker_threads.run([], Reversal()).exit_code == 0


def test_files_are_worked_on_at_the_same_time(texts):
  barrier = threading.Barrier(3, timeout=60)

  class Meeting(Reversal):
    def code(self, source):
      barrier.wait()
      return super().code(source)

  assert worker_threads.run(texts[:18], Meeting(), workers=3).done == 18


def test_an_interrupt_finishes_the_files_at_work(texts):
  def interrupt(outcome):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    worker_threads.run(texts, Reversal(), workers=2, on_outcome=interrupt)
  out = os.path.dirname(texts[0][1])
  for name in os.listdir(out):
    source, output = texts[int(name)]
    with open(output, "rb") as f:
      assert Reversal().mismatch(source, f.read()) == ""
  assert worker_threads.run(texts, Reversal()).exit_code == 0


def test_a_second_interrupt_gives_them_up_and_nothing_is_written(texts):
  blocked, go_on = threading.Event(), threading.Event()

  class Slow(Reversal):
    def code(self, source):
      if source.endswith("/1.txt"):
        blocked.set()
        go_on.wait()
      return super().code(source)

  def interrupt(outcome):
    blocked.wait()
    main = threading.main_thread().ident
    again = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    again.start()
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    worker_threads.run(texts[:2], Slow(), workers=2, on_outcome=interrupt)
  go_on.set()
  time.sleep(0.1)
  assert os.listdir(os.path.dirname(texts[0][1])) == ["0"]


def test_ctrl_c_leaves_whole_files_and_the_rerun_goes_on(
  tmp_path, golden_model_dir, codec
):
  folder, out = tmp_path / "photos", tmp_path / "out"
  folder.mkdir()
  x = images.photograph(256, 256)
  for i in range(60):
    Image.fromarray(x).save(folder / f"{i}.png")
  arguments = [
    "compress", str(folder), f"--output_dir={out}", "--quality=2",
    f"--model={golden_model_dir}", "--workers=2",
  ]  # fmt: skip
  process = subprocess.Popen(
    [sys.executable, "-m", "bls2017.commands.main", *arguments],
    stderr=subprocess.PIPE,
  )
  while process.poll() is None and not (out.is_dir() and any(out.iterdir())):
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  _, error = process.communicate(timeout=60)
  assert process.returncode == 130, error
  assert b"interrupted" in error
  done = list(out.iterdir())
  assert 0 < len(done) < 60
  assert {p.read_bytes() for p in done} == {codec.compress(x, 2)}

  again = commands.run(*arguments)
  assert again.returncode == 0
  assert f"{len(done)} skipped" in again.stderr.decode()
  assert len(list(out.iterdir())) == 60
