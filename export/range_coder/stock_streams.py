"""Shared by encoder and decoder: tables, lanes, intervals, the ends of streams.

All of it is about one image. Its lanes are equally long, but for one step: the
numbers of a step of all lanes stand side by side, [lanes], and those of all
steps in a matrix, [steps, lanes].
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

UNROLL = 16
"""Steps of a turn of a loop."""

MAX_TABLES = (1 << 15) - 2
"""Of the kinds and context channels of a quality, and of its others: 16 bits of
the integers that tell a table have room for so many, and for what follows."""

WORD = 2.0**16
WORD_BITS = 16
WORD_MASK = 0xFFFF
FULL = 1 << 32
TOP_BYTE = 1 << 24


class Tables(NamedTuple):
  """The coding tables of a quality, int32; see `coding_tables.QualityTables`.

  X is the most context channels of any quality, and N the most classes. The
  tables of channels that this quality lacks begin at E.

  Attributes:
    ends: [K, G].
    kind_cdf: [K + 1, K G].
    cdf: [K, S].
    starts: [R].
    zeros: [L]; the first L - R channels are context channels.
    context_cdf: [E].
    context_starts: [X, K, N + 1].
    context_classes: [n].
    class_starts: [X], below n.
  """

  ends: tf.Tensor
  kind_cdf: tf.Tensor
  cdf: tf.Tensor
  starts: tf.Tensor
  zeros: tf.Tensor
  context_cdf: tf.Tensor
  context_starts: tf.Tensor
  context_classes: tf.Tensor
  class_starts: tf.Tensor

  def contexts(self) -> tf.Tensor:
    """Counts the context channels of the quality: int32 scalar, at most X."""
    return tf.size(self.zeros) - tf.size(self.starts)

  def first_class(self) -> tf.Tensor:
    """Gives N, the class of the first position of a lane: int32 scalar."""
    return tf.shape(self.context_starts)[2] - 1

  def heads_cdf(self) -> tf.Tensor:
    """Gives the tables of kinds and those of context channels: int32 [n]."""
    return tf.concat([tf.reshape(self.kind_cdf, [-1]), self.context_cdf], 0)


def run_bounds(total: tf.Tensor, num_lanes: tf.Tensor) -> tf.Tensor:
  """Finds where the runs of lanes begin, and the end (`lanes.bounds`).

  Args:
    total: int32 scalar, positions or table indices of all lanes.
    num_lanes: int32 scalar, at least 1.

  Returns:
    int32 [lanes + 1].
  """
  # Their product needs 64 bits.
  lanes = tf.cast(num_lanes, tf.int64)
  bounds = tf.range(lanes + 1) * tf.cast(total, tf.int64) // lanes
  return tf.cast(bounds, tf.int32)


def steps_of_lanes(total: tf.Tensor, num_lanes: tf.Tensor) -> tf.Tensor:
  """Spreads numbers from 0 to `total` - 1 over lanes, as `run_bounds` does.

  Returns:
    int32 [steps, lanes], where a lane that is shorter ends with `total`.
  """
  bounds = run_bounds(total, num_lanes)
  first, end = bounds[:-1], bounds[1:]
  number = first + tf.range(tf.reduce_max(end - first))[:, None]
  return tf.where(number < end, number, total)


def in_order(
  values: tf.Tensor, numbers: tf.Tensor, total: tf.Tensor
) -> tf.Tensor:
  """Puts what lanes found in the order of the numbers that they were given.

  Args:
    values: [steps, lanes, ...].
    numbers: int32 [steps, lanes], from `steps_of_lanes`.
    total: int32 scalar, given there.

  Returns:
    [total, ...].
  """
  shape = tf.concat([(total + 1)[None], tf.shape(values)[2:]], 0)
  return tf.scatter_nd(numbers[..., None], values, shape)[:-1]


def repeated(values: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
  """Repeats numbers as `tf.repeat` does, which would make a matrix of them.

  Args:
    values: int32 [n].
    counts: int32 [n], how often each is repeated.

  Returns:
    int32 [sum of counts].
  """
  changes = values - tf.pad(values, [[1, 0]])[:-1]
  begins = tf.cumsum(counts, exclusive=True)
  size = tf.reduce_sum(counts)[None] + 1
  return tf.cumsum(tf.scatter_nd(begins[:, None], changes, size))[:-1]


def coded_by_kind(values: tf.Tensor, tables: Tables) -> tf.RaggedTensor:
  """Gives for each kind the values of the others that it codes.

  Args:
    values: [K, R], of the others in each activity.
    tables: Those of the quality.

  Returns:
    [K G, (ends)].
  """
  others = tf.range(tf.shape(values)[1])
  coded = others < tables.ends[..., None]
  values = tf.broadcast_to(values[:, None], tf.shape(coded))
  return tf.RaggedTensor.from_row_lengths(
    tf.boolean_mask(values, coded),
    tf.reshape(tables.ends, [-1]),
    validate=False,
  )


def context_classes(indices: tf.Tensor, tables: Tables) -> tf.Tensor:
  """Gives the classes of context channels' symbols at the position before.

  Args:
    indices: int32 [positions, L], table indices of the live channels.
    tables: Those of the quality.

  Returns:
    int32 [positions, contexts]. The first position follows zeros.
  """
  contexts = tables.contexts()
  before = tf.concat([tables.zeros[None], indices[:-1]], 0)[:, :contexts]
  places = before + tables.class_starts[:contexts]
  return tf.gather(tables.context_classes, places)


def context_starts(
  activities: tf.Tensor, classes: tf.Tensor, tables: Tables
) -> tf.Tensor:
  """Finds where in `context_cdf` the tables of context channels begin.

  Args:
    activities: int32 [positions].
    classes: int32 [positions, contexts].
    tables: Those of the quality.

  Returns:
    int32 [positions, contexts].
  """
  shape = tf.shape(classes)
  channels = tf.broadcast_to(tf.range(shape[1]), shape)
  sets = tf.broadcast_to(activities[:, None], shape)
  places = tf.stack([channels, sets, classes], -1)
  return tf.gather_nd(tables.context_starts, places)


def last_others(others: tf.Tensor) -> tf.Tensor:
  """Counts the others up to the last one that is not 0.

  Args:
    others: int32 [positions, R], their symbols.

  Returns:
    int32 [positions].
  """
  numbers = 1 + tf.range(tf.shape(others)[1])
  last = tf.reduce_max(tf.where(others == 0, 0, numbers), 1)
  return tf.maximum(last, 0)  # Without others, it is the least integer.


class Shares(NamedTuple):
  """The shares of table indices, float64 of one shape.

  Attributes:
    lower: The cumulative frequencies before them.
    upper: Those with them.
  """

  lower: tf.Tensor
  upper: tf.Tensor

  def at(self, places: tf.Tensor) -> Shares:
    """Gives those in some places, int32 of any shape."""
    return Shares(tf.gather(self.lower, places), tf.gather(self.upper, places))


def shares(cdf: tf.Tensor) -> Shares:
  """Gives the shares of all table indices, of [n + 2].

  Args:
    cdf: int32 [n], tables one after the other. Entry i stands in place i + 1;
      the first and the last place hold the share of a certain table index.
  """
  after = tf.pad(cdf, [[0, 2]])
  # A table ends where the next one begins, with 0.
  ends = tf.where(after == 0, 1 << WORD_BITS, after)
  return Shares(
    tf.cast(tf.roll(after, 1, 0), tf.float64), tf.cast(ends, tf.float64)
  )


class Narrowed(NamedTuple):
  """What table indices make of intervals, of one shape.

  Attributes:
    added: float64, to base.
    shift: bool, whether a word is shifted.
    scale: float64, 1 where one is, and 2**-16 elsewhere.
    size: float64, of the intervals, in units of 2**16.
  """

  added: tf.Tensor
  shift: tf.Tensor
  scale: tf.Tensor
  size: tf.Tensor


def narrow(size: tf.Tensor, share: Shares) -> Narrowed:
  """Narrows intervals to the shares of table indices.

  Args:
    size: float64 [...], in units of 2**16.
    share: Of [...].
  """
  a = tf.floor(size * share.lower)
  width = tf.floor(size * share.upper) - a
  shift = width <= WORD
  # Products with 1 or 2**-16 take less time than choosing with `tf.where`.
  scale = tf.maximum(tf.cast(shift, tf.float64), 1 / WORD)
  return Narrowed(a, shift, scale, width * scale)


def run(
  loop: Callable[..., tuple[tf.Tensor, ...]], *arguments: tf.Tensor
) -> tuple[tf.Tensor, ...]:
  """Runs a loop of many small operations one after the other.

  An executor that does so spends less on each than one that looks for
  operations to run side by side.
  """
  # Only functions that are not inlined have executors of their own.
  function = tf.function(
    loop, autograph=False, experimental_attributes={"_noinline": True}
  )
  with tf.experimental.function_executor_type("SINGLE_THREADED_EXECUTOR"):
    return function(*arguments)


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


def ending(low: tf.Tensor, size: tf.Tensor) -> Ending:
  """Applies the rule for the end of a stream, for encoder and decoder.

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
