"""Bytes to pixels: files checked as a whole, decoded as far as needed.

`open` checks all of a file but the contents of its lanes. Those are decoded by
rows of positions, a block at a time, as the transforms work on strips: neither
the symbols nor the latents of a large image exist as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.common import blocks
from bls2017.format import alpha_box, container, lanes
from bls2017.model import model_directory

BLOCK_POSITIONS = 16384
"""Positions decoded at once, at least; below twice as many, all are."""

REACH = 2
"""Positions around a pixel's own that its value depends on.

The stages of synthesis reach 1 row of their input: 16, 8 and 4 pixels, which
are less than two positions.
"""

REDUCTIONS = (1, 2, 4, 8)


class Region(NamedTuple):
  """A rectangle of pixels, or of positions.

  Attributes:
    x: Columns left of it.
    y: Rows above it.
    width: Columns.
    height: Rows.
  """

  x: int
  y: int
  width: int
  height: int


def open(
  data: bytes, model: model_directory.FrozenModel, max_pixels: int
) -> container.File:
  """Checks a file.

  Args:
    data: Its bytes.
    model: The model that wrote it.
    max_pixels: Limit of width times height.

  Raises:
    errors.BitstreamError: if the bytes are not a whole, unchanged file.
    errors.ForeignModelError: if another model wrote them.
    errors.LimitError: if the image is over the limit.
  """
  header = container.unpack_header(data)
  if header.model_id != model.model_id:
    raise errors.ForeignModelError(
      f"the file was written with model {header.model_id.hex()}; this is model"
      f" {model.model_id.hex()}"
    )
  if header.quality_index >= len(model.tables):
    raise errors.BitstreamError("the file has a quality the model lacks")
  container.check_size(header.height, header.width, max_pixels)
  tables = model.quality_tables(header.quality_index)
  return container.unpack_body(data, header, tables)


def image(
  file: container.File,
  model: model_directory.FrozenModel,
  region: tuple[int, int, int, int] | None = None,
  reduce: int = 1,
) -> np.ndarray:
  """Decodes an image or a part of it.

  Args:
    file: A file of the model.
    model: The model.
    region: As for `Codec.decompress`.
    reduce: One of `REDUCTIONS`.

  Returns:
    uint8 [ceil(height / reduce), ceil(width / reduce), 3], or 4 with alpha.

  Raises:
    errors.UsageError: if the region is empty or not inside of the image, or the
      image cannot be reduced so.
    errors.BitstreamError: if a lane is not what an encoder writes.
  """
  if reduce not in REDUCTIONS:
    raise errors.UsageError(
      f"an image can be reduced by one of {REDUCTIONS}, not {reduce}"
    )
  height, width = file.header.height, file.header.width
  part = Region(*(region or (0, 0, width, height)))
  _check_region(part, height, width)
  needed = _needed_positions(part, height, width)
  rows = _PartRows(file, needed)
  # Up to the end of the last position, or of the image.
  left, top = needed.x * lanes.DOWNSAMPLING, needed.y * lanes.DOWNSAMPLING
  bands = model.transforms(file.header.quality_index).bands(
    lambda first, end: file.tables.latents(rows(first, end)),
    min(needed.height * lanes.DOWNSAMPLING, height - top),
    min(needed.width * lanes.DOWNSAMPLING, width - left),
  )
  alpha = None
  if content := file.content(container.ALPHA):
    alpha = alpha_box.unpack(content)[part.y :, part.x : part.x + part.width]
  part = part._replace(x=part.x - left, y=part.y - top)
  return _assembled(bands, part, reduce, alpha)


def symbols(file: container.File) -> np.ndarray:
  """Decodes the symbols of a file, the same on every machine.

  Returns:
    int32 [h, w, C], one position for 16 x 16 pixels.

  Raises:
    errors.BitstreamError: if a lane is not what an encoder writes.
  """
  h, w = file.header.shape
  found = np.empty((h * w, len(file.tables.minimum)), np.int32)
  for block in blocks.blocks(h * w, BLOCK_POSITIONS):
    end = min(block.stop, h * w)
    found[block] = file.tables.symbols(file.rows(block.start, end))
  return found.reshape(h, w, -1)


def _check_region(region: Region, height: int, width: int) -> None:
  x, y = region.x, region.y
  if (
    min(x, y) < 0
    or min(region.width, region.height) < 1
    or x + region.width > width
    or y + region.height > height
  ):
    raise errors.UsageError(
      f"the region of {region.width} x {region.height} pixels at ({x}, {y})"
      f" does not lie in the image of {width} x {height}"
    )


def _needed_positions(region: Region, height: int, width: int) -> Region:
  """The positions that the pixels of a region depend on."""
  h, w = lanes.latent_shape(height, width)
  step = lanes.DOWNSAMPLING
  left = max(region.x // step - REACH, 0)
  top = max(region.y // step - REACH, 0)
  right = min((region.x + region.width - 1) // step + REACH + 1, w)
  bottom = min((region.y + region.height - 1) // step + REACH + 1, h)
  return Region(left, top, right - left, bottom - top)


class _PartRows:
  """The table indices of a part of a file's positions, as they are needed."""

  def __init__(self, file: container.File, part: Region):
    self._file = file
    self._part = part
    blocks = max(part.height * part.width // BLOCK_POSITIONS, 1)
    self._step = -(-part.height // blocks)
    self._first = 0
    self._rows = np.empty((0, part.width, file.tables.columns), np.uint16)

  def __call__(self, first: int, end: int) -> np.ndarray:
    """The rows of positions from a first one, not above that of the last call.

    Returns uint16 [end - first, part.width, 1 + L].
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
    """So many rows of positions from a first one on."""
    part = self._part
    _, columns = self._file.header.shape
    top = part.y + first
    if 2 * part.width > columns:
      # Its lanes hold nearly all of the rows.
      rows = self._file.rows(top * columns, (top + count) * columns)
      rows = rows.reshape(count, columns, -1)
      return rows[:, part.x : part.x + part.width]
    starts = np.arange(top, top + count) * columns + part.x
    return np.stack(
      [self._file.rows(start, start + part.width) for start in starts.tolist()]
    )


def _assembled(
  bands: Iterable[np.ndarray],
  part: Region,
  factor: int,
  alpha: np.ndarray | None,
) -> np.ndarray:
  """A part of an image that comes in bands, made smaller as they come.

  Samples are means of boxes of factor x factor pixels, which begin at the upper
  left corner of the part; those at its right and lower borders may have fewer.

  Args:
    bands: uint8 [n, W, 3], the rows of the image from top to bottom; none is
      asked for below the part.
    part: Pixels inside of the image.
    factor: One of `REDUCTIONS`.
    alpha: uint8 [part.height or more, part.width]; None if all is opaque.

  Returns:
    uint8 [ceil(part.height / factor), ceil(part.width / factor), 3], or 4 with
    alpha.
  """
  channels = 3 if alpha is None else 4
  height, width = -(-part.height // factor), -(-part.width // factor)
  image = np.empty((height, width, channels), np.uint8)
  waiting = np.empty((0, part.width, channels), np.uint8)
  top, bottom, done = -part.y, part.height, 0
  for band in bands:
    rows = band[max(-top, 0) : max(bottom - top, 0)]
    rows = rows[:, part.x : part.x + part.width]
    if alpha is not None:
      rows = np.dstack([rows, alpha[: len(rows)]])
      alpha = alpha[len(rows) :]
    top += len(band)
    if len(waiting):
      rows = np.concatenate([waiting, rows])
    ready = len(rows) if top >= bottom else len(rows) // factor * factor
    boxes = image[done : done - (-ready // factor)]
    boxes[:] = rows[:ready] if factor == 1 else _means(rows[:ready], factor)
    done += len(boxes)
    if top >= bottom:
      break
    # A copy, so that the band can be freed.
    waiting = rows[ready:].copy()
  return image


def _means(image: np.ndarray, factor: int) -> np.ndarray:
  """Means of boxes of factor x factor pixels, one row of boxes at a time.

  Where there is alpha, it is the weight of the colours, if any of it is not 0.
  """
  height, width, channels = image.shape
  columns = np.arange(0, width, factor)
  widths = np.diff(columns, append=width)
  small = np.empty((-(-height // factor), len(columns), channels), np.uint8)

  def sums(x: np.ndarray) -> np.ndarray:
    return np.add.reduceat(x.sum(0, dtype=np.uint32), columns, axis=0)

  for top in range(0, height, factor):
    box = image[top : top + factor]
    totals = sums(box)
    weights = (len(box) * widths)[:, None].astype(np.uint32)
    small[top // factor] = (2 * totals + weights) // (2 * weights)
    if channels == 4:
      alpha = box[..., 3:].astype(np.uint32)
      totals, weights = sums(box[..., :3] * alpha), totals[:, 3:]
      means = (2 * totals + weights) // np.maximum(2 * weights, 1)
      np.copyto(small[top // factor, :, :3], means, "unsafe", weights > 0)
  return small
