"""Fixtures of the codec's tests."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from bls2017 import codec as codec_lib
from bls2017.model import packaged_models

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


@pytest.fixture(scope="session")
def older_codec(tmp_path_factory, newest_codec) -> codec_lib.Codec:
  """The same again with files of version 2, and graphs for LiteRT."""
  from bls2017.model import litert_graphs
  from bls2017.training import freezing

  newest = newest_codec.model
  path = str(tmp_path_factory.mktemp("models") / "older")
  with pytest.MonkeyPatch.context() as patch:
    # They would be made again, from the same weights.
    graphs = dict(newest.pairs[0].graphs)
    patch.setattr(litert_graphs, "convert", lambda *_: graphs)
    freezing.save(freezing.with_tables(newest, newest.tables, 2), path)
  return codec_lib.Codec.load(path)


@pytest.fixture
def packaged(older_codec, newest_codec, tmp_path, monkeypatch) -> pathlib.Path:
  """A folder of two small models, "older" and "newer", that count as packaged.

  The models of the package stay listed beside them.
  """
  folder = tmp_path / "packaged"
  for name, codec in (("older", older_codec), ("newer", newest_codec)):
    # A codec that was loaded is pickled by its model's path.
    shutil.copytree(codec.__reduce__()[1][0], folder / name)
  path = [str(folder), *packaged_models.SEARCH_PATH]
  monkeypatch.setattr(packaged_models, "SEARCH_PATH", path)
  return folder
