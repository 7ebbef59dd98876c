"""The range coder as a graph calls it."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from export.graph import graph_tables
from export.range_coder import stock_decoder, stock_encoder, stock_streams


class Streams(NamedTuple):
  """The lanes of several images.

  Attributes:
    payload: uint8 [total], all lanes one after the other.
    lengths: int32 [lanes].
  """

  payload: tf.Tensor
  lengths: tf.Tensor


class Rows(NamedTuple):
  """The rows of several images, one image after the other.

  Attributes:
    activities: int32 [positions of all images]; zeros where K is 1.
    indices: int32 [sum of positions x L], table indices of live channels.
  """

  activities: tf.Tensor
  indices: tf.Tensor


class StockCoder:
  """TensorFlow's own operations, all images in one loop.

  The qualities of `images` are indices of the model's qualities; those of
  images without positions mean nothing.
  """

  def __init__(self, tables: graph_tables.GraphTables):
    self._tables = tables

  def encode(self, rows: Rows, images: stock_streams.Images) -> Streams:
    """The streams of images."""
    images, tables = self._together(images)
    return Streams(
      *stock_encoder.encode(*rows, images, tables, self._tables.num_activities)
    )

  def decode(
    self, streams: Streams, images: stock_streams.Images
  ) -> tuple[Rows, tf.Tensor]:
    """The rows, and bool [N]: whether an encoder wrote an image's streams."""
    images, tables = self._together(images)
    decoded = stock_decoder.decode(
      *streams, images, tables, self._tables.num_activities
    )
    return Rows(decoded.activities, decoded.indices), decoded.sound

  def _together(
    self, images: stock_streams.Images
  ) -> tuple[stock_streams.Images, stock_streams.Tables]:
    """The tables of the qualities that are needed, and the images' rows."""
    coded = images.positions > 0
    # Images that are not coded share the tables of one that is.
    shared = tf.reduce_max(
      tf.pad(tf.where(coded, images.qualities, 0), [[0, 1]])
    )
    needed, rows = tf.unique(tf.where(coded, images.qualities, shared))
    return (images._replace(qualities=rows), self._tables.for_qualities(needed))
