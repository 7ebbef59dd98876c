"""An image that was analysed once, and the candidates for its file."""

from __future__ import annotations

import dataclasses

import numpy as np

from bls2017.common import blocks, config
from bls2017.encode import quantization
from bls2017.format import container, lanes
from bls2017.images import metrics
from bls2017.model import model_directory

_STRIP = 64
"""Rows of an image that are compared at once."""


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One way to code an image.

  Attributes:
    quality_index: Index of the quality whose tables code it.
    rows: int16 [positions, 1 + L], as `container.pack` takes them.
    bits: Information content of the rows under the tables.
    num_lanes: Lanes that they are coded in.
    clipped: Number of latents that lay beyond the ends of their tables.
  """

  quality_index: int
  rows: np.ndarray
  bits: float
  num_lanes: int
  clipped: int


@dataclasses.dataclass(frozen=True)
class AnalysedImage:
  """An image and its latents, to be coded at one quality or another.

  Attributes:
    pixels: uint8 [H, W, 3].
    model: The model that analyses it.
    error_weights: float32 [H, W], what a squared error at each pixel counts;
      None for 1 everywhere.
    strength: The weight of a bit (`bls2017.encode.quantization`) that every
      candidate begins with, for all positions or float32 [positions].
    boxes: Metadata that its files hold.
    latents_by_pair: The latents that were needed so far, float32
      [positions, C], by the number of the pair of transforms.
  """

  pixels: np.ndarray
  model: model_directory.FrozenModel
  error_weights: np.ndarray | None = None
  strength: float | np.ndarray = 0.0
  boxes: tuple[container.Box, ...] = ()
  latents_by_pair: dict[int, np.ndarray] = dataclasses.field(
    default_factory=dict
  )

  @property
  def size(self) -> tuple[int, int]:
    """Height and width in pixels."""
    return self.pixels.shape[0], self.pixels.shape[1]

  @property
  def shape(self) -> tuple[int, int]:
    """Positions along both sides."""
    return lanes.latent_shape(*self.size)

  def latents(self, quality_index: int) -> np.ndarray:
    """The latents that a quality quantizes, float32 [positions, C]."""
    pair = self.model.tables.pair_of(quality_index)
    if pair not in self.latents_by_pair:
      latents = self.model.transforms(quality_index).latents(self.pixels)
      self.latents_by_pair[pair] = latents.reshape(-1, latents.shape[-1])
    return self.latents_by_pair[pair]

  def is_analysed(self, quality_index: int) -> bool:
    """True if a quality needs no further analysis."""
    return self.model.tables.pair_of(quality_index) in self.latents_by_pair

  def candidate(self, quality_index: int, strength: float = 0.0) -> Candidate:
    """Quantizes the image, with optimised thresholds.

    Args:
      quality_index: Index of the quality.
      strength: The weight of a bit, beyond that of the image.
    """
    quantized = self._quantizer(quality_index).quantize_latents(
      self.latents(quality_index),
      self.shape,
      self.strength + strength,
      optimised=True,
    )
    return Candidate(quality_index, *quantized)

  def candidate_of(self, quality_index: int, symbols: np.ndarray) -> Candidate:
    """The candidate that has given symbols.

    Args:
      quality_index: Index of the quality.
      symbols: float32 [positions, C], whole numbers inside the tables.
    """
    quantized = self._quantizer(quality_index).quantize(symbols, self.shape)
    return Candidate(quality_index, *quantized)

  def _quantizer(self, quality_index: int) -> quantization.Quantizer:
    return quantization.quantizer(self.model.quality_tables(quality_index))

  def expected_bytes(self, candidate: Candidate) -> float:
    """The size of a candidate's file, right within a few bytes."""
    overhead = container.overhead_bytes(candidate.num_lanes)
    return overhead + container.boxes_bytes(self.boxes) + candidate.bits / 8

  def file(self, candidate: Candidate) -> bytes:
    """The bytes of a candidate's file."""
    index = candidate.quality_index
    header = container.Header(*self.size, index, self.model.model_id)
    tables = self.model.quality_tables(index)
    return container.pack(
      header, candidate.rows, candidate.num_lanes, tables, self.boxes
    )

  def decoded(self, candidate: Candidate) -> np.ndarray:
    """The image that a candidate's file decodes to: uint8 [H, W, 3]."""
    tables = self.model.quality_tables(candidate.quality_index)
    rows = candidate.rows.reshape(*self.shape, -1)
    bands = self.model.transforms(candidate.quality_index).bands(
      lambda first, end: tables.latents(rows[first:end]), *self.size
    )
    return np.concatenate(list(bands))

  def psnr(self, candidate: Candidate) -> float:
    """PSNR of the decoded image in dB, of weighted errors; inf without any."""
    return metrics.mse_to_psnr(self.mse(candidate))

  def mse(self, candidate: Candidate) -> float:
    """The weighted mean of the squared errors on the 0-255 scale."""
    mean_weight = 1.0
    if self.error_weights is not None:
      mean_weight = float(self.error_weights.mean(dtype="f8"))
    return self.weighted_mse(candidate) / mean_weight

  def weighted_mse(self, candidate: Candidate) -> float:
    """The mean of the squared errors, each times its weight."""
    x, x_hat = self.pixels, self.decoded(candidate)
    total = 0.0
    for rows in blocks.blocks(len(x), _STRIP):
      difference = x[rows].astype(np.int32) - x_hat[rows]
      squares = np.square(difference).sum(2)
      if self.error_weights is not None:
        squares = squares * self.error_weights[rows]
      total += float(squares.sum(dtype="f8"))
    return total / x.size

  def lagrangian(self, candidate: Candidate) -> float:
    """Bpp + lmbda * weighted mean squared error, at the candidate's quality."""
    height, width = self.size
    lmbda = self.model.config.lmbda(candidate.quality_index)
    bpp = candidate.bits / (height * width)
    return bpp + lmbda * self.weighted_mse(candidate)

  def distortion(self, candidate: Candidate, metric: str) -> float:
    """Weighted mean squared error, or 1 - MS-SSIM.

    Args:
      candidate: The candidate.
      metric: One of `request.METRICS`.
    """
    if metric == "mse":
      return self.weighted_mse(candidate)
    return 1 - metrics.ms_ssim(self.pixels, self.decoded(candidate))

  def lmbda(self, candidate: Candidate, metric: str) -> float:
    """The weight of a distortion against bpp at a candidate's quality.

    A metric that the model was not trained for gets the weight that the trained
    distortion has in the loss. Where an image is too small for MS-SSIM, the
    weights of the lowest level of both kinds of model are compared instead.

    Args:
      candidate: The candidate.
      metric: One of `request.METRICS`.
    """
    lmbda = self.model.config.lmbda(candidate.quality_index)
    trained = self.model.config.distortion
    if metric == trained:
      return lmbda
    if min(self.size) < metrics.MS_SSIM_MINIMUM_SIDE:
      return lmbda * config.LMBDAS[metric][0] / config.LMBDAS[trained][0]
    of_trained = self.distortion(candidate, trained)
    return lmbda * of_trained / max(self.distortion(candidate, metric), 1e-6)
