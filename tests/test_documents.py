"""README's commands run, links lead somewhere, and the package holds it all."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bls2017.images import metrics, reading, writing
from bls2017.model import packaged_models
from tests import commands, images
from tests.benchmarks import results as results_file

ROOT = pathlib.Path(__file__).parents[1]
# `pip install .` leaves copies below build/.
DOCUMENTS = sorted(
  str(path.relative_to(ROOT))
  for path in ROOT.rglob("*.md")
  if not any(
    part.startswith(".") or part == "build"
    for part in path.relative_to(ROOT).parts
  )
)
PROGRAM = ".venv/bin/bls2017 "


def _blocks(language: str) -> list[str]:
  text = (ROOT / "README.md").read_text()
  return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def test_the_first_block_compresses_a_photograph_and_gives_it_back(tmp_path):
  lines = [
    line.split("&&")[0].strip() for line in _blocks("bash")[0].splitlines()
  ]
  ours = [line[len(PROGRAM) :] for line in lines if line.startswith(PROGRAM)]
  assert len(ours) == 3
  for line in ours:
    done = commands.run(*shlex.split(line), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
  x = reading.read_rgb(str(tmp_path / "photo.png"))
  x_hat = reading.read_rgb(str(tmp_path / "back.png"))
  assert metrics.psnr(x, x_hat) > 30
  size = (tmp_path / "photo.bls").stat().st_size
  assert size < np.prod(x.shape) / 10


def test_the_lines_of_python_run(tmp_path, monkeypatch):
  (block,) = _blocks("python")
  monkeypatch.chdir(tmp_path)
  writing.write(images.photograph(40, 60), "photo.png")
  names: dict[str, Any] = {}
  exec(block, names)
  assert names["image"].shape == (40, 60, 3)


def test_the_second_block_runs_the_tests():
  assert _blocks("bash")[1].rstrip().endswith("-m pytest")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document):
  path = ROOT / document
  for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
    if "://" not in target:
      assert (path.parent / target.replace("\n", "")).exists(), target


def test_the_map_names_files_that_are_there():
  text = (ROOT / "bls2017" / "README.md").read_text()
  names = re.findall(r"`([\w./]+/[\w.]*\w\.\w+|[\w./]+/)`", text)
  names += re.findall(r"^   \| (\w+/\w+)", text, re.M)
  assert len(names) > 25
  for name in names:
    places = [ROOT / name, ROOT / "bls2017" / name]
    places += [place.with_suffix(".py") for place in places]
    assert any(place.exists() for place in places), name


@pytest.mark.parametrize("name", packaged_models.names())
def test_the_model_card_tells_the_results(name):
  folder = pathlib.Path(packaged_models.directory(name))
  results = json.loads((folder / results_file.FILE_NAME).read_text())
  card = (ROOT / "bls2017" / "pretrained" / "README.md").read_text()
  assert packaged_models.find(bytes.fromhex(results["model_id"])) == name
  columns = {"bpp": 3, "psnr_rgb": 2, "psnr_y": 2, "ms_ssim_rgb": 4}
  columns["ms_ssim_rgb_db"] = 2
  if name == "ms_ssim":
    del columns["psnr_rgb"], columns["psnr_y"]
  for row in results["qualities"]:
    cells = [f"{row[key]:.{digits}f}" for key, digits in columns.items()]
    assert f"| {row['quality']:g} | {' | '.join(cells)} |" in card


def test_the_package_holds_every_file(tmp_path):
  subprocess.run(
    [sys.executable, "setup.py", "-q", "build_py", f"--build-lib={tmp_path}"],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  for package in ("bls2017", "export"):
    for path in (ROOT / package).rglob("*"):
      if path.is_file() and path.suffix != ".pyc":
        assert (tmp_path / path.relative_to(ROOT)).exists(), path
