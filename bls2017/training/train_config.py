"""The configuration of a training run."""

from __future__ import annotations

import dataclasses

from bls2017.common import config
from bls2017.common.config import setting

STRATEGIES = ("none", "mirrored", "multi_worker")
OPTIMIZERS = ("adam", "soap")
PROXIES = ("noise", "mixed", "optimised", "rounding")
STARTS = ("random", "transform_coder")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Everything a run depends on, beside model and images; see `setting`."""

  train_glob: str = setting(
    "",
    "The JPEG or PNG files to train and validate on: a pattern, or a folder,"
    " whose images at any depth are taken.",
  )
  validation_fraction: float = setting(
    0.05, "Share of the files held out for validation, chosen by file name."
  )
  validation_images: int = setting(
    32, "At most so many held-out files are used.", at_least=1
  )
  patch_size: int = setting(
    128,
    "Side of the training patches in pixels, a multiple of"
    f" {config.DOWNSAMPLING}.",
    at_least=config.DOWNSAMPLING,
  )
  patches_per_level: int = setting(
    1, "Patches of every level in a step.", at_least=1
  )
  min_scale: float = setting(
    0.6,
    "Photographs are scaled by a random factor between this one and 1.",
    positive=True,
  )
  steps: int = setting(
    100_000,
    "Steps of the whole run; the schedule of the learning rate ends there.",
    at_least=1,
  )
  proxy: str = setting(
    "noise",
    "What stands for quantization. noise: uniform noise (paper, section 2);"
    " mixed: noise for the rate and rounding for the distortion, whose gradient"
    " passes straight through (Minnen & Singh 2020); optimised: the same with"
    " the optimised quantization of files in place of rounding; rounding: only"
    " the decoder and the priors learn, a last phase from initial_weights.",
    choices=PROXIES,
  )
  optimizer: str = setting(
    "adam",
    "Optimizer of the transforms and gains; the priors always use Adam.",
    choices=OPTIMIZERS,
  )
  learning_rate: float = setting(
    1e-3, "Peak rate of the transforms and gains.", positive=True
  )
  prior_learning_rate_factor: float = setting(
    5.0, "Rate of the priors as a multiple of learning_rate.", positive=True
  )
  warmup_steps: int = setting(
    500,
    "Steps of linear warm-up; at most half of the run's steps are used.",
    at_least=0,
  )
  final_learning_rate: float = setting(
    0.01, "Last rate as a share of the peak; a cosine leads there.", at_least=0
  )
  clip_norm: float = setting(
    1.0, "Bound of the global norm of the gradients.", positive=True
  )
  loss_weight_exponent: float = setting(
    -0.45, "The loss of a level is weighted by its lambda to this power."
  )
  ema_decay: float = setting(
    0.0, "Decay of the average of the weights; 0 keeps none.", at_least=0
  )
  seed: int = setting(
    0, "Seed of the initial weights, the data order and the noise."
  )
  start: str = setting(
    "random",
    "Initial weights: random kernels, or those of a transform coder.",
    choices=STARTS,
  )
  initial_weights: str = setting(
    "",
    "Weights to start from instead: a weights file (.npz), the directory of a"
    " run, or a model directory. The last two may be of other lambdas.",
  )
  wake_reach: float = setting(
    0.0,
    "Channels that the initial weights use at lambdas up to so many times the"
    " largest one of this run are woken at all levels; 0 wakes none.",
    at_least=0,
  )
  gain_floor: float = setting(
    0.0,
    "The least gain of a channel as a share of the largest one of its level,"
    " and the least product of a gain and its inverse gain, so that no channel"
    " falls asleep for good. Not for the proxy noise: its channels would add"
    " noise to all images.",
    at_least=0,
  )
  save_steps: int = setting(500, "Steps between checkpoints.", at_least=1)
  keep_checkpoints: int = setting(
    3, "How many of the newest checkpoints are kept.", at_least=1
  )
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
      self.patch_size % config.DOWNSAMPLING == 0,
      f"patch_size must be a multiple of {config.DOWNSAMPLING}",
    )
    config.require(self.min_scale <= 1, "min_scale must be in (0, 1]")
    config.require(
      0 <= self.validation_fraction < 1, "validation_fraction must be in [0, 1)"
    )
    config.require(self.gain_floor < 1, "gain_floor must be in [0, 1)")
    config.require(self.ema_decay < 1, "ema_decay must be in [0, 1)")
