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
    positions, live = symbols.shape
    if not live:
      return [b""] * lanes.num_lanes(positions, tables.lane_positions)
    lookup = _lookup(tables)
    streams: list[bytes] = []
    for start, end, lane in _groups(positions, live, tables.lane_positions):
      part = symbols[start:end].astype(np.int32, copy=False)
      handle = _ops().create_range_encoder([(end - start) // lane], lookup)
      handle = _ops().entropy_encode_channel(
        handle, part.reshape(-1, lane, live)
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
    live = len(tables.live)
    rows = np.empty((positions, live), np.int32)
    lookup = _lookup(tables)
    first = 0
    for start, end, lane in _groups(positions, live, tables.lane_positions):
      last = first + (end - start) // lane
      handle = _ops().create_range_decoder(streams[first:last], lookup)
      _, symbols = _ops().entropy_decode_channel(handle, (lane, live), tf.int32)
      rows[start:end] = symbols.numpy().reshape(-1, live)
      first = last
    # tfc's own check passes nearly everything; this one passes only what the
    # encoder writes, and encoding is quick.
    if self.encode(rows, tables) != streams:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
    return rows


def _groups(
  positions: int, live: int, lane_positions: int
) -> Iterator[tuple[int, int, int]]:
  """Runs of whole lanes to be coded by one call, as its lanes are all alike.

  Yields:
    First position, the one after the last, and the positions of a lane.
  """
  if not live:
    return
  last = lanes.last_lane_positions(positions, lane_positions)
  whole = positions - last
  step = max(_GROUP_SYMBOLS // (live * lane_positions), 1) * lane_positions
  for start in range(0, whole, step):
    yield start, min(start + step, whole), lane_positions
  yield whole, positions, last


def _lookup(tables: coding_tables.QualityTables) -> np.ndarray:
  """Tables as tfc's operations take them: each row preceded by its precision.

  A positive precision means: no escape code.
  """
  precision = np.full((len(tables.live), 1), coding_tables.PRECISION, np.int32)
  return np.concatenate([precision, tables.cdf], axis=1)
