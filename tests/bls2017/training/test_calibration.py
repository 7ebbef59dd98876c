"""Calibrated tables: sound, and shorter for what they were calibrated on."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017 import codec, errors
from bls2017.format import coding_tables
from bls2017.images import writing
from bls2017.model import model_directory
from bls2017.training import calibration, freezing
from tests import commands, conftest

SETS = 3


@pytest.fixture(scope="module")
def patches():
  return np.stack(
    [conftest.synthetic_photograph(seed, 128, 128) for seed in range(3)]
  )


@pytest.fixture(scope="module")
def models(tiny_model_dir, patches):
  """A model with its prior's tables, with counted ones, and with activities."""
  tiny = model_directory.load(tiny_model_dir)
  return [
    tiny, *(calibration.calibrate(tiny, patches, sets) for sets in (1, SETS))
  ]  # fmt: skip


def test_only_what_codes_symbols_changes(models):
  before, *others = (model.tables.arrays() for model in models)
  for after, changed in zip(
    others,
    (
      {"cdf"},
      {
        "cdf",
        "activity_cdf",
        "activity_tables",
        "surroundings",
        "end_cdf",
        "ends",
        "order",
        "context_cdf",
        "context_tables",
        "contexts_of",
        "context_classes",
      },
    ),
  ):
    same = {n for n in before if np.array_equal(before[n], after[n])}
    assert set(before) - same == changed
  assert len({model.model_id for model in models}) == len(models)


@pytest.mark.parametrize("quality", [1, 1.375, 2])
def test_counted_tables_are_shorter_and_those_of_activities_shorter_still(
  models, patches, quality
):
  coders = [codec.Codec(model) for model in models]
  files = [[c.compress(x, quality) for x in patches] for c in coders]
  sizes = [sum(map(len, of_model)) for of_model in files]
  assert sizes[1] < sizes[0] and sizes[2] < 0.98 * sizes[1]
  # Symbols of a single set do not depend on its frequencies.
  decoded = [c.decompress(f[0]) for c, f in zip(coders[:2], files)]
  np.testing.assert_array_equal(*decoded)


def _shaded(seed):
  """Much smoother than the photographs that the models know."""
  y, x = np.mgrid[:96, :144] / 96
  waves = [np.sin((seed + 2) * x + k * y) for k in range(3)]
  return (128 + 90 * np.stack(waves, -1)).astype(np.uint8)


def _bytes(model, images):
  coder = codec.Codec(model)
  return sum(len(coder.compress(x, q)) for x in images for q in (1, 1.5, 2))


@pytest.mark.parametrize("kind", range(3))
def test_tables_counted_anew_suit_other_images_of_the_kind(models, kind):
  before = models[kind]
  after = calibration.counted_anew(before, [_shaded(i) for i in range(6)])
  others = [_shaded(i) for i in (6, 7)]
  assert _bytes(after, others) < _bytes(before, others)
  for pair, same in zip(after.pairs, before.pairs):
    assert pair is same
  np.testing.assert_array_equal(after.tables.gain, before.tables.gain)


def test_the_command_counts_tables_anew(golden_model_dir, tmp_path):
  for i in range(2):
    writing.write(_shaded(i), str(tmp_path / f"{i}.png"))
  (tmp_path / "2.png").write_bytes(b"no image")
  path = str(tmp_path / "tuned")
  line = ["tune_tables", f"--model={golden_model_dir}", f"--output_dir={path}"]
  nothing, done, again = commands.run_several(
    [
      [*line, f"--images={tmp_path}/2.png"],
      [*line, f"--images={tmp_path}"],
      [*line, f"--images={tmp_path}"],
    ]
  )
  assert nothing.returncode == 3
  assert b"no image of" in nothing.stderr
  assert done.returncode == 0, done.stderr.decode()
  assert "2.png is left out" in done.stderr.decode()
  tuned = model_directory.load(path)
  assert f"model {tuned.model_id.hex()}" in done.stdout.decode()
  x = _shaded(2)
  decoded = codec.Codec(tuned).decompress(codec.Codec(tuned).compress(x, 1))
  assert decoded.shape == x.shape
  assert "exists" in commands.assert_fails(again, 6)


def test_tables_of_activities_are_saved_and_loaded(models, tmp_path):
  freezing.save(models[2], str(tmp_path / "model"))
  again = model_directory.load(str(tmp_path / "model"))
  assert again.tables.num_activities == SETS
  assert again.model_id == models[2].model_id


def test_frequencies_of_activities_have_few_digits(models):
  tables = models[2].tables.for_quality(0)
  for of_set in coding_tables.frequencies(tables.cdf):
    for frequency in np.split(of_set, tables.starts[1:]):  # Of each channel.
      assert frequency.sum() == coding_tables.TOTAL
      units = 2 ** np.maximum(np.ceil(np.log2(frequency + 1)) - 5, 0)
      # The largest one makes up for the sum.
      assert np.count_nonzero(frequency % units) <= 1


def test_numbers_of_activities_that_cannot_be_are_refused(models, patches):
  for sets in (0, coding_tables.MAX_ACTIVITIES + 1):
    with pytest.raises(errors.UsageError, match="activities"):
      calibration.calibrate(models[0], patches, sets)
  with pytest.raises(errors.ModelError, match="already"):
    calibration.calibrate(models[2], patches, 2)
