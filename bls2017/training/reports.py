"""Measurements of a run while it trains, as text and for TensorBoard."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.common import config
from bls2017.images import metrics


class Measurement(NamedTuple):
  """Rates and distortions of training or held-out patches after a step.

  Attributes:
    step: Steps done.
    loss: Weighted mean of the levels' losses.
    bpp: float32 [levels], estimated bits per pixel.
    psnr: float32 [levels], in dB.
    distortion: float32 [levels], what the loss weighs: mean squared error on
      the 0-255 scale, or 1 - MS-SSIM.
    awake: int64 [levels], channels that are coded; None in a training step.
  """

  step: int
  loss: float
  bpp: np.ndarray
  psnr: np.ndarray
  distortion: np.ndarray
  awake: np.ndarray | None = None


def to_text(measured: Measurement, model_config: config.ModelConfig) -> str:
  """The loss, and a line for each level that says what its numbers are."""
  lines = [f"loss {measured.loss:.4f}"]
  for k, lmbda in enumerate(model_config.lmbdas):
    line = f"  level {k + 1} (lambda {lmbda:.4g}): {measured.bpp[k]:.4f} bpp,"
    line += f" PSNR {measured.psnr[k]:.2f} dB"
    if model_config.distortion == "ms_ssim":
      line += f", MS-SSIM {1 - measured.distortion[k]:.4f}"
    if measured.awake is not None:
      line += f", {measured.awake[k]} of {model_config.num_latents} channels"
      line += " awake"
    lines.append(line)
  return "\n".join(lines)


def psnr_of_levels(mse: tf.Tensor) -> np.ndarray:
  """PSNR in dB of mean squared errors, float32 [levels] both."""
  return np.array([metrics.mse_to_psnr(float(m)) for m in mse], np.float32)


def write(
  writer: Any,
  measured: Measurement,
  learning_rate: float | None = None,
  images: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
  """Writes scalars for every level, and images, for TensorBoard.

  Args:
    writer: From `tf.summary.create_file_writer`.
    measured: The scalars.
    learning_rate: Of the transforms.
    images: Original and reconstruction, float32 [levels, P, P, 3] in 0..255.
  """
  with writer.as_default(step=measured.step):
    tf.summary.scalar("loss", measured.loss)
    if learning_rate is not None:
      tf.summary.scalar("learning_rate", learning_rate)
    for name in ("bpp", "psnr", "distortion", "awake"):
      values = getattr(measured, name)
      for k, value in enumerate(() if values is None else values):
        tf.summary.scalar(f"{name}/level_{k + 1}", value)
    if images is not None:
      pairs = np.clip(np.concatenate(images, axis=2) / 255.0, 0, 1)
      tf.summary.image(
        "original_and_reconstruction", pairs, max_outputs=len(pairs)
      )
  writer.flush()
