"""The script that trains in PyTorch makes the steps of `bls2017 train`."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bls2017.images import writing
from bls2017.training import model as model_lib
from bls2017.training.train_config import TrainConfig
from bls2017.training.training_step import TrainingStep
from tests import commands, conftest

pytestmark = [pytest.mark.torch, pytest.mark.tfc]

_SCRIPT = "bls2017/pretrained/torch_training.py"
_SEED = tf.constant([5, 6], tf.int64)


@pytest.fixture(scope="module")
def model(tiny_config):
  """A model whose weights are all in use."""
  config = dataclasses.replace(tiny_config, prior="activities")
  made = model_lib.BLS2017Model(config, seed=3)
  rng = np.random.default_rng(0)
  for variable in made.trainable_variables:
    factors = rng.uniform(0.9, 1.1, variable.shape)
    variable.assign(variable * factors + 0.02 * rng.random(variable.shape))
  return made


@pytest.fixture(scope="module")
def x():
  rows = [conftest.synthetic_photograph(i, 48, 32) for i in range(6)]
  return np.stack(rows).reshape(3, 2, 48, 32, 3).astype(np.float32)


def _in_torch(model, x):
  import torch

  from bls2017.pretrained import torch_training

  lmbdas = np.array(model.config.lmbdas)
  coder = torch_training.TransformCoder(model.get_arrays(), lmbdas)
  return coder, torch.tensor(x).permute(0, 1, 4, 2, 3)


def test_rates_and_errors_of_rounded_patches_are_equal(model, x):
  expected = model.rate_distortion(x)
  coder, pixels = _in_torch(model, x)
  _, bpp, mse = coder(pixels)
  np.testing.assert_allclose(bpp.detach(), expected.bpp, rtol=1e-4)
  # A pixel may be rounded another way.
  np.testing.assert_allclose(mse.detach(), expected.mse, rtol=1e-3)


def test_losses_and_gradients_are_equal(model, x):
  import torch

  step = TrainingStep(model, TrainConfig(proxy="mixed"))
  variables = {
    "gain": model.log_gain,
    "inverse_gain": model.log_inverse_gain,
    **{k: getattr(v, "variable", v) for k, v in model._named_weights().items()},
  }
  with tf.GradientTape() as tape:
    rd = model.rate_distortion(x, "mixed", _SEED)
    loss = step.mean_loss(rd.loss)
  expected = tape.gradient(loss, variables)
  coder, pixels = _in_torch(model, x)
  levels, channels = model.log_gain.shape
  shape = (len(x), 3, 2, levels, channels)
  noise = tf.random.stateless_uniform(shape, _SEED, -0.5, 0.5)
  noise = torch.tensor(noise.numpy()).permute(0, 3, 4, 1, 2)
  found, _, _ = coder(pixels, noise)
  assert float(found.detach()) == pytest.approx(float(loss), rel=1e-5)
  found.backward()
  assert coder.stored.keys() == variables.keys()
  for name, variable in coder.stored.items():
    wanted = expected[name].numpy()
    np.testing.assert_allclose(
      variable.grad, wanted, atol=1e-3 * abs(wanted).max(), err_msg=name
    )


def test_arrays_come_back(model, x):
  coder, _ = _in_torch(model, x)
  arrays = model.get_arrays()
  assert coder.arrays().keys() == arrays.keys()
  for name, array in coder.arrays().items():
    np.testing.assert_allclose(array, arrays[name], atol=1e-6, err_msg=name)


def test_a_model_is_trained_and_frozen(tmp_path, golden_model_dir):
  for number in (45, 46):  # The second one is held out by its name.
    x = conftest.synthetic_photograph(number, 64, 80)
    writing.write(x, str(tmp_path / f"{number}.png"))

  def run(*arguments):
    done = subprocess.run(
      [sys.executable, _SCRIPT, *map(str, arguments)],
      capture_output=True, text=True, timeout=commands.SECONDS, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done.stdout

  start, end = tmp_path / "start.npz", tmp_path / "end.npz"
  train_dir, frozen = tmp_path / "run", tmp_path / "model"
  run(
    "start", f"--model={golden_model_dir}", "--lmbdas=0.01,0.1",
    "--latents=24", f"--train_glob={tmp_path}", f"--output={start}",
  )  # fmt: skip
  told = run(
    "train", f"--start={start}", f"--output={end}", "--steps=3",
    "--patch_size=64", "--precision=bfloat16",
  )  # fmt: skip
  steps = [line.partition(":")[0] for line in told.splitlines()]
  assert steps == ["step 0", "step 3"]
  run("finish", f"--weights={end}", f"--train_dir={train_dir}")
  done = commands.run(
    "freeze", f"--train_dir={train_dir}", f"--output_dir={frozen}"
  )
  assert b"of step 3" in done.stdout
