"""Fixtures of the codec's tests."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from bls2017 import codec as codec_lib
from bls2017.model import packaged_models

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "v5"
PAIRS = pathlib.Path(__file__).parents[1] / "conformance" / "pairs"


@pytest.fixture(scope="session")
def golden_model_dir() -> str:
  """A small trained model of two levels."""
  return str(GOLDEN / "model")


@pytest.fixture(scope="session")
def codec(golden_model_dir) -> codec_lib.Codec:
  return codec_lib.Codec.load(golden_model_dir)


@pytest.fixture(scope="session")
def pairs_codec() -> codec_lib.Codec:
  """A model of two pairs of transforms."""
  return codec_lib.Codec.load(str(PAIRS))


@pytest.fixture
def packaged(golden_model_dir, tmp_path, monkeypatch) -> pathlib.Path:
  """A folder of two small models, "one" and "two", that count as packaged.

  The models of the package stay listed beside them.
  """
  folder = tmp_path / "packaged"
  shutil.copytree(golden_model_dir, folder / "one")
  shutil.copytree(PAIRS, folder / "two")
  path = [str(folder), *packaged_models.SEARCH_PATH]
  monkeypatch.setattr(packaged_models, "SEARCH_PATH", path)
  return folder
