"""Exporting, and loading what was exported elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2

import export
from bls2017 import errors
from bls2017.model import model_directory
from export import export_model, warmup
from tests import commands
from tests.export import conftest

REPLAY = """
import sys
from export import warmup
warmup.replay(sys.argv[1])
files = [r.inputs for r in warmup.read(sys.argv[1]) if r.signature == "info"]
print(files[0]["compressed_bytes"][0].hex())
"""
"""Loads an export, replays its requests and prints its first file."""

LOADER = pathlib.Path(__file__).with_name("load_export.py")


def test_importing_the_package_imports_nothing_heavy():
  script = "import export, sys; print('tensorflow' in sys.modules)"
  output = subprocess.check_output([sys.executable, "-c", script], text=True)
  assert output.strip() == "False"


def test_an_export_runs_without_this_project(base_dir, codec):
  process = subprocess.run(
    [sys.executable, str(LOADER), str(base_dir / "1")],
    capture_output=True,
    text=True,
    check=False,
    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
  )
  assert process.returncode == 0, process.stderr
  report = json.loads(process.stdout.splitlines()[-1])
  x = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
  data = codec.compress(x, 1.5)
  for loader in ("saved_model.load", "session"):
    found = report[loader]
    assert sorted(found["signatures"]) == sorted(export.SIGNATURES)
    assert bytes.fromhex(found["compressed"]) == data
    difference = np.array(found["image"]) - codec.decompress(data).astype(int)
    assert np.abs(difference).max() <= 1
    assert found["status"] == 4


def test_kernels_and_tables_are_variables(base_dir, frozen_model):
  model = saved_model_pb2.SavedModel.FromString(
    (base_dir / "1" / "saved_model.pb").read_bytes()
  )
  graph = model.meta_graphs[0].graph_def
  nodes = [
    *graph.node,
    *(n for f in graph.library.function for n in f.node_def),
  ]
  constants = [
    tf.make_ndarray(node.attr["value"].tensor)
    for node in nodes
    if node.op == "Const"
  ]
  assert constants
  assert not [c.shape for c in constants if c.ndim == 4]
  assert frozen_model.tables.cdf.size not in {c.size for c in constants}
  kernels = [
    shape
    for _, shape in tf.train.list_variables(
      str(base_dir / "1/variables/variables")
    )
    if len(shape) == 4
  ]
  # Three of analysis, ten of synthesis and a norm before or behind each stage.
  assert len(kernels) == (3 + 10 + 6) * len(frozen_model.pairs)


def test_the_command_exports_what_loads_and_answers(tmp_path, codec):
  base = tmp_path / "base"
  (base / "3").mkdir(parents=True)
  process = commands.run(
    "export", f"--output_dir={base}", f"--model={conftest.MODEL}",
    "--max_pixels=4096",
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  assert process.stdout.decode().strip() == str(base / "4")
  assert sorted(p.name for p in base.iterdir()) == ["3", "4", "serving"]
  replayed = subprocess.run(
    [sys.executable, "-c", REPLAY, str(base / "4")],
    capture_output=True,
    check=False,
  )
  assert replayed.returncode == 0, replayed.stderr
  x = warmup.picture(64, 64)
  assert replayed.stdout.decode().strip() == codec.compress(x, 1.0).hex()


def test_the_command_refuses_an_image_without_pixels():
  commands.assert_fails(commands.run("export", "--max_pixels=0"), 2)


def test_versions_that_cannot_be_written(frozen_model, tmp_path):
  (tmp_path / "3").mkdir()
  with pytest.raises(errors.OutputError, match="3 exists"):
    export_model.export(frozen_model, str(tmp_path), version=3)
  with pytest.raises(errors.UsageError):
    export_model.export(frozen_model, str(tmp_path), version=0)


def test_a_failed_export_leaves_no_version(frozen_model, tmp_path, monkeypatch):
  def fail(version_dir):
    raise errors.ModelError(version_dir)

  monkeypatch.setattr(export_model.warmup, "replay", fail)
  with pytest.raises(errors.ModelError):
    export_model.export(frozen_model, str(tmp_path), max_pixels=4096)
  assert not [p for p in tmp_path.iterdir() if p.name != "serving"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_exported(
  frozen_model, tmp_path, value
):
  bias = frozen_model.weights["synthesis/2/bias"]
  weights = {**frozen_model.weights, "synthesis/2/bias": bias * 0 + value}
  broken = dataclasses.replace(
    frozen_model, pairs=(model_directory.TransformPair(weights),)
  )
  with pytest.raises(errors.ModelError, match="not finite"):
    export_model.export(broken, str(tmp_path), max_pixels=4096)
  assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_made(frozen_model, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(errors.OutputError):
    export_model.export(frozen_model, str(tmp_path / "file" / "base"))
  with pytest.raises(errors.UsageError):
    export_model.export(frozen_model, str(tmp_path), max_pixels=0)


def test_the_configuration_of_the_server(base_dir):
  serving = base_dir / "serving"
  names = sorted(p.name for p in serving.iterdir())
  assert names == [
    "README.md", "batching_accelerator.config", "batching_processor.config",
    "compose.yaml", "models.config", "monitoring.config",
  ]  # fmt: skip
  for path in serving.iterdir():
    assert "$" not in path.read_text().replace("$(base64", "")
  config = text_format.Parse(
    (serving / "models.config").read_text(),
    model_server_config_pb2.ModelServerConfig(),
  )
  for name in ("batching_accelerator.config", "batching_processor.config"):
    assert "max_batch_size { value:" in (serving / name).read_text()
  assert "/batching_processor.config" in (serving / "compose.yaml").read_text()
  (model,) = config.model_config_list.config
  assert model.name == export_model.MODEL_NAME
  assert model.base_path == "/models/bls2017"


def test_edited_configuration_is_kept(tmp_path):
  export_model.write_serving_files(str(tmp_path))
  (tmp_path / "models.config").write_text("mine")
  export_model.write_serving_files(str(tmp_path))
  assert (tmp_path / "models.config").read_text() == "mine"


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
