"""The checksum of PNG files in a graph, for which TensorFlow has no operation.

The register of CRC-32 is linear: where two pieces follow one another, it is
that of the first, carried over as many zeros as the second one has bytes, plus
(exclusive or) that of the second. So the registers of single bytes are added
pair by pair, the distance twice as long each time. Carrying is linear as well:
a table for each of the register's four bytes does it, and a table that is
carried over by itself is that of twice the distance.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

MIN_BYTES = 4
"""The register's own; shorter contents are not taken."""

_BLOCK_BYTES = 1 << 18
"""Computed at once; they take some 50 bytes each."""

_POLYNOMIAL = 0xEDB88320
_BYTES = tf.constant([0, 8, 16, 24])
"""Where the register's bytes begin, the first one first."""


@tf.function(
  input_signature=[tf.TensorSpec((None,), tf.uint8)], autograph=False
)
def crc32(content: tf.Tensor) -> tf.Tensor:
  """Computes a checksum, an int32 scalar: its 32 bits.

  Args:
    content: uint8 [n], n at least `MIN_BYTES`.
  """
  size = tf.size(content)
  first = (size - MIN_BYTES) % _BLOCK_BYTES + MIN_BYTES

  def turn(
    start: tf.Tensor, end: tf.Tensor, register: tf.Tensor
  ) -> tuple[tf.Tensor, ...]:
    register = _register(register, content[start:end])
    return end, end + _BLOCK_BYTES, register

  *_, register = tf.while_loop(
    lambda start, end, _: end <= size,
    turn,
    (tf.constant(0), first, tf.constant(-1)),
    parallel_iterations=1,
  )
  return tf.bitwise.invert(register)


def _register(register: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
  """The register behind a block, uint8 [n], by that before it."""
  before = tf.pad(_bytes_of(register), [[0, tf.size(block) - MIN_BYTES]])
  over_one_byte = tf.constant(_tables())
  registers = tf.gather(
    over_one_byte[0], tf.bitwise.bitwise_xor(tf.cast(block, tf.int32), before)
  )

  def add_pairs(
    registers: tf.Tensor, tables: tf.Tensor
  ) -> tuple[tf.Tensor, ...]:
    # Zeros in front change nothing.
    registers = tf.pad(registers, [[tf.size(registers) % 2, 0]])
    carried = _carried(registers[::2], tables)
    registers = tf.bitwise.bitwise_xor(carried, registers[1::2])
    return registers, _carried(tables, tables)

  registers, _ = tf.while_loop(
    lambda registers, _: tf.size(registers) > 1,
    add_pairs,
    (registers, over_one_byte),
    shape_invariants=(tf.TensorShape((None,)), over_one_byte.shape),
    parallel_iterations=1,
  )
  return registers[0]


def _carried(registers: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
  """Registers, int32 of any shape, over the zeros that tables stand for."""
  carried = tf.zeros_like(registers)
  for table, digit in zip(tf.unstack(tables), tf.unstack(_bytes_of(registers))):
    carried = tf.bitwise.bitwise_xor(carried, tf.gather(table, digit))
  return carried


def _bytes_of(numbers: tf.Tensor) -> tf.Tensor:
  """The bytes, int32, of the numbers' 32 bits; the first dimension is new."""
  shape = [len(_BYTES), *[1] * numbers.shape.rank]
  shifted = tf.bitwise.right_shift(numbers[None], tf.reshape(_BYTES, shape))
  return tf.bitwise.bitwise_and(shifted, 0xFF)


def _tables() -> np.ndarray:
  """int32 [4, 256]: for each byte, the register behind one zero."""
  registers = np.arange(256, dtype=np.uint32) << np.uint32(8) * np.arange(
    4, dtype=np.uint32
  ).reshape(4, 1)
  for _ in range(8):
    odd = registers & 1
    registers = registers >> 1 ^ odd * np.uint32(_POLYNOMIAL)
  return registers.view(np.int32)
