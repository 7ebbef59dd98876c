"""Decoders tuned on the symbols of files: better ones of the same files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017.images import metrics, writing
from bls2017.model import litert_graphs, model_directory
from bls2017.training import decoder_tuning
from tests import commands, conftest
from tests.benchmarks import blocks

RATE = 1e-3


def _photographs(first, count, side):
  seeds = range(first, first + count)
  return np.stack(
    [conftest.synthetic_photograph(seed, side, side) for seed in seeds]
  )


def _tuned(model, steps, rate=RATE, seed=0, side=64):
  patches = _photographs(0, 6, side), _photographs(6, 3, side)
  return decoder_tuning.tuned(model, *patches, steps, rate, seed)


def _decoded(model, tuned, x):
  """Files of one model, decoded by both."""
  codecs = [codec_lib.Codec(m) for m in (model, tuned)]
  decoded = []
  for image in x:
    files = [c.compress(image, 1) for c in codecs]
    symbols = [c.symbols(file) for c, file in zip(codecs, files)]
    np.testing.assert_array_equal(*symbols)
    decoded.append([c.decompress(file) for c, file in zip(codecs, files)])
  return map(np.stack, zip(*decoded))


def _error(x, x_hat):
  return np.square(x_hat.astype(float) - x).mean()


@pytest.fixture(scope="module")
def model(codec):
  """A trained model with kernels of 16-bit floats."""
  weights = {
    name: value.astype("f2") if name.endswith("kernel") else value
    for name, value in codec.model.weights.items()
  }
  pair = litert_graphs.pair(weights, codec.model.config.num_latents)
  return dataclasses.replace(codec.model, pairs=(pair,))


@pytest.fixture(scope="module")
def tuned(model):
  return _tuned(model, [20], side=128)


def test_only_the_synthesis_changes(model, tuned):
  assert tuned.tables is model.tables and tuned.config == model.config
  for name, value in model.weights.items():
    changed = tuned.weights[name]
    assert changed.dtype == value.dtype, name
    is_same = np.array_equal(changed, value)
    assert is_same == name.startswith("analysis/"), name
  identity = model_directory.model_id(tuned.pairs, tuned.tables)
  assert tuned.model_id == identity != model.model_id


def test_the_same_files_have_fewer_errors_and_hardly_any_blocks(model, tuned):
  x = _photographs(9, 4, 128)
  decoded = list(_decoded(model, tuned, x))
  before, after = (_error(x, x_hat) for x_hat in decoded)
  assert after < 0.997 * before
  original, before, after = (
    np.mean([blocks.block_excess(image) for image in images])
    for images in (x, *decoded)
  )
  # With the squared error alone half of it would stay.
  assert abs(after - original) < 0.25 * abs(before - original)


def test_each_model_is_tuned_for_its_own_distortion(model):
  x = _photographs(9, 2, 192)
  similarities, squares = [], []
  for distortion in ("mse", "ms_ssim"):
    config = dataclasses.replace(model.config, distortion=distortion)
    trained_for_it = dataclasses.replace(model, config=config)
    tuned = _tuned(trained_for_it, [6], side=192)
    _, x_hat = _decoded(model, tuned, x)
    similarities.append(np.mean(list(map(metrics.ms_ssim, x, x_hat))))
    squares.append(_error(x, x_hat))
  assert similarities[0] < similarities[1]
  assert squares[0] < squares[1]


@pytest.mark.usefixtures("eagerly")
def test_the_seed_tells_the_result(model):
  ids = [_tuned(model, [2], seed=seed).model_id for seed in (1, 1, 2)]
  assert ids[0] == ids[1] != ids[2]


@pytest.mark.usefixtures("eagerly")
def test_each_pair_has_its_steps_and_never_gets_worse(pairs_codec):
  model = pairs_codec.model
  assert _tuned(model, [2, 0], rate=1.0).model_id == model.model_id
  tuned = _tuned(model, [0, 2])
  is_same = [
    np.array_equal(*(pair.weights["synthesis/2/bias"] for pair in pairs))
    for pairs in zip(model.pairs, tuned.pairs)
  ]
  assert is_same == [True, False]


def test_the_command_tunes_a_model_directory(golden_model_dir, tmp_path):
  for name in ("45.png", "46.png"):  # The second one is held out by its name.
    (x,) = _photographs(int(name[:2]), 1, 256)
    writing.write(x, str(tmp_path / name))
  path = str(tmp_path / "tuned")
  line = ["tune_decoder", f"--model={golden_model_dir}", f"--output_dir={path}"]
  alone, wrong, done, again = commands.run_several(
    [
      [*line, f"--train_glob={tmp_path}/45.png", "--steps=1"],
      [*line, f"--train_glob={tmp_path}", "--steps=1,1"],
      [*line, f"--train_glob={tmp_path}", "--steps=2", "--train_images=1"],
      [*line, f"--train_glob={tmp_path}", "--steps=2"],
    ]
  )
  assert "too few" in commands.assert_fails(alone, 3)
  assert "--steps" in commands.assert_fails(wrong, 2)
  assert done.returncode == 0, done.stderr.decode()
  assert "pair 0, step 2: held-out loss" in done.stderr.decode()
  tuned = model_directory.load(path)
  assert f"model {tuned.model_id.hex()}" in done.stdout.decode()
  assert "exists" in commands.assert_fails(again, 6)
