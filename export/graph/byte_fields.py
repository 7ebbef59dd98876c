"""Strings of bytes as tensors of numbers and back."""

from __future__ import annotations

import tensorflow as tf

from bls2017.format import container


def to_string(content: tf.Tensor) -> tf.Tensor:
  """Makes a string scalar of bytes, uint8 [n]."""
  # No operation does just this, but a serialised tensor ends with its content.
  n = tf.size(content)
  return tf.strings.substr(tf.io.serialize_tensor(content), -n, n)


def from_string(data: tf.Tensor) -> tf.Tensor:
  """Gives the bytes of a string scalar: uint8 [n]."""
  return tf.io.decode_raw(data, tf.uint8)


def head(data: tf.Tensor, count: int) -> tf.Tensor:
  """Gives the first bytes of a string, and zeros where it is shorter.

  Args:
    data: A string scalar.
    count: How many.

  Returns:
    uint8 [count].
  """
  padded = tf.strings.substr(data, 0, count) + bytes(count)
  return tf.ensure_shape(
    from_string(tf.strings.substr(padded, 0, count)), (count,)
  )


def big_endian(content: tf.Tensor, start: int, count: int) -> tf.Tensor:
  """Reads an unsigned number, an int64 scalar.

  Args:
    content: uint8 [n].
    start: Its first byte, the most significant one.
    count: Its bytes, 7 at most.
  """
  powers = tf.constant([256**k for k in reversed(range(count))], tf.int64)
  digits = tf.cast(content[start : start + count], tf.int64)
  return tf.reduce_sum(digits * powers)


def little_endian(content: tf.Tensor, start: int, count: int) -> tf.Tensor:
  """Reads a number as `big_endian` does, the least significant byte first."""
  return big_endian(content[start : start + count][::-1], 0, count)


def from_number(value: tf.Tensor) -> tf.Tensor:
  """Writes a number of the format, bytes of seven bits: uint8 [1 to 4].

  Args:
    value: int32 scalar, 0 to 2**28 - 1.
  """
  begins = 7 * tf.range(container.MAX_NUMBER_BYTES)
  rest = tf.bitwise.right_shift(value, begins)
  more = tf.cast(tf.bitwise.right_shift(rest, 7) > 0, tf.int32)
  return tf.cast(rest % 128 + 128 * more, tf.uint8)[: 1 + tf.reduce_sum(more)]


def from_integer(number: tf.Tensor) -> tf.Tensor:
  """Writes the 32 bits of an int32 scalar, big-endian: uint8 [4]."""
  shifted = tf.bitwise.right_shift(number, tf.constant([24, 16, 8, 0]))
  return tf.cast(tf.bitwise.bitwise_and(shifted, 0xFF), tf.uint8)


def from_shorts(values: tf.Tensor) -> tf.Tensor:
  """Writes numbers below 65536, int32 [n], little-endian: uint8 [2 n]."""
  pairs = tf.stack([values % 256, values // 256], axis=1)
  return tf.cast(tf.reshape(pairs, (-1,)), tf.uint8)
