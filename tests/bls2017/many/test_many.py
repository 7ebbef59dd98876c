"""Many files: which they are, the loop over them, and reruns."""

from __future__ import annotations

import io
import itertools
import os
import threading

import numpy as np
import pytest
from PIL import Image

import bls2017
from bls2017 import errors
from bls2017.common import cores
from bls2017.encode import request
from bls2017.images import reading
from bls2017.many import inputs, pool, work
from tests import images

X = images.photograph(37, 50)


def _tree(root, *names):
  for name in names:
    path = os.path.join(os.fsencode(root), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
      f.write(b"content of " + os.path.basename(path))


def _found(*arguments, extension=".bls", **options):
  """Outputs, by inputs."""
  jobs = list(inputs.find(arguments, "out", extension, **options))
  assert all(job.fault is None for job in jobs), jobs
  return {job.source: job.output for job in jobs}


def _fault(kind, *arguments, **options):
  """The message of the only fault."""
  (job,) = (j for j in inputs.find(arguments, "out", ".bls", **options) if j[2])
  assert type(job.fault) is kind
  return str(job.fault)


@pytest.fixture
def photos(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  _tree("photos", "b.JPG", "notes.txt", ".hidden.png", "a/0.png", "a/1.png",
        ".git/x.png", "z/old.bls")  # fmt: skip
  return "photos"


def test_directories_keep_their_folders_and_leave_out_other_files(photos):
  assert _found(photos) == _found(f"{photos}/") == {
    "photos/b.JPG": "out/b.JPG.bls",
    "photos/a/0.png": "out/a/0.png.bls",
    "photos/a/1.png": "out/a/1.png.bls",
  }  # fmt: skip
  assert _found(photos, extension=".png") == {
    "photos/z/old.bls": "out/z/old.png"
  }


def test_patterns_keep_the_folders_they_match(photos):
  assert _found("photos/**/[01].png") == {
    "photos/a/0.png": "out/a/0.png.bls",
    "photos/a/1.png": "out/a/1.png.bls",
  }
  assert _found("photos/a/*") == {
    "photos/a/0.png": "out/0.png.bls",
    "photos/a/1.png": "out/1.png.bls",
  }
  os.rename("photos/a/0.png", "photos/a/[x].png")
  assert list(_found("photos/a/[x].png")) == ["photos/a/[x].png"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_lists_name_files_by_any_bytes(photos, separator, start):
  names = [b"photos/a/0.png", "photos/ä ö.png".encode(), b"photos/\xff\xfe.png"]
  with open("list", "wb") as f:
    f.write(start + separator.join([*names, b""]))
  found = _found("@list")
  assert list(map(os.fsencode, found)) == names
  assert os.fsencode(list(found.values())[2]) == b"out/\xff\xfe.png.bls"
  assert _found("@list", base_dir="photos")["photos/a/0.png"] == (
    "out/a/0.png.bls"
  )


def test_a_base_keeps_folders_of_every_kind_of_input(photos):
  expected = {"photos/a/0.png": "out/photos/a/0.png.bls"}
  for argument in ("photos/a/0.png", "photos/a/0*"):
    assert _found(argument, base_dir=".") == expected
  assert expected.items() <= _found("photos/a", base_dir=".").items()


def test_what_cannot_be_an_input_is_refused_or_a_fault(photos):
  open("empty", "w").close()
  for arguments, base_dir, says in (
    (["-"], None, "names"),
    (["photos/b.JPG"], "photos/a", "not below"),
    (["photos"], "photos/a", "not below"),
    (["@empty"], None, "no inputs"),
    (["photos/z"], None, "no inputs"),
  ):
    with pytest.raises(errors.UsageError, match=says):
      list(inputs.find(arguments, "out", ".bls", base_dir))
  _tree("photos", "b/0.png", "x", "x.bls")
  unread = errors.UnreadableInputError
  assert "no file matches" in _fault(unread, "photos/*.gif", "photos")
  assert "no_list" in _fault(unread, "@no_list", "photos")
  same = ("photos/a/0.png", "photos/b/0.png")
  assert "both be written" in _fault(errors.UsageError, *same)
  assert "both be written" in _fault(errors.UsageError, "photos/a", "photos/b")
  assert len(_found(*same, base_dir="photos")) == 2
  jobs = list(inputs.find(["photos/x", "photos/x.bls"], "photos", ".bls"))
  assert "input and output" in str(jobs[0].fault)


def test_an_input_named_twice_is_done_once(photos):
  name = "photos/a/0.png"
  assert list(_found(name, name)) == [name]
  assert len(list(inputs.find([photos, photos], "out", ".bls"))) == 3


def test_what_a_folder_became_comes_back_under_names_of_its_own(tmp_path):
  names = [f"a.{kind}.bls" for kind in ("png", "tif", "webp")] + ["b.tif.bls"]
  outputs = ["a.png", "a.tif.png", "a.webp.png", "b.png"]
  assert inputs.output_names(names, ".png") == outputs
  _tree(tmp_path, *names, *(f"x/{name}" for name in names))
  expected = [f"out/{name}" for name in outputs]
  expected += [f"out/x/{name}" for name in outputs]
  assert list(_found(str(tmp_path), extension=".png").values()) == expected
  listed = _found(*sorted(map(str, tmp_path.glob("*.bls"))), extension=".png")
  assert list(listed.values()) == expected[:4]


def test_a_folder_is_walked_while_its_files_are_worked_on(photos):
  jobs = inputs.find([photos], "out", ".bls")
  assert next(jobs).source == "photos/b.JPG"
  _tree(photos, "a/2.png", "z/new.png")
  assert [job.source for job in jobs] == [
    "photos/a/0.png", "photos/a/1.png", "photos/a/2.png", "photos/z/new.png",
  ]  # fmt: skip


def _reversal():
  """Work that needs no codec: an output is its input backwards."""

  def code(source, progress):
    with open(source, "rb") as f:
      data = f.read()[::-1]
    return work.Coded(data, pixels=10, compressed_bytes=len(data))

  def fault(source, existing):
    is_right = existing == code(source, None).data
    return "" if is_right else "is another"

  return work.Work(code, fault)


@pytest.fixture
def jobs(tmp_path):
  _tree(tmp_path, *(f"in/{i:02}" for i in range(20)))
  return [
    inputs.Job(f"{tmp_path}/in/{i:02}", f"{tmp_path}/out/{i:02}")
    for i in range(20)
  ]


def _outputs(jobs):
  """Numbers of the jobs that are done; no output may be another one's."""
  done = [i for i, job in enumerate(jobs) if os.path.exists(job.output)]
  for i in done:
    with open(jobs[i].source, "rb") as f, open(jobs[i].output, "rb") as g:
      assert f.read()[::-1] == g.read()
  folder = os.path.dirname(jobs[0].output)
  assert len(os.listdir(folder) if os.path.isdir(folder) else []) == len(done)
  return done


def test_any_error_belongs_to_its_file(jobs):
  def code(source, progress):
    if source.endswith("07"):
      raise MemoryError("no room")
    if source.endswith("03"):
      raise errors.LimitError("too large")
    return _reversal().code(source, progress)

  jobs[12] = jobs[12]._replace(fault=errors.UsageError("no such flag"))
  outcomes = {}
  summary = pool.run(
    jobs, work.Work(code, _reversal().fault), workers=4,
    progress=lambda o: outcomes.update({o.source: str(o.error)}) or False,
  )  # fmt: skip
  assert (summary.done, summary.failed) == (17, 3)
  assert summary.exit_code == errors.LimitError.exit_code
  assert outcomes[jobs[3].source] == f"{jobs[3].source}: too large"
  assert "07: MemoryError: no room" in outcomes[jobs[7].source]
  assert outcomes[jobs[12].source] == f"{jobs[12].source}: no such flag"
  assert summary.pixels == 170 and len(_outputs(jobs)) == 17


def test_the_exit_code_is_that_of_the_first_input_whoever_ends_first(jobs):
  late = threading.Event()

  def code(source, progress):
    if source.endswith("00"):
      late.wait(60)
      raise errors.LimitError("first, and late")
    late.set()
    raise errors.OutputError("second, and early")

  fake = work.Work(code, _reversal().fault)
  assert pool.run(jobs[:2], fake, workers=2).exit_code == 5


def test_inputs_are_taken_as_they_are_needed(jobs):
  taken = done = 0

  def taking():
    nonlocal taken
    for job in jobs:
      taken += 1
      assert taken <= done + 3
      yield job

  def finished(outcome):
    nonlocal done
    done += 1

  assert pool.run(taking(), _reversal(), False, 3, finished).done == 20


def test_files_are_worked_on_at_the_same_time(jobs):
  barrier = threading.Barrier(3, timeout=60)

  def code(source, progress):
    barrier.wait()
    return _reversal().code(source, progress)

  fake = work.Work(code, _reversal().fault)
  assert pool.run(jobs[:18], fake, workers=3).done == 18


def test_whoever_is_told_of_a_file_can_end_the_run(jobs):
  summary = pool.run(jobs, _reversal(), workers=2, progress=lambda o: True)
  assert 1 <= summary.done == len(_outputs(jobs)) <= 3


def test_an_interrupt_is_passed_on_when_files_at_work_are_finished(jobs):
  def interrupt(outcome):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    pool.run(jobs, _reversal(), workers=2, progress=interrupt)
  assert 1 <= len(_outputs(jobs)) <= 3
  assert pool.run(jobs, _reversal()).exit_code == 0
  assert len(_outputs(jobs)) == 20


def test_a_rerun_does_what_is_missing_and_touches_nothing_else(jobs):
  assert pool.run(jobs, _reversal()).done == 20
  _tree(os.path.dirname(jobs[2].output), "02")  # Of another kind.
  os.unlink(jobs[0].output)
  os.utime(jobs[4].source, (2**32, 2**32))
  os.unlink(jobs[5].source)
  os.unlink(jobs[6].output)
  os.mkfifo(jobs[6].output)  # Whoever opens it waits for ever.
  before = [os.stat(job.output).st_mtime_ns for job in jobs[1:]]
  found = {}
  summary = pool.run(
    jobs, _reversal(),
    progress=lambda o: found.update({o.source[-2:]: o.error}) or False,
  )  # fmt: skip
  assert (summary.done, summary.skipped, summary.failed) == (1, 15, 4)
  assert [os.stat(job.output).st_mtime_ns for job in jobs[1:]] == before
  for name, code, says in (
    ("02", 6, "is another"),
    ("04", 6, "older than its input"),
    ("05", 3, "No such file"),
    ("06", 6, "not a regular file"),
  ):
    assert says in str(found[name]) and found[name].exit_code == code
  assert pool.run(jobs[1:4], _reversal(), overwrite=True).done == 3


def test_what_another_run_writes_meanwhile_is_checked_as_by_a_rerun(jobs):
  def code(source, progress):
    coded = _reversal().code(source, progress)
    job = next(job for job in jobs if job.source == source)
    with open(job.output, "wb") as f:
      f.write(coded.data if job is jobs[0] else b"something else")
    return coded

  fake = work.Work(code, _reversal().fault)
  summary = pool.run(jobs[:2], fake)
  assert (summary.skipped, summary.failed, summary.exit_code) == (1, 1, 6)


def test_what_is_no_regular_file_is_not_opened(jobs, tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "folder").mkdir()
  for name in ("pipe", "folder", "missing"):
    job = inputs.Job(str(tmp_path / name), jobs[0].output)
    assert pool.run([job], _reversal()).exit_code == 3
  assert _outputs(jobs) == []


@pytest.fixture(scope="module")
def codec():
  return bls2017.Codec.load()


def _png(image):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "PNG")
  return buffer.getvalue()


def test_work_finds_no_fault_with_what_it_makes(codec):
  source = _png(X)
  for wanted in (
    request.Request(3.3),
    request.Request(max_bytes=130),
    request.Request(target_bpp=1),
    request.Request(target_psnr=30),
  ):
    compression = work.compression(codec, wanted)
    small = compression.code(source, None)
    assert compression.fault(source, small.data) == ""
    assert (small.pixels, small.compressed_bytes) == (37 * 50, len(small.data))
  for kind, reduce in (("PNG", 1), ("WEBP", 4)):
    back = work.decompression(codec, kind, reduce=reduce)
    image = back.code(small.data, None)
    assert back.fault(small.data, image.data) == ""
    assert image.note == f"{-(-50 // reduce)} x {-(-37 // reduce)} pixels"


def test_work_finds_fault_with_everything_else(codec):
  source = _png(X)
  compression = work.compression(codec, request.Request(3))
  small = compression.code(source, None).data
  strangers = bls2017.Codec.load("ms_ssim").compress(X, 3)
  for output, wanted, says in (
    (small, request.Request(4), "quality 3, not 4"),
    (small, request.Request(max_bytes=40), "bytes, more than 40"),
    (small[:-1], request.Request(3), "checksum"),
    (source, request.Request(3), "magic"),
    (strangers, request.Request(3), "exists, but model"),
  ):
    assert says in work.compression(codec, wanted).fault(source, output)
  back = work.decompression(codec, "PNG")
  assert "20 x 37 pixels, not 50 x 37" in back.fault(small, _png(X[:, :20]))
  assert "not a whole PNG" in back.fault(small, source[:-20])
  half = work.decompression(codec, "PNG", reduce=2)
  assert "not 25 x 19" in half.fault(small, source)


def test_work_asks_for_the_alpha_that_the_request_asks_for(codec, tmp_path):
  see_through = _png(np.dstack([X, X[..., 0]]))
  opaque = _png(np.dstack([X, np.full_like(X[..., 0], 255)]))
  path = tmp_path / "x.png"
  path.write_bytes(see_through)
  keep, white = (
    work.compression(codec, request.Request(alpha=alpha))
    for alpha in ("keep", "white")
  )
  kept, gone = (each.code(see_through, None).data for each in (keep, white))
  assert codec.info(kept).alpha and not codec.info(gone).alpha
  for source in (see_through, str(path)):
    assert keep.fault(source, kept) == white.fault(source, gone) == ""
    assert keep.fault(source, gone) == "exists without alpha"
    assert white.fault(source, kept) == "exists with alpha"
  for source in (opaque, _png(X)):
    data = keep.code(source, None).data
    assert keep.fault(source, data) == white.fault(source, data) == ""
  image = work.decompression(codec, "PNG").code(kept, None).data
  alpha = reading.read(image).alpha
  np.testing.assert_array_equal(alpha, X[..., 0])


def test_metadata_is_stripped_and_notes_are_made(codec):
  buffer = io.BytesIO()
  Image.fromarray(X).save(buffer, "JPEG", xmp=b"<x/>")
  for strip in (False, True):
    compression = work.compression(
      codec, request.Request(), strip,
      describe=lambda x, coded: f"{x.pixels.shape} {coded.quality:g}",
    )  # fmt: skip
    coded = compression.code(buffer.getvalue(), None)
    assert codec.metadata(coded.data).xmp == (b"" if strip else b"<x/>")
    assert coded.note == "(37, 50, 3) 6"


# A quota is of the whole machine, a group, or a group above it.
_QUOTAS = {
  "none": ({}, None),
  "v2": ({"0::/a/b": {"a/b/cpu.max": "250000 100000"}}, 2),
  "v2 above": ({"0::/a/b": {"a/cpu.max": "100000 100000",
                            "a/b/cpu.max": "max 100000"}}, 1),
  "v2 in a container": ({"0::/": {"cpu.max": "50000 100000"}}, 1),
  "v2 without a limit": ({"0::/": {"cpu.max": "max 100000"}}, None),
  "v1": ({"4:cpu,cpuacct:/a": {"cpu/a/cpu.cfs_quota_us": "200000",
                               "cpu/a/cpu.cfs_period_us": "100000"}}, 2),
  "v1 by the path of the host": (
    {"4:cpu:/docker/1": {"cpu/cpu.cfs_quota_us": "100000",
                         "cpu/cpu.cfs_period_us": "100000"}}, 1),
  "v1 without a limit": (
    {"4:cpu:/": {"cpu/cpu.cfs_quota_us": "-1",
                 "cpu/cpu.cfs_period_us": "100000"}}, None),
  "v1 of memory": ({"9:memory:/": {"cpu.max": "100000 100000"}}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", _QUOTAS)
def test_cores_are_those_of_the_affinity_within_the_quota(
  tmp_path, monkeypatch, name
):
  groups, quota = _QUOTAS[name]
  (tmp_path / "proc" / "self").mkdir(parents=True)
  (tmp_path / "proc" / "self" / "cgroup").write_text("\n".join(groups))
  for path, text in itertools.chain(*(g.items() for g in groups.values())):
    place = tmp_path / "sys" / "fs" / "cgroup" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text + "\n")
  for affinity in ({0, 1, 2, 5, 7, 8}, {3}):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid, a=affinity: a)
    expected = len(affinity) if quota is None else min(len(affinity), quota)
    assert cores.usable_cores(str(tmp_path)) == expected
