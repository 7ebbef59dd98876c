"""One image on its way into a file: analysed once, quantized at will.

`Attempt` is one way of coding it; `bls2017.encoder.rate_control` searches among
them, `bls2017.encoder.refinement` improves one.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

import numpy as np

from bls2017.bitstream import coding_tables, container, lanes
from bls2017.encoder import quantization
from bls2017.transforms import model_directory, strips

_STRIP = 64
"""Rows of an image that are compared at once."""


@dataclasses.dataclass(frozen=True)
class Attempt:
  """Symbols for an image at one quality.

  Attributes:
    index: Index of the quality (bls2017.bitstream.coding_tables).
    rows: int16 [positions, columns], as a range coder takes them.
    bits: Information content of the symbols under the tables.
    clipped: Latents that lay beyond the ends of their tables.
  """

  index: int
  rows: np.ndarray
  bits: float
  clipped: int


class Primitives:
  """What coding needs of a frozen model, prepared when it is first used.

  Attributes:
    model: The frozen model.
    transforms: Analysis and synthesis.
    pack: Gives the file of a quality's index, of the rows of an image, and of
      its height and width.
  """

  def __init__(
    self,
    model: model_directory.FrozenModel,
    transforms: strips.Transforms,
    pack: Callable[[int, np.ndarray, tuple[int, int]], bytes],
  ):
    """Takes the parts as they are."""
    self.model = model
    self.transforms = transforms
    self.pack = pack
    self._tables: dict[int, coding_tables.QualityTables] = {}
    self._quantizers: dict[int, quantization.Quantizer] = {}

  def tables(self, index: int) -> coding_tables.QualityTables:
    """The tables of a quality, by its index."""
    if index not in self._tables:
      self._tables[index] = self.model.tables.for_quality(index)
    return self._tables[index]

  def quantizer(self, index: int) -> quantization.Quantizer:
    """The quantizer of a quality, by its index."""
    if index not in self._quantizers:
      self._quantizers[index] = quantization.Quantizer(self.tables(index))
    return self._quantizers[index]


class ImageEncoding:
  """An image and its latents, to be coded at one quality or another.

  Attributes:
    image: uint8 [H, W, 3].
    primitives: Of the model.
    weight: What an error at each pixel counts, float32 [H, W], or None.
  """

  def __init__(
    self,
    image: np.ndarray,
    latents: np.ndarray,
    primitives: Primitives,
    strength: float | np.ndarray = 0.0,
    weight: np.ndarray | None = None,
    optimised: bool = False,
  ):
    """Takes an image that was analysed.

    Args:
      image: uint8 [H, W, 3].
      latents: float32 [positions, C].
      primitives: Of the model.
      strength: How much a bit counts everywhere, or float32 [positions]: what
        every attempt begins with (bls2017.encoder.quantization).
      weight: float32 [H, W], what an error at each pixel counts; None for 1
        everywhere.
      optimised: Whether thresholds are bent (bls2017.encoder.quantization).
    """
    self.image = image
    self.weight = weight
    self.primitives = primitives
    self._latents = latents
    self._strength = strength
    self._optimised = optimised

  def with_strength(self, strength: float | np.ndarray) -> ImageEncoding:
    """The same, with another strength for every attempt to begin with."""
    return ImageEncoding(
      self.image,
      self._latents,
      self.primitives,
      strength,
      self.weight,
      self._optimised,
    )

  def rounded(self) -> ImageEncoding:
    """The same, with nothing but rounding to begin with."""
    return ImageEncoding(
      self.image, self._latents, self.primitives, weight=self.weight
    )

  @property
  def qualities(self) -> int:
    """How many qualities the model has."""
    return len(self.primitives.model.tables)

  @property
  def pixels(self) -> int:
    """Height times width."""
    return self.image.shape[0] * self.image.shape[1]

  @property
  def shape(self) -> tuple[int, int]:
    """Positions along both sides of the latents."""
    return lanes.latent_shape(*self.image.shape[:2])

  def scaled(self, index: int) -> np.ndarray:
    """The latents in a quality's unit, float32 [positions, C]."""
    return self.primitives.quantizer(index).scaled(self._latents)

  def attempt(
    self, index: int, strength: float = 0.0, scaled: np.ndarray | None = None
  ) -> Attempt:
    """Quantizes the image.

    Args:
      index: Index of the quality.
      strength: How much a bit counts, beyond what counts everywhere.
      scaled: Other latents in place of `scaled(index)`.
    """
    quantizer = self.primitives.quantizer(index)
    how = self._strength + strength, self._optimised
    if scaled is None:
      found = quantizer.quantize_latents(self._latents, *how)
    else:
      found = quantizer.quantize(scaled, *how)
    return Attempt(index, *found)

  def of_symbols(self, index: int, symbols: np.ndarray) -> Attempt:
    """The coding of given symbols, as they are.

    Args:
      index: Index of the quality.
      symbols: float32 [positions, C], whole numbers inside the tables.
    """
    quantizer = self.primitives.quantizer(index)
    return Attempt(index, *quantizer.quantize(symbols))

  def estimated_bytes(self, attempt: Attempt) -> float:
    """What a file is expected to take, within a few bytes."""
    count = lanes.num_lanes(
      len(attempt.rows), self.primitives.tables(attempt.index).lane_positions
    )
    each = container.LANE_LENGTH_BYTES + coding_tables.MEAN_LANE_END_BYTES
    return container.HEADER_BYTES + each * count + attempt.bits / 8

  def file_bytes(self, attempt: Attempt) -> int:
    """What the file takes."""
    height, width = self.image.shape[:2]
    pack = self.primitives.pack
    return len(pack(attempt.index, attempt.rows, (height, width)))

  def decoded(self, attempt: Attempt) -> np.ndarray:
    """What a decoder makes of the file: uint8 [H, W, 3]."""
    tables = self.primitives.tables(attempt.index)
    rows = attempt.rows.reshape(*self.shape, -1)
    height, width = self.image.shape[:2]
    return self.primitives.transforms.image(
      lambda first, end: quantization.latents(rows[first:end], tables),
      height,
      width,
    )

  def mse(self, attempt: Attempt) -> float:
    """Mean squared error of the decoded image on the 0-255 scale.

    Where errors count more in some places, their weighted mean.
    """
    weights = (
      1.0 if self.weight is None else float(self.weight.mean(dtype="f8"))
    )
    return self.weighted_mse(attempt) / weights

  def weighted_mse(self, attempt: Attempt) -> float:
    """What errors count, each times its weight, on average over all samples."""
    x, x_hat = self.image, self.decoded(attempt)
    total = 0.0
    for top in range(0, len(x), _STRIP):
      rows = slice(top, top + _STRIP)
      difference = x[rows].astype(np.int32) - x_hat[rows]
      squares = np.square(difference).sum(2)
      if self.weight is not None:
        squares = squares * self.weight[rows]
      total += float(squares.sum(dtype="f8"))
    return total / x.size
