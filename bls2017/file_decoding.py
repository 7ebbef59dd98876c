"""Compressed files: checked as a whole, decoded only as far as needed.

Opening a file checks all but the contents of its lanes. Those are decoded by
rows of positions, a block at a time, as the transforms work on strips: neither
the symbols nor the latents of a large image exist as a whole.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.format import (
  coding_tables,
  container,
  lanes,
  limits,
  range_coder,
)
from bls2017.model import model_directory, packaged_models, regions

BLOCK_POSITIONS = 16384
"""Positions that are decoded at once, at least; below twice as many, all are.

A call of the range coder costs the same for few lanes as for many.
"""


class File(NamedTuple):
  """A file whose checks have passed, but those of its lanes' contents.

  Attributes:
    data: Its bytes.
    header: Its fields.
    tables: The tables of its quality.
    boxes: Its metadata, in the order of its types.
    lane_bounds: int64 [lanes + 1], where each lane begins, and the file's end.
  """

  data: bytes
  header: container.Header
  tables: coding_tables.QualityTables
  boxes: list[container.Box]
  lane_bounds: np.ndarray

  @property
  def num_lanes(self) -> int:
    """How many lanes there are."""
    return len(self.lane_bounds) - 1

  @property
  def positions(self) -> regions.Region:
    """All positions of the image."""
    header = self.header
    height, width = lanes.latent_shape(header.height, header.width)
    return regions.Region(0, 0, width, height)

  def streams(self, numbers: np.ndarray) -> list[bytes]:
    """The lanes of given numbers."""
    starts = self.lane_bounds[numbers].tolist()
    ends = self.lane_bounds[numbers + 1].tolist()
    return [self.data[start:end] for start, end in zip(starts, ends)]


def opened(
  data: bytes,
  model: model_directory.FrozenModel,
  tables_of: Callable[[int], coding_tables.QualityTables],
  max_pixels: int,
) -> File:
  """Checks a file.

  Args:
    data: Its bytes.
    model: The model that is to decode it.
    tables_of: Gives the model's tables of a quality's index.
    max_pixels: Limit of width times height.

  Raises:
    errors.BitstreamError: if the bytes are not a whole, unchanged file.
    errors.ForeignModelError: if another model wrote them.
    errors.LimitError: if the image is over the limit.
  """
  header = container.unpack_header(data)
  if header.model_id != model.model_id:
    name = packaged_models.find(header.model_id)
    packaged = f", which the package has as {name}" if name else ""
    raise errors.ForeignModelError(
      f"the file was written with model {header.model_id.hex()}{packaged};"
      f" this is model {model.model_id.hex()}"
    )
  if header.version != model.format_version:
    raise errors.BitstreamError(
      f"the file has version {header.version}, those of its model have"
      f" version {model.format_version}"
    )
  if header.quality_index >= len(model.tables):
    raise errors.BitstreamError("the file has a quality the model lacks")
  limits.check_size(header.height, header.width, max_pixels)
  tables = tables_of(header.quality_index)
  boxes = container.unpack_boxes(data, header)
  bounds = container.lane_bounds(data, header, tables.lane_positions)
  sizes = np.diff(bounds)
  last = lanes.last_lane_positions(header.positions, tables.lane_positions)
  if sizes[-1] > tables.max_lane_bytes(last) or sizes.max() > (
    tables.max_lane_bytes(tables.lane_positions)
  ):
    raise errors.BitstreamError("a lane is longer than its symbols can need")
  return File(data, header, tables, boxes, bounds)


class Rows:
  """The table indices of a part of a file's positions, as they are needed."""

  def __init__(
    self, file: File, coder: range_coder.RangeCoder, part: regions.Region
  ):
    """Decodes nothing yet.

    Args:
      file: The file.
      coder: Decodes its lanes.
      part: Some of its positions.
    """
    self._file = file
    self._coder = coder
    self._part = part
    blocks = max(part.height * part.width // BLOCK_POSITIONS, 1)
    self._step = -(-part.height // blocks)
    self._first = 0
    self._rows = np.empty((0, part.width, file.tables.columns), np.int32)

  def __call__(self, first: int, end: int) -> np.ndarray:
    """The table indices of some rows of positions.

    Args:
      first: The first row, not above that of the call before.
      end: The one after the last.

    Returns:
      int32 [end - first, part.width, columns].

    Raises:
      errors.BitstreamError: if a lane is not what an encoder writes.
    """
    known = self._first + len(self._rows)
    decoded = [self._rows[first - self._first :]]
    while known < end:
      step = min(self._step, self._part.height - known)
      decoded.append(self._decoded(known, step))
      known += step
    # A copy of the first block, which is mostly the only one, takes time.
    decoded = [rows for rows in decoded if len(rows)]
    self._rows = decoded[0] if len(decoded) == 1 else np.concatenate(decoded)
    self._first = first
    return self._rows[: end - first]

  def _decoded(self, first: int, count: int) -> np.ndarray:
    """So many rows of positions from a first one on, from their lanes."""
    part = self._part._replace(y=self._part.y + first, height=count)
    length = self._file.tables.lane_positions
    columns = self._file.positions.width
    if part.width == columns:
      # Whole rows are a run of positions.
      start, end = part.y * columns, (part.y + count) * columns
      needed = np.arange(start // length, -(-end // length))
      rows = self._lanes(needed)
      skipped = start - needed[0] * length
      rows = rows[skipped : skipped + end - start]
      return rows.reshape(count, columns, self._file.tables.columns)
    indices = part.indices(columns)
    needed = np.unique(indices // length)
    rows = self._lanes(needed)
    return rows[
      np.searchsorted(needed, indices // length) * length + indices % length
    ]

  def _lanes(self, needed: np.ndarray) -> np.ndarray:
    """The positions of lanes, by their numbers: int32 [positions, columns]."""
    file = self._file
    length = file.tables.lane_positions
    positions = len(needed) * length
    if needed[-1] == file.num_lanes - 1:
      positions -= file.num_lanes * length - file.header.positions
    return self._coder.decode(file.streams(needed), positions, file.tables)
