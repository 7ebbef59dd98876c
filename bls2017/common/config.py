"""Configurations as frozen dataclasses, and the facts shared by every module.

A configuration is plain data: commands build one from their flags, checkpoints
and model directories store it as JSON, and no other module reads a flag. What
only training knows is in `bls2017.training.train_config`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Callable

from bls2017 import errors, files

STAGES = ((9, 4), (5, 2), (5, 2))
"""(kernel support, stride) of the analysis stages; synthesis mirrors them."""

QUALITY_STEPS = 8
"""Qualities to a trained level, where a model does not say otherwise."""

MAX_QUALITIES = 248
"""The file's byte for the quality, which begins with 8, holds no more."""

LMBDAS = {
  "mse": tuple(0.0018 * 1.93**k for k in range(8)),
  "ms_ssim": tuple(2.4 * 1.93**k for k in range(8)),
}
"""The 8 weights of each distortion against bits per pixel.

The mean squared error is on the 0-255 scale; the other measure is 1 - MS-SSIM.
"""

PRIORS = ("deep_factorized", "piecewise_linear", "activities")


def setting(
  default: Any,
  description: str,
  *,
  choices: Sequence[str] = (),
  at_least: float | None = None,
  positive: bool = False,
  parse: Callable[[str], Any] = str,
) -> Any:
  """A field of a configuration, described where it is defined.

  `bls2017.commands.train` makes a flag of every such field, and `check` refuses
  values outside its bounds.

  Args:
    default: The value where none is given.
    description: What the field is, in sentences for whoever sets it.
    choices: All that a text may be; anything where there are none.
    at_least: The smallest number that is allowed.
    positive: Whether a number must be above 0.
    parse: Makes an element of a tuple from a text; may raise ValueError.
  """
  metadata = {
    "description": description,
    "choices": choices,
    "at_least": at_least,
    "positive": positive,
    "parse": parse,
  }
  return dataclasses.field(default=default, metadata=metadata)


def number(text: str) -> float:
  """A float; what is none is refused in plain words.

  Raises:
    ValueError: if the text is not a number.
  """
  try:
    return float(text)
  except ValueError:
    raise ValueError(f"'{text}' is not a number") from None


def check(config: Any) -> None:
  """Refuses a configuration of which a `setting` is outside its bounds.

  Raises:
    errors.UsageError: that names the first such field.
  """
  for field in dataclasses.fields(config):
    bounds, value = field.metadata, getattr(config, field.name)
    choices, at_least = bounds.get("choices"), bounds.get("at_least")
    if choices and value is not None:
      require(value in choices, f"{field.name} must be one of {choices}")
    if at_least is not None and value is not None:
      require(value >= at_least, f"{field.name} must be at least {at_least}")
    if bounds.get("positive"):
      require(value > 0, f"{field.name} must be positive")


def require(condition: bool, message: str) -> None:
  """Raises errors.UsageError with the message unless the condition holds."""
  if not condition:
    raise errors.UsageError(message)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The shape of a model and what it is trained for; see `setting`."""

  num_filters: int = setting(
    128, "Channels inside both transforms.", at_least=1
  )
  num_latents: int = setting(320, "Channels of the latents.", at_least=1)
  lmbdas: tuple[float, ...] = setting(
    (),
    "Weights of the distortion against bits per pixel, increasing, one for each"
    " level of the model. A single one gives the paper's plain model. By"
    " default the 8 of the distortion.",
    parse=number,
  )
  prior: str = setting(
    "deep_factorized",
    "Density of the latents. The packaged model was trained with activities,"
    " as files are coded; the paper's density is piecewise_linear.",
    choices=PRIORS,
  )
  distortion: str = setting(
    "mse",
    "What the rate is weighed against: the mean squared error on the 0-255"
    " scale, or 1 - MS-SSIM.",
    choices=tuple(LMBDAS),
  )
  quality_steps: int = QUALITY_STEPS
  """Steps of the quality between two neighbouring levels, at least 1."""

  def __post_init__(self) -> None:
    check(self)
    if not self.lmbdas:
      object.__setattr__(self, "lmbdas", LMBDAS[self.distortion])
    require(self.quality_steps >= 1, "quality_steps must be at least 1")
    require(
      self.num_qualities <= MAX_QUALITIES,
      f"{self.num_levels} levels have more than {MAX_QUALITIES} qualities",
    )
    require(self.lmbdas[0] > 0, "every lambda must be positive")
    increasing = all(a < b for a, b in zip(self.lmbdas, self.lmbdas[1:]))
    require(increasing, "the lambdas must increase")

  @property
  def num_levels(self) -> int:
    """Trained levels, one for each lambda."""
    return len(self.lmbdas)

  @property
  def num_qualities(self) -> int:
    """Qualities, from 1 to the number of levels."""
    return (self.num_levels - 1) * self.quality_steps + 1

  def quality_index(self, quality: float) -> int:
    """Index of the nearest quality; quality 1 has index 0.

    Raises:
      errors.UsageError: if the quality is not between 1 and the levels.
    """
    require(
      1 <= quality <= self.num_levels,
      f"quality must be between 1 and {self.num_levels}, not {quality}",
    )
    return round((quality - 1) * self.quality_steps)

  def index_quality(self, index: int) -> float:
    """The inverse of `quality_index`."""
    return 1 + index / self.quality_steps

  def lmbda(self, index: int) -> float:
    """The lambda of a quality: trained, or geometrically in between."""
    level, step = divmod(index, self.quality_steps)
    above = min(level + 1, self.num_levels - 1)
    fraction = step / self.quality_steps
    lower, upper = self.lmbdas[level], self.lmbdas[above]
    return float(lower ** (1 - fraction) * upper**fraction)


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
