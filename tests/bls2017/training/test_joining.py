"""Models of several pairs of transforms, from runs of neighbouring rates."""

from __future__ import annotations

import dataclasses
import os
import re

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.common import config
from bls2017.model import frozen_transforms, model_directory
from bls2017.training import freezing, joining, pruning, train_loop
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from tests import commands, conftest, joined


@pytest.fixture(scope="module")
def alone():
  """The lowest pair as a model of its own, with one set of tables."""
  return freezing.freeze(joined.models()[0])


@pytest.fixture(scope="module")
def x():
  return conftest.synthetic_photograph(50, 70, 90)


def _there_and_back(model, x, quality):
  codec = codec_lib.Codec(model)
  return codec.decompress(codec.compress(x, quality)).astype(int)


def test_the_quality_chooses_the_pair():
  model = joined.model()
  assert model.config.lmbdas == sum(joined.RANGES, ())
  assert len(model.tables) == model.config.num_qualities == 21
  # Half of what lies between two pairs is each one's.
  assert model.tables.pair.tolist() == 7 * [0] + 4 * [1] + 10 * [2]
  assert model.config.num_latents == max(joined.USED)
  sizes = [len(pair.weights["synthesis/igdn_in/beta"]) for pair in model.pairs]
  assert sizes == list(joined.USED)


@pytest.mark.parametrize("pair", range(len(joined.RANGES)))
def test_a_pair_does_what_its_model_does_alone(pair, x):
  model, part = joined.model(), joined.frozen()[pair]
  first = model.tables.pair.tolist().index(pair)
  # A part counts its qualities from 1.
  for index in (0, part.config.num_qualities - 1):
    found, expected = (
      _there_and_back(m, x, m.config.index_quality(i))
      for m, i in ((model, first + index), (part, index))
    )
    np.testing.assert_allclose(found, expected, atol=2)


@pytest.mark.parametrize("used, kept", [(5, 5), (16, 16), (17, 32), (35, 40)])
def test_whole_vectors_of_channels_are_kept(used, kept):
  model = model_lib.BLS2017Model(
    config.ModelConfig(4, 40, (0.1,), "activities")
  )
  rng = np.random.default_rng(0)
  channels = np.sort(rng.permutation(40)[:used])
  arrays = model.get_arrays()
  # Densities so narrow that all symbols are 0, but for those channels.
  slope = np.full(arrays["prior/slope"].shape, 4.0)
  slope[..., channels] = 0.0
  model.set_arrays({**arrays, "prior/slope": slope})
  frozen = freezing.freeze(model)
  pruned = joining.join([frozen])
  assert pruned.config.num_latents == kept
  live = np.flatnonzero(pruned.tables.size[0] > 1)
  assert len(live) == used
  np.testing.assert_array_equal(
    pruned.weights["synthesis/0/kernel"][:, :, live],
    frozen.weights["synthesis/0/kernel"][:, :, channels],
  )


def test_pruned_transforms_are_the_same_functions(alone):
  used = np.array([1, 4, 7])
  pruned = pruning.pruned(alone.weights, used)
  widened = pruning.widened(pruned, 12)
  whole, narrow, wide = (
    frozen_transforms.FrozenTransforms(w)
    for w in (alone.weights, pruned, widened)
  )
  patches = joined.patches()
  y = whole.analysis(patches).numpy()
  np.testing.assert_allclose(
    narrow.analysis(patches), y[..., used], rtol=1e-4, atol=1e-6
  )
  # Where the other channels are 0, so is the synthesis.
  y[..., np.setdiff1d(np.arange(12), used)] = 0
  expected = whole.synthesis(y)
  z = y[..., used]
  for found in (
    narrow.synthesis(z),
    wide.synthesis(np.pad(z, [(0, 0)] * 3 + [(0, 9)])),
  ):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)


def test_a_latent_that_is_always_the_same_is_pruned_only_at_zero(alone, x):
  tables = alone.tables
  dead = np.flatnonzero((tables.size == 1).all(0))[0]
  minimum, inverse_gain = tables.minimum.copy(), tables.inverse_gain.copy()
  minimum[:, dead], inverse_gain[:, dead] = 3, 0.5
  changes = {"minimum": minimum, "inverse_gain": inverse_gain}
  constant = freezing.with_tables(alone, dataclasses.replace(tables, **changes))
  single = joining.join([constant])
  assert single.config.num_latents == joined.USED[0] + 1
  plain, expected, found = (
    _there_and_back(model, x, 1.5) for model in (alone, constant, single)
  )
  np.testing.assert_allclose(found, expected, atol=1)
  assert np.abs(expected - plain).max() > 5


def test_models_that_do_not_fit_together_are_refused():
  frozen = joined.frozen()
  low, middle, high = (m.config for m in joined.models())
  within = dataclasses.replace(high, lmbdas=(0.03, 0.04))
  for configs in ((middle, low), (high, within)):
    with pytest.raises(errors.UsageError, match="increase from run to run"):
      joining.shares(configs)
  with pytest.raises(errors.UsageError, match="complete each other"):
    joining.join(frozen[:2])
  other = dataclasses.replace(
    frozen[1], config=dataclasses.replace(frozen[1].config, quality_steps=2)
  )
  with pytest.raises(errors.UsageError, match="cannot be joined"):
    joining.join([frozen[0], other, frozen[2]])


def test_a_run_contributes_what_lies_below_the_next_one():
  lower = joined.models()[2]
  upper = dataclasses.replace(
    joined.models()[1].config, lmbdas=(0.048, 0.2), num_filters=4
  )
  shares = joining.shares([lower.config, upper])
  whole = freezing.freeze(lower, quality_steps=4)
  part = freezing.freeze(lower, quality_steps=4, share=shares[0])
  assert part.config.lmbdas == lower.config.lmbdas[:1]
  # Of the three qualities up to the next level, which is dropped, two remain.
  assert len(part.tables) == 3
  for index in range(3):
    found, expected = (m.tables.for_quality(index) for m in (part, whole))
    for field in dataclasses.fields(found):
      np.testing.assert_array_equal(
        getattr(found, field.name), getattr(expected, field.name)
      )
  second = freezing.freeze(
    model_lib.BLS2017Model(upper), quality_steps=4, share=shares[1]
  )
  model = joining.join([part, second])
  assert model.config.lmbdas == (lower.config.lmbdas[0], *upper.lmbdas)


def test_the_command_joins_runs(photographs, tmp_path):
  runs = []
  for lmbdas in ((0.01, 0.02, 0.04), (0.04, 0.08)):
    runs.append(os.path.join(tmp_path, str(len(runs))))
    settings = TrainConfig(
      train_glob=photographs, steps=1, start="transform_coder", patch_size=32
    )
    model_config = config.ModelConfig(8, 12, lmbdas)
    train_loop.Trainer(model_config, settings, runs[-1]).run(lambda _: None)
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
  of_files = sum(entry.stat().st_size for entry in os.scandir(path)) / 1e6
  assert sum(map(float, parts.values())) == pytest.approx(of_files, abs=0.02)
  assert float(sizes[1]) == pytest.approx(of_files, abs=0.01)
