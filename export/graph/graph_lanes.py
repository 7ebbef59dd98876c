"""The part of a file behind its header: metadata, lengths of lanes, lanes.

The graph checks the boxes of metadata as the library does, and skips all but
that of alpha, the only one that it writes.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bls2017.format import coding_tables, container, lanes
from export import verdict
from export.graph import byte_fields
from export.range_coder import stock_streams

_TOO_SHORT = "the file is too short for its image"
_UNFILLED = "the lanes do not fill the file"
_ALPHA = int.from_bytes(container.ALPHA, "big")

Lanes = tuple[tf.Tensor, tf.Tensor, tf.Tensor, verdict.Verdict]
"""A string scalar, all lanes one after the other; their lengths, int32 [lanes];
a string scalar, the box of alpha, empty where there is none; and a verdict:
where it finds a fault, the others mean nothing."""


def no_lanes(faults: verdict.Verdict) -> Lanes:
  """Gives the lanes of a file that has a fault."""
  return tf.constant(""), tf.zeros((0,), tf.int32), tf.constant(""), faults


class Limits(NamedTuple):
  """What the lanes of an image may be, int32 scalars.

  Attributes:
    shape: Positions along both sides of the image.
    fewest: Lanes.
    columns: Table indices of a position.
  """

  shape: stock_streams.Shape
  fewest: tf.Tensor
  columns: tf.Tensor


class _Number(NamedTuple):
  """A number of a file, the place behind it, and what is wrong with it.

  Where something is, the number is 0.
  """

  value: tf.Tensor
  end: tf.Tensor
  faults: list[verdict.Case]


def unpack(data: tf.Tensor, limits: Limits) -> Lanes:
  """Checks and reads the lanes of a file whose header was found sound.

  Args:
    data: string scalar, the whole file.
    limits: Of its image.
  """
  end, alpha, faults = _read_boxes(data)

  def read() -> Lanes:
    count, begin, faults = _count(data, end, limits)
    lengths, first, wrong = _lengths(data, begin, count)
    indices = lanes.most_positions(*limits.shape, count) * limits.columns
    # As `coding_tables.QualityTables.max_lane_bytes`.
    longest = 2 * indices + coding_tables.MAX_LANE_END_BYTES
    too_long = tf.reduce_any(lengths > longest)
    message = "a lane is longer than its symbols can need"
    found = verdict.first_fault(
      *faults, *wrong, (too_long, verdict.CORRUPT, message)
    )
    size = tf.strings.length(data)
    payload = tf.strings.substr(data, first, size - first)
    return payload, lengths, alpha, found

  return tf.cond(faults.is_ok(), read, lambda: no_lanes(faults))


def _number(data: tf.Tensor, begin: tf.Tensor) -> _Number:
  """Reads a number of bytes of seven bits; `begin` is within the file."""
  most = container.MAX_NUMBER_BYTES
  left = tf.strings.length(data) - begin
  content = byte_fields.head(tf.strings.substr(data, begin, most), most)
  digits = tf.cast(content, tf.int32)
  # What follows the end of the file is 0, and ends a number as well.
  more = tf.cast(digits >= 128, tf.int32)
  count = 1 + tf.reduce_sum(tf.math.cumprod(more))
  places = tf.range(most)
  last = tf.reduce_sum(tf.where(places == count - 1, digits, 0))
  short = left < tf.minimum(count, most)
  misspelt = (count > most) | ((count > 1) & (last == 0))
  value = tf.bitwise.left_shift(digits % 128, 7 * places)
  value = tf.reduce_sum(tf.where(places < count, value, 0))
  wrong = short | misspelt
  return _Number(
    tf.where(wrong, 0, value),
    begin + tf.where(wrong, 0, count),
    [
      (short, verdict.CORRUPT, _TOO_SHORT),
      (misspelt, verdict.CORRUPT, "a number is misspelt"),
    ],
  )


def _count(data: tf.Tensor, begin: tf.Tensor, limits: Limits) -> _Number:
  """The number of lanes; 1 where it is wrong."""
  count, end, faults = _number(data, begin)
  positions = limits.shape[0] * limits.shape[1]
  wrong = (count < limits.fewest) | (count > positions)
  message = (
    "an image of ", positions, " positions cannot have ", count, " lanes"
  )  # fmt: skip
  faults.append((wrong, verdict.CORRUPT, *message))
  return _Number(tf.where(wrong, 1, count), end, faults)


def _lengths(
  data: tf.Tensor, begin: tf.Tensor, num_lanes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, list[verdict.Case]]:
  """The lengths, where the first lane begins, and what may be wrong."""
  size = tf.strings.length(data)
  several = num_lanes > 1
  stored = num_lanes - 1
  smallest, end, wrong_number = _number(data, begin)
  width = byte_fields.head(tf.strings.substr(data, end, 1), 1)[0]
  width = tf.where(several, tf.cast(width, tf.int32), 0)
  smallest = tf.where(several, smallest, 0)
  begin = tf.where(several, end + 1, begin)
  num_bytes = (stored * width + 7) // 8
  short = (width > container.MAX_LENGTH_BITS) | (size < begin + num_bytes)
  # A file that is too short yields lengths of 0 bits, and is refused.
  width = tf.where(short, 0, width)
  num_bytes = tf.where(short, 0, num_bytes)
  first = tf.minimum(begin + num_bytes, size)
  least = tf.cast(smallest, tf.int64) * tf.cast(stored, tf.int64)
  unfilled = least > tf.cast(size - first, tf.int64)
  content = byte_fields.from_string(
    tf.strings.substr(data, tf.minimum(begin, size), num_bytes)
  )
  bits = tf.bitwise.right_shift(
    tf.cast(content, tf.int32)[:, None], tf.range(8)
  )
  bits = tf.reshape(bits % 2, [-1])
  digits = tf.reshape(bits[: stored * width], tf.stack([stored, width]))
  numbers = tf.reduce_sum(
    tf.bitwise.left_shift(digits, tf.range(width)[None]), 1
  )
  largest = tf.reduce_max(tf.pad(numbers, [[0, 1]]))
  misspelt = several & (
    (tf.reduce_min(numbers) > 0)
    | (_bit_length(largest) != width)
    | tf.reduce_any(bits[stored * width :] > 0)
    | (smallest + largest > coding_tables.MAX_LANE_BYTES)
  )
  lengths = smallest + numbers
  # The sum of hostile lengths may need more than 32 bits.
  total = tf.reduce_sum(tf.cast(lengths, tf.int64))
  last = tf.cast(size - first, tf.int64) - total
  left_over = (last < 0) | (last > coding_tables.MAX_LANE_BYTES)
  last = tf.cast(tf.where(left_over, tf.zeros_like(last), last), tf.int32)
  cases = [
    *((several & present, *rest) for present, *rest in wrong_number),
    (short, verdict.CORRUPT, _TOO_SHORT),
    (unfilled, verdict.CORRUPT, _UNFILLED),
    (misspelt, verdict.CORRUPT, "the lengths of the lanes are misspelt"),
    (left_over, verdict.CORRUPT, _UNFILLED),
  ]
  return tf.concat([lengths, last[None]], 0), first, cases


def _bit_length(number: tf.Tensor) -> tf.Tensor:
  """Bits of a number, an int32 scalar from 0 to 65535; 0 has none."""
  powers = tf.bitwise.left_shift(1, tf.range(container.MAX_LENGTH_BITS))
  return tf.reduce_sum(tf.cast(number >= powers, tf.int32))


def _read_boxes(
  data: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, verdict.Verdict]:
  """Where the metadata ends, int32, the box of alpha, and what is wrong."""
  size = tf.strings.length(data)
  boxes, first, wrong = _number(data, tf.constant(container.HEADER_BYTES))
  too_long = boxes > tf.minimum(size - first, container.MAX_BOXES_BYTES)
  end = first + tf.where(too_long, 0, boxes)

  def read(
    count: tf.Tensor,
    start: tf.Tensor,
    previous: tf.Tensor,
    alpha: tf.Tensor,
    fault: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    content = start + container.BOX_HEADER_BYTES
    head = byte_fields.head(
      tf.strings.substr(data, start, container.BOX_HEADER_BYTES),
      container.BOX_HEADER_BYTES,
    )
    letters = head[: container.BOX_TYPE_BYTES]
    kind = byte_fields.big_endian(head, 0, container.BOX_TYPE_BYTES)
    length = byte_fields.little_endian(head, container.BOX_TYPE_BYTES, 4)
    in_order = (kind > previous) & tf.reduce_all(
      (letters >= 0x20) & (letters <= 0x7E)
    )
    left = tf.cast(end - content, tf.int64)
    fault = tf.where((length > 0) & (length <= left), 0, 3)
    fault = tf.where(in_order, fault, 2)
    fault = tf.where(content > end, 1, fault)
    fault = tf.where(count == container.MAX_BOXES, 4, fault)
    following = content + tf.cast(tf.minimum(length, left), tf.int32)
    is_alpha = (kind == _ALPHA) & (fault == 0)
    place = tf.where(is_alpha, tf.stack([content, following - content]), alpha)
    return count + 1, following, kind, place, fault

  *_, alpha, fault = tf.while_loop(
    lambda count, start, previous, alpha, fault: (start < end) & (fault == 0),
    read,
    (
      tf.constant(0),
      first,
      tf.constant(-1, tf.int64),
      tf.zeros((2,), tf.int32),
      tf.constant(0),
    ),
    parallel_iterations=1,
  )
  messages = (
    "the metadata is cut off",
    "the types of the metadata are not in order",
    "the metadata does not fill its room",
    f"there are more than {container.MAX_BOXES} pieces of metadata",
  )
  faults = verdict.first_fault(
    *wrong,
    (too_long, verdict.CORRUPT, "the metadata is longer than its file"),
    *(
      (fault == number, verdict.CORRUPT, message)
      for number, message in enumerate(messages, 1)
    ),
  )
  return end, tf.strings.substr(data, alpha[0], alpha[1]), faults


def pack_boxes(alpha: tf.Tensor) -> tf.Tensor:
  """Writes the metadata: a string scalar.

  Args:
    alpha: string scalar, the content of the box; empty for no box.
  """
  number = byte_fields.from_integer(tf.strings.length(alpha))
  length = byte_fields.to_string(number[::-1])
  boxes = tf.cond(
    tf.strings.length(alpha) > 0,
    lambda: container.ALPHA + length + alpha,
    lambda: tf.constant(""),
  )
  length = byte_fields.from_number(tf.strings.length(boxes))
  return byte_fields.to_string(length) + boxes


def pack_lengths(lengths: tf.Tensor) -> tf.Tensor:
  """Writes how many lanes there are, and their lengths: a string scalar.

  Args:
    lengths: int32 [lanes], at least one, below 65536.
  """
  count = tf.size(lengths)
  packed = tf.cond(
    count > 1,
    lambda: _packed_lengths(lengths[:-1]),
    lambda: tf.zeros((0,), tf.uint8),
  )
  numbers = [byte_fields.from_number(count), packed]
  return byte_fields.to_string(tf.concat(numbers, 0))


def _packed_lengths(lengths: tf.Tensor) -> tf.Tensor:
  smallest = tf.reduce_min(lengths)
  numbers = lengths - smallest
  width = _bit_length(tf.reduce_max(numbers))
  bits = tf.bitwise.right_shift(numbers[:, None], tf.range(width)[None]) % 2
  bits = tf.reshape(bits, [-1])
  bits = tf.pad(bits, [[0, -tf.size(bits) % 8]])
  powers = tf.bitwise.left_shift(1, tf.range(8))
  content = tf.reduce_sum(tf.reshape(bits, [-1, 8]) * powers, 1)
  rest = tf.cast(tf.concat([width[None], content], 0), tf.uint8)
  return tf.concat([byte_fields.from_number(smallest), rest], 0)
