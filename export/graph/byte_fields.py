"""Strings of bytes as tensors of numbers and back, in stock operations."""

from __future__ import annotations

import tensorflow as tf


def to_string(content: tf.Tensor) -> tf.Tensor:
  """Bytes as a string.

  No operation does just this, but a serialised tensor ends with its content.

  Args:
    content: uint8 [n].

  Returns:
    A string scalar of n bytes.
  """
  n = tf.size(content)
  return tf.strings.substr(tf.io.serialize_tensor(content), -n, n)


def from_string(data: tf.Tensor) -> tf.Tensor:
  """The inverse of `to_string`."""
  return tf.io.decode_raw(data, tf.uint8)


def head(data: tf.Tensor, count: int) -> tf.Tensor:
  """The first bytes of a string, zeros where it is shorter.

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


def number(content: tf.Tensor, start: int, count: int) -> tf.Tensor:
  """An unsigned big-endian number.

  Args:
    content: uint8 [n].
    start: Its first byte.
    count: Its bytes, 7 at most.

  Returns:
    An int64 scalar.
  """
  powers = tf.constant([256**k for k in reversed(range(count))], tf.int64)
  digits = tf.cast(content[start : start + count], tf.int64)
  return tf.reduce_sum(digits * powers)


def little_endian(content: tf.Tensor, start: int, count: int) -> tf.Tensor:
  """As `number`, the least significant byte first."""
  return number(content[start : start + count][::-1], 0, count)


def shorts(content: tf.Tensor) -> tf.Tensor:
  """Little-endian numbers of 16 bits.

  Args:
    content: uint8 [2 n].

  Returns:
    int32 [n].
  """
  pairs = tf.cast(tf.reshape(content, (-1, 2)), tf.int32)
  return pairs[:, 0] + 256 * pairs[:, 1]


def from_shorts(values: tf.Tensor) -> tf.Tensor:
  """The inverse of `shorts`."""
  pairs = tf.stack([values % 256, values // 256], axis=1)
  return tf.cast(tf.reshape(pairs, (-1,)), tf.uint8)
