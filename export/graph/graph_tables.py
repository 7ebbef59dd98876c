"""The coding tables of all qualities in a graph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.format import coding_tables
from export.range_coder import stock_streams


class QualityTables(NamedTuple):
  """`coding_tables.QualityTables` as tensors.

  Attributes:
    gain: float32 [C].
    inverse_gain: float32 [C].
    offset: float32 [C].
    minimum: int32 [C].
    maximum: int32 [C].
    live: int32 [L].
    cdf: int32 [K, S].
    activity_cdf: int32 [K + 1, K].
    starts: int32 [L], where each live channel begins among the S.
    lane_positions: int32 scalar.
  """

  gain: tf.Tensor
  inverse_gain: tf.Tensor
  offset: tf.Tensor
  minimum: tf.Tensor
  maximum: tf.Tensor
  live: tf.Tensor
  cdf: tf.Tensor
  activity_cdf: tf.Tensor
  starts: tf.Tensor
  lane_positions: tf.Tensor


class GraphTables(tf.Module):
  """All tables of a model; those of a quality are looked up in the graph.

  The largest array is a variable, for the reason of `GraphTransforms`.

  Attributes:
    num_activities: K, sets of tables.
  """

  def __init__(self, tables: coding_tables.CodingTables):
    """Prepares the arrays."""
    super().__init__()
    self._tables = tables
    self._cdf = tf.Variable(tables.cdf, trainable=False)
    self.num_activities = tables.num_activities
    total = tables.size.sum(1, dtype=np.int64)
    self._totals = total.astype(np.int32)
    self._starts = (self.num_activities * (np.cumsum(total) - total)).astype(
      np.int32
    )
    self._live_counts = (tables.size > 1).sum(1).astype(np.int32)
    self._lane_positions = tables.lane_positions.astype(np.int32)
    self._activity_cdf = np.zeros(
      (len(tables), self.num_activities + 1, self.num_activities), np.int32
    )
    if tables.activity_cdf is not None:
      self._activity_cdf[:] = tables.activity_cdf
    # Traced once, so that graphs hold the tables once, whoever asks for them.
    self._quality = tf.function(
      self._look_up,
      input_signature=[tf.TensorSpec((), tf.int32)],
      autograph=False,
    )

  def __len__(self) -> int:
    return len(self._tables)

  def lane_positions(self, index: tf.Tensor) -> tf.Tensor:
    """Positions of a lane of the qualities `index`: int32, of its shape."""
    return tf.gather(self._lane_positions, index)

  def live_counts(self, index: tf.Tensor) -> tf.Tensor:
    """Live channels of the qualities `index`: int32, of its shape."""
    return tf.gather(self._live_counts, index)

  def max_lane_bytes(self, index: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """The longest stream that a lane can need; see `coding_tables`.

    Args:
      index: int32 scalar, index of the quality.
      positions: int32 scalar, of the lane.
    """
    columns = self.live_counts(index) + int(self.num_activities > 1)
    return 2 * positions * columns + coding_tables.MAX_LANE_END_BYTES

  def for_quality(self, index: tf.Tensor) -> QualityTables:
    """The tables of one quality.

    Args:
      index: int32 scalar, from 0 to `len(self) - 1`.
    """
    return QualityTables(*self._quality(index))

  def for_qualities(self, indices: tf.Tensor) -> stock_streams.Tables:
    """The tables of several qualities, as the stock range coder takes them.

    Args:
      indices: int32 [Q], from 0 to `len(self) - 1`.
    """

    def of_quality(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
      tables = self.for_quality(indices[i])
      return tf.reshape(tables.cdf, [-1]), tables.live, tables.starts

    cdf, live, starts = stock_streams.for_images(
      tf.size(indices), of_quality, (tf.int32,) * 3
    )
    return stock_streams.Tables(
      cdf=cdf,
      activity_cdf=tf.gather(self._activity_cdf, indices),
      totals=tf.gather(self._totals, indices),
      live=live,
      live_starts=starts,
      live_counts=self.live_counts(indices),
      lane_positions=self.lane_positions(indices),
      channels=tf.constant(self._tables.gain.shape[1]),
    )

  def _look_up(self, index: tf.Tensor) -> QualityTables:
    tables = self._tables
    size = tf.gather(tables.size.astype(np.int32), index)
    minimum = tf.gather(tables.minimum.astype(np.int32), index)
    live = tf.cast(tf.where(size > 1)[:, 0], tf.int32)
    total = tf.gather(self._totals, index)
    cdf = tf.slice(
      self._cdf,
      tf.gather(self._starts, index)[None],
      (self.num_activities * total)[None],
    )
    cdf = tf.cast(cdf, tf.int32)
    return QualityTables(
      gain=tf.gather(tables.gain, index),
      inverse_gain=tf.gather(tables.inverse_gain, index),
      offset=tf.gather(tables.offset, index),
      minimum=minimum,
      maximum=minimum + size - 1,
      live=live,
      cdf=tf.reshape(cdf, tf.stack([self.num_activities, total])),
      activity_cdf=tf.gather(self._activity_cdf, index),
      starts=tf.gather(tf.cumsum(size, exclusive=True), live),
      lane_positions=self.lane_positions(index),
    )
