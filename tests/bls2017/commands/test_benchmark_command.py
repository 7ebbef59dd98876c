"""The benchmark: what it counts, what it asks, and the command."""

from __future__ import annotations

import itertools
import json
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.encode import analysis
from bls2017.evaluation import image_codecs
from bls2017.evaluation.benchmark import (
  benchmark_config,
  contenders,
  photograph,
  plain_model,
  probes,
  report,
  run,
  timing,
  training,
)
from bls2017.model import model_directory
from tests import commands


@pytest.fixture(scope="module")
def model(golden_model_dir):
  return model_directory.load(golden_model_dir)


def test_calls_take_turns_and_the_first_round_does_not_count(monkeypatch):
  order = []
  clock = itertools.count()
  monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
  calls = {name: lambda n=name: order.append(n) for name in "ab"}
  medians = timing.interleaved(calls, rounds=2, warm_up=1)
  assert order == list("ababab")
  assert medians == {"a": 1, "b": 1}


def test_multiply_adds_are_those_of_the_graphs_operations():
  """Counted for the paper's model by hand, per pixel."""
  n, c = 128, 320
  shapes = {
    "analysis/0/kernel": (9, 9, 3, n), "analysis/0/gdn/gamma": (n, n),
    "analysis/1/kernel": (5, 5, n, n), "analysis/1/gdn/gamma": (n, n),
    "analysis/2/kernel": (5, 5, n, c), "analysis/2/gdn/gamma": (c, c),
    "synthesis/igdn_in/gamma": (c, c),
    "synthesis/0/kernel": (5, 5, c, n), "synthesis/0/igdn/gamma": (n, n),
    "synthesis/1/kernel": (5, 5, n, n), "synthesis/1/igdn/gamma": (n, n),
    "synthesis/2/kernel": (9, 9, n, 3),
  }  # fmt: skip
  weights = {name: np.zeros(shape, "i1") for name, shape in shapes.items()}
  expected = (
    (81 * 3 * n + n * n) / 16
    + (25 * n * n + n * n) / 64
    + (25 * n * c + c * c) / 256
  ) / 1e3
  assert timing.gmacs(weights, "analysis") == pytest.approx(expected)
  assert timing.gmacs(weights, "synthesis") == pytest.approx(expected)


def test_the_plain_model_is_the_same_model(model, codec):
  x = photograph.photograph(32, 48)
  plain = plain_model.PlainModel(model, 1.5)
  string, shape = plain.compress(tf.constant(x))
  x_hat = plain.decompress(string, shape).numpy()
  latents = analysis.Latents(x, codec._prepared)
  image = analysis.AnalysedImage(x, latents, codec._prepared)
  expected = image.decoded(image.candidate_of(4, image.scaled(4)))
  assert np.abs(x_hat.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", contenders.available())
def test_contenders_decompress_what_they_compress(name, golden_model_dir):
  x = photograph.photograph(64, 96)
  codec = contenders.make(name, golden_model_dir)
  is_searched = isinstance(codec, image_codecs.PillowCodec)
  quality = contenders.quality_for_bytes(codec, x, 2000) if is_searched else 2
  data = codec.encode(x, quality).data
  x_hat = codec.decode(data)
  assert x_hat.shape == x.shape
  assert np.mean((x_hat - x.astype(float)) ** 2) < 800
  if is_searched:
    assert len(data) == pytest.approx(2000, rel=0.25)


def test_tiled_photographs_have_any_size_and_no_seams():
  small = photograph.photograph(40, 40)
  x = photograph.tiled(100, 70, side=40)
  np.testing.assert_array_equal(x[:40, :40], small)
  np.testing.assert_array_equal(x[40:80, :40], small[::-1])
  assert x.shape == (100, 70, 3)


def test_training_steps_of_both_kernel_parameters_give_finite_losses(
  tiny_config,
):
  for step in training.steps(tiny_config).values():
    assert np.isfinite(step())


def test_many_files_and_large_images_are_measured(golden_model_dir):
  shared = {"model": golden_model_dir, "quality": 2}
  found = probes.call("many_files", **shared, images=3, height=32, width=48)
  assert all(value > 0 for value in found.values())
  assert {"compress", "decompress", "analysis_one_core"} <= set(found)
  found = probes.large(**shared, small=[32, 48], side=80)
  assert all(value > 0 for value in found.values())


def test_a_probe_that_fails_is_an_error(monkeypatch):
  monkeypatch.setattr(sys, "executable", "/bin/false")
  with pytest.raises(errors.CodecError, match="'large' ended with 1"):
    probes.call("large")


def test_ratios_say_whether_they_hold():
  found = report.Report({"cpu": "any"})
  found.ratios = [
    report.Ratio("fast", 2.0, report.AT_LEAST, 1.8),
    report.Ratio("small", 2.0, report.AT_MOST, 1.8),
  ]
  found.rows = [
    report.Row("table", "a", {"ms": 1.5}),
    report.Row("table", "b", {}),
  ]
  assert [r["holds"] for r in found.to_json()["ratios"]] == [True, False]
  lines = found.to_text().splitlines()
  assert lines[-2].split() == ["fast", "2", "at", "least", "1.8", "yes"]
  assert lines[-1].split() == ["small", "2", "at", "most", "1.8", "no"]


def test_impossible_configurations_are_usage_errors():
  with pytest.raises(errors.UsageError, match="multiples of 8"):
    benchmark_config.BenchmarkConfig(sizes=(benchmark_config.Size(100, 100),))
  with pytest.raises(errors.UsageError, match="repeats must be at least 1"):
    benchmark_config.BenchmarkConfig(repeats=0)


def test_a_run_measures_every_codec_and_says_what_is_asked(golden_model_dir):
  config = benchmark_config.BenchmarkConfig(
    golden_model_dir, 2, (benchmark_config.SMALL,), 1, training=False,
    memory=False, bulk_images=0, cold=False,
  )  # fmt: skip
  seen = []
  found = run.run(config, seen.append)
  assert seen == ["codecs", "128x128"]
  codecs = [r.name for r in found.rows if r.table == "codecs, 128x128"]
  assert tuple(codecs) == contenders.available()
  assert all(v > 0 for row in found.rows for v in row.values.values())
  text = found.to_text()
  assert "matrix product" in text
  assert "compress: plain's time / bls2017's, 128x128" in text


def test_the_command_saves_the_machine_and_refuses_odd_sizes(tmp_path):
  path = tmp_path / "figures.json"
  done = commands.run(
    "benchmark", "--sizes=", "--notraining", "--nocold", "--bulk_images=0",
    f"--json={path}",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr.decode()
  machine = json.loads(path.read_text())["machine"]
  assert {"cpu", "cores", "tensorflow"} <= set(machine)
  assert machine["cpu"] in done.stdout.decode()
  done = commands.run("benchmark", "--sizes=large")
  assert "WIDTHxHEIGHT" in commands.assert_fails(done, 2)
