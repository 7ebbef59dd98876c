"""Model directories: whole, checked, and known by their id."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bls2017 import errors
from bls2017.model import model_directory

FILES = (
  "config.json", "weights.npz", "tables.npz", "analysis.graph",
  "synthesis.graph",
)  # fmt: skip


@pytest.fixture
def path(golden_model_dir, tmp_path):
  """A copy that may be damaged."""
  return shutil.copytree(golden_model_dir, tmp_path / "model")


def _use(path):
  """Reads everything of a model directory."""
  model = model_directory.load(str(path))
  for index in range(len(model.tables)):
    model.quality_tables(index)
  return model, dict(model.weights), dict(model.pairs[0].graphs)


def _id(weights, model):
  pair = model_directory.TransformPair(weights, {})
  return model_directory.model_id([pair], model.tables)


def test_the_id_covers_what_decoding_depends_on(codec):
  model = codec.model
  assert _id(model.weights, model) == model.model_id
  for name in ("synthesis/0/kernel", "synthesis/igdn_in/beta"):
    weights = dict(model.weights)
    weights[name] = weights[name] + np.float32(1e-3)
    assert _id(weights, model) != model.model_id
  weights = dict(model.weights)
  weights["analysis/0/bias"] = weights["analysis/0/bias"] + 1
  assert _id(weights, model) == model.model_id


@pytest.mark.parametrize("name", ["psnr", "ms_ssim"])
def test_packaged_models_have_the_ids_of_their_arrays(name):
  model = model_directory.load(name)
  assert model_directory.model_id(model.pairs, model.tables) == model.model_id
  for pair in model.pairs:
    assert set(pair.graphs) == set(model_directory.GRAPHS)


def test_a_model_is_read_without_tensorflow(codec, golden_model_dir):
  program = (
    "import sys; from bls2017.model import model_directory;"
    "print(model_directory.load(sys.argv[1]).model_id.hex(),"
    " 'tensorflow' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", program, golden_model_dir],
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert done.stdout.split() == [codec.model.model_id.hex(), "False"]


def test_a_missing_directory_is_an_error(tmp_path):
  with pytest.raises(errors.ModelError):
    model_directory.load(str(tmp_path / "nothing"))


def test_files_are_read_when_they_are_needed(path):
  graphs = model_directory.load(str(path)).pairs[0].graphs
  (path / "analysis.graph").unlink()
  assert len(graphs) == len(model_directory.GRAPHS)
  assert graphs["synthesis"]
  with pytest.raises(errors.ModelError):
    graphs["analysis"]
  for name in ("weights.npz", "synthesis.graph"):
    (path / name).unlink()
  model = model_directory.load(str(path))
  assert model.quality_tables(1).live.size
  for values in (model.weights, model.pairs[0].graphs):
    with pytest.raises(errors.ModelError):
      dict(values)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "bit"])
def test_damaged_files_are_an_error_where_they_are_used(path, name, damage):
  file = path / name
  data = file.read_bytes()
  file.unlink()
  if damage == "bit":
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    file.write_bytes(changed)
  elif damage != "missing":
    file.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
  with pytest.raises(errors.ModelError):
    _use(path)


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("format", 3), ("format", None), ("format", "4"), ("model_id", "00" * 8),
    ("model_id", "x"), ("model", {"a": 1}), ("files", None),
  ],
)  # fmt: skip
def test_a_config_that_does_not_fit_is_refused(path, key, value):
  file = path / "config.json"
  values = json.loads(file.read_text())
  file.write_text(json.dumps({**values, key: value}))
  with pytest.raises(errors.ModelError):
    _use(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(path, value):
  with np.load(path / "weights.npz") as f:
    arrays = dict(f)
  arrays["analysis/0/bias"][0] = value
  np.savez(path / "weights.npz", **arrays)
  # As someone would who knows the format.
  file = path / "config.json"
  values = json.loads(file.read_text())
  values["files"]["weights.npz"] = model_directory.digest(
    bytes.fromhex(values["model_id"]), (path / "weights.npz").read_bytes()
  )
  file.write_text(json.dumps(values))
  with pytest.raises(errors.ModelError, match="not finite"):
    _use(path)
