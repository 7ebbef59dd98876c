"""The runtimes of the range coder as a graph calls them."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from bls2017.bitstream import range_coder_tfc
from export.graph import byte_fields, graph_tables
from export.range_coder import stock_decoder, stock_encoder


class EntropyCoder(Protocol):
  """Symbols to a payload and back; `range_coder_stock` has the arguments."""

  def encode(
    self, symbols: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """The payload, a string scalar, and int32 [lanes], the lanes' lengths."""

  def decode(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    positions: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """The symbols, and a bool scalar: whether an encoder wrote the payload."""


def make(runtime: str, activities: int) -> EntropyCoder:
  """A coder.

  Args:
    runtime: One of `export.RUNTIMES`.
    activities: Sets of tables of the model.
  """
  coder = StockCoder if runtime == "stock" else TfcCoder
  return coder(activities)


class StockCoder:
  """TensorFlow's own operations."""

  def __init__(self, activities: int):
    self._activities = activities

  def encode(
    self, symbols: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """See `EntropyCoder.encode`."""
    payload, lengths = stock_encoder.encode(
      symbols, tables.coding, self._activities
    )
    return byte_fields.to_string(payload), lengths

  def decode(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    positions: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """See `EntropyCoder.decode`."""
    return stock_decoder.decode(
      byte_fields.from_string(payload),
      lengths,
      positions,
      tables.coding,
      self._activities,
    )


class TfcCoder:
  """tensorflow-compression's operations; only its model servers load these."""

  def __init__(self, activities: int):
    self._activities = activities
    # Not before it is asked for: everything else runs without the package.
    self._ops = range_coder_tfc.operations()

  def encode(
    self, symbols: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """See `EntropyCoder.encode`."""
    streams = self._encode(symbols, tables)
    return tf.strings.reduce_join(streams), tf.strings.length(streams)

  def decode(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    positions: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """See `EntropyCoder.decode`."""
    starts = tf.cumsum(lengths, exclusive=True)
    streams = tf.map_fn(
      lambda x: tf.strings.substr(payload, x[0], x[1]),
      (starts, lengths),
      fn_output_signature=tf.string,
    )
    whole = (tf.size(lengths) - 1) * tables.coding.lane_positions
    symbols = tf.concat(
      [
        self._decode(streams[:-1], whole, tables),
        self._decode(streams[-1:], positions - whole, tables),
      ],
      0,
    )
    again = self._encode(symbols, tables)
    return symbols, tf.reduce_all(again == streams)

  def _encode(
    self, symbols: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tf.Tensor:
    step = tables.coding.lane_positions
    positions = tf.shape(symbols)[0]
    whole = (positions - 1) // step * step
    parts = ((symbols[:whole], step), (symbols[whole:], positions - whole))
    return tf.concat(
      [self._encode_lanes(part, lane, tables) for part, lane in parts], 0
    )

  def _encode_lanes(
    self,
    symbols: tf.Tensor,
    lane: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tf.Tensor:
    """Streams of lanes that are all of one length."""
    lanes = tf.shape(symbols)[0] // lane

    def encode() -> tf.Tensor:
      handle = self._ops.create_range_encoder(lanes[None], self._lookup(tables))
      values = tf.reshape(
        symbols, tf.stack([lanes, lane, tf.shape(symbols)[1]])
      )
      activities = tf.zeros(tf.stack([lanes, lane]), tf.int32)
      if self._activities > 1:
        activities, values = values[..., 0], values[..., 1:]
      numbers = self._numbers(activities, tables)
      values = tf.reshape(values, tf.shape(numbers))
      if self._activities > 1:
        before = tf.pad(
          activities[:, :-1], [[0, 0], [1, 0]],
          constant_values=self._activities,
        )  # fmt: skip
        own = self._first_own(tables) + before
        numbers = tf.concat([own, numbers], 1)
        values = tf.concat([activities, values], 1)
      handle = self._ops.entropy_encode_index(handle, numbers, values)
      return self._ops.entropy_encode_finalize(handle)

    # The operations do not take empty tensors.
    return tf.cond(
      tf.size(symbols) > 0, encode, lambda: tf.fill(lanes[None], "")
    )

  def _decode(
    self,
    streams: tf.Tensor,
    positions: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tf.Tensor:
    """The symbols of lanes that are all of one length."""
    live = tf.size(tables.live)
    columns = live + int(self._activities > 1)
    lanes = tf.size(streams)
    lane = positions // tf.maximum(lanes, 1)

    def decode() -> tf.Tensor:
      handle = self._ops.create_range_decoder(streams, self._lookup(tables))
      activities = tf.zeros(tf.stack([lanes, lane]), tf.int32)
      if self._activities > 1:
        handle, activities = self._decode_activities(
          handle, lanes, lane, self._first_own(tables)
        )
      numbers = self._numbers(activities, tables)
      _, symbols = self._ops.entropy_decode_index(
        handle, numbers, tf.shape(numbers)[1:], tf.int32
      )
      symbols = tf.reshape(symbols, tf.stack([positions, live]))
      if self._activities == 1:
        return symbols
      return tf.concat([tf.reshape(activities, [-1, 1]), symbols], 1)

    return tf.cond(
      positions * columns > 0,
      decode,
      lambda: tf.zeros(tf.stack([positions, columns]), tf.int32),
    )

  def _decode_activities(
    self,
    handle: tf.Tensor,
    lanes: tf.Tensor,
    lane: tf.Tensor,
    first: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """The activities, int32 [lanes, lane], one position after the other."""

    def decode(
      t: tf.Tensor, handle: tf.Tensor, before: tf.Tensor, found: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
      handle, activity = self._ops.entropy_decode_index(
        handle, first + before, (1,), tf.int32
      )
      activity = tf.ensure_shape(activity, (None, 1))
      return t + 1, handle, activity, found.write(t, activity[:, 0])

    _, handle, _, found = tf.while_loop(
      lambda t, *_: t < lane,
      decode,
      (
        tf.constant(0),
        handle,
        tf.fill(tf.stack([lanes, 1]), self._activities),
        tf.TensorArray(tf.int32, lane, element_shape=(None,)),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        tf.TensorShape(None),
        tf.TensorShape((None, 1)),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return handle, tf.transpose(found.stack())

  def _numbers(
    self, activities: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tf.Tensor:
    """The tables in `_lookup` of the symbols of lanes.

    Args:
      activities: int32 [lanes, lane].
      tables: Of the quality.

    Returns:
      int32 [lanes, lane * L].
    """
    channels = tf.size(tables.gain)
    numbers = activities[..., None] * channels + tables.live
    lanes, lane, live = tf.unstack(tf.shape(numbers))
    return tf.reshape(numbers, tf.stack([lanes, lane * live]))

  def _first_own(self, tables: graph_tables.QualityTables) -> tf.Tensor:
    """The number of the first table of activities."""
    return self._activities * tf.size(tables.gain)

  def _lookup(self, tables: graph_tables.QualityTables) -> tf.Tensor:
    """Tables as tfc's operations take them, without an escape code.

    For each activity those of all channels; then those of activities. Each has
    its precision before it and its end behind it.
    """
    parts = [_with_ends(tables.coding.cdf)]
    if self._activities > 1:
      parts.append(_with_ends(tables.coding.activity_cdf))
    return tf.concat(parts, 0)


def _with_ends(cdf: tf.Tensor) -> tf.Tensor:
  """Tables, int32 [n, S] one after the other, with precisions and ends."""
  flat = tf.reshape(cdf, [-1])
  starts = tf.where(flat == 0)[:, 0]
  tables = tf.RaggedTensor.from_row_starts(flat, starts, validate=False)
  column = tf.ones_like(starts, tf.int32)[:, None]
  precision, end = (column * value for value in (16, 1 << 16))
  return tf.concat([precision, tables, end], 1).flat_values
