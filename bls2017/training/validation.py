"""What a run reports while it trains: validation, and TensorBoard's logs."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.images import metrics
from bls2017.training import checkpoints
from bls2017.training import model as model_lib

PATCH_SIZE = 256
"""Side of the patches for validation, where the photographs hold so many."""


@dataclasses.dataclass(frozen=True)
class StepReport:
  """What one step did; arrays are float32 [levels].

  Attributes:
    step: Steps done, this one included.
    loss: Weighted mean of the levels' Lagrangians.
    bpp: Estimated bits per pixel.
    psnr: PSNR of the mean squared error of the batch, in dB.
    distortion: What the loss weighs: squared error, or 1 - MS-SSIM.
  """

  step: int
  loss: float
  bpp: np.ndarray
  psnr: np.ndarray
  distortion: np.ndarray


class Validation(NamedTuple):
  """What a model does to held-out patches, averaged over them.

  Attributes:
    bpp: float32 [levels], estimated bits per pixel of the rounded latents.
    psnr: float32 [levels], in dB.
    distortion: float32 [levels], what the loss weighs.
    images: The last patch and its reconstructions, float32 [levels, P, P, 3].
  """

  bpp: np.ndarray
  psnr: np.ndarray
  distortion: np.ndarray
  images: tuple[np.ndarray, np.ndarray]


def validate(
  rate_distortion: Callable[[tf.Tensor], model_lib.RateDistortion],
  patches: np.ndarray,
  levels: int,
  stop: Callable[[], bool],
) -> Validation | None:
  """Codes patches at every level.

  Args:
    rate_distortion: Codes float32 [1, levels, P, P, 3] with rounded latents.
    patches: uint8 [n, P, P, 3], n at least 1.
    levels: Levels of the model.
    stop: Asked before each patch whether to give up.

  Returns:
    The averages, or None when stopped.
  """
  bpp, psnr, distortion = [], [], []
  for patch in patches:
    if stop():
      return None
    x = np.repeat(patch[None, None].astype(np.float32), levels, axis=1)
    rd = rate_distortion(tf.constant(x))
    bpp.append(rd.bpp.numpy())
    psnr.append(psnr_of_levels(rd.mse))
    distortion.append(rd.distortion.numpy())
  return Validation(
    np.mean(bpp, axis=0),
    np.mean(psnr, axis=0),
    np.mean(distortion, axis=0),
    (x[0], rd.x_hat[0].numpy()),
  )


def psnr_of_levels(mse: tf.Tensor) -> np.ndarray:
  """PSNR in dB of mean squared errors, float32 [levels] both."""
  return np.array([metrics.mse_to_psnr(float(m)) for m in mse], np.float32)


class TensorBoard:
  """The directories `train` and `validation` of a run."""

  def __init__(self, train_dir: str):
    self._train_dir = train_dir
    self._writers: dict[str, Any] = {}

  def write(
    self,
    name: str,
    report: StepReport,
    learning_rate: float | None = None,
    images: tuple[np.ndarray, np.ndarray] | None = None,
  ) -> None:
    """Writes scalars for every level, and images.

    Args:
      name: "train" or "validation".
      report: The scalars.
      learning_rate: Of the transforms.
      images: Originals and reconstructions, float32 [levels, P, P, 3].

    Raises:
      errors.OutputError: if they cannot be written.
    """
    path = os.path.join(self._train_dir, name)
    with checkpoints.output_errors(path):
      if name not in self._writers:
        self._writers[name] = tf.summary.create_file_writer(path)
      writer = self._writers[name]
      with writer.as_default(step=report.step):
        tf.summary.scalar("loss", report.loss)
        if learning_rate is not None:
          tf.summary.scalar("learning_rate", learning_rate)
        for k in range(len(report.bpp)):
          tf.summary.scalar(f"bpp/level_{k + 1}", report.bpp[k])
          tf.summary.scalar(f"psnr/level_{k + 1}", report.psnr[k])
          tf.summary.scalar(f"distortion/level_{k + 1}", report.distortion[k])
        if images is not None:
          pairs = np.clip(np.concatenate(images, axis=2) / 255.0, 0, 1)
          tf.summary.image(
            "original_and_reconstruction", pairs, max_outputs=len(pairs)
          )
      writer.flush()
