"""The command as a user runs it: killed, run again, and all it leaves."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import bls2017
from bls2017 import errors
from bls2017.evaluation import (
  evaluation_config,
  evaluation_run,
  rate_distortion,
)
from bls2017.images import metrics
from tests import commands, images

CODECS = ("bls2017", "jpeg", "jpeg2000")
SIZES = {"a.png": (176, 208), "b.png": (192, 170), "small.png": (40, 33)}
ROWS = len(SIZES) * 2 * len(CODECS)


class Run:
  """A directory of results, and how it came to be."""

  def __init__(self, folder: pathlib.Path, model: str):
    self.images = folder / "images"
    self.output = folder / "output"
    self.images.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
      Image.fromarray(images.photograph(*size, seed)).save(self.images / name)
    (self.images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    self.arguments = [
      f"--images={self.images}/*",
      f"--output_dir={self.output}",
      f"--model={model}",
      f"--codecs={','.join(CODECS)}",
      "--qualities=1,2",
      "--qualities=jpeg:20,80",
      "--qualities=jpeg2000:0.5,2",
      "--compare_images=a",
      "--compare_bpp=0.8",
      "--figure=b.png",
      "--figure_bpp=0.9",
    ]

  def start(self) -> subprocess.Popen:
    return subprocess.Popen(
      [
        sys.executable, "-m", "bls2017.commands.main", "evaluate",
        *self.arguments,
      ],
      stderr=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
    )  # fmt: skip

  def run(self, *more: str) -> subprocess.CompletedProcess:
    return commands.run("evaluate", *self.arguments, *more)

  @property
  def table(self) -> bytes:
    return (self.output / "results.csv").read_bytes()

  def rows(self) -> list[dict[str, str]]:
    with open(self.output / "results.csv", newline="") as f:
      return list(csv.DictReader(f))

  def summary(self) -> dict:
    return json.loads((self.output / "summary.json").read_text())


def _children(pid: int) -> list[int]:
  found = []
  for name in os.listdir("/proc"):
    try:
      status = pathlib.Path("/proc", name, "stat").read_text()
    except OSError:
      continue
    if name.isdigit() and int(status.rpartition(")")[2].split()[1]) == pid:
      found.append(int(name))
  return found


def _alive(pid: int) -> bool:
  try:
    status = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return False
  return status.rpartition(")")[2].split()[0] != "Z"


def _wait_until(condition, seconds: float) -> bool:
  end = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > end:
      return False
    time.sleep(0.05)
  return True


@pytest.fixture(scope="module")
def killed(tmp_path_factory, golden_model_dir) -> tuple[Run, bytes]:
  """A run that was killed in the middle, and the rows it left."""
  run = Run(tmp_path_factory.mktemp("evaluation"), golden_model_dir)
  process = run.start()
  path = run.output / "results.csv"
  began = lambda: path.exists() and path.read_bytes().count(b"\n") > 3  # noqa: E731
  assert _wait_until(began, 120), "no row was written"
  workers = _children(process.pid)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert workers
  assert _wait_until(lambda: not any(map(_alive, workers)), 20), (
    "workers outlive a killed command"
  )
  return run, run.table


@pytest.fixture(scope="module")
def finished(killed) -> tuple[Run, subprocess.CompletedProcess]:
  run, _ = killed
  return run, run.run()


def test_goes_on_where_it_was_killed(killed, finished) -> None:
  run, before = killed
  _, process = finished
  assert process.returncode == 0, process.stderr.decode()
  kept = before[: before.rfind(b"\n") + 1]
  assert 4 <= kept.count(b"\n") <= ROWS
  assert run.table.startswith(kept)
  assert len(run.rows()) == ROWS


def test_finished_rows_are_not_made_again(finished) -> None:
  run, _ = finished
  before = run.table
  process = run.run("--qualities=jpeg:50", "--compare_images=")
  assert process.returncode == 0, process.stderr.decode()
  assert run.table.startswith(before)
  added = run.table[len(before) :].decode().splitlines()
  assert len(added) == len(SIZES)
  assert all(",jpeg," in line for line in added)


def test_a_broken_image_is_named_and_skipped(finished) -> None:
  run, process = finished
  assert b"skipping" in process.stderr
  assert b"broken.png" in process.stderr
  (failure,) = run.summary()["failures"]
  assert "broken.png" in failure["what"]
  names = [image["name"] for image in run.summary()["images"]]
  assert names == list(SIZES)


def test_rows_are_what_the_codec_does(finished, golden_model_dir) -> None:
  run, _ = finished
  codec = bls2017.Codec.load(golden_model_dir)
  x = images.photograph(*SIZES["a.png"], 0)
  encoded = codec.encode(x, 2)
  x_hat = codec.decompress(encoded.data)
  (row,) = (
    r
    for r in run.rows()
    if (r["image"], r["codec"], r["quality"]) == ("a.png", "bls2017", "2")
  )
  pixels = x.shape[0] * x.shape[1]
  assert int(row["bytes"]) == len(encoded.data)
  assert float(row["bpp"]) == pytest.approx(8 * len(encoded.data) / pixels)
  estimated = float(row["estimated_bpp"])
  assert estimated == pytest.approx(encoded.estimated_bits / pixels)
  gap = 100 * (float(row["bpp"]) / estimated - 1)
  assert float(row["gap_percent"]) == pytest.approx(gap, abs=1e-4)
  # Workers compute on one thread, which may round a pixel differently.
  psnr = metrics.psnr(x, x_hat)
  assert float(row["psnr_rgb"]) == pytest.approx(psnr, abs=1e-3)
  luma = metrics.psnr_luma(x, x_hat)
  assert float(row["psnr_y"]) == pytest.approx(luma, abs=1e-3)
  similarity = metrics.ms_ssim(x, x_hat)
  assert float(row["ms_ssim_rgb"]) == pytest.approx(similarity, abs=1e-4)
  assert row["model_id"] == codec.model.model_id.hex()
  assert float(row["encode_s"]) > 0
  assert float(row["decode_s"]) > 0


def test_small_images_have_no_ms_ssim_and_all_else(finished) -> None:
  run, _ = finished
  for row in run.rows():
    small = row["image"] == "small.png"
    assert (row["ms_ssim_rgb"] == "") == small
    assert (row["ms_ssim_y_db"] == "") == small
    assert float(row["psnr_rgb"]) > 10


def test_the_summary_averages_the_rows(finished) -> None:
  run, _ = finished
  curves = run.summary()["means"]
  assert [c["codec"]["name"] for c in curves] == list(CODECS)
  for curve in curves:
    for point in curve["points"]:
      rows = [
        row
        for row in run.rows()
        if row["codec"] == curve["codec"]["name"]
        and float(row["quality"]) == point["quality"]
      ]
      assert point["images"] == len(rows) == len(SIZES)
      for name in ("bpp", "psnr_rgb", "encode_s"):
        mean = np.mean([float(row[name]) for row in rows])
        assert point["values"][name] == pytest.approx(mean, rel=1e-6)
      assert point["values"]["ms_ssim_rgb"] is None


def test_the_summary_compares_with_every_other_codec(finished) -> None:
  run, _ = finished
  bjontegaard = run.summary()["bjontegaard"]
  assert bjontegaard["method"] == rate_distortion.METHOD
  pairs = [(d["anchor"], d["distortion"]) for d in bjontegaard["deltas"]]
  assert len(pairs) == len(set(pairs)) == 2 * len(rate_distortion.DISTORTIONS)
  psnr = [d for d in bjontegaard["deltas"] if d["distortion"] == "psnr_rgb"]
  assert all(d["test"] == "bls2017" for d in psnr)
  assert all(len(d["overlap"]) == 2 for d in psnr)
  assert "No published curve" in run.summary()["published"]["note"]


def test_all_pictures_are_there(finished) -> None:
  run, _ = finished
  for name in ("rd_psnr.png", "rd_msssim.png"):
    with Image.open(run.output / name) as plot:
      assert plot.width > 2 * plot.height
  stems = sorted(p.name.split("_")[0] for p in run.output.glob("per_image/*"))
  assert stems == ["a", "b", "small"]
  height, width = SIZES["b.png"]
  with Image.open(run.output / "figure.jpg") as figure:
    assert figure.width > 2 * width
    assert figure.height > 2 * height


def test_no_temporary_files_are_left(finished) -> None:
  run, _ = finished
  assert sorted(p.name for p in run.output.iterdir()) == [
    "figure.jpg", "per_image", "rd_msssim.png", "rd_psnr.png", "report.html",
    "results.csv", "summary.json",
  ]  # fmt: skip


@pytest.mark.parametrize(
  ("arguments", "exit_code", "message"),
  [
    ([], 2, "--output_dir"),
    (["--output_dir={}/out", "--figure_bpp=-1"], 2, "figure_bpp"),
    (["--output_dir={}/out"], 3, "no image matches"),
  ],
)
def test_mistakes_end_with_one_line(
  tmp_path, arguments, exit_code, message
) -> None:
  given = [argument.format(tmp_path) for argument in arguments]
  process = commands.run("evaluate", f"--images={tmp_path}/*", *given)
  assert message in commands.assert_fails(process, exit_code)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("changes", "error", "message"),
  [
    ({"codecs": ["gif"]}, errors.UsageError, "'gif'"),
    ({"qualities": {"jpeg": (500.0,)}}, errors.UsageError, "from 1 to 95"),
    ({"qualities": {"gif": (5.0,)}}, errors.UsageError, "not compared"),
    ({"codecs": None, "models": ("none",)}, errors.ModelError, "none"),
    ({"output_dir": "x.png/out"}, errors.OutputError, "x.png"),
    ({"study": "transforms"}, errors.UsageError, "train_images"),
  ],
)
def test_wishes_that_cannot_be_met(
  tmp_path, monkeypatch, changes, error, message
) -> None:
  monkeypatch.chdir(tmp_path)
  Image.fromarray(images.photograph(256, 256)).save("x.png")
  values = {"images": "x.png", "output_dir": "out", "codecs": ["jpeg"]}
  with pytest.raises(error, match=message):
    evaluation_run.run(
      evaluation_config.EvaluationConfig(**{**values, **changes}), None
    )


def test_a_study_says_that_it_must_train(tmp_path, monkeypatch) -> None:
  monkeypatch.setitem(sys.modules, "tensorflow_compression", None)
  Image.fromarray(images.photograph(256, 256)).save(tmp_path / "x.png")
  config = evaluation_config.EvaluationConfig(
    images=str(tmp_path / "x.png"), output_dir=str(tmp_path / "out"),
    codecs=("jpeg",), study="densities", train_images="*",
  )  # fmt: skip
  with pytest.raises(errors.MissingPackageError, match="3.9 to 3.11"):
    evaluation_run.run(config, None)
