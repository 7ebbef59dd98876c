"""The runtimes of the range coder as a graph calls them."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from bls2017 import range_coder_stock
from export import graph_bytes, graph_tables


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


def make(runtime: str) -> EntropyCoder:
  """The coder of a runtime, one of `export.RUNTIMES`."""
  return StockCoder() if runtime == "stock" else TfcCoder()


class StockCoder:
  """TensorFlow's own operations."""

  def encode(
    self, symbols: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """See `EntropyCoder.encode`."""
    payload, lengths = range_coder_stock.encode(
      symbols, tables.cdf, tables.lane_positions
    )
    return graph_bytes.to_string(payload), lengths

  def decode(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    positions: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """See `EntropyCoder.decode`."""
    return range_coder_stock.decode(
      graph_bytes.from_string(payload),
      lengths,
      positions,
      tables.cdf,
      tables.lane_positions,
    )


class TfcCoder:
  """tensorflow-compression's operations; only its model servers load these."""

  def __init__(self) -> None:
    # Not before it is asked for: everything else runs without the package.
    import tensorflow_compression as tfc

    self._ops = tfc

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
    whole = (tf.size(lengths) - 1) * tables.lane_positions
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
    step = tables.lane_positions
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
      shape = tf.stack([lanes, lane, tf.size(tables.live)])
      handle = self._ops.create_range_encoder(shape[:1], _lookup(tables.cdf))
      handle = self._ops.entropy_encode_channel(
        handle, tf.reshape(symbols, shape)
      )
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
    lane = positions // tf.maximum(tf.size(streams), 1)

    def decode() -> tf.Tensor:
      handle = self._ops.create_range_decoder(streams, _lookup(tables.cdf))
      _, symbols = self._ops.entropy_decode_channel(
        handle, tf.stack([lane, live]), tf.int32
      )
      return tf.reshape(symbols, tf.stack([positions, live]))

    return tf.cond(
      positions * live > 0,
      decode,
      lambda: tf.zeros(tf.stack([positions, live]), tf.int32),
    )


def _lookup(cdf: tf.Tensor) -> tf.Tensor:
  """Tables as tfc's operations take them, without an escape code."""
  precision = tf.fill(tf.stack([tf.shape(cdf)[0], 1]), 16)
  return tf.concat([precision, cdf], 1)
