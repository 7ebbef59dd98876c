"""Shared by encoder and decoder: tables, lanes, intervals, the ends of streams.

All of it is about one image. Its lanes are equally long, but for one step: the
numbers of a step of all lanes stand side by side, [lanes], and those of all
steps in a matrix, [steps, lanes].
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

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


Shape = tuple[tf.Tensor, tf.Tensor]
"""Positions along both sides of an image, int32 scalars, at least 1."""


class Tables(NamedTuple):
  """The coding tables of a quality, int32; see `coding_tables.QualityTables`.

  X, J and N are the most of any quality. The tables of channels that this
  quality lacks begin at E.

  Attributes:
    ends: [K, G].
    end_cdf: [K, G].
    kind_cdf: [T, K G].
    activity_cdf: [T, K].
    activity_tables: [V + 1, K + 1].
    surroundings: [K, K].
    cdf: [K, S].
    starts: [R].
    zeros: [L]; the first L - R channels are context channels.
    context_cdf: [E].
    context_starts: [X, K, J].
    contexts_of: [2, X, N + 1, N + 1].
    context_classes: [n].
    class_starts: [X], below n.
  """

  ends: tf.Tensor
  end_cdf: tf.Tensor
  kind_cdf: tf.Tensor
  activity_cdf: tf.Tensor
  activity_tables: tf.Tensor
  surroundings: tf.Tensor
  cdf: tf.Tensor
  starts: tf.Tensor
  zeros: tf.Tensor
  context_cdf: tf.Tensor
  context_starts: tf.Tensor
  contexts_of: tf.Tensor
  context_classes: tf.Tensor
  class_starts: tf.Tensor

  def contexts(self) -> tf.Tensor:
    """Counts the context channels of the quality: int32 scalar, at most X."""
    return tf.size(self.zeros) - tf.size(self.starts)

  def no_class(self) -> tf.Tensor:
    """Gives N, which stands for no neighbour: int32 scalar."""
    return tf.shape(self.contexts_of)[2] - 1

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
    int32 [steps, lanes], where a lane that is shorter ends with `total`; at
    least one step.
  """
  bounds = run_bounds(total, num_lanes)
  first, end = bounds[:-1], bounds[1:]
  steps = tf.maximum(tf.reduce_max(end - first), 1)
  number = first + tf.range(steps)[:, None]
  return tf.where(number < end, number, total)


def in_order(
  values: tf.Tensor, numbers: tf.Tensor, total: tf.Tensor
) -> tf.Tensor:
  """Puts what lanes found in the order of the numbers that they were given.

  Args:
    values: [steps, lanes, ...].
    numbers: int32 [steps, lanes], from 0 to `total`, which is left out.
    total: int32 scalar.

  Returns:
    [total, ...], 0 for a number that no lane was given.
  """
  shape = tf.concat([(total + 1)[None], tf.shape(values)[2:]], 0)
  return tf.scatter_nd(numbers[..., None], values, shape)[:-1]


def at(values: tf.Tensor, places: tf.Tensor, none: Any = 0) -> tf.Tensor:
  """Gives values, [n, ...], in some places, and `none` in place n."""
  room = [[0, 1], *[[0, 0]] * (values.shape.rank - 1)]
  return tf.gather(tf.pad(values, room, constant_values=none), places)


def runs(shape: Shape, num_lanes: tf.Tensor) -> list[tf.Tensor]:
  """Gives the positions that lanes have in each of both passes.

  Args:
    shape: Of the image.
    num_lanes: int32 scalar, at least 1.

  Returns:
    int32 [steps, lanes], twice, where a shorter run ends with P, the number of
    positions.
  """
  height, width = shape
  total = height * width
  grid = tf.reshape(tf.range(total), tf.stack(shape))
  passes = [tf.reshape(grid[i::2], [-1]) for i in (0, 1)]
  return [
    at(positions, steps_of_lanes(tf.size(positions), num_lanes), total)
    for positions in passes
  ]


class Neighbours(NamedTuple):
  """The neighbours of P positions, int32 [P] each; P where there is none.

  Attributes:
    left: To the left.
    second: Left of that, in the first pass.
    above: In the second pass.
    below: In the second pass; in the last line, it is the one above.
  """

  left: tf.Tensor
  second: tf.Tensor
  above: tf.Tensor
  below: tf.Tensor


def neighbours(shape: Shape, num_lanes: tf.Tensor) -> Neighbours:
  """Finds the neighbours of positions; for arguments as `runs` takes them."""
  height, width = shape
  total = height * width
  positions = tf.range(total)
  line, column = positions // width, positions % width
  before = tf.add_n(  # In the run of each position.
    [
      in_order(tf.zeros_like(r) + tf.range(tf.shape(r)[0])[:, None], r, total)
      for r in runs(shape, num_lanes)
    ]
  )
  known = tf.minimum(before, column)
  is_later = line % 2 > 0
  above = tf.where(is_later, positions - width, total)
  return Neighbours(
    left=tf.where(known > 0, positions - 1, total),
    second=tf.where((known > 1) & ~is_later, positions - 2, total),
    above=above,
    below=tf.where(is_later & (line + 1 < height), positions + width, above),
  )


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


def surroundings(
  activities: tf.Tensor, near: Neighbours, tables: Tables
) -> tf.Tensor:
  """Gives what surrounds positions: int32 [positions], V in the first pass.

  Args:
    activities: int32 [positions]. Those of the first pass are enough.
    near: The neighbours of each.
    tables: Those of the quality.
  """
  sets = tf.shape(tables.ends)[0]
  none = tf.shape(tables.activity_tables)[0] - 1
  of_pairs = tf.pad(tables.surroundings, [[0, 1]] * 2, constant_values=none)
  above, below = (at(activities, n, sets) for n in (near.above, near.below))
  return tf.gather_nd(of_pairs, tf.stack([above, below], -1))


def context_classes(indices: tf.Tensor, tables: Tables) -> tf.Tensor:
  """Gives the classes of the first channels' symbols.

  Args:
    indices: int32 [n, channels], table indices; channels at most X.
    tables: Those of the quality.

  Returns:
    int32 [n, channels].
  """
  places = indices + tables.class_starts[: tf.shape(indices)[1]]
  return tf.gather(tables.context_classes, places)


def mean_classes(
  indices: tf.Tensor, near: Neighbours, tables: Tables
) -> tf.Tensor:
  """Gives the classes of the means of symbols above and below.

  Args:
    indices: int32 [positions, channels], as for `context_classes`. Those of the
      first pass are enough.
    near: The neighbours of each position.
    tables: Those of the quality.

  Returns:
    int32 [positions, channels], of no meaning in the first pass.
  """
  sums = at(indices, near.above) + at(indices, near.below)
  return context_classes(sums // 2, tables)


def contexts(indices: tf.Tensor, near: Neighbours, tables: Tables) -> tf.Tensor:
  """Gives the contexts of the context channels: int32 [positions, contexts].

  Args:
    indices: int32 [positions, L], table indices of the live channels.
    near: The neighbours of each position.
    tables: Those of the quality.
  """
  indices = indices[:, : tables.contexts()]
  classes, none = context_classes(indices, tables), tables.no_class()
  is_later = (near.above < tf.size(near.above))[:, None]
  left = at(classes, near.left, none)
  other = tf.where(
    is_later,
    mean_classes(indices, near, tables),
    at(classes, near.second, none),
  )
  channels = tf.broadcast_to(tf.range(tf.shape(left)[1]), tf.shape(left))
  passes = tf.zeros_like(left) + tf.cast(is_later, tf.int32)
  return tf.gather_nd(
    tables.contexts_of, tf.stack([passes, channels, left, other], -1)
  )


def context_starts(
  activities: tf.Tensor, found: tf.Tensor, tables: Tables
) -> tf.Tensor:
  """Finds where in `context_cdf` the tables of context channels begin.

  Args:
    activities: int32 [positions].
    found: int32 [positions, contexts], from `contexts`.
    tables: Those of the quality.

  Returns:
    int32 [positions, contexts].
  """
  shape = tf.shape(found)
  channels = tf.broadcast_to(tf.range(shape[1]), shape)
  sets = tf.broadcast_to(activities[:, None], shape)
  places = tf.stack([channels, sets, found], -1)
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
    most: The widest intervals behind which a word is shifted, from `most`.
  """

  lower: tf.Tensor
  upper: tf.Tensor
  most: tf.Tensor


def most(fills: tf.Tensor) -> tf.Tensor:
  """Gives `most` of `Shares`: 2**16, but less where a step fills up.

  An interval of 2**16, which a table index leaves that made it 1 wide, must not
  be shifted once more there.

  Args:
    fills: bool [...].
  """
  return WORD - tf.cast(fills, tf.float64)


def shares(cdf: tf.Tensor, places: tf.Tensor) -> Shares:
  """Gives the shares of table indices.

  Args:
    cdf: int32 [n], tables one after the other.
    places: int32 [...], i + 1 for entry i, and 0 for what fills up.
  """
  after = tf.pad(cdf, [[0, 1]])
  # A table ends where the next one begins, with 0.
  ends = tf.where(after == 0, 1 << WORD_BITS, after)
  lower, upper = (
    tf.gather(tf.cast(x, tf.float64), places)
    for x in (tf.roll(after, 1, 0), ends)
  )
  return Shares(lower, upper, most(places == 0))


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
  shift = width <= share.most
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
