"""The range coder on tensorflow-compression's operations."""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Any

import numpy as np
import tensorflow as tf

from bls2017 import coding_tables, errors, lanes

# Spelled as tfc itself spells it: TensorFlow knows a library by its path, and
# loading one twice under two names leaves the second without operations.
_LIBRARY = "python/ops/../../cc/libtensorflow_compression.so"


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
    count = lanes.num_lanes(positions, tables.lane_positions)
    if not live:
      return [b""] * count
    whole = (count - 1) * tables.lane_positions
    lookup = _lookup(tables)
    streams: list[bytes] = []
    for part, shape in (
      (symbols[:whole], (count - 1, tables.lane_positions, live)),
      (symbols[whole:], (1, positions - whole, live)),
    ):
      if shape[0]:
        handle = _ops().create_range_encoder(shape[:1], lookup)
        handle = _ops().entropy_encode_channel(handle, part.reshape(shape))
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
    last = lanes.last_lane_positions(positions, tables.lane_positions)
    parts = [np.zeros((0, live), np.int32)]
    lookup = _lookup(tables)
    for part, lane_positions in (
      (streams[:-1], tables.lane_positions),
      (streams[-1:], last),
    ):
      if part and live:
        handle = _ops().create_range_decoder(part, lookup)
        _, symbols = _ops().entropy_decode_channel(
          handle, (lane_positions, live), tf.int32
        )
        parts.append(symbols.numpy().reshape(-1, live))
    symbols = np.concatenate(parts) if live else np.zeros((positions, 0), "i4")
    # tfc's own check passes nearly everything; this one passes only what the
    # encoder writes, and encoding is quick.
    if self.encode(symbols, tables) != streams:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
    return symbols


def _lookup(tables: coding_tables.QualityTables) -> np.ndarray:
  """Tables as tfc's operations take them: each row preceded by its precision.

  A positive precision means: no escape code.
  """
  precision = np.full((len(tables.live), 1), coding_tables.PRECISION, np.int32)
  return np.concatenate([precision, tables.cdf], axis=1)
