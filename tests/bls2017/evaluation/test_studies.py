from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.evaluation import (
  ablation,
  latent_statistics,
  plots,
  studies,
  study_results,
)
from tests import images

STEPS = 4


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
  return np.stack([images.photograph(64, 64, seed) for seed in range(6)])


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
  """Makes the small models tiny."""
  original = ablation.Variant

  def tiny(**changes) -> ablation.Variant:
    return original(**{"num_filters": 6, "num_latents": 8, **changes})

  monkeypatch.setattr(ablation, "Variant", tiny)


def _laplacian(rng, n):
  return rng.laplace(0, 1 / math.sqrt(2), (n, 3))


def test_statistics_of_known_densities() -> None:
  rng = np.random.default_rng(0)
  normal = latent_statistics.describe(rng.normal(size=(200_000, 3)))
  assert normal.excess_kurtosis == pytest.approx(0, abs=0.05)
  assert normal.negentropy == pytest.approx(0, abs=0.005)
  laplace = latent_statistics.describe(_laplacian(rng, 200_000))
  assert laplace.excess_kurtosis == pytest.approx(3, abs=0.3)
  # Half log2(2 pi e) - log2(2 e / sqrt 2), in bits.
  assert laplace.negentropy == pytest.approx(0.104, abs=0.01)
  middle = len(latent_statistics.MIDDLES) // 2
  assert laplace.log_density[middle] > normal.log_density[middle]


@pytest.mark.parametrize("name", ablation.NONLINEARITIES)
def test_variants_are_what_they_say(name, patches) -> None:
  model = ablation.make(ablation.Variant(nonlinearity=name))
  x = patches[:1].astype(np.float32)
  grey = np.full_like(x, 127.5)
  y, twice, negative, zero = (
    model.analysis(grey + factor * (x - grey)).numpy()
    for factor in (1, 2, -1, 0)
  )
  homogeneous = np.allclose(twice - zero, 2 * (y - zero), atol=1e-4)
  odd = np.allclose(negative - zero, zero - y, atol=1e-4)
  assert homogeneous == (name != "gdn")
  assert odd == (name != "relu")
  names = " ".join(v.name for v in model.trainable_variables)
  assert ("gamma" in names) == (name == "gdn")
  assert model.synthesis(y).shape == x.shape


def test_training_lowers_the_loss_and_is_repeatable(patches) -> None:
  def loss(model) -> float:
    x = np.repeat(patches[:1, None].astype(np.float32), 4, axis=1)
    return float(np.mean(model.lagrangian(model.rate_distortion(x))))

  variant = ablation.Variant()
  steps = []
  first, second = (
    ablation.train(variant, patches, 60, lambda: steps.append(1)).model
    for _ in range(2)
  )
  assert len(steps) == 120
  assert loss(first) < loss(ablation.make(variant))
  assert loss(first) == pytest.approx(loss(second), rel=1e-3)


def test_relaxation_compares_each_lambda(patches) -> None:
  model = ablation.make(ablation.Variant())
  result = studies.relaxation(model, patches[:2])
  assert len(result.rows) == model.config.num_levels
  assert [len(c.series) for c in result.charts] == [5, 5]
  for row in result.rows:
    relaxed, quantized = float(row[1]), float(row[2])
    change = 100 * (relaxed / quantized - 1)
    assert float(row[3].rstrip("%")) == pytest.approx(change, abs=0.1)


@pytest.mark.parametrize("name", ["transforms", "densities"])
def test_small_models_are_compared(name, patches, monkeypatch) -> None:
  monkeypatch.setattr(latent_statistics, "_LIVE_DEVIATION", 0.0)
  study = getattr(studies, name)
  steps = []
  result = study(patches, patches[:2], STEPS, lambda: steps.append(1))
  variants = {"transforms": 3, "densities": 2}[name]
  assert len(steps) == variants * STEPS
  assert len(result.rows) == variants
  assert all(len(row) == len(result.columns) for row in result.rows)
  assert f"{STEPS} steps" in result.findings[0]
  labels = [s.label for s in result.charts[0].series]
  assert labels == [row[0] for row in result.rows]


def test_results_come_back(tmp_path) -> None:
  series = plots.Series("gdn", (0.5, 1.0), (30.0, 31.0), ("a", "b"))
  chart = plots.Chart("t", "x", "y", (series,), log_x=True)
  result = study_results.Result(
    "densities", "t", ("f",), ("c",), (("1",),), (chart,)
  )
  study_results.save(result, str(tmp_path / "studies"))
  (back,) = study_results.load_all(str(tmp_path / "studies"))
  # JSON knows no tuples.
  assert _plain(back) == _plain(result)
  with Image.open(tmp_path / "studies" / "densities.png") as plot:
    assert plot.width > 400


def _plain(result: study_results.Result) -> object:
  return json.loads(json.dumps(dataclasses.asdict(result)))


def test_patches_come_from_images_that_hold_them(tmp_path) -> None:
  for name, size in (("a", (80, 90)), ("b", (40, 90)), ("c", (64, 64))):
    Image.fromarray(images.photograph(*size)).save(tmp_path / f"{name}.png")
  paths = [str(tmp_path / f"{n}.png") for n in ("a", "b", "missing", "c")]
  found = studies.read_patches(paths, 64, 10, per_image=2)
  assert found.shape == (4, 64, 64, 3)
  np.testing.assert_array_equal(
    found[0], images.photograph(80, 90)[8:72, 13:77]
  )
  with pytest.raises(errors.UnreadableInputError, match="100 x 100"):
    studies.read_patches(paths, 100, 10)
