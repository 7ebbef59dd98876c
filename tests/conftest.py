"""Fixtures that several test modules share: photographs and a tiny model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from bls2017.common import config  # noqa: E402

PHOTOGRAPHS = 24

LONGEST = (
  "test_train_command.py", "test_export_model.py", "test_load.py",
  "test_distribution.py", "test_serving_module.py", "test_client.py",
  "test_evaluate_command.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """The longest files begin, so that no process ends with one of them alone."""
  names = list(LONGEST)
  items.sort(
    key=lambda item: (
      names.index(item.path.name) if item.path.name in names else len(names)
    )
  )


@pytest.fixture(autouse=True)
def levels_of_logging() -> Iterator[None]:
  """Commands set them for their process, which a test shares with others."""
  loggers = [
    logging.getLogger(name) for name in ("bls2017", "bls2017.images.reading")
  ]
  before = [logger.level for logger in loggers]
  yield
  for logger, level in zip(loggers, before):
    logger.setLevel(level)


def synthetic_photograph(seed: int, height: int, width: int) -> np.ndarray:
  """Something like a photograph: shading, edges of objects, texture, noise.

  Args:
    seed: Another picture for each.
    height: Pixels.
    width: Pixels.

  Returns:
    uint8 [height, width, 3].
  """
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:height, :width] / max(height, width)
  image = rng.uniform(60, 180, 3) + 60 * np.sin(
    rng.uniform(1, 4) * (x + rng.uniform(-1, 1) * y)[..., None]
    + rng.uniform(0, 1, 3)
  )
  for _ in range(8):
    centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3)
    inside = np.hypot(y - centre[0], x - centre[1]) < radius
    texture = np.sin(rng.uniform(20, 200) * (x + rng.uniform(-1, 1) * y))
    colour = rng.uniform(20, 235, 3) + 25 * texture[..., None]
    image = np.where(inside[..., None], colour, image)
  image = image + rng.normal(0, 3, image.shape)
  return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> str:
  """A folder of JPEG and PNG files of 180 x 200 pixels and more."""
  folder = tmp_path_factory.mktemp("photographs")
  for i in range(PHOTOGRAPHS):
    image = Image.fromarray(synthetic_photograph(i, 180 + 4 * i, 200))
    name = f"{i:02d}.{'png' if i % 3 == 0 else 'jpg'}"
    image.save(folder / name, quality=95)
  return str(folder)


@pytest.fixture(scope="session")
def tiny_config() -> config.ModelConfig:
  """A model of two levels that is built and trained within seconds."""
  return config.ModelConfig(num_filters=8, num_latents=12, lmbdas=(0.01, 0.1))


@pytest.fixture(scope="session")
def tiny_model_dir(
  tiny_config: config.ModelConfig,
  photographs: str,
  tmp_path_factory: pytest.TempPathFactory,
) -> str:
  """A frozen directory of the tiny model, started as a transform coder."""
  from bls2017.training import data, freezing, model, transform_coder

  tiny = model.BLS2017Model(tiny_config)
  paths, _ = data.split_files(os.path.join(photographs, "*"), 0)
  patches = data.read_patches(paths, 64, PHOTOGRAPHS)
  transform_coder.initialise(tiny, patches, seed=0)
  path = str(tmp_path_factory.mktemp("models") / "tiny")
  freezing.save(freezing.freeze(tiny), path)
  return path
