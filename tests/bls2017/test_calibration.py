"""Calibrated tables: sound, and shorter for what they were calibrated on."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017 import calibration, codec, model_directory
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


def test_only_the_frequencies_change(
  tiny_model: model_directory.FrozenModel,
  calibrated: model_directory.FrozenModel,
) -> None:
  before, after = tiny_model.tables.arrays(), calibrated.tables.arrays()
  for name, value in before.items():
    assert np.array_equal(value, after[name]) == (name != "cdf"), name
  assert calibrated.model_id != tiny_model.model_id


@pytest.mark.parametrize("quality", [1, 1.375, 2])
def test_photographs_take_fewer_bits_and_come_back_the_same(
  tiny_model: model_directory.FrozenModel,
  calibrated: model_directory.FrozenModel,
  patches: np.ndarray,
  quality: float,
) -> None:
  before, after = codec.Codec(tiny_model), codec.Codec(calibrated)
  bits = np.zeros(2)
  for x in patches:
    plain, fitted = before.encode(x, quality), after.encode(x, quality)
    bits += plain.estimated_bits, fitted.estimated_bits
    np.testing.assert_array_equal(
      after.decompress(fitted.data), before.decompress(plain.data)
    )
  assert bits[1] < bits[0]
