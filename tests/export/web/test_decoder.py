"""Runs the tests of the JavaScript decoder (Node 18 or newer)."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

from bls2017.model import model_directory
from export.web import web_export
from tests.conformance import conformance_set

# Runs Node, which the other tests do without: `pytest -m node`.
pytestmark = pytest.mark.node

FOLDER = pathlib.Path(__file__).parent
MODELS = sorted(
  {
    entry["model"]
    for entry in conformance_set.read_manifest()["sound"]
    if entry["version"] == 3
  }
)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> str:
  """JSON of the models: their sites, and the sums of each pair's weights."""
  folder = tmp_path_factory.mktemp("sites")
  values = {}
  for number, path in enumerate(MODELS):
    model = model_directory.load(str(conformance_set.ROOT / path))
    sums = [
      sum(
        float(np.sum(array, dtype=np.float64))
        for name, array in pair.weights.items()
        if name.startswith("synthesis/") and array.ndim > 1
      )
      for pair in model.pairs
    ]
    site = web_export.export(model, str(folder / str(number)))
    values[path] = {"site": site, "sums": sums}
  return json.dumps(values)


@pytest.mark.parametrize(
  "file", sorted(p.name for p in FOLDER.glob("*.test.mjs"))
)
def test_the_javascript(file, models):
  process = subprocess.run(
    ["node", "--test", "--test-reporter=tap", str(FOLDER / file)],
    capture_output=True,
    text=True,
    env={**os.environ, "WEB_TEST_MODELS": models},
    timeout=300,
  )
  assert process.returncode == 0, process.stdout + process.stderr
  assert "\n# fail 0\n" in process.stdout
  assert "\n# skipped 0\n" in process.stdout
