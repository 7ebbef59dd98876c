"""The range coder in TensorFlow's own operations, vectorised over lanes.

`stock_encoder.encode` and `stock_decoder.decode` are built into graphs that any
TensorFlow runs; `StockRangeCoder` offers them to numpy.
bls2017/bitstream/FORMAT.md describes the streams.

A loop takes one step for all lanes at a time. Its steps are a few tiny
operations each, whose cost is mostly that of starting them, hence:

- a turn of the loop is unrolled over `UNROLL` steps;
- numbers are float64, which holds all of them exactly: a product of a size
  (33 bits) and a frequency (17 bits) has 50 bits, and frequencies are scaled
  by 2**-16, so that `floor` does what the shift does;
- the encoder knows no carries. Its loop follows the size of the interval; what
  is added to base, and at which word, is summed up afterwards, and carries are
  propagated once over all words;
- a channel's tables of all activities follow each other in one rising row, so
  that a single search finds the symbol in the right one
  (`stock_decoder`);
- the decoder follows e = value - base + 1, for which 1 <= e <= size. Symbol s
  is the one with cdf[s] * size < e * 2**16 <= cdf[s + 1] * size, so a binary
  search for e / size finds it. The quotient is rounded to 53 bits, which cannot
  move it past a frequency: where they differ, they do so by 2**-48 at least.

What fills up a turn is coded with a table of one symbol, which changes nothing.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from bls2017 import errors
from export.range_coder import stock_decoder, stock_encoder, stock_streams

if TYPE_CHECKING:
  from bls2017.bitstream import coding_tables

_TABLES = stock_streams.Tables(
  cdf=tf.TensorSpec((None, None), tf.int32),
  activity_cdf=tf.TensorSpec((None, None), tf.int32),
  starts=tf.TensorSpec((None,), tf.int32),
  sizes=tf.TensorSpec((None,), tf.int32),
  lane_positions=tf.TensorSpec((), tf.int32),
)


@functools.cache
def _encode(activities: int) -> Any:
  return tf.function(
    functools.partial(stock_encoder.encode, activities=activities),
    input_signature=[tf.TensorSpec((None, None), tf.int32), _TABLES],
    autograph=False,
  )


@functools.cache
def _decode(activities: int) -> Any:
  return tf.function(
    functools.partial(stock_decoder.decode, activities=activities),
    input_signature=[
      tf.TensorSpec((None,), tf.uint8),
      tf.TensorSpec((None,), tf.int32),
      tf.TensorSpec((), tf.int32),
      _TABLES,
    ],
    autograph=False,
  )


class StockRangeCoder:
  """`range_coder.RangeCoder` on TensorFlow's own operations."""

  def encode(
    self, rows: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """See `range_coder.RangeCoder.encode`."""
    payload, lengths = _encode(tables.num_activities)(
      rows.astype(np.int32), _arrays(tables)
    )
    data = payload.numpy().tobytes()
    ends = np.cumsum(lengths.numpy())
    return [data[e - n : e] for e, n in zip(ends, lengths.numpy())]

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """See `range_coder.RangeCoder.decode`."""
    payload = np.frombuffer(b"".join(streams), np.uint8)
    lengths = np.array([len(stream) for stream in streams], np.int32)
    rows, sound = _decode(tables.num_activities)(
      payload, lengths, positions, _arrays(tables)
    )
    if not sound:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
    return np.asarray(rows)


def _arrays(tables: coding_tables.QualityTables) -> stock_streams.Tables:
  size = tables.maximum - tables.minimum + 1
  return stock_streams.Tables(
    cdf=tables.cdf,
    activity_cdf=tables.activity_cdf,
    starts=tables.starts[tables.live],
    sizes=size[tables.live].astype(np.int32),
    lane_positions=tables.lane_positions,
  )
