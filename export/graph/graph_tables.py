"""The coding tables of all qualities in a graph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.format import coding_tables, lanes
from export.range_coder import stock_streams


class Channels(NamedTuple):
  """The channels of a quality, between latents and table indices.

  Attributes:
    gain: float32 [C].
    inverse_gain: float32 [C].
    offset: float32 [C].
    minimum: int32 [C], the smallest symbol of each.
    maximum: int32 [C].
    live: int32 [L], the channels that are coded, in their order.
  """

  gain: tf.Tensor
  inverse_gain: tf.Tensor
  offset: tf.Tensor
  minimum: tf.Tensor
  maximum: tf.Tensor
  live: tf.Tensor


class GraphTables(tf.Module):
  """All tables of a model; a graph looks up those of the quality it needs.

  Arrays are variables for the reason that `GraphTransforms` gives.
  """

  def __init__(self, tables: coding_tables.CodingTables):
    """Takes the tables of a model.

    Args:
      tables: Of any model.

    Raises:
      errors.ModelError: if a quality has more than `stock_streams.MAX_TABLES`.
    """
    super().__init__()
    qualities = [tables.for_quality(i) for i in range(len(tables))]
    if any(_tables_of(t) > stock_streams.MAX_TABLES for t in qualities):
      raise errors.ModelError("the model has too many coding tables")
    room = Room(*map(max, zip(*map(room_of, qualities))))
    self._gain = _hold(tables.gain)
    self._inverse_gain = _hold(tables.inverse_gain)
    self._offset = _hold(tables.offset)
    self._minimum = _hold(tables.minimum.astype(np.int32))
    self._size = _hold(tables.size.astype(np.int32))
    self._live = _Rows([t.live for t in qualities])
    padded = [arrays(t, room) for t in qualities]
    self._fields = [_Rows(list(field)) for field in zip(*padded)]
    self._columns = np.array([t.columns for t in qualities], np.int32)
    self._lane_positions = tables.lane_positions.astype(np.int32)

  def __len__(self) -> int:
    return len(self._columns)

  def fewest_lanes(
    self, index: tf.Tensor, shape: stock_streams.Shape
  ) -> tf.Tensor:
    """Gives `lanes.fewest` of a quality, by its index, and an image: int32."""
    lane_positions = tf.gather(self._lane_positions, index)
    return lanes.fewest(shape[0] * shape[1], lane_positions)

  def columns(self, index: tf.Tensor) -> tf.Tensor:
    """Counts the activity and the live channels of a quality: int32 scalar."""
    return tf.gather(self._columns, index)

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
      live=self._live.row(index),
    )

  def for_quality(self, index: tf.Tensor) -> stock_streams.Tables:
    """Gives the tables of a quality, by its index, an int32 scalar."""
    return stock_streams.Tables(*(rows.row(index) for rows in self._fields))


class _Rows(tf.Module):
  """Integer arrays, one for each quality, whose first axes may differ."""

  def __init__(self, qualities: list[np.ndarray]):
    super().__init__()
    ends = np.cumsum([a.size for a in qualities])
    self._bounds = np.concatenate([[0], ends]).astype(np.int32)
    self._values = _hold(np.concatenate([a.ravel() for a in qualities]))
    shapes = np.array([a.shape for a in qualities])
    self._shape = np.where((shapes == shapes[0]).all(0), shapes[0], -1)

  def row(self, index: tf.Tensor) -> tf.Tensor:
    """Gives the array of a quality, int32."""
    start, end = (tf.gather(self._bounds, index + i) for i in (0, 1))
    values = tf.cast(self._values[start:end], tf.int32)
    return tf.reshape(values, self._shape)


class Room(NamedTuple):
  """How large arrays are that may differ in more than their first axes.

  Attributes:
    channels: X.
    contexts: J.
    classes: N.
  """

  channels: int
  contexts: int
  classes: int


def room_of(tables: coding_tables.QualityTables) -> Room:
  """Gives the room that a quality takes."""
  channels, _, contexts = tables.context_tables.shape
  return Room(channels, contexts, tables.contexts_of.shape[-1] - 1)


def arrays(
  tables: coding_tables.QualityTables, room: Room
) -> stock_streams.Tables:
  """Gives the tables of a quality as arrays, with room for other qualities.

  Args:
    tables: Those of the quality.
    room: At least that of the quality.
  """
  # A channel that the quality lacks has one symbol, whose class is the last
  # one that is held, and whose context is 0.
  x, j, n = room_of(tables)
  shape = room.channels, tables.num_activities, room.contexts
  starts = np.full(shape, len(tables.context_cdf), np.int32)
  starts[:x, :, :j] = tables.context_starts
  sides = [room.classes + 1] * 2
  contexts_of = np.zeros((2, room.channels, *sides), np.uint8)
  own = np.append(np.arange(n), room.classes)
  contexts_of[:, :x, own[:, None], own] = tables.contexts_of
  class_starts = np.full(room.channels, len(tables.context_classes), np.int32)
  class_starts[:x] = tables.class_starts
  return stock_streams.Tables(
    ends=tables.ends,
    end_cdf=tables.end_cdf,
    kind_cdf=tables.kind_cdf,
    activity_cdf=tables.activity_cdf,
    activity_tables=tables.activity_tables,
    surroundings=tables.surroundings,
    cdf=tables.cdf,
    starts=tables.starts,
    zeros=tables.zeros,
    context_cdf=tables.context_cdf,
    context_starts=starts,
    contexts_of=contexts_of,
    context_classes=np.append(tables.context_classes, np.uint8(0)),
    class_starts=class_starts,
  )


def _tables_of(tables: coding_tables.QualityTables) -> int:
  """How many tables the larger of both decoding loops has."""
  heads = np.count_nonzero(tables.context_cdf == 0) + len(tables.kind_cdf)
  return max(heads, np.count_nonzero(tables.cdf == 0))


def _hold(array: np.ndarray) -> tf.Variable:
  return tf.Variable(array, trainable=False)
