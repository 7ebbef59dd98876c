"""Parts of images in a graph; see `bls2017.model.regions`."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.common import config
from bls2017.format import lanes
from bls2017.model import regions
from export import verdict
from export.graph import byte_fields, graph_lanes


class Region(NamedTuple):
  """A rectangle of pixels, or of positions, int32 scalars each.

  Attributes:
    x: Columns left of it.
    y: Rows above it.
    width: Columns.
    height: Rows.
  """

  x: tf.Tensor
  y: tf.Tensor
  width: tf.Tensor
  height: tf.Tensor

  def faults(self, height: tf.Tensor, width: tf.Tensor) -> verdict.Verdict:
    """What is wrong with a region of an image of this size, int32 scalars."""
    # Sums of hostile numbers could overflow.
    inside = (
      (self.x >= 0)
      & (self.y >= 0)
      & (self.width >= 1)
      & (self.height >= 1)
      & (self.width <= width)
      & (self.height <= height)
      & (self.x <= width - self.width)
      & (self.y <= height - self.height)
    )
    return verdict.first_fault(
      (
        ~inside,
        verdict.USAGE,
        (
          "the region of ", self.width, " x ", self.height, " pixels at (",
          self.x, ", ", self.y, ") does not lie in the image of ", width,
          " x ", height,
        ),
      )
    )  # fmt: skip

  def positions(self, height: tf.Tensor, width: tf.Tensor) -> Region:
    """The positions that the pixels of this region depend on.

    Args:
      height: Of the image in pixels, int32 scalar.
      width: Likewise.
    """
    h, w = lanes.latent_shape(height, width)
    left, columns = _reached(self.x, self.width, w)
    top, rows = _reached(self.y, self.height, h)
    return Region(left, top, columns, rows)


def _reached(
  first: tf.Tensor, count: tf.Tensor, limit: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """The positions along a side that pixels depend on: the first, how many."""
  step, reach = config.DOWNSAMPLING, regions.REACH
  begin = tf.maximum(first // step - reach, 0)
  end = tf.minimum((first + count - 1) // step + reach + 1, limit)
  return begin, end - begin


class Selection(NamedTuple):
  """The lanes of an image that hold a part of its positions.

  Attributes:
    part: The positions.
    columns: int32 scalar, columns of the image's latents.
    lane_positions: int32 scalar, positions of a lane.
    needed: bool [lanes], whether a lane holds one of the positions.
  """

  part: Region
  columns: tf.Tensor
  lane_positions: tf.Tensor
  needed: tf.Tensor

  @classmethod
  def of(
    cls,
    part: Region,
    height: tf.Tensor,
    width: tf.Tensor,
    lane_positions: tf.Tensor,
  ) -> Selection:
    """The lanes of positions.

    Args:
      part: The positions.
      height: Of the image in pixels, int32 scalar.
      width: Likewise.
      lane_positions: int32 scalar, positions of a lane.
    """
    h, w = lanes.latent_shape(height, width)
    count = (h * w + lane_positions - 1) // lane_positions
    starts = (part.y + tf.range(part.height)) * w + part.x
    first = starts // lane_positions
    last = (starts + part.width - 1) // lane_positions
    # Rows of the part that begin at a lane, less those that ended before it.
    changes = tf.math.unsorted_segment_sum(
      tf.concat([tf.ones_like(first), -tf.ones_like(last)], 0),
      tf.concat([first, last + 1], 0),
      count + 1,
    )
    return cls(part, w, lane_positions, tf.cumsum(changes)[:-1] > 0)

  def positions(self, of_image: tf.Tensor) -> tf.Tensor:
    """How many positions the lanes hold, int32 scalar.

    Args:
      of_image: int32 scalar, positions of the whole image.
    """
    starts = tf.cast(tf.where(self.needed)[:, 0], tf.int32)
    starts *= self.lane_positions
    ends = tf.minimum(starts + self.lane_positions, of_image)
    return tf.reduce_sum(ends - starts)

  def places(self) -> tf.Tensor:
    """Where the positions stand among those of the lanes: int32 [n]."""
    rows = self.part.y + tf.range(self.part.height)
    columns = self.part.x + tf.range(self.part.width)
    numbers = tf.reshape(rows[:, None] * self.columns + columns, [-1])
    lane = numbers // self.lane_positions
    before = tf.cumsum(tf.cast(self.needed, tf.int32), exclusive=True)
    within = numbers % self.lane_positions
    return tf.gather(before, lane) * self.lane_positions + within

  def of_lanes(self, whole: graph_lanes.Lanes) -> graph_lanes.Lanes:
    """The lanes of an image without those that are not needed."""
    numbers = tf.where(self.needed)[:, 0]
    content = tf.RaggedTensor.from_row_lengths(
      byte_fields.from_string(whole.payload), whole.lengths, validate=False
    )
    return whole._replace(
      payload=byte_fields.to_string(tf.gather(content, numbers).flat_values),
      lengths=tf.gather(whole.lengths, numbers),
    )
