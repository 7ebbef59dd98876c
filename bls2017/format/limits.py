"""How large images, and the files of images, may be."""

from __future__ import annotations

from bls2017 import errors
from bls2017.common import config
from bls2017.format import coding_tables, container


def check_size(height: int, width: int, max_pixels: int) -> None:
  """Refuses images that the format or the caller has no room for.

  Args:
    height: Pixels.
    width: Pixels.
    max_pixels: Limit of width times height.

  Raises:
    errors.UsageError: if the image has no pixels.
    errors.LimitError: if it has too many, or a side is too long.
  """
  if not (height and width):
    raise errors.UsageError("an image must have pixels")
  if height * width > max_pixels:
    raise errors.LimitError(
      f"the image has {width} x {height} pixels, the limit is {max_pixels}"
    )
  if max(height, width) > container.MAX_SIDE:
    raise errors.LimitError(
      f"the format holds sides up to {container.MAX_SIDE} pixels, the image has"
      f" {width} x {height}"
    )


def max_file_bytes(max_pixels: int, columns: int, version: int) -> int:
  """The longest file of an image within a limit of pixels.

  Args:
    max_pixels: Limit of width times height.
    columns: Table indices of a position, at most.
    version: Of the format.
  """
  # ceil(h / 16) ceil(w / 16) <= (h + 15) (w + 15) / 256, which for so many
  # pixels is largest where the sides differ most.
  step = config.DOWNSAMPLING
  longest = min(max_pixels, container.MAX_SIDE)
  sides = longest + -(-max_pixels // longest)
  padded = max_pixels + (step - 1) * (sides + step - 1)
  positions = padded // step**2
  lane = coding_tables.MAX_LANE_END_BYTES + container.LANE_LENGTH_BYTES
  most = container.HEADER_BYTES + positions * (2 * columns + lane)
  if version >= container.BOXES_VERSION:
    most += container.BOXES_LENGTH_BYTES + container.MAX_BOXES_BYTES
    most += container.LENGTHS_HEADER_BYTES
  return most
