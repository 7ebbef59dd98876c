"""What a model's configuration says of its levels and qualities."""

from __future__ import annotations

import pytest

from bls2017 import errors
from bls2017.common import config


@pytest.mark.parametrize("steps", [1, 4, 8])
@pytest.mark.parametrize("levels", [1, 2, 8])
def test_qualities_are_numbered_by_levels_and_steps(
  steps: int, levels: int
) -> None:
  model = config.ModelConfig(
    lmbdas=config.LMBDAS["mse"][:levels], quality_steps=steps
  )
  assert model.num_qualities == (levels - 1) * steps + 1
  qualities = [model.index_quality(i) for i in range(model.num_qualities)]
  assert qualities[0] == 1 and qualities[-1] == levels
  for index, quality in enumerate(qualities):
    assert model.quality_index(quality) == index
    assert model.quality_index(min(quality + 0.3 / steps, levels)) == index
  for quality in (0.9, levels + 0.1, float("nan")):
    with pytest.raises(errors.UsageError, match="quality must be between"):
      model.quality_index(quality)


@pytest.mark.parametrize("steps", [2, 8])
def test_lambdas_are_the_trained_ones_and_lie_between(steps: int) -> None:
  model = config.ModelConfig(lmbdas=(0.01, 0.04), quality_steps=steps)
  assert model.lmbda(0) == pytest.approx(0.01)
  assert model.lmbda(steps // 2) == pytest.approx(0.02)
  assert model.lmbda(steps) == pytest.approx(0.04)


def test_the_files_byte_limits_the_number_of_qualities() -> None:
  lmbdas = tuple(0.001 * (k + 1) for k in range(63))
  assert config.ModelConfig(lmbdas=lmbdas[:31]).num_qualities == 241
  assert config.ModelConfig(lmbdas=lmbdas[:62], quality_steps=4).num_levels
  for excess in (
    {"lmbdas": lmbdas[:32]},
    {"lmbdas": lmbdas, "quality_steps": 4},
  ):
    with pytest.raises(errors.UsageError, match="qualities"):
      config.ModelConfig(**excess)


def test_the_lambdas_are_those_of_the_distortion_by_default() -> None:
  for distortion, lmbdas in config.LMBDAS.items():
    assert config.ModelConfig(distortion=distortion).lmbdas == lmbdas
  with pytest.raises(errors.UsageError, match="must increase"):
    config.ModelConfig(lmbdas=(0.2, 0.1))


def test_json_without_newer_fields_is_read() -> None:
  model = config.ModelConfig(quality_steps=4)
  values = config.to_json(model)
  assert config.from_json(config.ModelConfig, values) == model
  del values["quality_steps"]
  older = config.from_json(config.ModelConfig, values)
  assert older.quality_steps == config.QUALITY_STEPS
