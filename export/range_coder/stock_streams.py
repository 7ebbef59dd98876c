"""Shared by encoder and decoder: tables, lanes, turns, the ends of streams.

Both code the lanes of several images in one loop. The table indices of all
images stand one after the other, in the order of images, positions and live
channels, and so do those of their lanes, since a lane is a run of positions.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

UNROLL = 16
"""Steps of a turn of a loop."""

PARTED_LANES = 64
"""From so many lanes on, two threads save more than their start costs."""

WORD = 2.0**16
WORD_BITS = 16
WORD_MASK = 0xFFFF
FULL = 1 << 32
TOP_BYTE = 1 << 24


class Tables(NamedTuple):
  """The coding tables of Q qualities.

  Attributes:
    cdf: int32 [n], cumulative frequencies: for each quality, activity and
      channel those below each table index (`coding_tables.QualityTables.cdf`).
    activity_cdf: int32 [Q, K + 1, K].
    totals: int32 [Q], the entries of `cdf` for one activity of each quality.
    live_starts: int32 [m], for each quality where the tables of its live
      channels begin among the entries of an activity.
    live_counts: int32 [Q], how many live channels each quality has.
    lane_positions: int32 [Q].
  """

  cdf: tf.Tensor
  activity_cdf: tf.Tensor
  totals: tf.Tensor
  live_starts: tf.Tensor
  live_counts: tf.Tensor
  lane_positions: tf.Tensor


class Images(NamedTuple):
  """The images that are coded together.

  Attributes:
    qualities: int32 [N], the row of each one's quality in `Tables`.
    positions: int32 [N]; an image of no positions is not coded.
  """

  qualities: tf.Tensor
  positions: tf.Tensor


class Lanes(NamedTuple):
  """The lanes of images, int32 [lanes] each.

  Attributes:
    images: The number of each lane's image.
    positions: How many positions it has.
    steps: How many table indices of channels it has.
  """

  images: tf.Tensor
  positions: tf.Tensor
  steps: tf.Tensor


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


def lay_out(images: Images, tables: Tables) -> Lanes:
  """Cuts images into lanes, one image after the other."""
  step = tf.gather(tables.lane_positions, images.qualities)
  counts = (images.positions + step - 1) // step
  numbers = repeated(tf.range(tf.size(counts)), counts)
  first = tf.gather(tf.cumsum(counts, exclusive=True), numbers)
  step = tf.gather(step, numbers)
  before = (tf.range(tf.size(numbers)) - first) * step
  positions = tf.gather(images.positions, numbers) - before
  positions = tf.minimum(step, positions)
  quality = tf.gather(images.qualities, numbers)
  steps = positions * tf.gather(tables.live_counts, quality)
  return Lanes(numbers, positions, steps)


def table_starts(tables: Tables) -> tf.RaggedTensor:
  """Finds where in `tables.cdf` the tables of live channels begin.

  Returns:
    int32 [Q K, (L)], a row for each quality and activity.
  """
  qualities, _, sets = tf.unstack(tf.shape(tables.activity_cdf))
  row = tf.range(qualities * sets)
  quality, activity = row // sets, row % sets
  first = tf.gather(sets * tf.cumsum(tables.totals, exclusive=True), quality)
  first += activity * tf.gather(tables.totals, quality)
  live = tf.RaggedTensor.from_row_lengths(
    tables.live_starts, tables.live_counts, validate=False
  )
  live = tf.gather(live, quality)
  of_rows = repeated(first, tf.gather(tables.live_counts, quality))
  return live.with_flat_values(live.flat_values + of_rows)


def table_rows(
  activities: tf.Tensor, images: Images, tables: Tables
) -> tf.Tensor:
  """Gives the row of `table_starts` for each position of images, int32."""
  sets = tf.shape(tables.activity_cdf)[2]
  return repeated(images.qualities, images.positions) * sets + activities


class Part(NamedTuple):
  """Lanes that a loop works on, and how their steps are spread over its turns.

  Lanes stand in the order of their steps, the most steps first: those that have
  any left in a turn are the first ones, and the others cost nothing.

  Attributes:
    lanes: int32 [m], the numbers of the lanes.
    first: int32 [m], the number of each lane's first step among those of all
      lanes.
    steps: int32 [m], descending.
    active: int32 [turns], how many lanes have steps in each turn; at least one
      turn, since an empty TensorArray has no shape.
  """

  lanes: tf.Tensor
  first: tf.Tensor
  steps: tf.Tensor
  active: tf.Tensor


class Schedule(NamedTuple):
  """The parts of a loop's lanes, worked on side by side by two threads.

  Attributes:
    parts: Two; the second one is empty where lanes are few.
    places: int32 [lanes], the place of each lane in both parts together.
  """

  parts: tuple[Part, Part]
  places: tf.Tensor

  def run(
    self, loop: Callable[[Part], tuple[tf.Tensor, ...]]
  ) -> list[tuple[tf.Tensor, ...]]:
    """Runs a loop over each part, both at the same time."""
    # Functions that are not inlined have executors, and so threads, of their
    # own. An executor that runs one operation after the other spends less on
    # each than one that looks for operations to run side by side.
    function = tf.function(
      loop, autograph=False, experimental_attributes={"_noinline": True}
    )
    with tf.experimental.function_executor_type("SINGLE_THREADED_EXECUTOR"):
      return [function(part) for part in self.parts]


def schedule(steps: tf.Tensor, unroll: int) -> Schedule:
  """Spreads lanes over parts, and their steps over turns.

  Args:
    steps: int32 [lanes].
    unroll: Steps of a turn.
  """
  order = tf.argsort(steps, direction="DESCENDING", stable=True)
  first = tf.cumsum(steps, exclusive=True)
  both = tf.size(steps) >= PARTED_LANES
  second = order[1::2]
  second = second[: tf.where(both, tf.size(second), 0)]
  lanes = (order[:: tf.where(both, 2, 1)], second)
  parts = tuple(_part(part, steps, first, unroll) for part in lanes)
  return Schedule(
    parts=(parts[0], parts[1]),
    places=tf.math.invert_permutation(tf.concat(lanes, 0)),
  )


def _part(
  lanes: tf.Tensor, steps: tf.Tensor, first: tf.Tensor, unroll: int
) -> Part:
  steps = tf.gather(steps, lanes)
  longest = tf.reduce_max(tf.pad(steps, [[0, 1]]))
  turns = tf.maximum((longest + unroll - 1) // unroll, 1)
  ended = tf.searchsorted(steps[::-1], tf.range(turns) * unroll, side="right")
  return Part(lanes, tf.gather(first, lanes), steps, tf.size(lanes) - ended)


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
