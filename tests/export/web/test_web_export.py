"""The files of a site, and the command that writes them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import pathlib

import pytest

from bls2017 import errors
from bls2017.model import model_directory
from export.web import web_export
from tests import commands
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
  assert len(manifest["weights"]) == 2


def test_every_file_of_the_model_is_named_by_its_content(site):
  manifest = _manifest(site)
  entries = [*manifest["weights"], *manifest["tables"]]
  names = {entry["file"] for entry in entries}
  assert names | {"model.json"} == set(os.listdir(site / "model"))
  for entry in entries:
    file = site / "model" / entry["file"]
    _check_integrity(entry, file)
    assert hashlib.sha256(file.read_bytes()).hexdigest()[:12] in file.name


def test_tensorflow_comes_from_a_network_or_a_folder(site, model, tmp_path):
  for entry in _manifest(site)["tensorflow"].values():
    assert entry["file"].startswith(web_export.CDN)
    assert f"@{web_export.TFJS_VERSION}/" in entry["file"]
  for package, name, _ in web_export.TFJS_FILES.values():
    dist = tmp_path / "npm" / "node_modules" / "@tensorflow" / package / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    (dist / name).write_text(f"// {name}")
  sites = [tmp_path / "first", tmp_path / "second"]
  for folder, path in zip((tmp_path / "npm", sites[0] / "tfjs"), sites):
    web_export.export(model, str(path), tfjs=str(folder))
    for entry in _manifest(path)["tensorflow"].values():
      file = path / "model" / entry["file"]
      assert file.read_text() == f"// {file.name}"
      _check_integrity(entry, file)


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


def test_what_cannot_be_exported_leaves_nothing(model, tmp_path):
  site = str(tmp_path / "site")
  for max_pixels in (0, 2**31):
    with pytest.raises(errors.UsageError):
      web_export.export(model, site, max_pixels=max_pixels)
  with pytest.raises(errors.UnreadableInputError, match="tf-core.min.js"):
    web_export.export(model, site, tfjs=str(tmp_path))
  name = "synthesis/0/kernel"
  pair = model.pairs[0]
  weights = {**pair.weights, name: pair.weights[name] + 1e6}
  large = dataclasses.replace(pair, weights=weights)
  with pytest.raises(errors.ModelError, match="16-bit"):
    web_export.export(dataclasses.replace(model, pairs=(large,)), site)
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
  ("flags", "max_pixels"), [((), 2**26), (("--max_pixels=99",), 99)]
)
def test_the_command_writes_a_site(tmp_path, flags, max_pixels):
  site = tmp_path / "site"
  process = commands.run(
    "export", "--format=web", f"--output_dir={site}",
    f"--model={conformance_set.PAIRS}", *flags,
  )  # fmt: skip
  assert process.returncode == 0, process.stderr.decode()
  assert process.stdout.decode() == f"{site}\n"
  assert _manifest(site)["max_pixels"] == max_pixels


def test_the_command_refuses_options_of_the_other_format(tmp_path):
  site = f"--output_dir={tmp_path / 'site'}"
  for chosen, flag in (("web", "--version=1"), ("serving", "--tfjs=.")):
    process = commands.run("export", site, f"--format={chosen}", flag)
    assert "is not for --format" in commands.assert_fails(process, 2)
  assert not os.listdir(tmp_path)
