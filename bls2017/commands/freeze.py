"""Makes a model directory from the checkpoints of training runs.

The directory holds the weights, the coding tables of every quality and the
configuration; coding needs nothing else. Any checkpoint can be frozen at any
time, also while the training goes on.

Several runs, of lambdas that increase from run to run, become one model: each
is a pair of transforms for its range of rates, and the quality chooses the
pair.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import errors
from bls2017.common import config, packages
from bls2017.training.train_config import TrainConfig

if TYPE_CHECKING:
  import numpy as np

USAGE = "bls2017 freeze --train_dir=DIR [...] --output_dir=MODEL [FLAGS]"

_TRAIN_DIR = flags.DEFINE_multi_string(
  "train_dir",
  None,
  "Directory of a training run; of several, the lowest lambdas first. Where"
  " ranges overlap, the later run wins.",
)
_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir", None, "The model directory to write."
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  None,
  "The path prefix of a checkpoint of a single run; by default the newest.",
)
_QUALITY_STEPS = flags.DEFINE_integer(
  "quality_steps",
  config.QUALITY_STEPS,
  "Qualities to a trained level.",
  lower_bound=1,
)
_HALF_PRECISION = flags.DEFINE_bool(
  "half_precision", False, "Keep kernels as 16-bit floats: half the size."
)
_CALIBRATION_GLOB = flags.DEFINE_string(
  "calibration_glob",
  None,
  "Photographs whose symbols are counted for the coding tables; those that the"
  " run held out for validation are left out.",
)
_CALIBRATION_IMAGES = flags.DEFINE_integer(
  "calibration_images", 1000, "At most so many.", lower_bound=1
)
_ACTIVITIES = flags.DEFINE_integer(
  "activities",
  1,
  "Sets of coding tables, one for each activity of a position; more than one"
  " needs --calibration_glob. The packaged model has 32.",
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace the model directory."
)


def run(arguments: list[str]) -> int:
  """Freezes; returns the exit code."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not _TRAIN_DIR.value or not _OUTPUT_DIR.value:
    raise errors.UsageError("--train_dir and --output_dir are needed")
  if _ACTIVITIES.value != 1 and not _CALIBRATION_GLOB.value:
    raise errors.UsageError("--activities needs --calibration_glob")
  if _CHECKPOINT.value and len(_TRAIN_DIR.value) > 1:
    raise errors.UsageError("--checkpoint needs a single --train_dir")
  packages.require_training("freeze")
  from bls2017.training import calibration, checkpoints, freezing, joining

  configs = [checkpoints.model_config(run) for run in _TRAIN_DIR.value]
  shares = joining.shares(configs)
  photographs = None
  if _CALIBRATION_GLOB.value:
    photographs = _photographs(_CALIBRATION_GLOB.value)
  pairs, steps = [], []
  for run, share in zip(_TRAIN_DIR.value, shares):
    model, step = checkpoints.load_model(run, _CHECKPOINT.value)
    pair = freezing.freeze(
      model, _HALF_PRECISION.value, _QUALITY_STEPS.value, share
    )
    if photographs is not None:
      pair = calibration.calibrate(pair, photographs, _ACTIVITIES.value)
    pairs.append(pair)
    steps.append(str(step))
  frozen = joining.join(pairs)
  freezing.save(frozen, _OUTPUT_DIR.value, _OVERWRITE.value)
  print(
    f"{_OUTPUT_DIR.value}: model {frozen.model_id.hex()} of step"
    f" {' and '.join(steps)}; {_sizes(_OUTPUT_DIR.value)}"
  )
  return 0


def _photographs(pattern: str) -> np.ndarray:
  """The middles of training photographs, uint8 [n, P, P, 3]."""
  from bls2017.training import calibration, data

  paths, _ = data.split_files(pattern, TrainConfig.validation_fraction)
  # Every so many of them: neighbours in a folder are often alike.
  paths = paths[:: max(1, len(paths) // _CALIBRATION_IMAGES.value)]
  size = calibration.PATCH_SIZE
  patches = data.read_patches(paths, size, _CALIBRATION_IMAGES.value)
  if not len(patches):
    raise errors.UnreadableInputError(
      f"no photograph of {pattern!r} has {size} pixels a side"
    )
  return patches


def _sizes(directory: str) -> str:
  """Describes the sizes of the files of a model directory."""
  sizes = {"weights": 0, "graphs": 0, "tables": 0}
  for name in os.listdir(directory):
    kind = name.partition("_")[0].partition(".")[0]
    kind = "graphs" if name.endswith(".graph") else kind
    if kind in sizes:
      sizes[kind] += os.path.getsize(os.path.join(directory, name))
  parts = [f"{kind} {size / 1e6:.2f}" for kind, size in sizes.items()]
  return f"{sum(sizes.values()) / 1e6:.2f} MB: {', '.join(parts)}"
