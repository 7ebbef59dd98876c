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
from typing import NamedTuple

import pytest
from PIL import Image

import bls2017
from bls2017 import errors
from bls2017.evaluation import evaluation_run, grid, rate_distortion
from bls2017.images import metrics
from tests import commands, images

pytestmark = pytest.mark.evaluation

CODECS = ["bls2017", "jpeg", "jpeg2000"]
SIZES = {"a.png": (176, 208), "b.png": (192, 170), "small.png": (40, 33)}


class Run(NamedTuple):
  """A finished run: where it wrote, and what it said."""

  output: pathlib.Path
  messages: str
  rows: list[dict[str, str]]
  summary: dict


def _stat(pid: str) -> list[str]:
  """State, parent and more of a process; dead ones have none."""
  try:
    status = pathlib.Path("/proc", pid, "stat").read_text()
  except OSError:
    return ["Z", ""]
  return status.rpartition(")")[2].split()


def _wait_until(condition, seconds: float) -> bool:
  end = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > end:
      return False
    time.sleep(0.05)
  return True


@pytest.fixture(scope="module")
def run(tmp_path_factory, golden_model_dir) -> Run:
  """A run that was killed in the middle, and then went on to its end."""
  folder = tmp_path_factory.mktemp("evaluation")
  (folder / "images").mkdir()
  for seed, (name, size) in enumerate(SIZES.items()):
    image = Image.fromarray(images.photograph(*size, seed))
    image.save(folder / "images" / name)
  (folder / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
  output = folder / "output"
  arguments = [
    "evaluate",
    f"--images={folder}/images/*",
    f"--output_dir={output}",
    f"--model={golden_model_dir}",
    f"--codecs={','.join(CODECS)}",
    "--qualities=1,2",
    "--qualities=jpeg:80",
    "--qualities=jpeg:20",
    "--qualities=jpeg2000:0.5,2",
    "--compare_images=a",
    "--compare_bpp=0.8",
    "--figure=b.png",
    "--figure_bpp=0.9",
  ]
  process = subprocess.Popen(
    [sys.executable, "-m", "bls2017.commands.main", *arguments],
    stderr=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
  )
  table = output / "results.csv"
  began = lambda: table.exists() and table.read_bytes().count(b"\n") > 3  # noqa: E731
  assert _wait_until(began, 120), "no row was written"
  pids = filter(str.isdigit, os.listdir("/proc"))
  workers = [pid for pid in pids if _stat(pid)[1] == str(process.pid)]
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert workers
  ended = lambda: all(_stat(pid)[0] == "Z" for pid in workers)  # noqa: E731
  assert _wait_until(ended, 20), "workers outlive a killed command"
  before = table.read_bytes()
  done = commands.run(*arguments)
  assert done.returncode == 0, done.stderr.decode()
  assert done.stdout.decode() == f"{output}/report.html\n"
  assert table.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
  with open(table, newline="") as f:
    rows = list(csv.DictReader(f))
  summary = json.loads((output / "summary.json").read_text())
  return Run(output, done.stderr.decode(), rows, summary)


def test_every_image_codec_and_quality_has_a_row(run) -> None:
  keys = {(r["image"], r["codec"], r["quality"]) for r in run.rows}
  assert len(keys) == len(run.rows) == len(SIZES) * 2 * len(CODECS)
  assert all(float(row["decode_s"]) > 0 for row in run.rows)


def test_a_broken_image_is_named_and_skipped(run) -> None:
  assert "skipping" in run.messages
  assert "broken.png" in run.messages
  (failure,) = run.summary["failures"]
  assert "broken.png" in failure["what"]
  assert [image["name"] for image in run.summary["images"]] == list(SIZES)


def test_rows_are_what_the_codec_does(run, golden_model_dir) -> None:
  codec = bls2017.Codec.load(golden_model_dir)
  x = images.photograph(*SIZES["a.png"], 0)
  data = codec.compress(x, 2)
  x_hat = codec.decompress(data)
  row = run.rows[1]
  place = row["image"], row["codec"], row["quality"]
  assert place == ("a.png", "bls2017", "2")
  assert row["model_id"] == codec.model.model_id.hex()
  # Workers compute on one core, which may round differently.
  assert int(row["bytes"]) == pytest.approx(len(data), rel=2e-3)
  for name, expected in (
    ("bpp", 8 * len(data) / (x.shape[0] * x.shape[1])),
    ("psnr_rgb", metrics.psnr(x, x_hat)),
    ("psnr_y", metrics.psnr_luma(x, x_hat)),
    ("ms_ssim_rgb", metrics.ms_ssim(x, x_hat)),
  ):
    assert float(row[name]) == pytest.approx(expected, rel=2e-3)


def test_the_summary_has_means_settings_and_comparisons(run) -> None:
  means, bjontegaard = run.summary["means"], run.summary["bjontegaard"]
  assert [c["codec"]["name"] for c in means] == CODECS
  assert means[1]["codec"]["settings"]["subsampling"] == "4:2:0"
  assert [p["quality"] for p in means[1]["points"]] == [20, 80]
  assert means[1]["points"][0]["images"] == len(SIZES)
  assert means[1]["points"][0]["values"]["ms_ssim_rgb"] is None
  pairs = [(d["anchor"], d["distortion"]) for d in bjontegaard["deltas"]]
  assert len(pairs) == len(set(pairs)) == 2 * len(rate_distortion.DISTORTIONS)
  assert {d["test"] for d in bjontegaard["deltas"]} == {"bls2017"}
  assert bjontegaard["method"] == "pchip"
  assert all(line in run.messages for line in run.summary["headline"])


def test_all_pictures_and_nothing_else_are_there(run) -> None:
  assert sorted(p.name for p in run.output.iterdir()) == [
    "figure.jpg", "per_image", "rd_msssim.png", "rd_psnr.png", "report.html",
    "results.csv", "summary.json",
  ]  # fmt: skip
  stems = sorted(p.name.split("_")[0] for p in run.output.glob("per_image/*"))
  assert stems == ["a", "b", "small"]
  for name in ("rd_psnr.png", "rd_msssim.png"):
    with Image.open(run.output / name) as plot:
      assert plot.width > 2 * plot.height
  with Image.open(run.output / "figure.jpg") as figure:
    assert figure.width > 2 * SIZES["b.png"][1]


@pytest.mark.parametrize(
  ("arguments", "exit_code", "message"),
  [
    ([], 2, "--output_dir"),
    (["--output_dir={}/out", "--figure_bpp=x"], 2, "--figure_bpp"),
    (["--output_dir={}/out", "--qualities=jpeg:x"], 2, "--qualities: "),
    (["--output_dir={}/out", "--model=none"], 3, "none"),
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


def test_missing_packages_and_outputs_are_typed_errors(
  tmp_path, monkeypatch
) -> None:
  path = tmp_path / "x.png"
  Image.fromarray(images.photograph(40, 40)).save(path)
  codecs = grid.choose_codecs(["jpeg"])
  with pytest.raises(errors.OutputError, match="x.png"):
    evaluation_run.evaluate(str(path), f"{path}/out", codecs, print)
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(errors.MissingPackageError, match=r"bls2017\[eval\]"):
    evaluation_run.evaluate(str(path), str(tmp_path), codecs, print)
