"""What the stock encoder and the stock decoder share.

Both code the lanes of several images in one loop. An image has a row of table
indices for each of its positions; the indices of all images stand one after the
other, in the order of images, positions and channels, and so do those of their
lanes, since a lane is a run of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
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
  """The coding tables of Q qualities, as tensors or arrays.

  Attributes:
    cdf: int32 [n], cumulative frequencies: for each quality, activity and
      channel those below each table index (`coding_tables.QualityTables.cdf`).
    activity_cdf: int32 [Q, K + 1, K].
    totals: int32 [Q], the entries of `cdf` for one activity of each quality.
    live: int32 [m], the live channels of all qualities.
    live_starts: int32 [m], where each live channel begins among the entries of
      an activity.
    live_counts: int32 [Q], how many live channels each quality has.
    lane_positions: int32 [Q].
    channels: int32 scalar, C, those that are not live included.
  """

  cdf: tf.Tensor
  activity_cdf: tf.Tensor
  totals: tf.Tensor
  live: tf.Tensor
  live_starts: tf.Tensor
  live_counts: tf.Tensor
  lane_positions: tf.Tensor
  channels: tf.Tensor


class Channels(NamedTuple):
  """Where the tables of a quality's live channels are, of activity 0.

  Attributes:
    numbers: int32 [L], of each table among all.
    starts: int32 [L], where each table begins in `Tables.cdf`.
    tables: int32 scalar, tables of an activity.
    entries: int32 scalar, entries of an activity.
  """

  numbers: tf.Tensor
  starts: tf.Tensor
  tables: tf.Tensor
  entries: tf.Tensor


def channels(
  tables: Tables, quality: tf.Tensor, num_activities: int
) -> Channels:
  """The tables of a quality's live channels.

  Args:
    tables: Those of all qualities.
    quality: int32 scalar, from 0 to Q - 1.
    num_activities: K.
  """
  before = tf.range(tf.size(tables.totals)) < quality

  def sum_before(counts: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.where(before, counts, 0))

  first = sum_before(tables.live_counts)
  live = slice(first, first + tf.gather(tables.live_counts, quality))
  return Channels(
    numbers=quality * num_activities * tables.channels + tables.live[live],
    starts=num_activities * sum_before(tables.totals)
    + tables.live_starts[live],
    tables=tables.channels,
    entries=tf.gather(tables.totals, quality),
  )


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


def num_lanes(images: Images, tables: Tables) -> tf.Tensor:
  """How many lanes each image has, int32 [N]."""
  step = tf.gather(tables.lane_positions, images.qualities)
  return (images.positions + step - 1) // step


def lay_out(images: Images, tables: Tables) -> Lanes:
  """The lanes of images, one image after the other."""
  counts = num_lanes(images, tables)
  numbers = owners(counts)
  within = tf.range(tf.size(numbers)) - tf.gather(
    tf.cumsum(counts, exclusive=True), numbers
  )
  quality = tf.gather(images.qualities, numbers)
  step = tf.gather(tables.lane_positions, quality)
  left = tf.gather(images.positions, numbers) - within * step
  positions = tf.minimum(step, left)
  steps = positions * tf.gather(tables.live_counts, quality)
  return Lanes(numbers, positions, steps)


def owners(counts: tf.Tensor) -> tf.Tensor:
  """For each thing the number of its owner.

  Args:
    counts: int32 [n], how many things each owner has.

  Returns:
    int32 [sum of counts], rising.
  """
  things = tf.range(tf.reduce_sum(counts))
  return tf.searchsorted(tf.cumsum(counts), things, side="right")


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
    """The results of a loop over each part, both at the same time."""
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


def for_images(
  count: tf.Tensor,
  function: Callable[[tf.Tensor], tuple[tf.Tensor, ...]],
  dtypes: Sequence[tf.DType],
) -> list[tf.Tensor]:
  """Numbers of all images, one image after the other.

  Args:
    count: int32 scalar, how many images there are.
    function: From an image's number, an int32 scalar, to its numbers, of one
      dimension each.
    dtypes: Their types.
  """

  def of_image(
    i: tf.Tensor, *parts: tf.TensorArray
  ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
    return i + 1, *(p.write(i, x) for p, x in zip(parts, function(i)))

  _, *parts = tf.while_loop(
    lambda i, *_: i < count,
    of_image,
    (
      tf.constant(0),
      *(
        tf.TensorArray(dtype, count, infer_shape=False, element_shape=(None,))
        for dtype in dtypes
      ),
    ),
    parallel_iterations=1,
  )
  return [part.concat() for part in parts]


def of_images(
  images: Images, function: Callable[[tf.Tensor], tf.Tensor], dtype: tf.DType
) -> tf.Tensor:
  """`for_images` of a single number each."""
  count = tf.size(images.positions)
  return for_images(count, lambda i: (function(i),), (dtype,))[0]


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
