"""What the stock encoder and the stock decoder share."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

UNROLL = 16
"""Steps of a turn of a loop."""

WORD = 2.0**16
WORD_BITS = 16
WORD_MASK = 0xFFFF
FULL = 1 << 32
TOP_BYTE = 1 << 24


class Tables(NamedTuple):
  """What of `coding_tables.QualityTables` coding needs, as tensors or arrays.

  Attributes:
    cdf: int32 [K, S].
    activity_cdf: int32 [K + 1, K].
    starts: int32 [L], where each live channel's symbols begin.
    sizes: int32 [L], how many they are.
    lane_positions: int32 scalar.
  """

  cdf: tf.Tensor
  activity_cdf: tf.Tensor
  starts: tf.Tensor
  sizes: tf.Tensor
  lane_positions: tf.Tensor


class Ending(NamedTuple):
  """How streams end: int64 or bool, [lanes] each.

  Attributes:
    cleared: Whether v is the multiple of 2**32, without its trailing zeros.
    advance: v - base.
    num_bytes: Bytes after the first 2 w, unless `cleared`.
  """

  cleared: tf.Tensor
  advance: tf.Tensor
  num_bytes: tf.Tensor


def turns(steps: tf.Tensor, unroll: int = UNROLL) -> tf.Tensor:
  """Turns of a loop: at least one, as an empty TensorArray has no shape."""
  return tf.maximum((steps + unroll - 1) // unroll, 1)


def ending(low: tf.Tensor, size: tf.Tensor) -> Ending:
  """The rule for the end of a stream, for encoder and decoder.

  Args:
    low: int64 [lanes], base mod 2**32.
    size: int64 [lanes], size of the interval.
  """
  zero = tf.zeros_like(low)
  to_byte, to_word = -low % TOP_BYTE, -low % (1 << WORD_BITS)
  one_byte = to_byte < size
  advance = tf.where(one_byte, to_byte, to_word)
  cleared = low + size > FULL
  return Ending(
    cleared=cleared,
    advance=tf.where(cleared, FULL - low, advance),
    num_bytes=tf.where(low == 0, zero, tf.where(one_byte, zero + 1, zero + 2)),
  )
