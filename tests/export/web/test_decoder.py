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
from tests import alpha_boxes
from tests.conformance import conformance_set

# Runs Node, which the other tests do without: `pytest -m node`.
pytestmark = pytest.mark.node

FOLDER = pathlib.Path(__file__).parent
MODELS = sorted(
  {entry["model"] for entry in conformance_set.read_manifest()["sound"]}
)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> str:
  """JSON of the models: their sites, and the sums of each pair's weights."""
  folder = tmp_path_factory.mktemp("sites")
  values = {}
  for number, path in enumerate(MODELS):
    model = model_directory.load(conformance_set.model_path(path))
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


@pytest.fixture(scope="module")
def alpha(tmp_path_factory) -> str:
  """Path of JSON: boxes of alpha, and the alpha that they have or null."""
  sound = alpha_boxes.sound()
  cases = [*sound, *alpha_boxes.damaged(sound[1])]
  cases += [alpha_boxes.bomb(9, 9, 1000), alpha_boxes.too_short()]
  cases += [case for height in (1, 6) for case in alpha_boxes.broken(height)]
  values = [
    {
      "name": case.name,
      "content": case.content.hex(),
      "height": case.height,
      "width": case.width,
      "alpha": None if case.alpha is None else case.alpha.tobytes().hex(),
    }
    for case in cases
  ]
  path = tmp_path_factory.mktemp("alpha") / "boxes.json"
  path.write_text(json.dumps(values), encoding="utf-8")
  return str(path)


@pytest.mark.parametrize(
  "file", sorted(p.name for p in FOLDER.glob("*.test.mjs"))
)
def test_the_javascript(file, models, alpha):
  process = subprocess.run(
    ["node", "--test", "--test-reporter=tap", str(FOLDER / file)],
    capture_output=True,
    text=True,
    env={**os.environ, "WEB_TEST_MODELS": models, "WEB_TEST_ALPHA": alpha},
    timeout=300,
  )
  assert process.returncode == 0, process.stdout + process.stderr
  assert "\n# fail 0\n" in process.stdout
  assert "\n# skipped 0\n" in process.stdout
