from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.evaluation import plots, rate_distortion, studies, study_results
from tests import images

TINY = dataclasses.replace(studies.SMALL, num_filters=6, num_latents=8)


def quiet(stretch: str, done: int, total: int) -> None:
  """Tells nobody how far the training is."""


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
  return np.stack([images.photograph(64, 64, seed) for seed in range(6)])


def test_statistics_of_known_densities() -> None:
  rng = np.random.default_rng(0)
  size = (200_000, 3)
  kurtosis, negentropy, normal = studies.latent_statistics(
    rng.normal(size=size)
  )
  assert kurtosis == pytest.approx(0, abs=0.05)
  assert negentropy == pytest.approx(0, abs=0.005)
  kurtosis, negentropy, laplace = studies.latent_statistics(
    rng.laplace(0, 1 / math.sqrt(2), size)
  )
  assert kurtosis == pytest.approx(3, abs=0.3)
  # Half log2(2 pi e) - log2(2 e / sqrt 2), in bits.
  assert negentropy == pytest.approx(0.104, abs=0.01)
  middle = len(normal) // 2
  gaussian = -0.5 * math.log10(2 * math.pi)
  assert normal[middle] == pytest.approx(gaussian, abs=0.01)
  assert laplace[middle] > gaussian + 0.1


@pytest.mark.parametrize("name", ["gdn", "relu", "linear"])
def test_variants_are_what_they_say(name, patches) -> None:
  model = studies.make(TINY, name, "deep_factorized")
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


def test_relaxation_compares_each_lambda(patches) -> None:
  model = studies.make(TINY, "gdn", "deep_factorized")
  result = studies.relaxation(model, patches[:2])
  assert len(result.rows) == model.config.num_levels
  assert [len(c.series) for c in result.charts] == [5, 5]
  for row in result.rows:
    relaxed, quantized = float(row[1]), float(row[2])
    change = 100 * (relaxed / quantized - 1)
    assert float(row[3].rstrip("%")) == pytest.approx(change, abs=0.2)


@pytest.mark.parametrize("study", studies.CHOICES)
def test_small_models_are_compared_and_answers_come_back(
  study, patches, tmp_path
) -> None:
  told = []
  result = studies.compare_choices(
    study, patches, patches[:2], 30, lambda *work: told.append(work), TINY
  )
  names = list(studies.CHOICES[study])
  assert len(told) == len(names) * 31
  assert [row[0] for row in result.rows] == names
  assert result.rows[0][1] in ("+0.0%", "-0.0%", "no overlap")
  assert all(len(row) == len(result.columns) for row in result.rows)
  assert "30 steps" in result.findings[0]
  assert [s.label for s in result.charts[0].series] == names
  assert [s.label for s in result.charts[1].series] == [*names, "Gaussian"]
  study_results.save(result, str(tmp_path / "studies"))
  (back,) = study_results.load_all(str(tmp_path / "studies"))
  assert rate_distortion.to_json(back) == rate_distortion.to_json(result)
  assert isinstance(back.charts[0].series[0], plots.Series)
  with Image.open(tmp_path / "studies" / f"{study}.png") as plot:
    assert plot.width > 800


def test_images_must_hold_a_patch(tmp_path) -> None:
  path = tmp_path / "a.png"
  Image.fromarray(images.photograph(255, 400)).save(path)
  with pytest.raises(errors.UnreadableInputError, match="256 x 256"):
    studies.run("densities", str(path), quiet)
  Image.fromarray(images.photograph(256, 256)).save(path)
  with pytest.raises(errors.UsageError, match="needs photographs"):
    studies.run("densities", str(path), quiet)
