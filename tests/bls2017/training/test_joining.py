"""Models of several pairs of transforms, from runs of neighbouring rates."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.common import config
from bls2017.encode import analysis
from bls2017.images import metrics
from bls2017.model import frozen_transforms, model_directory, runtimes
from bls2017.training import (
  freezing,
  initial_weights,
  joining,
  train_loop,
)
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from tests import commands, conftest, joined
from tests.bls2017.training.training_worker import Recorder


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
  return joined.patches()


@pytest.fixture(scope="module")
def models() -> list[model_lib.BLS2017Model]:
  return joined.models()


@pytest.fixture(scope="module")
def frozen() -> list[model_directory.FrozenModel]:
  return joined.frozen()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
  path = str(tmp_path_factory.mktemp("joined") / "model")
  freezing.save(joined.model(), path)
  return path


@pytest.fixture(scope="module")
def codec(model_dir: str) -> codec_lib.Codec:
  return codec_lib.Codec.load(model_dir)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
  return conftest.synthetic_photograph(50, 70, 90)


def test_the_quality_chooses_the_pair(codec: codec_lib.Codec) -> None:
  model = codec.model
  assert model.config.lmbdas == sum(joined.RANGES, ())
  assert len(model.tables) == model.config.num_qualities == 21
  # Half of what lies between two pairs is each one's.
  assert model.tables.pair.tolist() == 7 * [0] + 4 * [1] + 10 * [2]
  assert model.config.num_latents == max(joined.USED)
  sizes = [len(pair.weights["synthesis/igdn_in/beta"]) for pair in model.pairs]
  assert sizes == list(joined.USED)


def test_every_quality_comes_back_and_finer_ones_are_better(
  codec: codec_lib.Codec, frozen: list[model_directory.FrozenModel], x
) -> None:
  alone = [codec_lib.Codec(model) for model in frozen]
  first = 0
  sizes, psnrs = [], []
  for index in range(len(codec.model.tables)):
    pair = codec.model.tables.pair_of(index)
    if index and pair != codec.model.tables.pair_of(index - 1):
      first = index
    data = codec.compress(x, codec.model.config.index_quality(index))
    decoded = codec.decompress(data)
    # As each pair does alone, whose channels are not pruned.
    prepared = alone[pair]._prepared
    image = analysis.AnalysedImage(x, analysis.Latents(x, prepared), prepared)
    candidate = image.candidate(index - first)
    np.testing.assert_allclose(
      decoded.astype(int), image.decoded(candidate), atol=2
    )
    sizes.append(len(data))
    psnrs.append(metrics.psnr(x, decoded))
  for pair in range(len(frozen)):
    of_pair = codec.model.tables.pair == pair
    assert np.all(np.diff(np.array(sizes)[of_pair]) >= -2)
    # Few channels err nearly alike at all rates, but for a little noise.
    assert np.all(np.diff(np.array(psnrs)[of_pair]) > -0.05)
  assert psnrs[0] < psnrs[-1]


@pytest.mark.parametrize(
  "used, total, kept", [(5, 40, 5), (16, 40, 16), (17, 40, 32), (35, 40, 40)]
)
def test_whole_vectors_of_channels_are_kept(
  used: int, total: int, kept: int
) -> None:
  rng = np.random.default_rng(0)
  mask = np.zeros(total, bool)
  mask[rng.permutation(total)[:used]] = True
  channels = joining._kept(mask)
  assert len(channels) == kept and np.all(np.diff(channels) > 0)
  assert set(np.flatnonzero(mask)) <= set(channels.tolist())


def test_both_runtimes_read_each_others_files(
  model_dir: str, x: np.ndarray
) -> None:
  codecs = [
    codec_lib.Codec.load(model_dir, runtime=runtime)
    for runtime in (runtimes.TENSORFLOW, runtimes.LITERT)
  ]
  model = codecs[0].model
  _, first_of_pair = np.unique(model.tables.pair, return_index=True)
  assert len(first_of_pair) == len(joined.RANGES)
  for index in first_of_pair.tolist():
    quality = model.config.index_quality(index)
    for writer in codecs:
      data = writer.compress(x, quality)
      symbols = [c.symbols(data) for c in codecs]
      np.testing.assert_array_equal(*symbols)
      pixels = [c.decompress(data).astype(int) for c in codecs]
      np.testing.assert_allclose(*pixels, atol=1)


def test_targets_analyse_as_few_pairs_as_they_can(
  codec: codec_lib.Codec, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
  sizes = [
    len(codec.compress(x, codec.model.config.index_quality(i)))
    for i in range(len(codec.model.tables))
  ]
  analysed: list[int] = []
  original = analysis.PreparedModel.transforms

  def note(prepared, quality_index):
    analysed.append(prepared.model.tables.pair_of(quality_index))
    return original(prepared, quality_index)

  monkeypatch.setattr(analysis.PreparedModel, "transforms", note)
  for index in (3, 8, 14, 19):
    analysed.clear()
    budget = sizes[index] + 2
    data = codec.compress(x, max_bytes=budget)
    assert budget >= len(data) > 0.9 * sizes[index]
    # The pair in the middle is tried first.
    assert set(analysed) <= {1, codec.model.tables.pair_of(index)}


def test_an_analysis_without_pruned_outputs_is_the_same_function(
  models: list[model_lib.BLS2017Model], patches: np.ndarray
) -> None:
  weights = freezing.freeze(models[0]).weights
  used = np.array([1, 4, 7])
  pruned = joining.pruned(weights, used)
  assert pruned["analysis/2/gdn/gamma"].shape == (12, 3)
  whole, narrow = (
    frozen_transforms.FrozenTransforms(w) for w in (weights, pruned)
  )
  padded = frozen_transforms.FrozenTransforms(pruned, 5)
  y = whole.analysis(patches).numpy()
  np.testing.assert_allclose(
    narrow.analysis(patches), y[..., used], rtol=1e-4, atol=1e-6
  )
  z = padded.analysis(patches).numpy()
  np.testing.assert_array_equal(z[..., 3:], 0)
  # Where the other channels are 0, so is the synthesis.
  y[..., np.setdiff1d(np.arange(12), used)] = 0
  np.testing.assert_allclose(
    padded.synthesis(tf.constant(z)), whole.synthesis(y), rtol=1e-3, atol=1e-2
  )


def test_a_single_model_is_only_pruned(
  models: list[model_lib.BLS2017Model], x: np.ndarray
) -> None:
  alone = freezing.freeze(models[0])
  single = joining.join([alone])
  assert single.tables.pair is None
  assert single.config.num_latents == joined.USED[0]
  first, second = codec_lib.Codec(alone), codec_lib.Codec(single)
  data = first.compress(x, 1.5)
  np.testing.assert_allclose(
    second.decompress(second.compress(x, 1.5)).astype(int),
    first.decompress(data),
    atol=1,
  )


def test_a_latent_that_is_always_the_same_is_pruned_only_at_zero(
  models: list[model_lib.BLS2017Model], x: np.ndarray
) -> None:
  alone = freezing.freeze(models[0])
  tables = alone.tables
  dead = np.flatnonzero((tables.size == 1).all(0))[0]
  minimum, inverse_gain = tables.minimum.copy(), tables.inverse_gain.copy()
  minimum[:, dead], inverse_gain[:, dead] = 3, 0.5
  changes = {"minimum": minimum, "inverse_gain": inverse_gain}
  constant = freezing.with_tables(alone, dataclasses.replace(tables, **changes))
  joined_model = joining.join([constant])
  assert joined_model.config.num_latents == joined.USED[0] + 1
  images = []
  for model in (alone, constant, joined_model):
    codec = codec_lib.Codec(model)
    images.append(codec.decompress(codec.compress(x, 1.5)).astype(int))
  np.testing.assert_allclose(images[2], images[1], atol=1)
  assert np.abs(images[1] - images[0]).max() > 5


def test_the_id_covers_every_pair() -> None:
  model = joined.model()
  for number, pair in enumerate(model.pairs):
    weights = dict(pair.weights)
    weights["synthesis/2/bias"] = weights["synthesis/2/bias"] + 1
    pairs = list(model.pairs)
    pairs[number] = model_directory.TransformPair(weights)
    assert (
      model_directory.model_id(pairs, model.tables, model.format_version)
      != model.model_id
    )
  swapped = (model.pairs[1], model.pairs[0], model.pairs[2])
  identity = model_directory.model_id(
    swapped, model.tables, model.format_version
  )
  assert identity != model.model_id


def test_what_needs_a_single_pair_says_so(codec: codec_lib.Codec) -> None:
  with pytest.raises(errors.ModelError, match="one pair"):
    codec.model.weights  # noqa: B018


def test_models_that_do_not_fit_together_are_refused(
  models: list[model_lib.BLS2017Model],
  frozen: list[model_directory.FrozenModel],
) -> None:
  with pytest.raises(errors.UsageError, match="increase from run to run"):
    joining.shares([models[1].config, models[0].config])
  within = dataclasses.replace(models[2].config, lmbdas=(0.03, 0.04))
  with pytest.raises(errors.UsageError, match="increase from run to run"):
    joining.shares([models[2].config, within])
  with pytest.raises(errors.UsageError, match="complete each other"):
    joining.join(frozen[:2])
  other = dataclasses.replace(
    frozen[1], config=dataclasses.replace(frozen[1].config, quality_steps=2)
  )
  with pytest.raises(errors.UsageError, match="cannot be joined"):
    joining.join([frozen[0], other, frozen[2]])


def test_a_run_contributes_what_lies_below_the_next_one(
  models: list[model_lib.BLS2017Model],
) -> None:
  lower = models[2]
  upper = dataclasses.replace(models[1].config, lmbdas=(0.048, 0.2))
  share, of_upper = joining.shares([lower.config, upper])
  assert of_upper.neighbours.below == lower.config.lmbdas[0]
  assert share.neighbours.above is None
  whole = freezing.freeze(lower, quality_steps=4, neighbours=share.neighbours)
  part = joining.contribution(whole, share)
  assert part.config.lmbdas == lower.config.lmbdas[:1]
  # Of the three qualities up to the next level, which is dropped, two remain.
  assert len(part.tables) == 3
  for index in range(3):
    found = part.tables.for_quality(index)
    expected = whole.tables.for_quality(index)
    for field in dataclasses.fields(found):
      np.testing.assert_array_equal(
        getattr(found, field.name), getattr(expected, field.name)
      )
  second = freezing.freeze(
    model_lib.BLS2017Model(upper),
    quality_steps=4,
    neighbours=of_upper.neighbours,
  )
  model = joining.join([part, second])
  assert model.config.lmbdas == (lower.config.lmbdas[0], *upper.lmbdas)


def test_a_run_starts_from_the_pair_of_its_rates(
  model_dir: str, patches: np.ndarray
) -> None:
  frozen = model_directory.load(model_dir)
  model = model_lib.BLS2017Model(
    config.ModelConfig(10, 12, (0.03, 0.08), "activities")
  )
  initial_weights.apply(model, model_dir)
  used = joined.USED[2]
  arrays = model.get_arrays()
  np.testing.assert_allclose(
    arrays["synthesis/0/kernel"][:, :, :used],
    frozen.pairs[2].weights["synthesis/0/kernel"],
    atol=1e-6,
  )
  levels = tf.stack([tf.cast(patches, tf.float32)] * 2, 1)
  rd = model.rate_distortion(levels)
  assert np.all(np.diff(rd.mse) < 0) and np.all(np.diff(rd.bpp) > 0)
  untrained = model_lib.BLS2017Model(model.config)
  assert np.all(
    model.lagrangian(rd)
    < untrained.lagrangian(untrained.rate_distortion(levels))
  )


def test_a_damaged_pair_is_refused(model_dir: str, tmp_path) -> None:
  path = os.path.join(tmp_path, "model")
  shutil.copytree(model_dir, path)
  os.remove(os.path.join(path, model_directory.PairFiles.of(1, 3).weights))
  with pytest.raises(errors.ModelError):
    damaged = model_directory.load(path)
    damaged.pairs[1].weights["synthesis/2/bias"]


def test_the_command_joins_runs(photographs: str, tmp_path) -> None:
  runs = []
  for lmbdas in ((0.01, 0.02, 0.04), (0.04, 0.08)):
    runs.append(os.path.join(tmp_path, str(len(runs))))
    settings = TrainConfig(
      train_glob=photographs, steps=1, start="transform_coder", patch_size=32
    )
    model_config = config.ModelConfig(8, 12, lmbdas)
    train_loop.Trainer(model_config, settings, runs[-1]).run(Recorder())
  path = os.path.join(tmp_path, "model")
  freeze = ["freeze", f"--output_dir={path}", "--quality_steps=2"]
  done, refused = commands.run_several(
    [
      [*freeze, *(f"--train_dir={run}" for run in runs)],
      [*freeze, *(f"--train_dir={run}" for run in runs[::-1])],
    ]
  )
  assert "increase from run to run" in commands.assert_fails(refused, 2)
  assert done.returncode == 0, done.stderr.decode()
  model = model_directory.load(path)
  assert model.config.lmbdas == (0.01, 0.02, 0.04, 0.08)
  assert model.tables.pair.tolist() == [0, 0, 0, 0, 1, 1, 1]
  said = f"model {model.model_id.hex()} of step 1 and 1; "
  sizes = re.search(said + r"(\S+) MB: (.*)$", done.stdout.decode(), re.M)
  assert sizes is not None
  parts = dict(part.split() for part in sizes[2].split(", "))
  assert list(parts) == ["weights", "graphs", "tables"]
  assert sum(map(float, parts.values())) == pytest.approx(
    float(sizes[1]), abs=0.02
  )
  assert all(len(pair.graphs["synthesis"]) > 10_000 for pair in model.pairs)
