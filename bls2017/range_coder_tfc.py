"""The range coder on tensorflow-compression's operations."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from bls2017 import coding_tables, errors, lanes

# Spelled as tfc itself spells it: TensorFlow knows a library by its path, and
# loading one twice under two names leaves the second without operations.
_LIBRARY = "python/ops/../../cc/libtensorflow_compression.so"

_GROUP_SYMBOLS = 2**22
"""Symbols coded by one call: copies of no more than these are made."""


@functools.cache
def _ops() -> Any:
  """Tfc's operations, without importing tfc.

  Its Python package imports TensorFlow Probability, which takes several times
  as long as coding an image.
  """
  spec = importlib.util.find_spec("tensorflow_compression")
  if spec is None or not spec.submodule_search_locations:
    raise errors.ModelError("the package tensorflow-compression is missing")
  path = os.path.join(spec.submodule_search_locations[0], _LIBRARY)
  return tf.load_op_library(path)


class TfcRangeCoder:
  """`range_coder.RangeCoder` on the processor's fastest implementation."""

  def encode(
    self, symbols: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """See `range_coder.RangeCoder.encode`."""
    if not tables.columns:
      return [b""] * lanes.num_lanes(len(symbols), tables.lane_positions)
    all_tables = lookup(tables)
    streams: list[bytes] = []
    for start, end, lane in _groups(len(symbols), tables):
      part = symbols[start:end]
      handle = _ops().create_range_encoder([(end - start) // lane], all_tables)
      if tables.leading:
        values, numbers = lanes.streams(part, lane, tables)
        handle = _ops().entropy_encode_index(handle, numbers, values)
      else:
        part = part.astype(np.int32, copy=False)
        handle = _ops().entropy_encode_channel(
          handle, part.reshape(-1, lane, tables.columns)
        )
      streams.extend(_ops().entropy_encode_finalize(handle).numpy())
    return streams

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """See `range_coder.RangeCoder.decode`."""
    rows = np.empty((positions, tables.columns), np.int32)
    all_tables = lookup(tables)
    first = 0
    for start, end, lane in _groups(positions, tables):
      last = first + (end - start) // lane
      handle = _ops().create_range_decoder(streams[first:last], all_tables)
      decode = _decode_adaptive if tables.leading else _decode_plain
      rows[start:end] = decode(handle, last - first, lane, tables)
      first = last
    # tfc's own check passes nearly everything; this one passes only what the
    # encoder writes, and encoding is quick.
    if self.encode(rows, tables) != streams:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
    return rows


def _decode_plain(
  handle: tf.Tensor,
  num_lanes: int,
  positions: int,
  tables: coding_tables.QualityTables,
) -> np.ndarray:
  """Symbols of equally long lanes, int32 [lanes * positions, columns]."""
  shape = (positions, tables.columns)
  _, symbols = _ops().entropy_decode_channel(handle, shape, tf.int32)
  return symbols.numpy().reshape(num_lanes * positions, -1)


def _decode_adaptive(
  handle: tf.Tensor,
  num_lanes: int,
  positions: int,
  tables: coding_tables.QualityTables,
) -> np.ndarray:
  """Activities, one position of all lanes at a time, then all else at once."""
  decode = _ops().entropy_decode_index
  activities = np.empty((num_lanes, positions), np.int32)
  first = np.int32(tables.activities * len(tables.live))
  before = np.full((num_lanes, 1), tables.activities, np.int32)
  one = tf.constant([1])
  for i in range(positions):
    # NumPy's arrays between the calls: they are indexed ten times as fast.
    handle, decoded = decode(handle, first + before, one, tf.int32)
    before = decoded.numpy()
    activities[:, i] = before[:, 0]
  found = activities.reshape(-1, 1)
  if not len(tables.live):
    return found
  numbers = lanes.symbol_tables(activities, tables)
  _, symbols = decode(handle, numbers, (numbers.shape[1],), tf.int32)
  return np.concatenate([found, symbols.numpy().reshape(len(found), -1)], 1)


def _groups(
  positions: int, tables: coding_tables.QualityTables
) -> Iterator[tuple[int, int, int]]:
  """Runs of whole lanes to be coded by one call, as its lanes are all alike.

  Yields:
    First position, the one after the last, and the positions of a lane.
  """
  if not tables.columns:
    return
  lane = tables.lane_positions
  last = lanes.last_lane_positions(positions, lane)
  whole = positions - last
  step = max(_GROUP_SYMBOLS // (tables.columns * lane), 1) * lane
  for start in range(0, whole, step):
    yield start, min(start + step, whole), lane
  yield whole, positions, last


def lookup(tables: coding_tables.QualityTables) -> np.ndarray:
  """Tables as tfc's operations take them, in the order of `lanes.Streams`.

  Each is preceded by its precision, of which a positive one means: no escape
  code; and ends with 65536. They stand one after the other.
  """
  size = tables.maximum - tables.minimum + 1
  coded = tables.cdf[:, np.repeat(size > 1, size)]
  parts = [_with_ends(coded)]
  if tables.leading:
    parts.append(_with_ends(tables.activity_cdf))
  return np.concatenate(parts)


def _with_ends(cdf: np.ndarray) -> np.ndarray:
  """Tables, [n, S] one after the other, with precisions and ends: flat."""
  flat = cdf.ravel()
  begins = np.flatnonzero(flat == 0)
  ends = np.append(begins, len(flat))[1:]
  places = np.stack([begins, ends], 1).ravel()
  values = np.tile([coding_tables.PRECISION, coding_tables.TOTAL], len(begins))
  # A table's end and the next one's precision go to the same place, in order.
  return np.insert(flat, places, values).astype(np.int32)
