"""The quantization of `bls2017.encode.quantization` in a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from bls2017.encode import quantization
from bls2017.format import coding_tables
from export.graph import graph_activities, graph_tables
from export.range_coder import stock_streams


def scaled(latents: tf.Tensor, channels: graph_tables.Channels) -> tf.Tensor:
  """Gives latents, float32 [positions, C], in the unit of the symbols."""
  return latents * channels.gain - channels.offset


def quantize(
  scaled_latents: tf.Tensor,
  channels: graph_tables.Channels,
  tables: stock_streams.Tables,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Chooses the symbols of an image, and the activities of its positions.

  Args:
    scaled_latents: float32 [positions, C], finite, from `scaled`.
    channels: Those of the quality.
    tables: Those of the quality.

  Returns:
    int32 [positions], the activities, and int32 [positions, L], the table
    indices of the live channels.
  """
  several = tables.activity_cdf.shape[2] > 1
  minimum = tf.cast(channels.minimum, tf.float32)
  maximum = tf.cast(channels.maximum, tf.float32)
  nearest = tf.round(scaled_latents)
  if several:
    expected = tf.abs(scaled_latents) >= quantization.DEAD_ZONE
    nearest *= tf.cast(expected, tf.float32)
  nearest = tf.clip_by_value(nearest, minimum, maximum) - minimum
  indices = tf.cast(tf.gather(nearest, channels.live, axis=1), tf.int32)
  lengths = code_lengths(tf.reshape(tables.cdf, [-1, tables.totals[0]]))
  activities = _cheapest(indices, lengths, tables)
  if not several:
    return activities, indices
  u = tf.gather(scaled_latents - minimum, channels.live, axis=1)
  last = tf.gather(maximum - minimum, channels.live)
  lower = tf.clip_by_value(tf.floor(u), 0.0, last - 1.0)
  indices = tf.cast(lower, tf.int32)
  # Where they stand in the flat tables of their activities.
  entries = indices + tables.live_starts
  entries += activities[:, None] * tables.totals[0]
  flat = tf.reshape(lengths, [-1])
  increase = tf.gather(flat, entries + 1) - tf.gather(flat, entries)
  symbols = indices + tf.gather(channels.minimum, channels.live)
  bends = quantization.bends(increase, symbols, tf.where)
  upwards = u - lower > 0.5 + bends
  indices += tf.cast(upwards, tf.int32)
  return _cheapest(indices, lengths, tables), indices


def _cheapest(
  indices: tf.Tensor, lengths: tf.Tensor, tables: stock_streams.Tables
) -> tf.Tensor:
  return graph_activities.cheapest(
    graph_activities.costs(indices + tables.live_starts, tf.transpose(lengths)),
    code_lengths(tables.activity_cdf[0]),
    tables.lane_positions[0],
  )


def code_lengths(cdf: tf.Tensor) -> tf.Tensor:
  """Gives what `coding_tables.code_lengths` does: float32, shaped as `cdf`.

  Args:
    cdf: int32 [n, S], tables one after the other, each beginning with 0.
  """
  ends = tf.roll(cdf, -1, 1)
  ends = tf.where(ends == 0, coding_tables.TOTAL, ends)
  # In 64 bits no rounding of the logarithm reaches the middle between units.
  logarithm = tf.math.log(tf.cast(ends - cdf, tf.float64)) / math.log(2)
  units = tf.round(
    (coding_tables.PRECISION - logarithm) * coding_tables.LENGTH_UNITS
  )
  return tf.cast(units, tf.float32) / coding_tables.LENGTH_UNITS
