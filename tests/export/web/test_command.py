"""`bls2017 export --format=web`."""

from __future__ import annotations

import json
import pathlib

import export
from bls2017.images import image_io
from tests import commands

MODEL = pathlib.Path(__file__).parents[2] / "golden" / "v2" / "model"


def test_the_command_writes_a_site(tmp_path):
  for name in ("default", "limited"):
    limit = ["--max_pixels=99"] if name == "limited" else []
    site = tmp_path / name
    process = commands.run(
      "export", "--format=web", f"--output_dir={site}", f"--model={MODEL}",
      *limit,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr.decode()
    assert process.stdout.decode() == f"{site}\n"
    manifest = json.loads((site / "model" / "model.json").read_text("utf-8"))
    expected = 99 if limit else image_io.MAX_PIXELS
    assert manifest["max_pixels"] == expected


def test_flags_of_the_other_format_are_refused(tmp_path):
  site = f"--output_dir={tmp_path / 'site'}"
  wrong = {
    "web": ["--version=1", f"--runtime={export.RUNTIMES[0]}"],
    "serving": ["--tfjs=."],
  }
  finished = commands.run_several(
    [
      ["export", site, f"--format={chosen}", flag]
      for chosen, others in wrong.items()
      for flag in others
    ]
  )
  for process in finished:
    error = commands.assert_fails(process, 2)
    assert "does not go with --format" in error
  assert not (tmp_path / "site").exists()


def test_a_folder_without_tensorflow_is_said_to_be_one(tmp_path):
  process = commands.run(
    "export", "--format=web", f"--output_dir={tmp_path / 'site'}",
    f"--model={MODEL}", f"--tfjs={tmp_path}",
  )  # fmt: skip
  assert "tf-core.min.js" in commands.assert_fails(process, 3)
