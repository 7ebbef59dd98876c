"""Model directories: whole, checked, and known by their id."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from bls2017 import errors
from bls2017.common import config
from bls2017.training import model as model_lib
from bls2017.transforms import model_directory

CONFIG = config.ModelConfig(num_filters=4, num_latents=6, lmbdas=(0.01, 0.1))


@pytest.fixture(scope="module")
def model():
  return model_lib.BLS2017Model(CONFIG, seed=1)


@pytest.fixture
def damaged(golden_model_dir, tmp_path):
  path = tmp_path / "model"
  shutil.copytree(golden_model_dir, path)
  return path


def _rewrite(path, change):
  with np.load(path) as f:
    arrays = {name: f[name] for name in f.files}
  change(arrays)
  np.savez(path, **arrays)


@pytest.mark.parametrize("half_precision", [False, True])
def test_loading_inverts_saving(model, tmp_path, half_precision):
  frozen = model_directory.freeze(model, half_precision)
  model_directory.save(frozen, str(tmp_path / "model"))
  loaded = model_directory.load(str(tmp_path / "model"))
  assert loaded.model_id == frozen.model_id
  assert loaded.config == CONFIG
  for name, array in frozen.weights.items():
    np.testing.assert_array_equal(loaded.weights[name], array)
  for name, array in frozen.tables.arrays().items():
    np.testing.assert_array_equal(loaded.tables.arrays()[name], array)


def test_saving_does_not_replace_unless_told(model, tmp_path):
  frozen = model_directory.freeze(model)
  path = str(tmp_path / "model")
  model_directory.save(frozen, path)
  with pytest.raises(errors.OutputError, match="exists"):
    model_directory.save(frozen, path)
  model_directory.save(frozen, path, overwrite=True)
  assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_failure_leaves_the_old_directory_and_no_rest(
  model, tmp_path, monkeypatch, failing
):
  frozen = model_directory.freeze(model)
  path = str(tmp_path / "model")
  model_directory.save(frozen, path)
  rename, full = os.rename, OSError(28, "No space left on device")

  def fail(*arguments):
    # The old directory goes aside, and comes back.
    if failing == "fsync" or arguments[0].endswith("made"):
      raise full
    rename(*arguments)

  monkeypatch.setattr(os, failing, fail)
  with pytest.raises(errors.OutputError, match="No space left"):
    model_directory.save(frozen, path, overwrite=True)
  assert [p.name for p in tmp_path.iterdir()] == ["model"]
  assert model_directory.load(path).model_id == frozen.model_id


def test_a_file_is_not_replaced_by_a_directory(model, tmp_path):
  path = tmp_path / "model"
  path.write_bytes(b"mine")
  with pytest.raises(errors.OutputError):
    model_directory.save(
      model_directory.freeze(model), str(path), overwrite=True
    )
  assert path.read_bytes() == b"mine"
  assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_frozen(value):
  model = model_lib.BLS2017Model(CONFIG)
  bias = model.synthesis.convs[0].bias_parameter
  bias.assign(np.full(bias.shape, value, np.float32))
  with pytest.raises(errors.ModelError, match="not finite"):
    model_directory.freeze(model)


def test_kernels_beyond_half_precision_are_not_frozen():
  model = model_lib.BLS2017Model(CONFIG)
  arrays = model.get_arrays()
  kernel = arrays["synthesis/0/kernel"]
  model.set_arrays({**arrays, "synthesis/0/kernel": kernel * 0 + 1e5})
  assert model_directory.freeze(model).model_id
  with pytest.raises(errors.ModelError, match="not finite"):
    model_directory.freeze(model, half_precision=True)


def test_the_id_covers_what_decoding_depends_on(codec):
  model = codec.model
  for name in ("synthesis/0/kernel", "synthesis/igdn_in/beta"):
    weights = dict(model.weights)
    weights[name] = weights[name] + np.float32(1e-3)
    assert model_directory.model_id(weights, model.tables) != model.model_id
  weights = dict(model.weights)
  weights["analysis/0/bias"] = weights["analysis/0/bias"] + 1
  assert model_directory.model_id(weights, model.tables) == model.model_id


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
  ("key", "value"), [("format", 2), ("model_id", "00" * 8), ("model", {"a": 1})]
)
def test_a_config_that_does_not_fit_is_refused(damaged, key, value):
  path = damaged / "config.json"
  values = json.loads(path.read_text())
  path.write_text(json.dumps({**values, key: value}))
  with pytest.raises(errors.ModelError):
    model_directory.load(str(damaged))
