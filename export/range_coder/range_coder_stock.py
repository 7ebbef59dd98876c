"""The range coder in TensorFlow's own operations, vectorised over lanes.

`stock_encoder.encode` and `stock_decoder.decode` are built into graphs that any
TensorFlow runs; `StockRangeCoder` offers them to NumPy.
bls2017/format/FORMAT.md describes the streams.

A loop takes one step for the lanes of all images at a time, whatever their
sizes and qualities. A step is some twenty small operations, which take little
longer for hundreds of lanes than for one, hence:

- a turn of the loop is unrolled over `UNROLL` steps. Steps that fill up a
  lane's last turn are coded with a table of one symbol, which changes nothing;
- lanes stand in the order of their steps. Those that have ended come last, are
  left out of the turns that follow, and cost nothing;
- numbers are float64, which holds all of them exactly: a product of a size
  (33 bits) and a frequency (17 bits) has 50 bits;
- the encoder knows no carries. Its loop follows the size of the interval; what
  is added to base, and at which word, is summed up afterwards, and carries are
  propagated once over all words;
- the decoder follows e = value - base + 1, for which 1 <= e <= size. Table
  index s is the last one with cdf[s] * size < e * 2**16, that is with
  cdf[s] < t = ceil(e * 2**16 / size). The quotient is rounded to 53 bits, which
  does not change t: a quotient that is no integer is 2**-32 away from the next
  one at least;
- from some dozens of lanes on, two threads work on one half of them each;
- all tables stand in one rising row, table n raised by n * 2**16, so that a
  single search for t + n * 2**16 finds the table index of every lane.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from bls2017 import errors
from export.range_coder import stock_decoder, stock_encoder, stock_streams

if TYPE_CHECKING:
  from bls2017.format import coding_tables

_NUMBERS = tf.TensorSpec((None,), tf.int32)
_IMAGES = stock_streams.Images(_NUMBERS, _NUMBERS)
_TABLES = stock_streams.Tables(
  cdf=_NUMBERS,
  activity_cdf=tf.TensorSpec((None, None, None), tf.int32),
  totals=_NUMBERS,
  live=_NUMBERS,
  live_starts=_NUMBERS,
  live_counts=_NUMBERS,
  lane_positions=_NUMBERS,
  channels=tf.TensorSpec((), tf.int32),
)


@functools.cache
def _encode(num_activities: int) -> Any:
  return tf.function(
    functools.partial(stock_encoder.encode, num_activities=num_activities),
    input_signature=[_NUMBERS, _NUMBERS, _IMAGES, _TABLES],
    autograph=False,
  )


@functools.cache
def _decode(num_activities: int) -> Any:
  return tf.function(
    functools.partial(stock_decoder.decode, num_activities=num_activities),
    input_signature=[
      tf.TensorSpec((None,), tf.uint8), _NUMBERS, _IMAGES, _TABLES
    ],
    autograph=False,
  )  # fmt: skip


class StockRangeCoder:
  """`range_coder.RangeCoder` on TensorFlow's own operations."""

  def encode(
    self, rows: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """See `range_coder.RangeCoder.encode`."""
    return self.encode_together([rows], [tables])[0]

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """See `range_coder.RangeCoder.decode`."""
    (rows,) = self.decode_together([streams], [positions], [tables])
    if rows is None:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
    return rows

  def encode_together(
    self,
    rows: Sequence[np.ndarray],
    tables: Sequence[coding_tables.QualityTables],
  ) -> list[list[bytes]]:
    """`encode` for several images in one loop.

    Args:
      rows: For each image its rows, at least one.
      tables: For each image the tables of its quality, all of one model.

    Returns:
      For each image its streams.
    """
    count, columns = tables[0].num_activities, tables[0].activity_columns
    if columns:
      activities = np.concatenate([r[:, 0] for r in rows])
    else:
      activities = np.zeros(sum(map(len, rows)))
    payload, lengths = _encode(count)(
      activities.astype(np.int32),
      np.concatenate([r[:, columns:].ravel() for r in rows]).astype(np.int32),
      _images([len(r) for r in rows]),
      _arrays(tables),
    )
    data, ends = payload.numpy().tobytes(), np.cumsum(lengths.numpy())
    streams = [data[e - n : e] for e, n in zip(ends, lengths.numpy())]
    numbers = [-(-len(r) // t.lane_positions) for r, t in zip(rows, tables)]
    last = np.cumsum(numbers)
    return [streams[e - n : e] for e, n in zip(last, numbers)]

  def decode_together(
    self,
    streams: Sequence[list[bytes]],
    positions: Sequence[int],
    tables: Sequence[coding_tables.QualityTables],
  ) -> list[np.ndarray | None]:
    """The inverse of `encode_together`.

    Args:
      streams: For each image its streams, any bytes.
      positions: For each image its positions, at least one.
      tables: For each image the tables of its quality, all of one model.

    Returns:
      For each image int32 [positions, columns], or None where an encoder would
      not write its streams.
    """
    parts = [stream for of_image in streams for stream in of_image]
    decoded = _decode(tables[0].num_activities)(
      np.frombuffer(b"".join(parts), np.uint8),
      np.array([len(part) for part in parts], np.int32),
      _images(positions),
      _arrays(tables),
    )
    activities, indices, sound = (x.numpy() for x in decoded)
    rows: list[np.ndarray | None] = []
    for n, t, is_sound in zip(positions, tables, sound):
      live = len(t.live)
      row = np.empty((n, t.columns), np.int32)
      row[:, : t.activity_columns] = activities[:n, None]
      row[:, t.activity_columns :] = indices[: n * live].reshape(n, live)
      rows.append(row if is_sound else None)
      activities, indices = activities[n:], indices[n * live :]
    return rows


def _images(positions: Sequence[int]) -> stock_streams.Images:
  return stock_streams.Images(
    np.arange(len(positions), dtype=np.int32), np.array(positions, np.int32)
  )


def _arrays(
  tables: Sequence[coding_tables.QualityTables],
) -> stock_streams.Tables:
  def integers(values: list[int]) -> np.ndarray:
    return np.array(values, np.int32)

  return stock_streams.Tables(
    cdf=np.concatenate([t.cdf.ravel() for t in tables]),
    activity_cdf=np.stack([t.activity_cdf for t in tables]),
    totals=integers([t.cdf.shape[1] for t in tables]),
    live=np.concatenate([t.live for t in tables]),
    live_starts=np.concatenate([t.starts[t.live] for t in tables]),
    live_counts=integers([len(t.live) for t in tables]),
    lane_positions=integers([t.lane_positions for t in tables]),
    channels=np.int32(len(tables[0].gain)),
  )
