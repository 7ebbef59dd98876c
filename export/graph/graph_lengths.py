"""Code lengths of `coding_tables` and `encode.expected_bits` in a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from bls2017.format import coding_tables
from export.range_coder import stock_streams


def code_lengths(cdf: tf.Tensor) -> tf.Tensor:
  """Gives what `coding_tables.code_lengths` does: float32, shaped as `cdf`.

  Args:
    cdf: int32 [n, S], tables one after the other, each beginning with 0.
  """
  return _lengths(tf.cast(_frequencies(cdf), tf.float64))


def _frequencies(cdf: tf.Tensor) -> tf.Tensor:
  ends = tf.roll(cdf, -1, 1)
  return tf.where(ends == 0, coding_tables.TOTAL, ends) - cdf


def _lengths(mass: tf.Tensor) -> tf.Tensor:
  # In 64 bits no rounding of the logarithm reaches the middle between units.
  logarithm = tf.math.log(mass) / math.log(2)
  units = tf.round(
    (coding_tables.PRECISION - logarithm) * coding_tables.LENGTH_UNITS
  )
  return tf.cast(units, tf.float32) / coding_tables.LENGTH_UNITS


def expected_bits(tables: stock_streams.Tables) -> tf.Tensor:
  """Gives the bits of symbols before their neighbours are known.

  Args:
    tables: Those of the quality.

  Returns:
    float32 [K S + E], as `expected_bits.of_symbols` without its last number.
  """
  share = _coded_share(tables)
  frequency = tf.cast(_frequencies(tables.cdf), tf.float64)
  channels = channels_of_entries(tables)
  of_entries = tf.gather(share, channels, axis=1)
  zeros = tables.starts + tables.zeros[tables.contexts() :]
  is_zero = tf.range(tf.size(channels)) == tf.gather(zeros, channels)
  total = float(coding_tables.TOTAL)
  mass = tf.where(
    is_zero, total - of_entries * (total - frequency), of_entries * frequency
  )
  contexts = code_lengths(tables.context_cdf[None])
  return tf.concat([tf.reshape(_lengths(mass), [-1]), contexts[0]], 0)


def _coded_share(tables: stock_streams.Tables) -> tf.Tensor:
  """How many positions code a channel: float64 [K, R], 1 where all do."""
  counts = _frequencies(tables.end_cdf)
  reached = tables.ends[..., None] > tf.range(tf.size(tables.starts))
  counts = tf.reduce_sum(tf.where(reached, counts[..., None], 0), 1)
  return counts / coding_tables.TOTAL


def channels_of_entries(tables: stock_streams.Tables) -> tf.Tensor:
  """Gives the channel among the others of each entry of a set, int32 [S]."""
  begins = tf.scatter_nd(
    tables.starts[:, None],
    tf.ones_like(tables.starts),
    tf.shape(tables.cdf)[1:],
  )
  return tf.cumsum(begins) - 1


def table_starts(
  activities: tf.Tensor, contexts: tf.Tensor, tables: stock_streams.Tables
) -> tf.Tensor:
  """Finds where the tables of symbols begin in `expected_bits`.

  Args:
    activities: int32 [positions].
    contexts: int32 [positions, contexts], from `stock_streams`.
    tables: Those of the quality.

  Returns:
    int32 [positions, L].
  """
  starts = stock_streams.context_starts(activities, contexts, tables)
  starts += tf.size(tables.cdf)
  others = activities[:, None] * tf.shape(tables.cdf)[1] + tables.starts
  return tf.concat([starts, others], 1)
