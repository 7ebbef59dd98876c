"""The quantization of `bls2017.encoder.quantization` in a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from bls2017.bitstream import coding_tables
from bls2017.encoder import quantization
from export.graph import graph_activities, graph_tables


def quantize(
  latents: tf.Tensor, tables: graph_tables.QualityTables, strength: tf.Tensor
) -> tf.Tensor:
  """Symbols as a range coder takes them, int32 [positions, columns].

  Optimised, where the tables know several activities.

  Args:
    latents: float32 [positions, C].
    tables: Of the quality.
    strength: float32 scalar.
  """
  minimum = tf.cast(tables.minimum, tf.float32)
  found = scaled(latents, tables)
  nearest = tf.round(found)
  if _sets(tables) > 1:
    expected = tf.abs(found) >= quantization.DEAD_ZONE
    nearest *= tf.cast(expected, tf.float32)
  inside = tf.clip_by_value(
    nearest, minimum, tf.cast(tables.maximum, tf.float32)
  )
  rounded = tf.gather(inside - minimum, tables.live, axis=1)
  rows = with_activities(tf.cast(rounded, tf.int32), tables)

  def trimmed() -> tf.Tensor:
    u = tf.gather(found - minimum, tables.live, axis=1)
    last = tf.gather(tables.maximum - tables.minimum, tables.live)
    last = tf.cast(last, tf.float32)
    lengths = code_lengths(tables.cdf)
    lower = tf.clip_by_value(tf.floor(u), 0.0, last - 1.0)
    symbols = tf.cast(lower, tf.int32)
    place = _places(symbols, rows, tables)
    flat = tf.reshape(lengths, [-1])
    increase = tf.gather(flat, place + 1) - tf.gather(flat, place)
    cost = strength * increase
    if _sets(tables) > 1:
      first = tf.gather(tables.minimum, tables.live)
      cost += quantization.bends(increase, symbols + first, tf.where)
    upwards = u - lower > 0.5 + cost
    return with_activities(symbols + tf.cast(upwards, tf.int32), tables)

  if _sets(tables) > 1:
    return trimmed()
  return tf.cond(strength > 0, trimmed, lambda: rows)


def scaled(latents: tf.Tensor, tables: graph_tables.QualityTables) -> tf.Tensor:
  """The latents in the unit of the symbols, float32 [positions, C]."""
  return latents * tables.gain - tables.offset


def with_activities(
  symbols: tf.Tensor, tables: graph_tables.QualityTables
) -> tf.Tensor:
  """Symbols of the live channels, the cheapest activities before them.

  Args:
    symbols: int32 [positions, L].
    tables: Of the quality.

  Returns:
    int32 [positions, columns].
  """
  if _sets(tables) == 1:
    return symbols
  lengths = tf.transpose(code_lengths(tables.cdf))
  chosen = graph_activities.cheapest(
    graph_activities.costs(symbols + tables.starts, lengths),
    code_lengths(tables.activity_cdf),
    tables.lane_positions,
  )
  return tf.concat([chosen[:, None], symbols], 1)


def bits(rows: tf.Tensor, tables: graph_tables.QualityTables) -> tf.Tensor:
  """The information content of symbols under the tables, float32 scalar.

  Args:
    rows: int32 [positions, columns].
    tables: Of the quality.
  """
  sets = _sets(tables)
  symbols = rows[:, int(sets > 1) :]
  lengths = tf.reshape(code_lengths(tables.cdf), [-1])
  total = tf.reduce_sum(tf.gather(lengths, _places(symbols, rows, tables)))
  if sets > 1:
    chosen = rows[:, 0]
    begins = tf.range(tf.size(chosen)) % tables.lane_positions == 0
    before = tf.where(begins, sets, tf.roll(chosen, 1, 0))
    own = code_lengths(tables.activity_cdf)
    total += tf.reduce_sum(tf.gather_nd(own, tf.stack([before, chosen], 1)))
  return total


def code_lengths(cdf: tf.Tensor) -> tf.Tensor:
  """`coding_tables.code_lengths`, equal to it: float32, shaped as `cdf`.

  Args:
    cdf: int32 [n, S], tables one after the other, each beginning with 0.
  """
  ends = tf.roll(cdf, -1, 1)
  ends = tf.where(ends == 0, coding_tables.TOTAL, ends)
  # In 64 bits no rounding of the logarithm reaches the middle between units.
  found = tf.math.log(tf.cast(ends - cdf, tf.float64)) / math.log(2)
  units = tf.round(
    (coding_tables.PRECISION - found) * coding_tables.LENGTH_UNITS
  )
  return tf.cast(units, tf.float32) / coding_tables.LENGTH_UNITS


def _places(
  symbols: tf.Tensor, rows: tf.Tensor, tables: graph_tables.QualityTables
) -> tf.Tensor:
  """Where symbols stand in the flat tables of their positions' activities."""
  place = symbols + tables.starts
  if _sets(tables) == 1:
    return place
  return place + rows[:, :1] * tf.shape(tables.cdf)[1]


def _sets(tables: graph_tables.QualityTables) -> int:
  """K, sets of tables, known when the graph is built."""
  return int(tables.activity_cdf.shape[1])
