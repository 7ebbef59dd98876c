from __future__ import annotations

import dataclasses
import glob
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import codec, errors
from bls2017.training import checkpoints, freezing, train_loop, training_step
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from tests import conftest
from tests.bls2017.training.training_worker import train

STEPS = 10


@pytest.fixture(scope="module")
def settings(photographs):
  return TrainConfig(
    train_glob=os.path.join(photographs, "*"),
    validation_fraction=0.3,
    validation_images=2,
    patch_size=32,
    steps=STEPS,
    warmup_steps=3,
    learning_rate=3e-3,
    ema_decay=0.9,
    start="transform_coder",
    save_steps=4,
    validation_steps=100,
    summary_steps=100,
  )


@pytest.fixture
def trainer(tiny_config, settings, tmp_path, eagerly):
  """Makes a trainer in the test's directory, with other settings if wanted."""

  def make(model_config=tiny_config, **changes):
    changed = dataclasses.replace(settings, **changes)
    return train_loop.Trainer(model_config, changed, str(tmp_path / "run"))

  return make


@pytest.fixture(scope="module")
def uninterrupted(tiny_config, settings, tmp_path_factory):
  """The losses of a whole run, and its directory."""
  train_dir = str(tmp_path_factory.mktemp("uninterrupted"))
  return train(train_loop.Trainer(tiny_config, settings, train_dir)), train_dir


@pytest.mark.parametrize("proxy", ["noise", "mixed"])
def test_steps_lower_the_loss(tiny_config, proxy):
  model = model_lib.BLS2017Model(tiny_config)
  settings = TrainConfig(
    steps=25, warmup_steps=0, learning_rate=1e-2, proxy=proxy
  )
  step = tf.function(
    training_step.TrainingStep(model, settings), autograph=False
  )
  rows = [conftest.synthetic_photograph(i, 32, 32) for i in range(4)]
  x = tf.constant(np.stack(rows).reshape(2, 2, 32, 32, 3), tf.float32)
  seeds = [tf.constant([0, i], tf.int64) for i in range(25)]
  losses = [float(step(x, seed).loss) for seed in seeds]
  assert losses[-1] < 0.5 * losses[0]


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
  tiny_config, settings, uninterrupted, tmp_path, caplog
):
  expected, _ = uninterrupted
  assert list(expected) == list(range(1, STEPS + 1))
  losses = train(
    train_loop.Trainer(tiny_config, settings, str(tmp_path)), stop_at=5
  )
  assert list(losses) == [1, 2, 3, 4, 5, 6]
  # The newest checkpoint breaks: the run falls back to the one before.
  (path,) = glob.glob(f"{tmp_path}/checkpoints/ckpt-6.data*")
  os.truncate(path, os.path.getsize(path) // 2)
  with caplog.at_level(logging.INFO, "bls2017"):
    trainer = train_loop.Trainer(tiny_config, settings, str(tmp_path))
  assert "ckpt-6 cannot be used" in caplog.text
  assert trainer.steps_done == 4
  losses.update(train(trainer))
  np.testing.assert_allclose(
    [losses[s] for s in expected], list(expected.values()), rtol=1e-4
  )
  assert int(trainer.next_example) == STEPS * tiny_config.num_levels


def test_a_run_can_be_frozen_from_any_checkpoint(
  tiny_config, settings, uninterrupted
):
  _, train_dir = uninterrupted
  newest, step = checkpoints.load_model(train_dir)
  assert step == STEPS
  path = os.path.join(train_dir, "checkpoints", "ckpt-8")
  older, step = checkpoints.load_model(train_dir, path)
  assert step == 8
  assert len({freezing.freeze(m).model_id for m in (newest, older)}) == 2
  # The average of the weights is what is used, not the last ones.
  trainer = train_loop.Trainer(tiny_config, settings, train_dir)
  for name, value in trainer.averaged.get_arrays().items():
    np.testing.assert_array_equal(newest.get_arrays()[name], value)
  kernel = "analysis/1/kernel"
  last = trainer.model.get_arrays()[kernel]
  assert not np.array_equal(last, newest.get_arrays()[kernel])
  with pytest.raises(errors.ModelError, match="ckpt-99"):
    checkpoints.load_model(train_dir, os.path.join(train_dir, "ckpt-99"))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(trainer):
  run = trainer()

  def spoil(measured):
    if measured.step == 5:
      run.model.log_gain.assign(np.nan * run.model.log_gain)

  with pytest.raises(errors.TrainingError, match="step 6;"):
    run.run(spoil)
  model, step = checkpoints.load_model(run.train_dir)
  assert step == 4
  assert all(np.all(np.isfinite(v)) for v in model.get_arrays().values())


def test_another_models_directory_is_refused(
  tiny_config, settings, uninterrupted
):
  other = dataclasses.replace(tiny_config, num_latents=13)
  with pytest.raises(errors.UsageError, match="another configuration"):
    train_loop.Trainer(other, settings, uninterrupted[1])


def test_a_directory_that_another_run_uses_is_refused(trainer, tmp_path):
  os.makedirs(tmp_path / "run")
  code = (
    "import sys; from bls2017.common import directory_lock;"
    f" directory_lock.hold({str(tmp_path / 'run')!r}); print(flush=True);"
    " sys.stdin.read()"
  )
  with subprocess.Popen(
    [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
  ) as other:
    assert other.stdout.readline() == b"\n"
    with pytest.raises(errors.OutputError, match="in use by another"):
      trainer()
    other.communicate()


def test_a_start_that_fails_does_not_stand_in_the_way_of_the_next_one(
  trainer, tiny_config, tmp_path
):
  other = dataclasses.replace(tiny_config, num_latents=13)
  for failing in (
    {"train_glob": str(tmp_path / "none")},
    {"initial_weights": "missing"},
  ):
    with pytest.raises(errors.CodecError):
      trainer(other, **failing)
  run = trainer(steps=1)
  train(run)
  assert checkpoints.load_model(run.train_dir)[1] == 1


@pytest.mark.parametrize(
  ("changes", "patch_size"),
  [
    ({"distortion": "ms_ssim", "lmbdas": (8.0,)}, 176),
    ({"prior": "piecewise_linear"}, 32),
    ({"prior": "activities"}, 32),
  ],
)
def test_every_kind_of_model_trains_freezes_and_codes(
  trainer, tiny_config, changes, patch_size
):
  model_config = dataclasses.replace(tiny_config, **changes)
  run = trainer(model_config, patch_size=patch_size, steps=3, proxy="mixed")
  before = [v.numpy() for v in run.model.trainable_variables]
  assert np.all(np.isfinite(list(train(run).values())))
  for old, new in zip(before, run.model.trainable_variables):
    assert not np.array_equal(old, new)
  model, _ = checkpoints.load_model(run.train_dir)
  coder = codec.Codec(freezing.freeze(model))
  x = conftest.synthetic_photograph(77, 176, 192)
  data = coder.compress(x, 1)
  assert coder.decompress(data).shape == x.shape
  # The file takes what the prior says, but for medians between the integers.
  levels = model_config.num_levels
  rd = model.rate_distortion(tf.stack([tf.cast(x, tf.float32)] * levels)[None])
  bits = float(rd.bpp[0]) * x.shape[0] * x.shape[1]
  assert 8 * len(data) == pytest.approx(bits, rel=0.1, abs=400)


def test_the_transform_coder_is_a_better_start_than_random_weights(
  trainer, uninterrupted
):
  losses = train(trainer(start="random"))
  assert uninterrupted[0][STEPS] < 0.5 * losses[STEPS]
