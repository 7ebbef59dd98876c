"""Frozen models: sound, and written whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest

from bls2017 import errors
from bls2017.common import config
from bls2017.model import model_directory
from bls2017.training import freezing
from bls2017.training import model as model_lib

CONFIG = config.ModelConfig(num_filters=4, num_latents=6, lmbdas=(0.01, 0.1))


@pytest.fixture(scope="module")
def model():
  return model_lib.BLS2017Model(CONFIG, seed=1)


@pytest.fixture(scope="module")
def frozen(model):
  return freezing.freeze(model)


@pytest.mark.parametrize("half_precision", [False, True])
def test_loading_inverts_saving(model, tmp_path, half_precision):
  frozen = freezing.freeze(model, half_precision)
  freezing.save(frozen, str(tmp_path / "model"))
  loaded = model_directory.load(str(tmp_path / "model"))
  assert loaded.model_id == frozen.model_id
  assert loaded.config == CONFIG
  for name, array in frozen.weights.items():
    np.testing.assert_array_equal(loaded.weights[name], array)
  for name, array in frozen.tables.arrays().items():
    np.testing.assert_array_equal(loaded.tables.arrays()[name], array)


def test_saving_does_not_replace_unless_told(frozen, tmp_path):
  path = str(tmp_path / "model")
  freezing.save(frozen, path)
  with pytest.raises(errors.OutputError, match="exists"):
    freezing.save(frozen, path)
  freezing.save(frozen, path, overwrite=True)
  assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_failure_leaves_the_old_directory_and_no_rest(
  frozen, tmp_path, monkeypatch, failing
):
  path = str(tmp_path / "model")
  freezing.save(frozen, path)
  rename, full = os.rename, OSError(28, "No space left on device")

  def fail(*arguments):
    # The old directory goes aside, and comes back.
    if failing == "fsync" or arguments[0].endswith("made"):
      raise full
    rename(*arguments)

  monkeypatch.setattr(os, failing, fail)
  with pytest.raises(errors.OutputError, match="No space left"):
    freezing.save(frozen, path, overwrite=True)
  assert [p.name for p in tmp_path.iterdir()] == ["model"]
  assert model_directory.load(path).model_id == frozen.model_id


def test_a_file_is_not_replaced_by_a_directory(frozen, tmp_path):
  path = tmp_path / "model"
  path.write_bytes(b"mine")
  with pytest.raises(errors.OutputError):
    freezing.save(frozen, str(path), overwrite=True)
  assert path.read_bytes() == b"mine"
  assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_frozen(value):
  model = model_lib.BLS2017Model(CONFIG)
  model.log_gain.assign(value * model.log_gain)
  with pytest.raises(errors.ModelError, match="not finite"):
    freezing.freeze(model)


def test_kernels_beyond_half_precision_are_not_frozen():
  model = model_lib.BLS2017Model(CONFIG)
  arrays = model.get_arrays()
  kernel = arrays["synthesis/0/kernel"]
  model.set_arrays({**arrays, "synthesis/0/kernel": kernel * 0 + 1e5})
  assert freezing.freeze(model).model_id
  with pytest.raises(errors.ModelError, match="not finite"):
    freezing.freeze(model, half_precision=True)
