"""Models of the package have names, and are found by their ids."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from bls2017 import errors
from bls2017.model import model_directory, packaged_models


def test_the_default_model_is_in_the_package():
  path = packaged_models.directory()
  assert packaged_models.directory(packaged_models.DEFAULT) == path
  assert packaged_models.names()[0] == packaged_models.DEFAULT
  identity = model_directory.load().model_id
  assert packaged_models.find(identity) == packaged_models.DEFAULT


def test_a_model_is_listed_where_its_directory_is(packaged):
  names = packaged_models.names()
  assert names[0] == packaged_models.DEFAULT
  assert names[1:] == sorted(names[1:])
  assert {"one", "two"} <= set(names)
  (packaged / "notes").mkdir()
  shutil.rmtree(packaged / "one")
  assert set(names) - set(packaged_models.names()) == {"one"}


def test_a_name_stands_for_a_directory(packaged, monkeypatch):
  path = str(packaged / "two")
  assert packaged_models.directory("two") == path
  by_name, by_path = map(model_directory.load, ("two", path))
  assert by_name.model_id == by_path.model_id
  assert model_directory.read_config("two") == by_path.config
  # A directory of the same name is named by a path.
  monkeypatch.chdir(packaged.parent)
  shutil.copytree(packaged / "one", "two")
  assert packaged_models.directory("two") == path
  here = model_directory.load(os.path.join(".", "two"))
  assert here.model_id == model_directory.load("one").model_id


def test_an_unknown_name_lists_the_known_ones(packaged):
  for use in (model_directory.load, model_directory.read_config):
    with pytest.raises(errors.ModelError, match="psnr and .*one and two"):
      use("newest")


def test_models_are_found_by_their_config_alone(packaged):
  identities = {
    name: json.loads((packaged / name / "config.json").read_text())["model_id"]
    for name in ("one", "two")
  }
  for path in packaged.glob("*/*"):
    if path.name != packaged_models.CONFIG_FILE:
      path.unlink()
  for name, identity in identities.items():
    assert packaged_models.find(bytes.fromhex(identity)) == name
  assert packaged_models.find(b"12345678") is None
