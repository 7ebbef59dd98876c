"""The part of a file behind its header: metadata, lengths of lanes, lanes.

The graph checks the boxes of metadata as the library does, and skips all but
that of alpha, the only one that it writes.
"""

from __future__ import annotations

import tensorflow as tf

from bls2017.format import coding_tables, container
from export import verdict
from export.graph import byte_fields, graph_alpha

_TOO_SHORT = "the file is too short for its image"
_ALPHA = int.from_bytes(graph_alpha.BOX_TYPE, "big")

Lanes = tuple[tf.Tensor, tf.Tensor, tf.Tensor, verdict.Verdict]
"""A string scalar, all lanes one after the other; their lengths, int32 [lanes];
a string scalar, the box of alpha, empty where there is none; and a verdict:
where it finds a fault, the others mean nothing."""


def no_lanes(faults: verdict.Verdict) -> Lanes:
  """Gives the lanes of a file that has a fault."""
  return tf.constant(""), tf.zeros((0,), tf.int32), tf.constant(""), faults


def unpack(
  data: tf.Tensor,
  num_lanes: tf.Tensor,
  max_lane_bytes: tf.Tensor,
  max_last_lane_bytes: tf.Tensor,
) -> Lanes:
  """Checks and reads the lanes of a file whose header was found sound.

  Args:
    data: string scalar, the whole file.
    num_lanes: int32 scalar, at least 1.
    max_lane_bytes: int32 scalar, the longest a lane can be.
    max_last_lane_bytes: int32 scalar, the longest the last one can be.
  """
  end, alpha, faults = _read_boxes(data)

  def read() -> Lanes:
    lengths, first, cases = _lengths(data, end, num_lanes)
    too_long = tf.reduce_any(lengths > max_lane_bytes) | tf.reduce_any(
      lengths[-1:] > max_last_lane_bytes
    )
    message = "a lane is longer than its symbols can need"
    faults = verdict.first_fault(*cases, (too_long, verdict.CORRUPT, message))
    size = tf.strings.length(data)
    first = tf.minimum(first, size)
    payload = tf.strings.substr(data, first, size - first)
    return payload, lengths, alpha, faults

  return tf.cond(faults.is_ok(), read, lambda: no_lanes(faults))


def _lengths(
  data: tf.Tensor, begin: tf.Tensor, num_lanes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, list[verdict.Case]]:
  """The lengths, where the first lane begins, and what may be wrong."""
  size = tf.strings.length(data)
  several = num_lanes > 1
  stored = num_lanes - 1
  rest = tf.strings.substr(data, begin, size - begin)
  head = byte_fields.head(rest, container.LENGTHS_HEADER_BYTES)
  smallest = tf.cast(byte_fields.little_endian(head, 0, 2), tf.int32)
  width = tf.where(several, tf.cast(head[2], tf.int32), 0)
  begin += tf.where(several, container.LENGTHS_HEADER_BYTES, 0)
  num_bytes = (stored * width + 7) // 8
  short = (width > container.MAX_LENGTH_BITS) | (size < begin + num_bytes)
  # A file that is too short yields lengths of 0 bits, and is refused.
  width = tf.where(short, 0, width)
  num_bytes = tf.where(short, 0, num_bytes)
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
  first = begin + num_bytes
  # The sum of hostile lengths may need more than 32 bits.
  total = tf.reduce_sum(tf.cast(lengths, tf.int64))
  last = tf.cast(size - first, tf.int64) - total
  unfilled = (last < 0) | (last > coding_tables.MAX_LANE_BYTES)
  last = tf.cast(tf.where(unfilled, tf.zeros_like(last), last), tf.int32)
  cases = [
    (short, verdict.CORRUPT, _TOO_SHORT),
    (misspelt, verdict.CORRUPT, "the lengths of the lanes are misspelt"),
    (unfilled, verdict.CORRUPT, "the lanes do not fill the file"),
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
  first = container.HEADER_BYTES + container.BOXES_LENGTH_BYTES
  boxes = byte_fields.little_endian(
    byte_fields.head(data, first),
    container.HEADER_BYTES,
    container.BOXES_LENGTH_BYTES,
  )
  room = tf.maximum(tf.cast(size, tf.int64) - first, 0)
  too_long = boxes > tf.minimum(
    room, tf.constant(container.MAX_BOXES_BYTES, tf.int64)
  )
  end = first + tf.cast(
    tf.where(too_long, tf.zeros_like(boxes), boxes), tf.int32
  )

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
      tf.constant(first),
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
    (size < first, verdict.CORRUPT, _TOO_SHORT),
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
  boxes = tf.cond(
    tf.strings.length(alpha) > 0,
    lambda: graph_alpha.BOX_TYPE + _length(alpha) + alpha,
    lambda: tf.constant(""),
  )
  return _length(boxes) + boxes


def _length(content: tf.Tensor) -> tf.Tensor:
  number = byte_fields.from_integer(tf.strings.length(content))
  return byte_fields.to_string(number[::-1])


def pack_lengths(lengths: tf.Tensor) -> tf.Tensor:
  """Writes the lengths of all lanes but the last one: a string scalar.

  Args:
    lengths: int32 [lanes], at least one, below 65536.
  """
  return tf.cond(
    tf.size(lengths) > 1,
    lambda: _packed_lengths(lengths[:-1]),
    lambda: tf.constant(""),
  )


def _packed_lengths(lengths: tf.Tensor) -> tf.Tensor:
  smallest = tf.reduce_min(lengths)
  numbers = lengths - smallest
  width = _bit_length(tf.reduce_max(numbers))
  bits = tf.bitwise.right_shift(numbers[:, None], tf.range(width)[None]) % 2
  bits = tf.reshape(bits, [-1])
  bits = tf.pad(bits, [[0, -tf.size(bits) % 8]])
  powers = tf.bitwise.left_shift(1, tf.range(8))
  content = tf.reduce_sum(tf.reshape(bits, [-1, 8]) * powers, 1)
  return byte_fields.to_string(
    tf.concat(
      [
        byte_fields.from_shorts(smallest[None]),
        tf.cast(tf.concat([width[None], content], 0), tf.uint8),
      ],
      0,
    )
  )
