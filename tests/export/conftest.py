"""One export of a small model for all tests, and a server for it."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017.model import model_directory
from export import export_model
from tests import images
from tests.export import model_server

MODEL = pathlib.Path(__file__).parents[1] / "golden" / "v5" / "model"
MAX_PIXELS = 1 << 16
SIZES = ((48, 64), (33, 17), (1, 1), (100, 90))


@pytest.fixture(scope="session")
def frozen_model() -> model_directory.FrozenModel:
  return model_directory.load(str(MODEL))


@pytest.fixture(scope="session")
def codec(frozen_model) -> codec_lib.Codec:
  """The library, which uses LiteRT where the export has TensorFlow."""
  return codec_lib.Codec(frozen_model, max_pixels=MAX_PIXELS)


@pytest.fixture(scope="session")
def base_dir(frozen_model, tmp_path_factory) -> pathlib.Path:
  """A model server's base directory with version 1."""
  base = tmp_path_factory.mktemp("served") / "bls2017"
  export_model.export(frozen_model, str(base), max_pixels=MAX_PIXELS)
  return base


@pytest.fixture(scope="session")
def session_model(base_dir):
  """The export as a model server loads it."""
  with model_server.SessionModel(str(base_dir / "1")) as model:
    yield model


@pytest.fixture(scope="session")
def photographs() -> list[np.ndarray]:
  return [images.photograph(*size, seed=i) for i, size in enumerate(SIZES)]
