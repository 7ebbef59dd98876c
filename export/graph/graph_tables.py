"""The coding tables of all qualities as constants of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from export.range_coder import stock_streams

if TYPE_CHECKING:
  from bls2017.bitstream import coding_tables


class QualityTables(NamedTuple):
  """`coding_tables.QualityTables` as tensors.

  Attributes:
    gain: float32 [C].
    inverse_gain: float32 [C].
    offset: float32 [C].
    minimum: int32 [C].
    maximum: int32 [C].
    live: int32 [L].
    coding: What the range coder needs.
  """

  gain: tf.Tensor
  inverse_gain: tf.Tensor
  offset: tf.Tensor
  minimum: tf.Tensor
  maximum: tf.Tensor
  live: tf.Tensor
  coding: stock_streams.Tables


class GraphTables:
  """All tables of a model; a quality's are looked up in the graph.

  Attributes:
    activities: K, sets of tables.
  """

  def __init__(self, tables: coding_tables.CodingTables):
    self._tables = tables
    self.activities = tables.num_activities
    total = tables.size.sum(1, dtype=np.int64)
    self._totals = total.astype(np.int32)
    self._starts = (self.activities * (np.cumsum(total) - total)).astype("i4")
    self._own = np.zeros(
      (len(tables), self.activities + 1, self.activities), np.int32
    )
    if tables.activity_cdf is not None:
      self._own[:] = tables.activity_cdf
    self._max_lane_bytes = np.array(
      [
        tables.for_quality(q).max_lane_bytes(int(tables.lane_positions[q]))
        for q in range(len(tables))
      ],
      np.int32,
    )
    # Traced once, so that graphs hold the tables once, whoever asks for them.
    self._quality = tf.function(
      self._look_up,
      input_signature=[tf.TensorSpec((), tf.int32)],
      autograph=False,
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
    return self._quality(index)

  def _look_up(self, index: tf.Tensor) -> QualityTables:
    tables = self._tables
    size = tf.gather(tables.size.astype(np.int32), index)
    minimum = tf.gather(tables.minimum.astype(np.int32), index)
    live = tf.cast(tf.where(size > 1)[:, 0], tf.int32)
    total = tf.gather(self._totals, index)
    cdf = tf.slice(
      tables.cdf,
      tf.gather(self._starts, index)[None],
      (self.activities * total)[None],
    )
    cdf = tf.cast(cdf, tf.int32)
    coding = stock_streams.Tables(
      cdf=tf.reshape(cdf, tf.stack([self.activities, total])),
      activity_cdf=tf.gather(self._own, index),
      starts=tf.gather(tf.cumsum(size, exclusive=True), live),
      sizes=tf.gather(size, live),
      lane_positions=self.lane_positions(index),
    )
    return QualityTables(
      gain=tf.gather(tables.gain, index),
      inverse_gain=tf.gather(tables.inverse_gain, index),
      offset=tf.gather(tables.offset, index),
      minimum=minimum,
      maximum=minimum + size - 1,
      live=live,
      coding=coding,
    )
