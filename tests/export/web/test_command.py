"""`bls2017 export --format=web`."""

from __future__ import annotations

import json

import pytest

from tests import commands
from tests.conformance import conformance_set

MODEL = conformance_set.ROOT / "tests" / "golden" / "v3" / "model"


@pytest.mark.parametrize(
  ("flags", "max_pixels"), [((), 2**26), (("--max_pixels=99",), 99)]
)
def test_the_command_writes_a_site(tmp_path, flags, max_pixels):
  site = tmp_path / "site"
  process = commands.run(
    "export", "--format=web", f"--output_dir={site}", f"--model={MODEL}", *flags
  )
  assert process.returncode == 0, process.stderr.decode()
  assert process.stdout.decode() == f"{site}\n"
  manifest = json.loads((site / "model" / "model.json").read_text("utf-8"))
  assert manifest["max_pixels"] == max_pixels


def test_flags_of_the_other_format_are_refused(tmp_path):
  site = f"--output_dir={tmp_path / 'site'}"
  for chosen, flag in (("web", "--version=1"), ("serving", "--tfjs=.")):
    process = commands.run("export", site, f"--format={chosen}", flag)
    error = commands.assert_fails(process, 2)
    assert "does not go with --format" in error
  assert not (tmp_path / "site").exists()


def test_a_folder_without_tensorflow_is_said_to_be_one(tmp_path):
  process = commands.run(
    "export", "--format=web", f"--output_dir={tmp_path / 'site'}",
    f"--model={MODEL}", f"--tfjs={tmp_path}",
  )  # fmt: skip
  assert "tf-core.min.js" in commands.assert_fails(process, 3)
