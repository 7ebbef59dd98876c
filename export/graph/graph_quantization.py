"""The quantization of `bls2017.encode.quantization` in a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from bls2017.encode import quantization
from bls2017.format import coding_tables
from export.graph import graph_activities, graph_tables


def quantize(
  scaled_latents: tf.Tensor, tables: graph_tables.QualityTables
) -> tf.Tensor:
  """The rows of latents, as a range coder takes them.

  Quantization is optimised where the tables know several activities.

  Args:
    scaled_latents: float32 [positions, C], finite, from `scaled`.
    tables: Of the quality.

  Returns:
    int32 [positions, columns].
  """
  minimum = tf.cast(tables.minimum, tf.float32)
  nearest = tf.round(scaled_latents)
  if _sets(tables) > 1:
    expected = tf.abs(scaled_latents) >= quantization.DEAD_ZONE
    nearest *= tf.cast(expected, tf.float32)
  inside = tf.clip_by_value(
    nearest, minimum, tf.cast(tables.maximum, tf.float32)
  )
  rounded = tf.gather(inside - minimum, tables.live, axis=1)
  rows = with_activities(tf.cast(rounded, tf.int32), tables)
  if _sets(tables) == 1:
    return rows
  u = tf.gather(scaled_latents - minimum, tables.live, axis=1)
  last = tf.gather(tables.maximum - tables.minimum, tables.live)
  last = tf.cast(last, tf.float32)
  lower = tf.clip_by_value(tf.floor(u), 0.0, last - 1.0)
  indices = tf.cast(lower, tf.int32)
  # Where they stand in the flat tables of their activities.
  entries = indices + tables.starts + rows[:, :1] * tf.shape(tables.cdf)[1]
  lengths = tf.reshape(code_lengths(tables.cdf), [-1])
  increase = tf.gather(lengths, entries + 1) - tf.gather(lengths, entries)
  symbols = indices + tf.gather(tables.minimum, tables.live)
  upwards = u - lower > 0.5 + _bends(increase, symbols)
  return with_activities(indices + tf.cast(upwards, tf.int32), tables)


def _bends(increase: tf.Tensor, lower: tf.Tensor) -> tf.Tensor:
  """What `bls2017.encode.quantization` adds to thresholds: float32 [...].

  Args:
    increase: float32 [...], bits that the upper symbol costs more.
    lower: int32 [...], the lower symbol.
  """
  outward = tf.where(lower < 0, quantization.OUTWARD, -quantization.OUTWARD)
  return tf.where(
    (lower == 0) | (lower == -1),
    quantization.BEND * increase * tf.abs(increase),
    outward,
  )


def scaled(latents: tf.Tensor, tables: graph_tables.QualityTables) -> tf.Tensor:
  """The latents in the unit of the symbols, float32 [positions, C]."""
  return latents * tables.gain - tables.offset


def with_activities(
  indices: tf.Tensor, tables: graph_tables.QualityTables
) -> tf.Tensor:
  """Table indices of the live channels, the cheapest activities before them.

  Args:
    indices: int32 [positions, L].
    tables: Of the quality.

  Returns:
    int32 [positions, columns].
  """
  if _sets(tables) == 1:
    return indices
  lengths = tf.transpose(code_lengths(tables.cdf))
  chosen = graph_activities.cheapest(
    graph_activities.costs(indices + tables.starts, lengths),
    code_lengths(tables.activity_cdf),
    tables.lane_positions,
  )
  return tf.concat([chosen[:, None], indices], 1)


def code_lengths(cdf: tf.Tensor) -> tf.Tensor:
  """`coding_tables.code_lengths`, equal to it: float32, shaped as `cdf`.

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


def _sets(tables: graph_tables.QualityTables) -> int:
  """K, sets of tables, known when the graph is built."""
  return int(tables.activity_cdf.shape[1])
