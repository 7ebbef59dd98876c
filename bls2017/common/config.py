"""Configurations as frozen dataclasses, and the facts shared by every module.

A configuration is plain data: commands build one from their flags, checkpoints
and model directories store it as JSON, and no other module reads a flag.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from bls2017 import errors
from bls2017.common import files

DOWNSAMPLING = 16
"""Pixels per latent position along a side (paper, section 3.1: 4 x 2 x 2)."""

STAGES = ((9, 4), (5, 2), (5, 2))
"""(kernel support, stride) of the analysis stages; synthesis mirrors them."""

QUALITY_STEPS = 8
"""Steps of the quality scale between two neighbouring trained levels."""

MAX_LEVELS = 31
"""The file's byte for the quality, in eighths, holds no more."""

LMBDAS = {
  "mse": tuple(0.0018 * 1.93**k for k in range(8)),
  "ms_ssim": tuple(2.4 * 1.93**k for k in range(8)),
}
"""The 8 weights of each distortion against bits per pixel.

The mean squared error is on the 0-255 scale; the other measure is 1 - MS-SSIM.
"""

PRIORS = ("deep_factorized", "piecewise_linear", "activities")
STRATEGIES = ("none", "mirrored", "multi_worker")
OPTIMIZERS = ("adam", "soap")
PROXIES = ("noise", "mixed", "optimised", "rounding")
STARTS = ("random", "transform_coder")


def _require(condition: bool, message: str) -> None:
  if not condition:
    raise errors.UsageError(message)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The shape of a model and what it is trained for.

  Attributes:
    num_filters: Channels inside both transforms, at least 1.
    num_latents: Channels C of the latents, at least 1.
    lmbdas: One weight of the distortion for each trained level, increasing.
    prior: "deep_factorized", "piecewise_linear" or "activities".
    distortion: "mse" (0-255 scale) or "ms_ssim" (1 - MS-SSIM).
  """

  num_filters: int = 128
  num_latents: int = 320
  lmbdas: tuple[float, ...] = LMBDAS["mse"]
  prior: str = "deep_factorized"
  distortion: str = "mse"

  def __post_init__(self) -> None:
    _require(self.num_filters >= 1, "num_filters must be at least 1")
    _require(self.num_latents >= 1, "num_latents must be at least 1")
    _require(
      1 <= len(self.lmbdas) <= MAX_LEVELS,
      f"1 to {MAX_LEVELS} lambdas are needed",
    )
    _require(self.lmbdas[0] > 0, "every lambda must be positive")
    increasing = all(a < b for a, b in zip(self.lmbdas, self.lmbdas[1:]))
    _require(increasing, "the lambdas must increase")
    _require(self.prior in PRIORS, f"prior must be one of {PRIORS}")
    _require(
      self.distortion in LMBDAS, f"distortion must be one of {tuple(LMBDAS)}"
    )

  @property
  def num_levels(self) -> int:
    """Trained levels, one for each lambda."""
    return len(self.lmbdas)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Everything a training run depends on, beside the images themselves.

  Attributes:
    train_glob: Pattern of the JPEG or PNG files to train and validate on.
    validation_fraction: Share of the files held out, chosen by file name.
    validation_images: At most so many held-out files are used.
    patch_size: Side of the training patches in pixels, a multiple of 16.
    patches_per_level: Patches of every level in a step.
    min_scale: Photographs are scaled by a random factor in [min_scale, 1].
    steps: Steps of the whole run; the schedule ends there.
    proxy: What stands for quantization: "noise" (uniform; paper, section 2);
      "mixed", noise for the rate and rounding for the distortion, whose
      gradient passes straight through (Minnen & Singh 2020); "optimised", the
      same with the optimised quantization of files in place of rounding; or
      "rounding", with which only the decoder and the priors learn.
    optimizer: Of the transforms and gains, "adam" or "soap"; the priors always
      use Adam.
    learning_rate: Peak rate for the transforms and gains.
    prior_learning_rate_factor: The rate of the priors as a multiple of it.
    warmup_steps: Steps of linear warm-up.
    final_learning_rate: Last rate as a share of the peak (cosine decay).
    clip_norm: Bound of the global norm of the gradients.
    loss_weight_exponent: Level k's loss is weighted by lambda_k to this power.
    ema_decay: Decay of the average of the weights, 0 for none.
    seed: Seed of the initial weights, the data order and the noise.
    start: "random" or "transform_coder".
    initial_weights: A weights file (.npz) or the directory of a run of the same
      model to start from instead, or "".
    save_steps: Steps between checkpoints.
    keep_checkpoints: Checkpoints kept.
    validation_steps: Steps between validations.
    summary_steps: Steps between TensorBoard scalars.
    strategy: "none", "mirrored" or "multi_worker" (from TF_CONFIG).
  """

  train_glob: str = ""
  validation_fraction: float = 0.05
  validation_images: int = 32
  patch_size: int = 128
  patches_per_level: int = 1
  min_scale: float = 0.6
  steps: int = 100_000
  proxy: str = "noise"
  optimizer: str = "adam"
  learning_rate: float = 1e-3
  prior_learning_rate_factor: float = 5.0
  warmup_steps: int = 500
  final_learning_rate: float = 0.01
  clip_norm: float = 1.0
  loss_weight_exponent: float = -0.45
  ema_decay: float = 0.0
  seed: int = 0
  start: str = "random"
  initial_weights: str = ""
  save_steps: int = 500
  keep_checkpoints: int = 3
  validation_steps: int = 2000
  summary_steps: int = 100
  strategy: str = "none"

  def __post_init__(self) -> None:
    _require(
      self.patch_size >= DOWNSAMPLING and self.patch_size % DOWNSAMPLING == 0,
      f"patch_size must be a positive multiple of {DOWNSAMPLING}",
    )
    _require(0 < self.min_scale <= 1, "min_scale must be in (0, 1]")
    _require(
      0 <= self.validation_fraction < 1,
      "validation_fraction must be in [0, 1)",
    )
    _require(0 <= self.ema_decay < 1, "ema_decay must be in [0, 1)")
    for name in (
        "patches_per_level", "steps", "save_steps", "keep_checkpoints",
        "validation_steps", "summary_steps", "validation_images",
    ):  # fmt: skip
      _require(getattr(self, name) >= 1, f"{name} must be at least 1")
    for name in ("learning_rate", "prior_learning_rate_factor", "clip_norm"):
      _require(getattr(self, name) > 0, f"{name} must be positive")
    _require(
      0 <= self.warmup_steps < self.steps,
      "warmup_steps must be at least 0 and below steps",
    )
    _require(self.proxy in PROXIES, f"proxy must be one of {PROXIES}")
    _require(
      self.optimizer in OPTIMIZERS, f"optimizer must be one of {OPTIMIZERS}"
    )
    _require(self.start in STARTS, f"start must be one of {STARTS}")
    _require(
      self.strategy in STRATEGIES, f"strategy must be one of {STRATEGIES}"
    )


def to_json(config: Any) -> dict[str, Any]:
  """A configuration as plain JSON values."""
  return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(cls: type, values: dict[str, Any]) -> Any:
  """The inverse of `to_json` for a configuration class.

  Raises:
    errors.ModelError: if a field is missing, unknown or of another type.
  """
  fields = {
    k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
  }
  try:
    return cls(**fields)
  except (TypeError, errors.UsageError) as e:
    raise errors.ModelError(f"not a {cls.__name__}: {e}") from e


def read_json(path: str) -> dict[str, Any]:
  """A JSON object from a file.

  Raises:
    errors.ModelError: if the file is missing or does not hold a JSON object.
  """
  try:
    with open(path, encoding="utf-8") as f:
      values = json.load(f)
  except (OSError, ValueError) as e:
    raise errors.ModelError(f"cannot read {path}: {e}") from e
  if not isinstance(values, dict):
    raise errors.ModelError(f"{path} does not hold a JSON object")
  return values


def write_json(path: str, values: dict[str, Any]) -> None:
  """Writes a JSON object to a file, whole or not at all.

  Raises:
    errors.OutputError: if it cannot be written.
  """
  text = json.dumps(values, indent=2, sort_keys=True) + "\n"
  files.write(path, text.encode(), overwrite=True)
