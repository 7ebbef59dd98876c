"""Exports of a model of several pairs of transforms, as servers load them."""

from __future__ import annotations

import collections
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import export
from bls2017 import codec as codec_lib
from export import audit, export_model
from tests import images, joined
from tests.export import library, model_server, test_warmup

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
def served(version_dir):
  with model_server.SessionModel(str(version_dir)) as model:
    yield model


def _pair(codec, quality: float) -> int:
  """The pair of transforms that codes a quality."""
  index = codec.model.config.quality_index(quality)
  return codec.model.tables.pair_of(index)


def test_files_of_mixed_pairs_and_sizes_are_those_of_the_library(served, codec):
  model = codec.model
  qualities = [model.config.index_quality(i) for i in range(len(model.tables))]
  sizes = [(33, 17), (1, 1), (90, 100), (16, 128)]
  photographs = [images.photograph(*size, seed=1) for size in sizes]
  chosen = [
    (photographs[i % len(sizes)], quality)
    for i, quality in enumerate(
      np.random.default_rng(1).permutation(qualities).tolist()
    )
  ]
  outputs = served(
    "compress",
    image_bytes=[library.png(x) for x, _ in chosen],
    quality=[quality for _, quality in chosen],
  )
  data = outputs["compressed_bytes"].tolist()
  for (x, quality), file in zip(chosen, data):
    np.testing.assert_array_equal(
      codec.symbols(file), library.symbols(model, x, quality)
    )
  outputs = served("decompress", compressed_bytes=data)
  for png, file in zip(outputs["image_bytes"], data):
    np.testing.assert_allclose(
      library.pixels(png), codec.decompress(file), atol=1
    )


def test_every_pair_is_warmed_up(version_dir, codec):
  found = collections.defaultdict(set)
  for request in test_warmup.logs(version_dir):
    inputs = {k: tf.make_ndarray(v)[0] for k, v in request.inputs.items()}
    quality = inputs.get("quality")
    if quality is None:
      quality = codec.info(inputs["compressed_bytes"]).quality
    found[request.model_spec.signature_name].add(_pair(codec, float(quality)))
  assert found == {name: {0, 1, 2} for name in export.SIGNATURES}


def test_nothing_large_is_stored_twice(version_dir):
  (graph,) = audit.read(str(version_dir))
  large = [
    node.attr["value"].tensor.tensor_content
    for node in audit.nodes(graph)
    if node.op == "Const"
  ]
  variables = str(version_dir / "variables" / "variables")
  large += [
    tf.train.load_variable(variables, name).tobytes()
    for name, _ in tf.train.list_variables(variables)
    if name.startswith("held")
  ]
  large = [value for value in large if len(value) > 1000]
  weights = sum(
    array.nbytes
    for pair in joined.model().pairs
    for array in pair.weights.values()
  )
  assert sum(map(len, large)) > weights
  assert len(set(large)) == len(large)


@pytest.mark.parametrize("quality", [1.0, 3.0, 5.0])
def test_only_the_chosen_pair_is_computed(served, quality):
  x = images.photograph(50, 70)[None]
  there = served.operations("compress_image", image=x, quality=[quality])
  outputs = served("compress_image", image=x, quality=[quality])
  data = outputs["compressed_bytes"]
  back = served.operations("decompress", compressed_bytes=data)
  # Each GDN has a convolution; upsampling by 2 takes 4, the last stage 2.
  assert sum("Conv2D" in op for op in there) == 3 + 3
  assert sum("Conv2D" in op for op in back) == 3 + 4 + 4 + 2
