"""Requests to the encoder; quick to import."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING, Callable, Optional

from bls2017 import errors
from bls2017.common import config, packages

if TYPE_CHECKING:
  import numpy as np

DEFAULT_QUALITY = 6.0
"""The quality of a file where neither a quality nor a target is given.

Of a model of fewer levels it is the highest.
"""

MAX_EFFORT = 9
DEFAULT_EFFORT = 1

REFINING_EFFORT = 2
"""The least effort at which symbols are refined through the decoder."""

Progress = Callable[[int, int], Optional[bool]]
"""Called with the steps of refining that are done and all of them.

If it returns True, refining ends and the best result so far is taken.
"""

METRICS = ("mse", "ms_ssim")
"""Distortions that refining can bound; the first one is the default."""

KEEP_ALPHA = "keep"
_WHITE = "white"


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
  """How an image is to be compressed: a quality or one target, and the effort.

  Making one refuses values that no image can be compressed with.

  Attributes:
    quality: 1 to the model's levels.
    max_bytes: Instead, the most bytes of the file.
    target_bpp: Instead, the most bits per pixel of the file.
    target_psnr: Instead, the least PSNR of the decoded image in dB.
    effort: 1 to `MAX_EFFORT`.
    metric: The distortion that refining bounds, one of `METRICS`. A target of
      PSNR and a region of interest need "mse".
    roi: uint8 [H, W], bright where the bits should go; None for everywhere.
    alpha: `KEEP_ALPHA`, or the colour to composite on: "white" or "#RRGGBB".

  Raises:
    errors.UsageError: if a value is out of its range or contradicts another.
    errors.MissingPackageError: if refining was asked for without TensorFlow.
  """

  quality: float | None = None
  max_bytes: float | None = None
  target_bpp: float | None = None
  target_psnr: float | None = None
  effort: int = DEFAULT_EFFORT
  metric: str = METRICS[0]
  roi: np.ndarray | None = None
  alpha: str = KEEP_ALPHA

  def __post_init__(self) -> None:
    targets = ("quality", "target_bpp", "max_bytes", "target_psnr")
    given = [name for name in targets if getattr(self, name) is not None]
    if len(given) > 1:
      raise errors.UsageError(f"{' and '.join(given)} contradict each other")
    for name in given:
      value = float(getattr(self, name))
      if name != "quality" and not (math.isfinite(value) and value > 0):
        raise errors.UsageError(f"{name} must be positive, not {value}")
    if not 1 <= self.effort <= MAX_EFFORT:
      raise errors.UsageError(
        f"effort must be from 1 to {MAX_EFFORT}, not {self.effort}"
      )
    if self.metric not in METRICS:
      raise errors.UsageError(
        f"metric must be one of {', '.join(METRICS)}, not {self.metric!r}"
      )
    if not re.fullmatch("keep|white|#[0-9A-Fa-f]{6}", self.alpha):
      raise errors.UsageError(
        f"alpha must be keep, white or #RRGGBB, not {self.alpha!r}"
      )
    for name, wanted in (
      ("a region of interest", self.roi),
      ("a target of PSNR", self.target_psnr),
    ):
      if wanted is not None and self.metric != "mse":
        raise errors.UsageError(f"{name} needs the metric mse")
    if self.refines:
      packages.require_tensorflow(f"effort {REFINING_EFFORT} or more")

  @property
  def refines(self) -> bool:
    """True if symbols are refined through the decoder."""
    return self.effort >= REFINING_EFFORT

  @property
  def background(self) -> tuple[int, int, int] | None:
    """The colour to composite on; None where alpha is kept."""
    if self.alpha == KEEP_ALPHA:
      return None
    colour = "#ffffff" if self.alpha == _WHITE else self.alpha
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue

  def quality_index(self, model_config: config.ModelConfig) -> int:
    """The index of the quality, where no target is given.

    Raises:
      errors.UsageError: if the model has no such quality.
    """
    quality = self.quality
    if quality is None:
      quality = min(DEFAULT_QUALITY, model_config.num_levels)
    return model_config.quality_index(quality)

  def byte_limit(self, pixels: int) -> int | None:
    """The most bytes of the file of so many pixels; None without a size."""
    if self.target_bpp is not None:
      return math.floor(self.target_bpp * pixels / 8)
    if self.max_bytes is not None:
      return math.floor(self.max_bytes)
    return None
