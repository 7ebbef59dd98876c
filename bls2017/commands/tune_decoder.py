"""Tunes the decoder of a model on the symbols that its files hold.

The last step of training. Encoder and coding tables stay, so that files have as
many bits as before and are decoded with smaller errors. The result is another
model: files of the old one need the old one.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import errors
from bls2017.common import config, packages
from bls2017.model import model_directory
from bls2017.training.train_config import TrainConfig

if TYPE_CHECKING:
  import numpy as np

USAGE = "bls2017 tune_decoder --model=MODEL --output_dir=DIR [FLAGS]"

_PATCH_SIZE = 256
_PATCHES_PER_IMAGE = 4

_MODEL = flags.DEFINE_string(
  "model", None, "A model directory, or the name of a packaged model."
)
_TRAIN_GLOB = flags.DEFINE_string(
  "train_glob",
  None,
  "The photographs to learn from: a pattern, or a folder, whose images at any"
  " depth are taken. Those that training holds out choose the best weights.",
)
_TRAIN_IMAGES = flags.DEFINE_integer(
  "train_images", 1000, "At most so many, which take 2 GB.", lower_bound=1
)
_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir", None, "The model directory to write."
)
_STEPS = flags.DEFINE_list(
  "steps",
  None,
  "Steps of each pair of transforms, the lowest rates first, separated by"
  " commas; 0 leaves a pair as it is.",
)
_LEARNING_RATE = flags.DEFINE_float(
  "learning_rate", 1e-4, "First rate; a cosine leads to 0.", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the order of the patches.")
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace the model directory."
)


def run(arguments: list[str]) -> int:
  """Tunes; returns the exit code."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not (_MODEL.value and _TRAIN_GLOB.value and _OUTPUT_DIR.value):
    raise errors.UsageError("--model, --train_glob, --output_dir are needed")
  if os.path.lexists(_OUTPUT_DIR.value) and not _OVERWRITE.value:
    raise errors.OutputExistsError(f"{_OUTPUT_DIR.value} exists")
  packages.require_training("tune_decoder")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  logging.getLogger("bls2017.images.reading").setLevel(logging.ERROR)
  model = model_directory.load(_MODEL.value)
  steps = _steps(len(model.pairs))
  from bls2017.training import data, decoder_tuning, freezing

  train, held_out = (
    _patches(paths)
    for paths in data.split_files(
      _TRAIN_GLOB.value, TrainConfig.validation_fraction
    )
  )
  tuned = decoder_tuning.tuned(
    model, train, held_out, steps, _LEARNING_RATE.value, _SEED.value
  )
  freezing.save(tuned, _OUTPUT_DIR.value, _OVERWRITE.value)
  print(f"{_OUTPUT_DIR.value}: model {tuned.model_id.hex()}")
  return 0


def _steps(pairs: int) -> list[int]:
  """The steps of each of a model's pairs."""
  try:
    steps = list(map(int, _STEPS.value or ()))
  except ValueError as e:
    raise errors.UsageError(f"--steps: {e}") from e
  config.require(
    len(steps) == pairs and min(steps) >= 0,
    f"--steps needs {pairs} numbers from 0 on, one for each pair",
  )
  return steps


def _patches(paths: list[str]) -> np.ndarray:
  """Patches of photographs, uint8 [n, P, P, 3], at least one."""
  from bls2017.training import data

  # Every so many of them: neighbours in a folder are often alike.
  paths = paths[:: max(1, len(paths) // _TRAIN_IMAGES.value)]
  limit = _PATCHES_PER_IMAGE * _TRAIN_IMAGES.value
  patches = data.read_patches(paths, _PATCH_SIZE, limit, _PATCHES_PER_IMAGE)
  if not len(patches):
    raise errors.UnreadableInputError(
      f"too few photographs of {_PATCH_SIZE} pixels a side in"
      f" {_TRAIN_GLOB.value!r}"
    )
  return patches
