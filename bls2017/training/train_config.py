"""The configuration of a training run, of which `bls2017 train` makes flags."""

from __future__ import annotations

import dataclasses

from bls2017.common import config
from bls2017.common.config import setting
from bls2017.format import lanes

STRATEGIES = ("none", "mirrored", "multi_worker")
PROXIES = ("noise", "mixed")
STARTS = ("random", "transform_coder")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Everything that a run depends on beside the model.

  Raises:
    errors.UsageError: if a value is out of its bounds.
  """

  train_glob: str = setting(
    "",
    "The photographs to train and validate on: a pattern, or a folder, whose"
    " images at any depth are taken.",
  )
  validation_fraction: float = setting(
    0.05, "Share of the files held out for validation, chosen by file name."
  )
  validation_images: int = setting(32, "Held-out files to use.", at_least=1)
  patch_size: int = setting(
    128,
    f"Side of training patches in pixels, a multiple of {lanes.DOWNSAMPLING}.",
    at_least=lanes.DOWNSAMPLING,
  )
  patches_per_level: int = setting(1, "Patches a level and step.", at_least=1)
  min_scale: float = setting(
    0.6, "Photographs are scaled by a random factor from this to 1."
  )
  steps: int = setting(
    100_000, "Steps of the run, over which the learning rate falls.", at_least=1
  )
  proxy: str = setting(
    "noise",
    "What stands for quantization. noise: uniform noise (paper, section 2);"
    " mixed: noise for the rate and rounding for the distortion, whose gradient"
    " passes straight through (Minnen & Singh 2020).",
    choices=PROXIES,
  )
  learning_rate: float = setting(
    1e-3,
    "Peak rate of the transforms and gains; the priors have 5 times as much.",
    positive=True,
  )
  warmup_steps: int = setting(
    500, "Steps of linear warm-up, at most half of all steps.", at_least=0
  )
  final_learning_rate: float = setting(
    0.01, "Last rate as a share of the peak; a cosine leads there.", at_least=0
  )
  ema_decay: float = setting(
    0.0, "Decay of the average of the weights; 0 keeps none.", at_least=0
  )
  seed: int = setting(0, "Seed of initial weights, data order and noise.")
  start: str = setting(
    "random",
    "Initial weights: random kernels, or those of a transform coder.",
    choices=STARTS,
  )
  initial_weights: str = setting(
    "",
    "The model to start from instead, also of other lambdas: its directory, or"
    " the name of a packaged one.",
  )
  wake_reach: float = setting(
    0.0,
    "Start with all channels awake that the initial weights use at lambdas up"
    " to so many times the largest one of this run; 0 wakes none.",
    at_least=0,
  )
  save_steps: int = setting(500, "Steps between checkpoints.", at_least=1)
  validation_steps: int = setting(
    2000, "Steps between validations.", at_least=1
  )
  summary_steps: int = setting(
    100, "Steps between TensorBoard's scalars.", at_least=1
  )
  strategy: str = setting(
    "none",
    "Strategy of tf.distribute; multi_worker takes its cluster from TF_CONFIG.",
    choices=STRATEGIES,
  )

  def __post_init__(self) -> None:
    config.check(self)
    config.require(
      self.patch_size % lanes.DOWNSAMPLING == 0,
      f"patch_size must be a multiple of {lanes.DOWNSAMPLING}",
    )
    config.require(0 < self.min_scale <= 1, "min_scale must be in (0, 1]")
    config.require(
      0 <= self.validation_fraction < 1, "validation_fraction must be in [0, 1)"
    )
    config.require(self.ema_decay < 1, "ema_decay must be in [0, 1)")
