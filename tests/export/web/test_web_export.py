"""The files of a site."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import pathlib
import zlib

import numpy as np
import pytest

from bls2017 import errors
from bls2017.model import model_directory
from export.web import web_export
from tests.conformance import conformance_set


@pytest.fixture(scope="module")
def model() -> model_directory.FrozenModel:
  return model_directory.load(str(conformance_set.PAIRS))


@pytest.fixture(scope="module")
def site(model, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("web") / "site"
  assert web_export.export(model, str(path), max_pixels=12345) == str(path)
  return path


def _manifest(site: pathlib.Path):
  return json.loads((site / "model" / "model.json").read_text("utf-8"))


def _fake_tfjs(folder: pathlib.Path) -> pathlib.Path:
  """Puts files with the right names into a folder, as npm would."""
  for package, name, _ in web_export.TFJS_FILES.values():
    dist = folder / "node_modules" / "@tensorflow" / package / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    (dist / name).write_text(f"// {name}")
  return folder


def _check_integrity(entry, file: pathlib.Path) -> None:
  digest = hashlib.sha256(file.read_bytes()).digest()
  assert entry["integrity"] == f"sha256-{base64.b64encode(digest).decode()}"


def test_a_site_has_everything_that_its_pages_name(site):
  for name in ("index.html", "README.md", "page.css", "icon.svg", "decoder"):
    assert (site / name).stat().st_size
  assert site.stat().st_mode & 0o055 == 0o055
  entry = _manifest(site)["range_coder"]
  _check_integrity(entry, site / "model" / entry["file"])


def test_the_manifest_says_what_the_model_is(site, model):
  manifest = _manifest(site)
  assert manifest["model_id"] == model.model_id.hex()
  assert manifest["quality_steps"] == model.config.quality_steps
  assert manifest["max_pixels"] == 12345
  assert [entry["pair"] for entry in manifest["tables"]] == [0, 0, 0, 1, 1]
  channels = [
    {a["name"]: a["shape"] for a in entry["arrays"]}["0/beta"]
    for entry in manifest["weights"]
  ]
  assert channels == [[12], [21]]


def test_every_file_of_the_model_is_named_by_its_content(site):
  manifest = _manifest(site)
  entries = [*manifest["weights"], *manifest["tables"]]
  names = {entry["file"] for entry in entries}
  assert names | {"model.json"} == set(os.listdir(site / "model"))
  for entry in entries:
    file = site / "model" / entry["file"]
    _check_integrity(entry, file)
    assert hashlib.sha256(file.read_bytes()).hexdigest()[:12] in file.name
    sizes = [
      np.dtype(a["type"]).itemsize * np.prod(a["shape"], dtype=int)
      for a in entry["arrays"]
    ]
    assert len(zlib.decompress(file.read_bytes())) == sum(sizes)


def test_without_a_folder_tensorflow_comes_from_a_network_with_its_hash(site):
  for entry in _manifest(site)["tensorflow"].values():
    assert entry["file"].startswith(web_export.CDN)
    assert f"@{web_export.TFJS_VERSION}/" in entry["file"]
    name, _, encoded = entry["integrity"].partition("-")
    assert name == "sha256"
    assert len(base64.b64decode(encoded, validate=True)) == 32
  assert not (site / "tfjs").exists()


def test_tensorflow_comes_from_a_folder(model, tmp_path):
  sites = [tmp_path / "first", tmp_path / "second"]
  web_export.export(model, str(sites[0]), str(_fake_tfjs(tmp_path / "npm")))
  web_export.export(model, str(sites[1]), str(sites[0] / "tfjs"))
  for site in sites:
    for entry in _manifest(site)["tensorflow"].values():
      file = site / "model" / entry["file"]
      assert file.read_text() == f"// {file.name}"
      _check_integrity(entry, file)


def test_a_folder_without_tensorflow_is_refused(model, tmp_path):
  with pytest.raises(errors.UnreadableInputError, match="tf-core.min.js"):
    web_export.export(model, str(tmp_path / "site"), tfjs=str(tmp_path))
  assert not (tmp_path / "site").exists()


def test_only_an_empty_directory_is_filled(model, tmp_path):
  empty = tmp_path / "empty"
  empty.mkdir()
  web_export.export(model, str(empty))
  assert (empty / "index.html").is_file()
  (tmp_path / "file").write_text("mine")
  for taken in (tmp_path, tmp_path / "file"):
    with pytest.raises(errors.OutputError, match="exists"):
      web_export.export(model, str(taken))
  assert sorted(os.listdir(tmp_path)) == ["empty", "file"]


@pytest.mark.parametrize("max_pixels", [0, 2**31])
def test_a_limit_out_of_its_range_is_refused(model, tmp_path, max_pixels):
  with pytest.raises(errors.UsageError):
    web_export.export(model, str(tmp_path / "x"), max_pixels=max_pixels)


def test_weights_beyond_16_bits_are_refused(model, tmp_path):
  name = "synthesis/0/kernel"
  pair = model.pairs[0]
  weights = {**pair.weights, name: pair.weights[name] + 1e6}
  large = dataclasses.replace(pair, weights=weights)
  large_model = dataclasses.replace(model, pairs=(large, *model.pairs[1:]))
  with pytest.raises(errors.ModelError, match="16-bit"):
    web_export.export(large_model, str(tmp_path / "site"))
  assert not os.listdir(tmp_path)
