"""Exporting, and loading what was exported elsewhere."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

import export
from bls2017 import errors
from export import audit, export_model
from tests import commands, images
from tests.export import conftest, library, model_server

LOADER = pathlib.Path(__file__).with_name("load_export.py")


def test_importing_the_package_imports_nothing_heavy():
  script = "import export, sys; print('tensorflow' in sys.modules)"
  output = subprocess.check_output([sys.executable, "-c", script], text=True)
  assert output.strip() == "False"


def test_an_export_runs_without_this_project(base_dir, session_model, codec):
  process = subprocess.run(
    [sys.executable, str(LOADER), str(base_dir / "1")],
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 0, process.stderr
  report = json.loads(process.stdout.splitlines()[-1])
  x = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(1, 40, 30, 3)
  expected = session_model("compress_image", image=x, quality=[1.5])
  (data,) = expected["compressed_bytes"]
  for loader in ("saved_model.load", "session"):
    found = report[loader]
    assert sorted(found["signatures"]) == sorted(export.SIGNATURES)
    assert bytes.fromhex(found["compressed"]) == data
    difference = np.array(found["image"]) - codec.decompress(data).astype(int)
    assert np.abs(difference).max() <= 1
    assert found["status"] == 4


def test_kernels_and_tables_are_variables(base_dir, frozen_model):
  path = base_dir / "1"
  (graph,) = audit.read(str(path))
  constants = [
    tf.make_ndarray(node.attr["value"].tensor)
    for node in audit.nodes(graph)
    if node.op == "Const"
  ]
  assert constants
  assert not [c.shape for c in constants if c.ndim == 4]
  sizes = {c.size for c in constants}
  assert frozen_model.tables.arrays()["cdf"].size not in sizes
  kernels = [
    shape
    for _, shape in tf.train.list_variables(str(path / "variables/variables"))
    if len(shape) == 4
  ]
  # Three of analysis, ten of synthesis and a norm before or behind each stage.
  assert len(kernels) == (3 + 10 + 6) * len(frozen_model.pairs)


def test_the_command_exports_what_loads_and_answers(tmp_path, codec):
  base = tmp_path / "base"
  (base / "3").mkdir(parents=True)
  (base / "serving").mkdir()
  (base / "serving" / "models.config").write_text("mine")
  process = commands.run(
    "export", f"--output_dir={base}", f"--model={conftest.MODEL}",
    "--max_pixels=4096",
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  assert process.stdout.decode().strip() == str(base / "4")
  assert sorted(p.name for p in base.iterdir()) == ["3", "4", "serving"]
  assert (base / "serving" / "models.config").read_text() == "mine"
  x = images.photograph(64, 64)
  with model_server.SessionModel(str(base / "4")) as served:
    outputs = served("compress_image", image=x[None], quality=[1.0])
  (data,) = outputs["compressed_bytes"]
  np.testing.assert_array_equal(
    codec.symbols(data), library.symbols(codec.model, x, 1.0)
  )


def test_the_command_refuses_an_image_without_pixels(tmp_path):
  process = commands.run("export", f"--output_dir={tmp_path}", "--max_pixels=0")
  assert "max_pixels" in commands.assert_fails(process, 2)


def test_versions_that_cannot_be_written(frozen_model, tmp_path):
  (tmp_path / "3").mkdir()
  with pytest.raises(errors.OutputError, match="3 exists"):
    export_model.export(frozen_model, str(tmp_path), version=3)
  with pytest.raises(errors.UsageError):
    export_model.export(frozen_model, str(tmp_path), version=0)
  with pytest.raises(errors.UsageError):
    export_model.export(frozen_model, str(tmp_path), max_pixels=0)
  (tmp_path / "file").write_text("")
  with pytest.raises(errors.OutputError):
    export_model.export(frozen_model, str(tmp_path / "file" / "base"))


def test_a_failed_export_leaves_no_version(frozen_model, tmp_path, monkeypatch):
  def fail(version_dir, requests):
    raise errors.ModelError(version_dir)

  monkeypatch.setattr(export_model.warmup, "replay", fail)
  with pytest.raises(errors.ModelError):
    export_model.export(frozen_model, str(tmp_path), max_pixels=4096)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_exported(
  frozen_model, tmp_path, value
):
  bias = frozen_model.weights["synthesis/2/bias"]
  weights = {**frozen_model.weights, "synthesis/2/bias": bias * 0 + value}
  pair = dataclasses.replace(frozen_model.pairs[0], weights=weights)
  damaged = dataclasses.replace(frozen_model, pairs=(pair,))
  with pytest.raises(errors.ModelError, match="not finite"):
    export_model.export(damaged, str(tmp_path), max_pixels=4096)
  assert not list(tmp_path.iterdir())


def test_the_configuration_of_the_server(base_dir):
  serving = base_dir / "serving"
  names = sorted(p.name for p in serving.iterdir())
  assert names == [
    "README.md", "batching_accelerator.config", "batching_processor.config",
    "compose.yaml", "models.config", "monitoring.config",
  ]  # fmt: skip
  config = text_format.Parse(
    (serving / "models.config").read_text(),
    model_server_config_pb2.ModelServerConfig(),
  )
  for name in ("batching_accelerator.config", "batching_processor.config"):
    assert "max_batch_size { value:" in (serving / name).read_text()
  assert "/batching_processor.config" in (serving / "compose.yaml").read_text()
  (model,) = config.model_config_list.config
  assert model.name == export_model.MODEL_NAME
  assert model.base_path == f"/models/{export_model.MODEL_NAME}"


def test_saved_model_cli_describes_every_signature(base_dir):
  process = subprocess.run(
    [
      sys.executable, "-m", "tensorflow.python.tools.saved_model_cli",
      "show", "--all", "--dir", str(base_dir / "1"),
    ],
    capture_output=True,
    text=True,
    check=False,
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  for name in export.SIGNATURES:
    assert f"signature_def['{name}']" in process.stdout
  assert "inputs['compressed_bytes'] tensor_info" in process.stdout
