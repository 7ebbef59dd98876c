"""Model directories: whole, checked, and known by their id."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bls2017 import errors
from bls2017.model import model_directory


@pytest.fixture
def damaged(golden_model_dir, tmp_path):
  path = tmp_path / "model"
  shutil.copytree(golden_model_dir, path)
  return path


@pytest.fixture
def written(tiny_model_dir, tmp_path):
  """A directory of the newest format; the golden one has format 1."""
  path = tmp_path / "model"
  shutil.copytree(tiny_model_dir, path)
  return path


def _use(path):
  """Reads everything of a model directory."""
  model = model_directory.load(str(path))
  model.tables.arrays()
  return model, dict(model.weights), dict(model.pairs[0].graphs)


def _rewrite(path, change):
  with np.load(path) as f:
    arrays = {name: f[name] for name in f.files}
  change(arrays)
  np.savez(path, **arrays)


def _id(weights, model):
  return _id_of_pairs([model_directory.TransformPair(weights)], model)


def _id_of_pairs(pairs, model):
  return model_directory.model_id(pairs, model.tables, model.format_version)


def test_the_id_covers_what_decoding_depends_on(codec):
  model = codec.model
  for name in ("synthesis/0/kernel", "synthesis/igdn_in/beta"):
    weights = dict(model.weights)
    weights[name] = weights[name] + np.float32(1e-3)
    assert _id(weights, model) != model.model_id
  weights = dict(model.weights)
  weights["analysis/0/bias"] = weights["analysis/0/bias"] + 1
  assert _id(weights, model) == model.model_id


def test_a_model_is_read_without_tensorflow(codec, golden_model_dir):
  program = (
    "import sys; from bls2017.model import model_directory;"
    "print(model_directory.load(sys.argv[1]).model_id.hex(),"
    " 'tensorflow' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", program, golden_model_dir],
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.split() == [codec.model.model_id.hex(), "False"]


def test_a_missing_directory_is_an_error(tmp_path):
  with pytest.raises(errors.ModelError):
    model_directory.load(str(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["config.json", "weights.npz", "tables.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
def test_damaged_files_are_an_error(damaged, name, damage):
  path = damaged / name
  data = path.read_bytes()
  path.unlink()
  if damage != "missing":
    path.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
  with pytest.raises(errors.ModelError):
    model_directory.load(str(damaged))


def test_files_are_read_when_they_are_needed(written, tiny_config):
  model, weights, graphs = _use(written)
  assert model.config == tiny_config
  assert _id(weights, model) == model.model_id
  assert set(graphs) == set(model_directory.GRAPHS)
  for name in ("weights.npz", "analysis.graph", "synthesis.graph"):
    (written / name).unlink()
  model = model_directory.load(str(written))
  assert model.tables.for_quality(1).live.size
  for values in (model.weights, model.pairs[0].graphs):
    with pytest.raises(errors.ModelError):
      dict(values)


@pytest.mark.parametrize(
  "name",
  ["config.json", "weights.npz", "tables.npz", "analysis.graph",
   "synthesis.graph"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "bit"])
def test_damaged_files_are_an_error_where_they_are_used(written, name, damage):
  path = written / name
  data = path.read_bytes()
  path.unlink()
  if damage == "bit":
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    path.write_bytes(changed)
  elif damage != "missing":
    path.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
  with pytest.raises(errors.ModelError):
    _use(written)


def test_a_graph_needs_no_weights_but_its_own(written):
  model = model_directory.load(str(written))
  graphs = model.pairs[0].graphs
  assert graphs["synthesis"] == graphs["synthesis"] != graphs["analysis"]
  (written / "analysis.graph").unlink()
  assert len(graphs) == len(model_directory.GRAPHS)
  assert graphs["synthesis"]
  with pytest.raises(errors.ModelError):
    graphs["analysis"]


def test_graphs_of_format_2_are_read():
  golden = pathlib.Path(__file__).parents[2] / "golden" / "v3" / "model"
  model = model_directory.load(str(golden))
  for name, graph in model.pairs[0].graphs.items():
    assert graph == (golden / f"{name}.tflite").read_bytes()


def test_files_of_another_model_are_refused(written, golden_model_dir):
  # The same file beside another id, as after copying config.json's digests.
  path = written / "config.json"
  values = json.loads(path.read_text())
  path.write_text(json.dumps({**values, "model_id": "00" * 8}))
  with pytest.raises(errors.ModelError, match="not that of model"):
    model_directory.load(str(written))


def test_the_packaged_model_has_the_id_of_its_arrays():
  model = model_directory.load()
  pairs = [
    model_directory.TransformPair(dict(pair.weights)) for pair in model.pairs
  ]
  assert _id_of_pairs(pairs, model) == model.model_id
  for pair in model.pairs:
    assert set(pair.graphs) == set(model_directory.GRAPHS)


def test_changed_weights_do_not_pass_for_the_model(damaged):
  def change(arrays):
    arrays["synthesis/2/bias"] = arrays["synthesis/2/bias"] + 1

  _rewrite(damaged / "weights.npz", change)
  with pytest.raises(errors.ModelError, match="damaged"):
    model_directory.load(str(damaged))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(damaged, value):
  def change(arrays):
    arrays["analysis/0/bias"][0] = value

  _rewrite(damaged / "weights.npz", change)
  with pytest.raises(errors.ModelError, match="not finite"):
    model_directory.load(str(damaged))


@pytest.mark.parametrize(
  ("key", "value"),
  [("format", 4), ("format", 3), ("model_id", "00" * 8), ("model", {"a": 1})],
)
def test_a_config_that_does_not_fit_is_refused(damaged, key, value):
  path = damaged / "config.json"
  values = json.loads(path.read_text())
  path.write_text(json.dumps({**values, key: value}))
  with pytest.raises(errors.ModelError):
    model_directory.load(str(damaged))


@pytest.mark.parametrize("version", [1, 3, 4, 0, "3", None])
def test_a_version_that_does_not_fit_is_refused(damaged, version):
  # The id covers version 3, and tables of several activities are not of 1.
  path = damaged / "config.json"
  values = json.loads(path.read_text())
  path.write_text(json.dumps({**values, "format_version": version}))
  with pytest.raises(errors.ModelError):
    model_directory.load(str(damaged))


def test_a_model_may_name_the_version_that_its_tables_imply(damaged):
  path = damaged / "config.json"
  values = json.loads(path.read_text())
  path.write_text(json.dumps({**values, "format_version": 2}))
  assert model_directory.load(str(damaged)).format_version == 2


def test_the_id_covers_the_version_from_3_on(codec):
  model = codec.model
  ids = [
    model_directory.model_id(model.pairs, model.tables, version)
    for version in (1, 2, 3, 4)
  ]
  assert ids[0] == ids[1] == model.model_id
  assert len(set(ids)) == 3
