"""The search of `bls2017.encode.rate_control` for a size, in a graph.

Sums of code lengths may round differently than in the library, so that a file
can differ from the library's. The promise is kept by the files themselves.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

from bls2017.encode import rate_control
from bls2017.format import container
from export import verdict
from export.graph import (
  graph_quantization,
  graph_tables,
  graph_transforms,
)

_ONE_AT_A_TIME = 1


class Analysed(NamedTuple):
  """The latents of an image by one pair of transforms.

  Attributes:
    pair: int32 scalar, the number of the pair.
    latents: float32 [positions, C], finite.
    are_finite: bool scalar, whether all latents were that the search has seen;
      those that were not became 0.
  """

  pair: tf.Tensor
  latents: tf.Tensor
  are_finite: tf.Tensor


class Analyser:
  """Analyses one image with the pair of a quality."""

  def __init__(
    self, image: tf.Tensor, transforms: graph_transforms.GraphTransforms
  ):
    """Takes the image, uint8 [H, W, 3], and the model's transforms."""
    self._image, self._transforms = image, transforms

  def start(self, index: tf.Tensor) -> Analysed:
    """The latents that a quality quantizes, by its index."""
    return self._analyse(self._transforms.pair_of(index), tf.constant(True))

  def at(self, index: tf.Tensor, known: Analysed) -> Analysed:
    """Likewise; those that are known serve where they are the quality's."""
    if self._transforms.num_pairs == 1:
      return known
    pair = self._transforms.pair_of(index)
    return tf.cond(
      pair == known.pair,
      lambda: known,
      lambda: self._analyse(pair, known.are_finite),
    )

  def _analyse(self, pair: tf.Tensor, are_finite: tf.Tensor) -> Analysed:
    latents = self._transforms.latents(self._image, pair)
    finite = tf.reduce_all(tf.math.is_finite(latents))
    latents = tf.where(finite, latents, tf.zeros_like(latents))
    return Analysed(pair, latents, are_finite & finite)


class SizedEncoder:
  """Finds the finest coding of an image within a size."""

  def __init__(
    self,
    qualities: int,
    analyser: Analyser,
    size: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    file: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
  ):
    """Takes an image.

    Args:
      qualities: How many the model has.
      analyser: Of the image.
      size: From latents, an index, int32, and a strength, float32, to the bytes
        that the file is expected to take, float32 (`expected_size`).
      file: From the same to the file.
    """
    self._qualities = qualities
    self._analyser = analyser
    self._size_of, self._file_of = size, file

  def encode(
    self, max_bytes: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict, tf.Tensor]:
    """The file.

    Args:
      max_bytes: int32 scalar.

    Returns:
      A string scalar, empty where the verdict says that there is no such file;
      the verdict; and a bool scalar, whether all latents were finite, without
      which both mean nothing.
    """
    limit = tf.cast(max_bytes, tf.float32)
    above, known = self._first_above(limit)
    last = self._qualities - 1
    below = tf.maximum(above - 1, 0)
    finer = self._analyser.at(tf.minimum(above, last), known)
    coarser = self._analyser.at(below, finer)
    # There is no decoded image to compare as in the library; beyond so much,
    # trimming nearly always costs more than the quality below.
    excess = self._size(finer, tf.minimum(above, last), 0.0) - limit
    used_up = (above > 0) & (
      (self._size(coarser, below, 0.0) >= rate_control.FULL_USE * limit)
      | (excess > rate_control.MOST_TRIMMED * limit)
    )
    first = tf.where(used_up | (above > last), below, above)
    second = tf.where(used_up, tf.minimum(above, last), below)

    def trimmed(index: tf.Tensor) -> tf.Tensor:
      image = tf.cond(index == below, lambda: coarser, lambda: finer)
      return self._trimmed(image, index, max_bytes)

    def fits(data: tf.Tensor) -> tf.Tensor:
      return tf.strings.length(data) <= max_bytes

    def smallest_file() -> tf.Tensor:
      image = self._analyser.at(tf.constant(0), coarser)
      return self._file(image, 0, rate_control.MAX_STRENGTH)

    data = trimmed(first)
    data = tf.cond(fits(data), lambda: data, lambda: trimmed(second))
    smallest = tf.cond(fits(data), lambda: data, smallest_file)
    faults = verdict.first_fault(
      (
        ~fits(data),
        verdict.LIMIT,
        (
          "the image cannot be coded in ", max_bytes, " bytes: the smallest"
          " possible size is ", tf.strings.length(smallest), " bytes",
        ),
      )
    )  # fmt: skip
    return (
      tf.where(faults.is_ok(), data, ""),
      faults,
      coarser.are_finite,
    )

  def _first_above(self, limit: tf.Tensor) -> tuple[tf.Tensor, Analysed]:
    """The first quality that takes more than so many bytes, int32 scalar.

    The image comes with it, as it was analysed last.
    """

    def halve(
      low: tf.Tensor, high: tf.Tensor, known: Analysed
    ) -> tuple[tf.Tensor, tf.Tensor, Analysed]:
      middle = (low + high) // 2
      image = self._analyser.at(middle, known)
      larger = self._size(image, middle, 0.0) > limit
      return (
        tf.where(larger, low, middle + 1),
        tf.where(larger, middle, high),
        image,
      )

    middle = tf.constant(self._qualities // 2)
    low, _, known = tf.while_loop(
      lambda low, high, _: low < high,
      halve,
      (
        tf.constant(0),
        tf.constant(self._qualities),
        self._analyser.start(middle),
      ),
      parallel_iterations=_ONE_AT_A_TIME,
    )
    return low, known

  def _trimmed(
    self, image: Analysed, index: tf.Tensor, max_bytes: tf.Tensor
  ) -> tf.Tensor:
    """The file of a quality, trimmed until it fits or cannot be trimmed."""
    last = rate_control.PACKINGS

    def attempt(
      target: tf.Tensor, _: tf.Tensor, tries: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
      strength = self._least_strength(image, index, target)
      data = self._file(image, index, strength)
      excess = tf.cast(tf.strings.length(data) - max_bytes, tf.float32)
      strongest = strength >= rate_control.MAX_STRENGTH
      return target - excess, data, tf.where(strongest, last, tries + 1)

    def goes_on(_: tf.Tensor, data: tf.Tensor, tries: tf.Tensor) -> tf.Tensor:
      too_large = tf.strings.length(data) > max_bytes
      return (tries == 0) | (too_large & (tries < last))

    _, data, _ = tf.while_loop(
      goes_on,
      attempt,
      (tf.cast(max_bytes, tf.float32), tf.constant(""), tf.constant(0)),
      parallel_iterations=_ONE_AT_A_TIME,
    )
    return data

  def _least_strength(
    self, image: Analysed, index: tf.Tensor, target: tf.Tensor
  ) -> tf.Tensor:
    """What makes a file so small, as far as is known; the greatest if none."""

    def halve(
      low: tf.Tensor, high: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
      middle = (low + high) / 2
      fits = self._size(image, index, middle) <= target
      return (
        tf.where(fits, low, middle),
        tf.where(fits, middle, high),
        count + 1,
      )

    def search() -> tf.Tensor:
      _, high, _ = tf.while_loop(
        lambda low, high, count: count < rate_control.BISECTIONS,
        halve,
        (0.0, rate_control.MAX_STRENGTH, 0),
        parallel_iterations=_ONE_AT_A_TIME,
      )
      return high

    return tf.cond(
      self._size(image, index, 0.0) <= target,
      lambda: tf.constant(0.0),
      search,
    )

  def _size(
    self, image: Analysed, index: tf.Tensor | int, strength: tf.Tensor | float
  ) -> tf.Tensor:
    return self._size_of(
      image.latents, _integer(index), tf.cast(strength, tf.float32)
    )

  def _file(
    self, image: Analysed, index: tf.Tensor | int, strength: tf.Tensor | float
  ) -> tf.Tensor:
    return self._file_of(
      image.latents, _integer(index), tf.cast(strength, tf.float32)
    )


def expected_size(
  latents: tf.Tensor,
  tables: graph_tables.QualityTables,
  strength: tf.Tensor,
  version: int,
) -> tf.Tensor:
  """Bytes that a file is expected to take, float32 scalar.

  Args:
    latents: float32 [positions, C].
    tables: Of the quality.
    strength: float32 scalar.
    version: Of the format.
  """
  rows = graph_quantization.quantize(latents, tables, strength)
  bits = graph_quantization.bits(rows, tables)
  lane_positions = tables.lane_positions
  count = (tf.shape(rows)[0] + lane_positions - 1) // lane_positions
  overhead = container.overhead_bytes(tf.cast(count, tf.float32), version)
  return overhead + bits / 8


def _integer(index: tf.Tensor | int) -> tf.Tensor:
  return tf.cast(index, tf.int32)
