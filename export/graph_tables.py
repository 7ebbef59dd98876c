"""The coding tables of all qualities as constants of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
  from bls2017 import coding_tables

_TOTAL = 1 << 16


class QualityTables(NamedTuple):
  """`coding_tables.QualityTables` as tensors.

  Attributes:
    gain: float32 [C].
    inverse_gain: float32 [C].
    offset: float32 [C].
    minimum: int32 [C].
    maximum: int32 [C].
    live: int32 [L].
    cdf: int32 [L, n + 1].
    lane_positions: int32 scalar.
  """

  gain: tf.Tensor
  inverse_gain: tf.Tensor
  offset: tf.Tensor
  minimum: tf.Tensor
  maximum: tf.Tensor
  live: tf.Tensor
  cdf: tf.Tensor
  lane_positions: tf.Tensor


class GraphTables:
  """All tables of a model; a quality's are looked up in the graph."""

  def __init__(self, tables: coding_tables.CodingTables):
    self._tables = tables
    ends = np.cumsum(tables.size.ravel(), dtype=np.int64)
    starts = ends - tables.size.ravel()
    self._starts = starts.reshape(tables.size.shape).astype(np.int32)
    self._max_lane_bytes = np.array(
      [
        tables.for_quality(q).max_lane_bytes(int(tables.lane_positions[q]))
        for q in range(len(tables))
      ],
      np.int32,
    )

  def __len__(self) -> int:
    return len(self._tables)

  def lane_positions(self, index: tf.Tensor) -> tf.Tensor:
    """int32 scalar, the positions of a lane of the quality `index`."""
    return tf.gather(self._tables.lane_positions.astype(np.int32), index)

  def max_lane_bytes(self, index: tf.Tensor) -> tf.Tensor:
    """int32 scalar, the longest stream of a lane of the quality `index`."""
    return tf.gather(self._max_lane_bytes, index)

  def for_quality(self, index: tf.Tensor) -> QualityTables:
    """The tables of one quality.

    Args:
      index: int32 scalar, from 0 to `len(self) - 1`.
    """
    tables = self._tables
    size = tf.gather(tables.size.astype(np.int32), index)
    minimum = tf.gather(tables.minimum.astype(np.int32), index)
    live = tf.cast(tf.where(size > 1)[:, 0], tf.int32)
    live_size = tf.gather(size, live)[:, None]
    column = tf.range(tf.reduce_max(size) + 1)
    start = tf.gather(tf.gather(self._starts, index), live)[:, None]
    # What stands to the right of a table belongs to the next one.
    place = start + tf.minimum(column, live_size - 1)
    values = tf.cast(tf.gather(tables.cdf, place), tf.int32)
    return QualityTables(
      gain=tf.gather(tables.gain, index),
      inverse_gain=tf.gather(tables.inverse_gain, index),
      offset=tf.gather(tables.offset, index),
      minimum=minimum,
      maximum=minimum + size - 1,
      live=live,
      cdf=tf.where(column < live_size, values, _TOTAL),
      lane_positions=self.lane_positions(index),
    )
