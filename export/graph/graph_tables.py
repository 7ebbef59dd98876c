"""The coding tables of all qualities in a graph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.format import coding_tables
from export.range_coder import stock_streams


class Channels(NamedTuple):
  """The channels of a quality, between latents and table indices.

  Attributes:
    gain: float32 [C].
    inverse_gain: float32 [C].
    offset: float32 [C].
    minimum: int32 [C], the smallest symbol of each.
    maximum: int32 [C].
    live: int32 [L], the channels that are coded.
  """

  gain: tf.Tensor
  inverse_gain: tf.Tensor
  offset: tf.Tensor
  minimum: tf.Tensor
  maximum: tf.Tensor
  live: tf.Tensor


class GraphTables(tf.Module):
  """All tables of a model; a graph looks up those of the qualities it needs.

  Arrays are variables for the reason that `GraphTransforms` gives.
  """

  def __init__(self, tables: coding_tables.CodingTables):
    super().__init__()
    size = tables.size.astype(np.int32)
    live = size > 1
    starts = np.cumsum(size, 1) - size
    sets = tables.num_activities
    activity_cdf = np.zeros((len(tables), sets + 1, sets), np.int32)
    if tables.activity_cdf is not None:
      activity_cdf[:] = tables.activity_cdf
    self._len = len(tables)
    self._gain = _hold(tables.gain)
    self._inverse_gain = _hold(tables.inverse_gain)
    self._offset = _hold(tables.offset)
    self._minimum = _hold(tables.minimum.astype(np.int32))
    self._size = _hold(size)
    self._cdf = _hold(tables.cdf)
    self._activity_cdf = _hold(activity_cdf)
    self._live = _hold(np.nonzero(live)[1].astype(np.int32))
    self._live_starts = _hold(starts[live].astype(np.int32))
    # A row for each quality.
    self._live_counts = live.sum(1, dtype=np.int32)
    self._totals = size.sum(1, dtype=np.int32)
    self._lane_positions = tables.lane_positions.astype(np.int32)

  def __len__(self) -> int:
    return self._len

  def live_counts(self, index: tf.Tensor) -> tf.Tensor:
    """Counts the live channels of the qualities `index`, int32 of any shape."""
    return tf.gather(self._live_counts, index)

  def lane_positions(self, index: tf.Tensor) -> tf.Tensor:
    """Gives the positions of a lane of qualities, by their indices."""
    return tf.gather(self._lane_positions, index)

  def num_lanes(self, index: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Counts the lanes of images, by indices of qualities and positions."""
    step = self.lane_positions(index)
    return (positions + step - 1) // step

  def max_lane_bytes(self, index: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Gives the longest stream that a lane can need (`coding_tables`), int32.

    Args:
      index: int32 scalar, index of the quality.
      positions: int32 scalar, of the lane.
    """
    columns = 1 + self.live_counts(index)
    return 2 * positions * columns + coding_tables.MAX_LANE_END_BYTES

  def channels(self, index: tf.Tensor) -> Channels:
    """Gives the channels of a quality, by its index, an int32 scalar."""
    minimum = tf.gather(self._minimum, index)
    size = tf.gather(self._size, index)
    return Channels(
      gain=tf.gather(self._gain, index),
      inverse_gain=tf.gather(self._inverse_gain, index),
      offset=tf.gather(self._offset, index),
      minimum=minimum,
      maximum=minimum + size - 1,
      live=_rows(self._live, self._live_counts, index[None]),
    )

  def for_qualities(self, indices: tf.Tensor) -> stock_streams.Tables:
    """Gives the tables of some qualities, by their indices, int32 [Q]."""
    sets = self._activity_cdf.shape[2]
    cdf = _rows(self._cdf, sets * self._totals, indices)
    return stock_streams.Tables(
      cdf=tf.cast(cdf, tf.int32),
      activity_cdf=tf.gather(self._activity_cdf, indices),
      totals=tf.gather(self._totals, indices),
      live_starts=_rows(self._live_starts, self._live_counts, indices),
      live_counts=self.live_counts(indices),
      lane_positions=self.lane_positions(indices),
    )

  def for_images(
    self, qualities: tf.Tensor, positions: tf.Tensor
  ) -> tuple[stock_streams.Images, stock_streams.Tables]:
    """Gives the tables of the qualities that images have, each once.

    Args:
      qualities: int32 [N], indices of qualities.
      positions: int32 [N]; the quality of an image of no positions means
        nothing.
    """
    coded = positions > 0
    # Images that are not coded share the tables of one that is.
    shared = tf.reduce_max(tf.pad(tf.where(coded, qualities, 0), [[0, 1]]))
    needed, rows = tf.unique(tf.where(coded, qualities, shared))
    images = stock_streams.Images(rows, positions)
    return images, self.for_qualities(needed)


def _hold(array: np.ndarray) -> tf.Variable:
  return tf.Variable(array, trainable=False)


def _rows(
  values: tf.Variable, lengths: np.ndarray, indices: tf.Tensor
) -> tf.Tensor:
  """Some rows of values that are held one row after the other."""
  splits = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
  rows = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
  return tf.gather(rows, indices).flat_values
