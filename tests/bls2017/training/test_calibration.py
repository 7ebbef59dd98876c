"""Calibrated tables: sound, and shorter for what they were calibrated on."""

from __future__ import annotations

import os

import numpy as np
import pytest

from bls2017 import codec, errors
from bls2017.format import coding_tables
from bls2017.model import model_directory
from bls2017.training import calibration, freezing
from tests import conftest

QUALITIES = (1, 1.375, 2)


@pytest.fixture(scope="module")
def tiny_model(tiny_model_dir: str) -> model_directory.FrozenModel:
  return model_directory.load(tiny_model_dir)


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
  rows = [conftest.synthetic_photograph(seed, 128, 128) for seed in range(3)]
  return np.stack(rows)


@pytest.fixture(scope="module")
def calibrated(
  tiny_model: model_directory.FrozenModel, patches: np.ndarray
) -> model_directory.FrozenModel:
  return calibration.calibrate(tiny_model, patches)


@pytest.fixture(scope="module")
def adaptive(
  tiny_model: model_directory.FrozenModel, patches: np.ndarray
) -> model_directory.FrozenModel:
  return calibration.calibrate(tiny_model, patches, 3)


def _sizes(
  model: model_directory.FrozenModel, patches: np.ndarray
) -> list[int]:
  coder = codec.Codec(model)
  return [
    sum(len(coder.compress(x, quality)) for x in patches)
    for quality in QUALITIES
  ]


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


def test_calibrated_files_are_smaller_and_those_of_activities_smaller_still(
  tiny_model: model_directory.FrozenModel,
  calibrated: model_directory.FrozenModel,
  adaptive: model_directory.FrozenModel,
  patches: np.ndarray,
) -> None:
  of_prior, counted, of_activities = (
    np.array(_sizes(model, patches))
    for model in (tiny_model, calibrated, adaptive)
  )
  assert np.all(counted < of_prior)
  assert np.all(of_activities < 0.98 * counted)


def test_files_of_one_set_of_tables_decode_alike(
  tiny_model: model_directory.FrozenModel,
  calibrated: model_directory.FrozenModel,
  patches: np.ndarray,
) -> None:
  coders = [codec.Codec(model) for model in (tiny_model, calibrated)]
  decoded = [c.decompress(c.compress(patches[0], 1.5)) for c in coders]
  np.testing.assert_array_equal(*decoded)


def test_tables_of_activities_are_sound_saved_and_loaded(
  adaptive: model_directory.FrozenModel, tmp_path: os.PathLike
) -> None:
  path = os.path.join(tmp_path, "model")
  freezing.save(adaptive, path)
  again = model_directory.load(path)
  assert again.tables.num_activities == 3
  assert again.model_id == adaptive.model_id


def test_frequencies_of_activities_have_few_digits(
  adaptive: model_directory.FrozenModel,
) -> None:
  tables = adaptive.tables.for_quality(0)
  frequencies = coding_tables.upper_ends(tables.cdf) - tables.cdf
  for of_set in frequencies:
    for frequency in np.split(of_set, tables.starts[1:]):
      assert frequency.sum() == coding_tables.TOTAL
      units = 2 ** np.maximum(np.ceil(np.log2(frequency + 1)) - 5, 0)
      # The largest one makes up for the sum.
      assert np.count_nonzero(frequency % units) <= 1


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
