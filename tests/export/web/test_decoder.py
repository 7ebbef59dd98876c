"""Runs the tests of the JavaScript decoder (Node 18 or newer)."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

from bls2017.format import container
from bls2017.model import model_directory
from export.web import web_export
from tests.conformance import conformance_set

# Runs Node, which the other tests do without: `pytest -m node`.
pytestmark = pytest.mark.node

FOLDER = pathlib.Path(__file__).parent
ROOT = conformance_set.ROOT
MODELS = sorted(
  {entry["model"] for entry in conformance_set.read_manifest()["sound"]}
)
LENGTHS = [*range(301), *range(320, 340), 1000, 4095]


def _fingerprints() -> list[dict[str, str]]:
  rng = np.random.default_rng(0)
  vectors = []
  for length in LENGTHS:
    data = rng.bytes(length)
    value = int.from_bytes(container.checksum(data), "little")
    vectors.append({"hex": data.hex(), "fingerprint": str(value)})
  return vectors


def _sums(pair: model_directory.TransformPair) -> dict[str, float]:
  """The sum of each array of a pair's weights."""
  arrays = pair.weights.items()
  return {name: float(np.sum(a, dtype=np.float64)) for name, a in arrays}


@pytest.fixture(scope="module")
def test_input(tmp_path_factory) -> str:
  """What the tests are given: sites by model, and facts of the library."""
  folder = tmp_path_factory.mktemp("web")
  sites = {}
  for model in MODELS:
    frozen = model_directory.load(str(ROOT / model))
    site = str(folder / model.replace("/", "-"))
    sites[model] = web_export.export(frozen, site)
  sums = {
    model: [
      _sums(pair) for pair in model_directory.load(str(ROOT / model)).pairs
    ]
    for model in MODELS
  }
  path = folder / "input.json"
  values = {"sites": sites, "sums": sums, "fingerprints": _fingerprints()}
  path.write_text(json.dumps(values), encoding="utf-8")
  return str(path)


@pytest.mark.parametrize(
  "file", sorted(p.name for p in FOLDER.glob("*.test.mjs"))
)
def test_the_javascript(file, test_input):
  process = subprocess.run(
    ["node", "--test", "--test-reporter=tap", str(FOLDER / file)],
    capture_output=True,
    text=True,
    env={**os.environ, "WEB_TEST_INPUT": test_input},
    timeout=300,
  )
  assert process.returncode == 0, process.stdout + process.stderr
  assert "\n# fail 0\n" in process.stdout
  assert "\n# skipped 0\n" in process.stdout
