"""README's commands run, and the package holds every file."""

from __future__ import annotations

import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np

from bls2017.images import image_io, metrics
from tests import commands

ROOT = pathlib.Path(__file__).parents[1]
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
  x = image_io.read_rgb(str(tmp_path / "photo.png"))
  x_hat = image_io.read_rgb(str(tmp_path / "back.png"))
  assert metrics.psnr(x, x_hat) > 30
  size = (tmp_path / "photo.bls").stat().st_size
  assert size < np.prod(x.shape) / 10


def test_the_second_block_runs_the_tests():
  assert _blocks("bash")[1].rstrip().endswith("-m pytest")


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
