"""The quantization of `bls2017.encode.quantization` in a graph."""

from __future__ import annotations

import tensorflow as tf

from bls2017.encode import quantization
from export.graph import graph_activities, graph_lengths, graph_tables
from export.range_coder import stock_streams


def scaled(latents: tf.Tensor, channels: graph_tables.Channels) -> tf.Tensor:
  """Gives latents, float32 [positions, C], in the unit of the symbols."""
  return latents * channels.gain - channels.offset


def quantize(
  scaled_latents: tf.Tensor,
  shape: stock_streams.Shape,
  channels: graph_tables.Channels,
  tables: stock_streams.Tables,
  fewest_lanes: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Chooses the symbols of an image, their activities, and the lanes.

  Args:
    scaled_latents: float32 [positions, C], finite, from `scaled`.
    shape: Positions along both sides.
    channels: Those of the quality.
    tables: Those of the quality.
    fewest_lanes: int32 scalar, lanes that the image must have.

  Returns:
    int32 [positions, 1 + L], the activity and the table indices of the live
    channels of each position; and an int32 scalar, the number of lanes.
  """
  several = tables.ends.shape[0] > 1
  u = tf.gather(scaled_latents, channels.live, axis=1)
  minimum = tf.cast(tf.gather(channels.minimum, channels.live), tf.float32)
  maximum = tf.cast(tf.gather(channels.maximum, channels.live), tf.float32)
  nearest = tf.round(u)
  if several:
    nearest *= tf.cast(tf.abs(u) >= quantization.DEAD_ZONE, tf.float32)
  nearest = tf.clip_by_value(nearest, minimum, maximum) - minimum
  indices = tf.cast(nearest, tf.int32)
  choice = graph_activities.choose(indices, shape, tables, fewest_lanes)
  if several:
    near = stock_streams.neighbours(shape, num_lanes=tf.constant(1))
    contexts = stock_streams.contexts(indices, near, tables)
    starts = graph_lengths.table_starts(choice.activities, contexts, tables)
    u -= minimum
    lower = tf.clip_by_value(tf.floor(u), 0.0, maximum - minimum - 1.0)
    indices = tf.cast(lower, tf.int32)
    bits, entries = graph_lengths.expected_bits(tables), starts + indices
    increase = tf.gather(bits, entries + 1) - tf.gather(bits, entries)
    symbols = indices - tables.zeros
    bends = quantization.bends(increase, symbols, tf.where)
    indices += tf.cast(u - lower > 0.5 + bends, tf.int32)
    choice = graph_activities.choose(indices, shape, tables, fewest_lanes)
  rows = tf.concat([choice.activities[:, None], indices], 1)
  return rows, choice.num_lanes
