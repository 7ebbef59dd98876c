"""What an exported graph computes of symbols is what the library computes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import codec as codec_lib
from bls2017.encode import quantization
from bls2017.format import coding_tables
from bls2017.model import frozen_transforms, model_directory
from export import serving_module
from export.graph import graph_quantization, graph_tables
from tests import images
from tests.export import conftest


def test_code_lengths_of_all_frequencies_are_equal():
  frequency = np.arange(1, coding_tables.TOTAL)
  cdf = np.stack([np.zeros_like(frequency), frequency], 1).astype(np.int32)
  np.testing.assert_array_equal(
    graph_quantization.code_lengths(tf.constant(cdf)).numpy(),
    coding_tables.code_lengths(cdf),
  )


@pytest.mark.parametrize("index", [0, 3, 8])
def test_symbols_are_the_librarys(frozen_model, index):
  x = images.photograph(80, 112)
  transforms = frozen_transforms.FrozenTransforms(frozen_model.weights)
  y = transforms.analysis(x[None]).numpy()
  latents = y.reshape(-1, y.shape[-1])
  graph = graph_tables.GraphTables(frozen_model.tables).for_quality(
    tf.constant(index)
  )
  rows = graph_quantization.quantize(
    graph_quantization.scaled(latents, graph), graph
  )
  tables = frozen_model.tables.for_quality(index)
  expected = quantization.Quantizer(tables).quantize_latents(
    latents, optimised=True
  )
  np.testing.assert_array_equal(rows, expected.rows)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_models_of_older_versions_are_exported_as_well(version):
  # Version 1 knows a single activity.
  old = model_directory.load(str(conftest.MODEL.parents[1] / version / "model"))
  codec = codec_lib.Codec(old)
  module = serving_module.ServingModule(old, conftest.MAX_PIXELS)
  for i, size in enumerate(conftest.SIZES):
    x = images.photograph(*size, seed=i)
    outputs = module.compress_image(x[None], tf.constant([1 + 5 / 8]))
    (data,) = outputs["compressed_bytes"].numpy()
    assert data == codec.compress(x, 1 + 5 / 8)
    outputs = module.decompress_image(tf.constant([data]))
    assert outputs["status"].numpy() == [0]
    np.testing.assert_allclose(
      outputs["image"][0].numpy().astype(int), codec.decompress(data), atol=1
    )
