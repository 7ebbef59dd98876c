"""An image that was analysed once, and the candidates for its file.

`bls2017.encode.rate_control` searches among candidates of all qualities,
`bls2017.encode.refinement` improves one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

import numpy as np

from bls2017.common import blocks
from bls2017.encode import quantization
from bls2017.format import coding_tables, lanes
from bls2017.images import metrics
from bls2017.model import model_directory, runtimes

_STRIP = 64
"""Rows of an image that are compared at once."""


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One way to code an image.

  Attributes:
    quality_index: Index of the quality whose tables code it.
    rows: int16 [positions, columns], as a range coder takes them.
    bits: Information content of the rows under the tables.
    clipped: Number of latents that lay beyond the ends of their tables.
  """

  quality_index: int
  rows: np.ndarray
  bits: float
  clipped: int


class PreparedModel:
  """What coding needs of a frozen model, prepared when it is first used.

  Attributes:
    model: The frozen model.
    pack: Gives the file of a quality's index, of the rows of an image, and of
      its height and width.
    overhead_bytes: Gives the mean number of bytes that a file of so many lanes
      has besides the information content of its rows.
  """

  def __init__(
    self,
    model: model_directory.FrozenModel,
    make_transforms: Callable[[int], runtimes.Transforms],
    pack: Callable[[int, np.ndarray, tuple[int, int]], bytes],
    overhead_bytes: Callable[[int], float],
  ):
    """Takes the parts as they are.

    Args:
      model: The frozen model.
      make_transforms: Makes those of a pair, by its number.
      pack: As the attribute.
      overhead_bytes: As the attribute.
    """
    self.model = model
    self._make_transforms = make_transforms
    self.pack = pack
    self.overhead_bytes = overhead_bytes
    self._syntheses: dict[int, Callable[..., Any]] = {}
    self._transforms: dict[int, runtimes.Transforms] = {}
    self._tables: dict[int, coding_tables.QualityTables] = {}
    self._quantizers: dict[int, quantization.Quantizer] = {}

  def transforms(self, quality_index: int) -> runtimes.Transforms:
    """Analysis and synthesis of a quality."""
    pair = self.model.tables.pair_of(quality_index)
    if pair not in self._transforms:
      self._transforms[pair] = self._make_transforms(pair)
    return self._transforms[pair]

  def tables(self, quality_index: int) -> coding_tables.QualityTables:
    """The coding tables of a quality."""
    if quality_index not in self._tables:
      tables = self.model.tables.for_quality(quality_index)
      self._tables[quality_index] = tables
    return self._tables[quality_index]

  def quantizer(self, quality_index: int) -> quantization.Quantizer:
    """The quantizer of a quality."""
    if quality_index not in self._quantizers:
      quantizer = quantization.Quantizer(self.tables(quality_index))
      self._quantizers[quality_index] = quantizer
    return self._quantizers[quality_index]

  def synthesis(self, quality_index: int) -> Callable[..., Any]:
    """The synthesis of tensors, float32 [N, h, w, C]; it has gradients."""
    from bls2017.model import frozen_transforms

    pair = self.model.tables.pair_of(quality_index)
    if pair not in self._syntheses:
      self._syntheses[pair] = frozen_transforms.FrozenTransforms(
        self.model.pairs[pair].weights, self.model.config.num_latents
      ).synthesis
    return self._syntheses[pair]

  def lmbda(self, quality_index: int) -> float:
    """The weight of the distortion against bpp at a quality."""
    return self.model.config.lmbda(quality_index)


class Latents:
  """The latents of one image, analysed when they are first asked for.

  Every pair of transforms of the model has latents of its own.
  """

  def __init__(self, pixels: np.ndarray, model: PreparedModel):
    """Takes the image, uint8 [H, W, 3], and the model."""
    self._pixels = pixels
    self._model = model
    self._of_pairs: dict[int, np.ndarray] = {}

  def at(self, quality_index: int) -> np.ndarray:
    """The latents that a quality quantizes, float32 [positions, C]."""
    pair = self._model.model.tables.pair_of(quality_index)
    if pair not in self._of_pairs:
      latents = self._model.transforms(quality_index).latents(self._pixels)
      self._of_pairs[pair] = latents.reshape(-1, latents.shape[-1])
    return self._of_pairs[pair]

  def are_known(self, quality_index: int) -> bool:
    """Whether a quality needs no further analysis."""
    return self._model.model.tables.pair_of(quality_index) in self._of_pairs


@dataclasses.dataclass(frozen=True)
class AnalysedImage:
  """An image and its latents, to be coded at one quality or another.

  Attributes:
    pixels: uint8 [H, W, 3].
    latents: Its latents.
    model: The model that analysed it.
    error_weights: float32 [H, W], what a squared error at each pixel counts;
      None for 1 everywhere.
    strength: The weight of a bit (`bls2017.encode.quantization`) that every
      candidate begins with, for all positions or float32 [positions].
  """

  pixels: np.ndarray
  latents: Latents
  model: PreparedModel
  error_weights: np.ndarray | None = None
  strength: float | np.ndarray = 0.0

  @property
  def size(self) -> tuple[int, int]:
    """Height and width in pixels."""
    return self.pixels.shape[0], self.pixels.shape[1]

  @property
  def shape(self) -> tuple[int, int]:
    """Positions along both sides."""
    return lanes.latent_shape(*self.size)

  def scaled(self, quality_index: int) -> np.ndarray:
    """The latents in a quality's unit, float32 [positions, C]."""
    return self.model.quantizer(quality_index).scaled(
      self.latents.at(quality_index)
    )

  def candidate(self, quality_index: int, strength: float = 0.0) -> Candidate:
    """Quantizes the image, with optimised thresholds.

    Args:
      quality_index: Index of the quality.
      strength: The weight of a bit, beyond that of the image.
    """
    quantizer = self.model.quantizer(quality_index)
    quantized = quantizer.quantize_latents(
      self.latents.at(quality_index),
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
    quantizer = self.model.quantizer(quality_index)
    return Candidate(quality_index, *quantizer.quantize(symbols))

  def expected_bytes(self, candidate: Candidate) -> float:
    """The size of a candidate's file, right within a few bytes."""
    tables = self.model.tables(candidate.quality_index)
    count = lanes.num_lanes(len(candidate.rows), tables.lane_positions)
    return self.model.overhead_bytes(count) + candidate.bits / 8

  def file_bytes(self, candidate: Candidate) -> int:
    """The size of a candidate's file."""
    pack = self.model.pack
    return len(pack(candidate.quality_index, candidate.rows, self.size))

  def decoded(self, candidate: Candidate) -> np.ndarray:
    """The image that a candidate's file decodes to: uint8 [H, W, 3]."""
    tables = self.model.tables(candidate.quality_index)
    rows = candidate.rows.reshape(*self.shape, -1)
    transforms = self.model.transforms(candidate.quality_index)
    return runtimes.image(
      transforms,
      lambda first, end: quantization.latents(rows[first:end], tables),
      *self.size,
    )

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
    lmbda = self.model.lmbda(candidate.quality_index)
    bpp = candidate.bits / (height * width)
    return bpp + lmbda * self.weighted_mse(candidate)

  def distortion(self, candidate: Candidate, metric: str) -> float:
    """Weighted mean squared error, or 1 - MS-SSIM.

    Args:
      candidate: The candidate.
      metric: One of `options.METRICS`.
    """
    if metric == "mse":
      return self.weighted_mse(candidate)
    return 1 - metrics.ms_ssim(self.pixels, self.decoded(candidate))

  def lmbda_of(self, candidate: Candidate, metric: str) -> float:
    """The weight of a distortion against bpp at a candidate's quality.

    A metric that the model was not trained for gets the weight that the trained
    distortion has in the loss.

    Args:
      candidate: The candidate.
      metric: One of `options.METRICS`.
    """
    lmbda = self.model.lmbda(candidate.quality_index)
    trained = self.model.model.config.distortion
    if metric != trained:
      lmbda *= self.distortion(candidate, trained)
      lmbda /= max(self.distortion(candidate, metric), 1e-6)
    return lmbda
