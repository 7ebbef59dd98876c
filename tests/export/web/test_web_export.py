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
from bls2017.format import coding_tables
from bls2017.model import model_directory
from export.web import web_export
from tests.bls2017.format import tables_strategy
from tests.conformance import conformance_set

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def model() -> model_directory.FrozenModel:
  return model_directory.load(str(GOLDEN / "v2" / "model"))


@pytest.fixture(scope="module")
def site(model, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("web") / "site"
  assert web_export.export(model, str(path), max_pixels=12345) == str(path)
  return path


def _manifest(site: pathlib.Path):
  return json.loads((site / "model" / "model.json").read_text("utf-8"))


def _integrity(data: bytes, name: str) -> str:
  digest = hashlib.new(name, data).digest()
  return f"{name}-{base64.b64encode(digest).decode()}"


def _fake_tfjs(folder: pathlib.Path) -> dict[str, bytes]:
  """Files by their names, as npm would install them."""
  contents = {}
  for package, name, _ in web_export.TFJS_FILES.values():
    dist = folder / "node_modules" / "@tensorflow" / package / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    contents[name] = f"// {name}".encode()
    (dist / name).write_bytes(contents[name])
  return contents


def test_a_site_has_everything_that_its_pages_name(site):
  for page in ("index.html", "README.md", "page.css", "icon.svg"):
    assert (site / page).stat().st_size
  assert (site / "decoder" / "bls2017.js").is_file()
  assert not list(site.rglob("__pycache__"))
  assert oct(site.stat().st_mode)[-3:] == "755"


def test_the_manifest_says_what_the_model_is(site, model):
  manifest = _manifest(site)
  assert manifest["model_id"] == model.model_id.hex()
  assert manifest["format_version"] == 2
  assert manifest["max_pixels"] == 12345
  assert len(manifest["tables"]) == len(model.tables)


def test_each_pair_has_a_file_of_its_synthesis_alone(tmp_path):
  model = model_directory.load(str(conformance_set.PAIRS))
  site = tmp_path / "site"
  web_export.export(model, str(site))
  manifest = _manifest(site)
  assert manifest["quality_steps"] == model.config.quality_steps == 4
  assert [entry["pair"] for entry in manifest["tables"]] == [0, 0, 0, 1, 1]
  assert len({entry["file"] for entry in manifest["weights"]}) == 2
  for entry, pair in zip(manifest["weights"], model.pairs):
    shapes = {a["name"]: tuple(a["shape"]) for a in entry["arrays"]}
    assert shapes == {
      name: array.shape
      for name, array in pair.weights.items()
      if name.startswith("synthesis/")
    }


def test_every_file_is_named_by_its_content(site):
  manifest = _manifest(site)
  entries = [*manifest["weights"], *manifest["tables"]]
  files = {entry["file"] for entry in entries}
  assert files | {"model.json"} == set(os.listdir(site / "model"))
  for entry in entries:
    data = (site / "model" / entry["file"]).read_bytes()
    assert entry["integrity"] == _integrity(data, "sha256")
    assert entry["bytes"] == len(data)
    assert hashlib.sha256(data).hexdigest()[:12] in entry["file"]
    sizes = [
      np.dtype(a["type"]).itemsize * np.prod(a["shape"], dtype=int)
      for a in entry["arrays"]
    ]
    assert len(zlib.decompress(data)) == sum(sizes)


@pytest.mark.parametrize("activities", [1, 3])
def test_frequencies_give_the_tables_again(activities):
  tables = tables_strategy.make_tables(7, 9, 40, 0.5, 11, activities)
  arrays = web_export.quality_arrays(tables)
  size = arrays["size"].astype(int)
  frequencies = arrays["frequencies"].astype(int) + 1
  assert frequencies.shape == (size.sum(), activities)
  for column, cdf in zip(frequencies.T, tables.cdf):
    start = 0
    for count in size:
      end = start + count
      table = np.append(cdf[start:end], coding_tables.TOTAL)
      np.testing.assert_array_equal(np.diff(table), column[start:end])
      start = end
  rows = arrays["activity_frequencies"].astype(int) + 1
  assert rows.shape == (
    (activities, activities + 1) if activities > 1 else (1, 0)
  )
  assert np.all(rows.sum(0) == coding_tables.TOTAL)


def test_without_a_folder_tensorflow_comes_from_a_network_with_its_hash(site):
  for entry in _manifest(site)["tensorflow"].values():
    assert entry["file"].startswith(web_export.CDN)
    assert f"@{web_export.TFJS_VERSION}/" in entry["file"]
    name, _, encoded = entry["integrity"].partition("-")
    assert name == "sha384"
    assert len(base64.b64decode(encoded, validate=True)) == 48
  assert not (site / "tfjs").exists()


@pytest.mark.parametrize(
  "inside", ["", "node_modules", "node_modules/@tensorflow"]
)
def test_tensorflow_comes_from_a_folder(model, tmp_path, inside):
  contents = _fake_tfjs(tmp_path / "npm")
  site = tmp_path / "site"
  web_export.export(model, str(site), tfjs=str(tmp_path / "npm" / inside))
  for entry in _manifest(site)["tensorflow"].values():
    data = (site / "model" / entry["file"]).read_bytes()
    assert data == contents[os.path.basename(entry["file"])]
    assert entry["integrity"] == _integrity(data, "sha384")


def test_tensorflow_comes_from_a_folder_of_its_files(model, tmp_path):
  flat = tmp_path / "flat"
  flat.mkdir()
  for name, data in _fake_tfjs(tmp_path / "npm").items():
    (flat / name).write_bytes(data)
  web_export.export(model, str(tmp_path / "site"), tfjs=str(flat))
  assert len(os.listdir(tmp_path / "site" / "tfjs")) == 4


def test_a_folder_without_tensorflow_is_refused(model, tmp_path):
  with pytest.raises(errors.UnreadableInputError, match="tf-core.min.js"):
    web_export.export(model, str(tmp_path / "site"), tfjs=str(tmp_path))
  assert not (tmp_path / "site").exists()


def test_nothing_is_overwritten(model, tmp_path):
  (tmp_path / "file").write_text("mine")
  for taken in (tmp_path, tmp_path / "file"):
    with pytest.raises(errors.OutputError, match="exists"):
      web_export.export(model, str(taken))
  assert os.listdir(tmp_path) == ["file"]


def test_an_empty_directory_is_filled(model, tmp_path):
  web_export.export(model, str(tmp_path))
  assert (tmp_path / "index.html").is_file()


@pytest.mark.parametrize("max_pixels", [0, 2**31])
def test_a_limit_out_of_its_range_is_refused(model, tmp_path, max_pixels):
  with pytest.raises(errors.UsageError):
    web_export.export(model, str(tmp_path / "x"), max_pixels=max_pixels)


def test_weights_beyond_16_bits_are_refused(model, tmp_path):
  name = "synthesis/0/kernel"
  weights = {**model.weights, name: model.weights[name] + 1e6}
  large = dataclasses.replace(
    model, pairs=(model_directory.TransformPair(weights),)
  )
  with pytest.raises(errors.ModelError, match=name):
    web_export.export(large, str(tmp_path / "site"))
  assert not os.listdir(tmp_path)
