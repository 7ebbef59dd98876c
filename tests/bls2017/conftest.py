"""Fixtures of the codec's tests."""

from __future__ import annotations

import pathlib

import pytest

from bls2017 import codec as codec_lib

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden_model_dir() -> str:
  """A small trained model of two levels, the same for ever."""
  return str(GOLDEN / "v2" / "model")


@pytest.fixture(scope="session")
def codec(golden_model_dir) -> codec_lib.Codec:
  return codec_lib.Codec.load(golden_model_dir)


@pytest.fixture(scope="session")
def newest_codec() -> codec_lib.Codec:
  """The same transforms and frequencies, with files of version 3."""
  return codec_lib.Codec.load(str(GOLDEN / "v3" / "model"))
