"""What a caller may ask of the encoder; quick to import."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bls2017 import errors
from bls2017.common import packages

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

METRICS = ("mse", "ms_ssim")
"""What refining can count as better or worse; the first one is the default."""


@dataclasses.dataclass(frozen=True)
class Options:
  """How an image is compressed; at most one target, and none with a quality.

  Attributes:
    target_bpp: Most bits per pixel of the file.
    max_bytes: Most bytes of the file.
    target_psnr: Least PSNR of the decoded image in dB.
    effort: 1 to `MAX_EFFORT`.
    metric: What refining counts as better or worse, one of `METRICS`. A target
      of PSNR and a region of interest need "mse".
    roi: uint8 [H, W], the bits go where it is bright; None for everywhere.
  """

  target_bpp: float | None = None
  max_bytes: int | None = None
  target_psnr: float | None = None
  effort: int = DEFAULT_EFFORT
  metric: str = METRICS[0]
  roi: np.ndarray | None = None

  def check(self) -> None:
    """Refuses what no image can be compressed with.

    Raises:
      errors.UsageError: if effort or metric are out of their range, or the
        metric contradicts something else.
      errors.MissingPackageError: if refining was asked for without TensorFlow.
    """
    if not 1 <= self.effort <= MAX_EFFORT:
      raise errors.UsageError(
        f"effort must be from 1 to {MAX_EFFORT}, not {self.effort}"
      )
    if self.metric not in METRICS:
      raise errors.UsageError(
        f"metric must be one of {', '.join(METRICS)}, not {self.metric!r}"
      )
    for name, value in (
      ("a region of interest", self.roi),
      ("a target of PSNR", self.target_psnr),
    ):
      if value is not None and self.metric != "mse":
        raise errors.UsageError(f"{name} needs the metric mse")
    if self.effort >= REFINING_EFFORT:
      packages.require_tensorflow(f"effort {REFINING_EFFORT} or more")
