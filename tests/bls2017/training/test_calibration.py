"""Calibrated tables: sound, and shorter for what they were calibrated on."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest

from bls2017 import codec, errors
from bls2017.encode import analysis
from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import calibration, freezing, table_building
from tests import conftest


@pytest.fixture(scope="module")
def tiny_model(tiny_model_dir: str) -> model_directory.FrozenModel:
  return model_directory.load(tiny_model_dir)


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
  return np.stack(
    [conftest.synthetic_photograph(seed, 64, 64) for seed in range(6)]
  )


@pytest.fixture(scope="module")
def calibrated(
  tiny_model: model_directory.FrozenModel, patches: np.ndarray
) -> model_directory.FrozenModel:
  return calibration.calibrate(tiny_model, patches)


def test_only_the_frequencies_and_lanes_change(
  tiny_model: model_directory.FrozenModel,
  calibrated: model_directory.FrozenModel,
) -> None:
  before, after = tiny_model.tables.arrays(), calibrated.tables.arrays()
  for name, value in before.items():
    assert np.array_equal(value, after[name]) == (
      name not in ("cdf", "lane_positions")
    ), name
  assert calibrated.model_id != tiny_model.model_id


def _bits(
  before: model_directory.FrozenModel,
  after: model_directory.FrozenModel,
  patches: np.ndarray,
  quality: float,
) -> np.ndarray:
  """Bits of rounded photographs with both models, which decode them alike."""
  prepared = codec.Codec(before)._prepared, codec.Codec(after)._prepared
  index = before.config.quality_index(quality)
  bits = np.zeros(2)
  for x in patches:
    latents = analysis.Latents(x, prepared[0])
    coded = [analysis.AnalysedImage(x, latents, model) for model in prepared]
    rounded = [
      image.candidate_of(index, image.scaled(index)) for image in coded
    ]
    bits += [candidate.bits for candidate in rounded]
    decoded = [image.decoded(c) for image, c in zip(coded, rounded)]
    np.testing.assert_array_equal(*decoded)
  return bits


@pytest.mark.parametrize("quality", [1, 1.375, 2])
def test_photographs_take_fewer_bits_and_come_back_the_same(
  tiny_model: model_directory.FrozenModel,
  calibrated: model_directory.FrozenModel,
  patches: np.ndarray,
  quality: float,
) -> None:
  bits = _bits(tiny_model, calibrated, patches, quality)
  assert bits[1] < bits[0]


@pytest.fixture(scope="module")
def adaptive(
  tiny_model: model_directory.FrozenModel, patches: np.ndarray
) -> model_directory.FrozenModel:
  return calibration.calibrate(tiny_model, patches, 3)


@pytest.mark.parametrize("quality", [1, 1.375, 2])
def test_several_activities_take_fewer_bits_still(
  calibrated: model_directory.FrozenModel,
  adaptive: model_directory.FrozenModel,
  patches: np.ndarray,
  quality: float,
) -> None:
  bits = _bits(calibrated, adaptive, patches, quality)
  assert bits[1] < 0.98 * bits[0]


def test_tables_of_activities_are_saved_and_loaded(
  adaptive: model_directory.FrozenModel, tmp_path: pathlib.Path
) -> None:
  freezing.save(adaptive, str(tmp_path / "model"))
  again = model_directory.load(str(tmp_path / "model"))
  assert again.tables.num_activities == 3
  assert again.model_id == adaptive.model_id


@pytest.mark.parametrize("sets", [0, 33])
def test_a_number_of_activities_out_of_range_is_refused(
  tiny_model: model_directory.FrozenModel, patches: np.ndarray, sets: int
) -> None:
  with pytest.raises(errors.UsageError, match="activities"):
    calibration.calibrate(tiny_model, patches, sets)


def test_activities_are_not_calibrated_twice(
  adaptive: model_directory.FrozenModel, patches: np.ndarray
) -> None:
  with pytest.raises(errors.ModelError, match="already"):
    calibration.calibrate(adaptive, patches, 2)


@pytest.mark.parametrize("damage", ["rise", "shape", "start"])
def test_damaged_tables_of_activities_are_refused(
  adaptive: model_directory.FrozenModel, damage: str
) -> None:
  own = adaptive.tables.activity_cdf
  assert own is not None
  own = own.copy()
  if damage == "rise":
    own[0, 0, 2] = own[0, 0, 1]
  elif damage == "start":
    own[0, 0, 0] = 1
  else:
    own = own[:, 1:]
  with pytest.raises(errors.ModelError):
    dataclasses.replace(adaptive.tables, activity_cdf=own).check()


@pytest.mark.parametrize("size", [2, 31, 400, 500, 1023, 4095])
def test_short_frequencies_of_flat_tables_are_sound(size: int) -> None:
  # Rounded one by one, they would all err to one side.
  flat = np.full(size, 1 / size)
  bell = np.exp(-np.abs(np.linspace(-3, 3, size)))
  for p in (flat, bell / bell.sum()):
    frequency = table_building.frequencies(p)
    short = calibration._shortened(frequency)
    assert short.sum() == coding_tables.TOTAL and short.min() >= 1
    np.testing.assert_allclose(short, frequency, rtol=1 / 16, atol=64)
