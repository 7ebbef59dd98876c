"""The range coder on tensorflow-compression's operations."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.format import coding_tables, lanes

# Spelled as tfc itself spells it: TensorFlow knows a library by its path, and
# loading one twice under two names leaves the second without operations.
_LIBRARY = "python/ops/../../cc/libtensorflow_compression.so"

_GROUP_INDICES = 2**20
"""Table indices coded by one call: copies of no more than these are made."""


@functools.cache
def operations() -> Any:
  """Tfc's operations, without importing tfc.

  Its Python package imports TensorFlow Probability, which takes several times
  as long as coding an image.

  Raises:
    errors.ModelError: if tfc is not installed.
  """
  spec = importlib.util.find_spec("tensorflow_compression")
  if spec is None or not spec.submodule_search_locations:
    raise errors.ModelError("the package tensorflow-compression is missing")
  path = os.path.join(spec.submodule_search_locations[0], _LIBRARY)
  return tf.load_op_library(path)


class TfcRangeCoder:
  """`range_coder.RangeCoder` on the processor's fastest implementation."""

  def __init__(self) -> None:
    """Threads may share a coder."""
    self._latest: tuple[coding_tables.QualityTables, tf.Tensor] | None = None

  def _lookup(self, tables: coding_tables.QualityTables) -> tf.Tensor:
    """`lookup`, kept until other tables are used."""
    latest = self._latest
    if latest is None or latest[0] is not tables:
      latest = tables, tf.constant(lookup(tables))
      self._latest = latest
    return latest[1]

  def encode(
    self, rows: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """See `range_coder.RangeCoder.encode`."""
    if not tables.columns:
      return [b""] * lanes.num_lanes(len(rows), tables.lane_positions)
    all_tables = self._lookup(tables)
    streams: list[bytes] = []
    for start, end, lane in _groups(len(rows), tables):
      contents = lanes.contents(rows[start:end], lane, tables)
      streams.extend(_encoded([contents], all_tables))
    return streams

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """See `range_coder.RangeCoder.decode`."""
    rows = np.empty((positions, tables.columns), np.int32)
    if not tables.columns:
      _check(streams, [b""] * len(streams))
      return rows
    all_tables = self._lookup(tables)
    first = 0
    for start, end, lane in _groups(positions, tables):
      part = streams[first : first + (end - start) // lane]
      handle = operations().create_range_decoder(part, all_tables)
      parts = _decoded(handle, len(part), lane, tables)
      # tfc's own check passes nearly everything; this one passes only what the
      # encoder writes, and encoding is quick.
      _check(part, _encoded(parts, all_tables))
      columns = [p.indices.reshape(end - start, -1) for p in parts]
      np.concatenate(columns, 1, out=rows[start:end])
      first += len(part)
    return rows


def _check(streams: list[bytes], encoded: list[bytes]) -> None:
  if streams != encoded:
    raise errors.BitstreamError(
      "the payload is not what an encoder of this format writes"
    )


def _encoded(
  parts: Sequence[lanes.Contents], all_tables: tf.Tensor
) -> list[bytes]:
  """Streams of lanes, whose contents come in parts one after the other."""
  num_lanes = len(parts[0].indices)
  handle = operations().create_range_encoder([num_lanes], all_tables)
  for indices, numbers in parts:
    handle = operations().entropy_encode_index(handle, numbers, indices)
  return list(operations().entropy_encode_finalize(handle).numpy())


def _decoded(
  handle: tf.Tensor,
  num_lanes: int,
  positions: int,
  tables: coding_tables.QualityTables,
) -> list[lanes.Contents]:
  """What equally long lanes hold: activities, if any, and live channels."""
  decode = operations().entropy_decode_index
  activities = np.zeros((num_lanes, positions), np.int32)
  parts = []
  if tables.activity_columns:
    numbers = np.empty_like(activities)
    before = np.full((num_lanes, 1), tables.num_activities, np.int32)
    one = tf.constant([1])
    for i in range(positions):
      numbers[:, i : i + 1] = lanes.activity_tables(before, tables)
      # NumPy's arrays between the calls: they are indexed ten times as fast.
      handle, decoded = decode(handle, numbers[:, i : i + 1], one, tf.int32)
      before = decoded.numpy()
      activities[:, i : i + 1] = before
    parts.append(lanes.Contents(activities, numbers))
  if len(tables.live):
    numbers = lanes.channel_tables(activities, tables)
    _, decoded = decode(handle, numbers, (numbers.shape[1],), tf.int32)
    parts.append(lanes.Contents(decoded.numpy(), numbers))
  return parts


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
  step = max(_GROUP_INDICES // (tables.columns * lane), 1) * lane
  for start in range(0, whole, step):
    yield start, min(start + step, whole), lane
  yield whole, positions, last


def lookup(tables: coding_tables.QualityTables) -> np.ndarray:
  """Tables as tfc's operations take them, in the order of `lanes.Contents`.

  Each is preceded by its precision, of which a positive one means: no escape
  code; and ends with 65536. They stand one after the other.
  """
  size = tables.maximum - tables.minimum + 1
  coded = tables.cdf[:, np.repeat(size > 1, size)]
  parts = [_with_ends(coded)]
  if tables.activity_columns:
    parts.append(_with_ends(tables.activity_cdf))
  return np.concatenate(parts)


def _with_ends(cdf: np.ndarray) -> np.ndarray:
  """Tables, [n, S] one after the other, with precisions and ends: flat."""
  flat = cdf.ravel()
  begins = np.flatnonzero(flat == 0)
  ends = np.append(begins, len(flat))[1:]
  at = np.stack([begins, ends], 1).ravel()
  values = np.tile([coding_tables.PRECISION, coding_tables.TOTAL], len(begins))
  # A table's end and the next one's precision are inserted at the same index;
  # they keep their order.
  return np.insert(flat, at, values).astype(np.int32)
