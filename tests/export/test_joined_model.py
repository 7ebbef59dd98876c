"""Exports of a model of several pairs of transforms, as servers load them."""

from __future__ import annotations

import collections
import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from bls2017 import codec as codec_lib
from export import export_model, warmup
from tests import images, joined
from tests.export import model_server

MAX_PIXELS = 128 * 128


@pytest.fixture(scope="module")
def codec() -> codec_lib.Codec:
  return codec_lib.Codec(joined.model(), max_pixels=MAX_PIXELS)


@pytest.fixture(scope="module")
def version_dir(tmp_path_factory) -> pathlib.Path:
  base = tmp_path_factory.mktemp("joined")
  return pathlib.Path(
    export_model.export(joined.model(), str(base), max_pixels=MAX_PIXELS)
  )


@pytest.fixture(scope="module")
def stock(version_dir):
  with model_server.SessionModel(str(version_dir)) as model:
    yield model


def _qualities(codec) -> list[float]:
  model = codec.model
  return [model.config.index_quality(i) for i in range(len(model.tables))]


def _pair(codec, quality: float) -> int:
  """The pair of transforms that codes a quality."""
  index = codec.model.config.quality_index(quality)
  return codec.model.tables.pair_of(index)


def _png(x: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(x).save(buffer, "PNG")
  return buffer.getvalue()


def _pixels(png: bytes) -> np.ndarray:
  return np.array(Image.open(io.BytesIO(png))).astype(int)


def test_files_of_mixed_pairs_and_sizes_are_those_of_the_library(stock, codec):
  rng = np.random.default_rng(1)
  sizes = [(33, 17), (1, 1), (90, 100), (16, 128)]
  photographs = [images.photograph(*size, seed=1) for size in sizes]
  chosen = [
    (photographs[i % len(sizes)], quality)
    for i, quality in enumerate(rng.permutation(_qualities(codec)))
  ]
  outputs = stock(
    "compress",
    image_bytes=[_png(x) for x, _ in chosen],
    quality=[quality for _, quality in chosen],
  )
  data = [codec.compress(x, quality) for x, quality in chosen]
  assert outputs["compressed_bytes"].tolist() == data
  outputs = stock("decompress", compressed_bytes=data)
  for png, file in zip(outputs["image_bytes"], data):
    np.testing.assert_allclose(_pixels(png), codec.decompress(file), atol=1)


def test_every_pair_is_warmed_up(version_dir, codec):
  found = collections.defaultdict(set)
  for request in warmup.read(str(version_dir)):
    quality = request.inputs.get("quality")
    if quality is None:
      data = request.inputs["compressed_bytes"]
      quality = [codec.info(data[0]).quality]
    found[request.signature].add(_pair(codec, float(quality[0])))
  assert len(found) == 7
  assert all(pairs == {0, 1, 2} for pairs in found.values())


def test_nothing_large_is_stored_twice(version_dir):
  model = saved_model_pb2.SavedModel()
  model.ParseFromString((version_dir / "saved_model.pb").read_bytes())
  library = model.meta_graphs[0].graph_def.library
  large = [
    node.attr["value"].tensor.tensor_content
    for function in library.function
    for node in function.node_def
    if node.op == "Const"
    and len(node.attr["value"].tensor.tensor_content) > 1000
  ]
  variables = str(version_dir / "variables" / "variables")
  values = [
    tf.train.load_variable(variables, name).tobytes()
    for name, _ in tf.train.list_variables(variables)
    if name.startswith("held")
  ]
  large += [value for value in values if len(value) > 1000]
  weights = sum(
    array.nbytes for pair in joined.model().pairs
    for array in pair.weights.values()
  )  # fmt: skip
  assert sum(map(len, large)) > weights
  assert len(set(large)) == len(large)


@pytest.mark.parametrize("quality", [1.0, 3.0, 5.0])
def test_only_the_chosen_pair_is_computed(stock, codec, quality):
  x = images.photograph(50, 70)
  data = codec.compress(x, quality)
  there = stock.operations("compress", image_bytes=[_png(x)], quality=[quality])
  back = stock.operations("decompress", compressed_bytes=[data])
  # Each GDN has a convolution; upsampling by 2 takes 4, the last stage 2.
  assert sum("Conv2D" in op for op in there) == 3 + 3
  assert sum("Conv2D" in op for op in back) == 3 + 4 + 4 + 2
