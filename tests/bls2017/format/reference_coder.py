"""The range coder of bls2017/format/FORMAT.md in plain integers.

Written from the normative description alone, with numbers of any length, so
that it shares no trick with the implementations it is compared with.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bls2017.format import coding_tables

WORD = 16
WINDOW = 32

Step = tuple[int, list[int]]
"""A table index and its cumulative frequencies."""


class Interval(NamedTuple):
  """The numbers from base on that stand for some steps: all decode to them.

  Attributes:
    base: Of 32 bits, and 16 for each word.
    size: How many there are.
    words: Words that were shifted out.
  """

  base: int
  size: int
  words: int


def narrowed(steps: Iterable[Step]) -> Interval:
  """The interval of some steps."""
  base, size, words = 0, 1 << WINDOW, 0
  for s, cdf in steps:
    a = size * cdf[s] >> coding_tables.PRECISION
    b = size * cdf[s + 1] >> coding_tables.PRECISION
    base, size = base + a, b - a
    if size <= 1 << WORD:
      base, size, words = base << WORD, size << WORD, words + 1
  return Interval(base, size, words)


def encode(steps: Iterable[Step]) -> bytes:
  """The stream of some steps."""
  base, size, words = narrowed(steps)
  low = base % (1 << WINDOW)
  total = WORD * words + WINDOW
  if low + size > 1 << WINDOW:
    v = (base // (1 << WINDOW) + 1) << WINDOW
    return v.to_bytes(total // 8, "big").rstrip(b"\0")
  if low == 0:
    v, length = base, 2 * words
  else:
    v, length = _round_up(base, 24), 2 * words + 1
    if v >= base + size:
      v, length = _round_up(base, 16), 2 * words + 2
  return v.to_bytes(total // 8, "big")[:length]


def _round_up(value: int, bits: int) -> int:
  return -(-value >> bits) << bits


class Decoder:
  """Decodes one stream of any bytes, index by index."""

  def __init__(self, stream: bytes):
    self._stream = stream
    self._base, self._size, self._words = 0, 1 << WINDOW, 0

  def decode(self, cdf: list[int]) -> int:
    length = 2 * self._words + 4
    value = int.from_bytes(self._stream[:length].ljust(length, b"\0"), "big")
    bounds = [self._size * c >> coding_tables.PRECISION for c in cdf]
    s = max(i for i, b in enumerate(bounds) if b <= value - self._base)
    self._base += bounds[s]
    self._size = bounds[s + 1] - bounds[s]
    if self._size <= 1 << WORD:
      self._base, self._size = self._base << WORD, self._size << WORD
      self._words += 1
    return s


def encode_rows(
  rows: np.ndarray,
  shape: tuple[int, int],
  num_lanes: int,
  tables: coding_tables.QualityTables,
  numbers: Sequence[int] | None = None,
) -> list[bytes]:
  """One stream for each lane, as `range_coder.encode` gives them.

  Args:
    rows: As there.
    shape: As there.
    num_lanes: As there.
    tables: As there.
    numbers: Of the end of each position, if they are not to be the smallest.
  """
  return list(map(encode, lane_steps(rows, shape, num_lanes, tables, numbers)))


def lane_steps(
  rows: np.ndarray,
  shape: tuple[int, int],
  num_lanes: int,
  tables: coding_tables.QualityTables,
  numbers: Sequence[int] | None = None,
) -> list[list[Step]]:
  """All that each lane codes; for arguments as `encode_rows` takes them."""
  cdfs = whole_tables(tables)
  image = np.asarray(rows).tolist()
  ends = list(numbers or map(cdfs.number, image))
  others = [step for row, g in zip(image, ends) for step in cdfs.others(row, g)]
  lanes: list[list[Step]] = [[] for _ in range(num_lanes)]
  for lane, position, near in heads(shape, num_lanes):
    lanes[lane] += cdfs.head(image[position], ends[position], near.of(image))
  for steps, (begin, stop) in zip(lanes, _runs(len(others), num_lanes)):
    steps += others[begin:stop]
  return lanes


class Near(NamedTuple):
  """The neighbours of a position, or their rows; None for those it lacks."""

  left: Any
  second: Any
  above: Any
  below: Any

  def of(self, rows: Sequence[Any]) -> Near:
    """The rows of these positions."""
    return Near(*(None if n is None else rows[n] for n in self))


def heads(
  shape: tuple[int, int], num_lanes: int
) -> Iterator[tuple[int, int, Near]]:
  """All positions in an order in which their heads can be coded.

  Args:
    shape: Of the image.
    num_lanes: How many lanes there are.

  Yields:
    The lane, the position, and those that it knows, or None.
  """
  height, width = shape
  for first_row in (0, 1):
    of_pass = [
      y * width + x for y in range(first_row, height, 2) for x in range(width)
    ]
    for lane, (begin, end) in enumerate(_runs(len(of_pass), num_lanes)):
      for i in range(begin, end):
        position = of_pass[i]
        y, x = divmod(position, width)
        left = position - 1 if min(x, i - begin) > 0 else None
        second = position - 2 if min(x, i - begin) > 1 else None
        above = below = None
        if first_row:
          second, above = None, position - width
          below = position + width if y + 1 < height else above
        yield lane, position, Near(left, second, above, below)


def decode_rows(
  streams: list[bytes],
  shape: tuple[int, int],
  tables: coding_tables.QualityTables,
) -> np.ndarray | None:
  """The inverse of `encode_rows`; None where it would write other bytes."""
  cdfs = whole_tables(tables)
  decoders = [Decoder(stream) for stream in streams]
  image: list[Any] = [None] * math.prod(shape)
  coded = [0] * len(image)
  for lane, position, near in heads(shape, len(streams)):
    decode = decoders[lane].decode
    known = near.of(image)
    kind = decode(cdfs.kind(known))
    activity = kind // cdfs.num_ends
    row = image[position] = [activity, *cdfs.zeros]
    coded[position] = cdfs.ends[activity][kind % cdfs.num_ends]
    for j in range(cdfs.contexts):
      row[1 + j] = decode(cdfs.context(j, activity, known))
  places = [(row, j) for row, c in zip(image, coded) for j in range(c)]
  for decoder, (first, end) in zip(decoders, _runs(len(places), len(streams))):
    for row, j in places[first:end]:
      row[1 + cdfs.contexts + j] = decoder.decode(cdfs.other(j, row[0]))
  rows = np.array(image, np.int32)
  again = encode_rows(rows, shape, len(streams), tables)
  return rows if again == streams else None


def _runs(total: int, num_lanes: int) -> list[tuple[int, int]]:
  return [
    (i * total // num_lanes, (i + 1) * total // num_lanes)
    for i in range(num_lanes)
  ]


class Cdfs:
  """The whole tables of a quality, as lists."""

  def __init__(self, tables: coding_tables.QualityTables):
    minimum, maximum = tables.minimum.tolist(), tables.maximum.tolist()
    sizes = [maximum[c] - minimum[c] + 1 for c in tables.live]
    self.zeros = [-minimum[c] for c in tables.live]
    self.ends = tables.ends.tolist()
    self.num_ends = len(self.ends[0])
    of_activities = map(_frequencies, tables.activity_cdf.tolist())
    of_ends = list(map(_frequencies, tables.end_cdf.tolist()))
    self._kinds = [_product(f, of_ends) for f in of_activities]
    self._activity_tables = tables.activity_tables.tolist()
    self._surroundings = tables.surroundings.tolist()
    self._contexts_of = tables.contexts_of.tolist()
    self._numbers = tables.context_tables.tolist()
    self.contexts = x = len(self._numbers)
    self._others = [_cut(cdf, sizes[x:]) for cdf in tables.cdf.tolist()]
    counts = [1 + max(map(max, numbers)) for numbers in self._numbers]
    every = [n for n, count in zip(sizes, counts) for _ in range(count)]
    left = _cut(tables.context_cdf.tolist(), every)
    self._contexts = [[left.pop(0) for _ in range(count)] for count in counts]
    classes = tables.context_classes.tolist()
    self._classes = [[classes.pop(0) for _ in range(n)] for n in sizes[:x]]

  def kind(self, near: Near) -> list[int]:
    """The table of a kind, of the rows that its position knows."""
    left = -1 if near.left is None else near.left[0]
    around = -1
    if near.above is not None:
      around = self._surroundings[near.above[0]][near.below[0]]
    return self._kinds[self._activity_tables[around][left]]

  def context(self, j: int, activity: int, near: Near) -> list[int]:
    """The table of a context channel."""
    classes = self._classes[j]
    left, other, second_pass = -1, -1, near.above is not None
    if near.left is not None:
      left = classes[near.left[1 + j]]
    if near.second is not None:
      other = classes[near.second[1 + j]]
    if second_pass:
      other = classes[(near.above[1 + j] + near.below[1 + j]) // 2]
    context = self._contexts_of[second_pass][j][left][other]
    return self._contexts[j][self._numbers[j][activity][context]]

  def other(self, j: int, activity: int) -> list[int]:
    """The table of another channel."""
    return self._others[activity][j]

  def number(self, row: list[int]) -> int:
    """The number of the first end that leaves only zeros behind it."""
    indices, zeros = row[1 + self.contexts :], self.zeros[self.contexts :]
    ends = self.ends[row[0]]
    return min(g for g, c in enumerate(ends) if indices[c:] == zeros[c:])

  def head(self, row: list[int], number: int, near: Near) -> list[Step]:
    """What is coded first of a row with this end, each with its table."""
    steps = [(row[0] * self.num_ends + number, self.kind(near))]
    for j in range(self.contexts):
      steps.append((row[1 + j], self.context(j, row[0], near)))
    return steps

  def others(self, row: list[int], number: int) -> list[Step]:
    """What is coded later of a row with this end, each with its table."""
    count = self.ends[row[0]][number]
    indices = row[1 + self.contexts :][:count]
    return [(s, self.other(j, row[0])) for j, s in enumerate(indices)]


whole_tables = functools.lru_cache(16)(Cdfs)
"""`Cdfs` of tables that come again and again."""


def _whole(cdf: list[int]) -> list[int]:
  return [*cdf, coding_tables.TOTAL]


def _frequencies(cdf: list[int]) -> list[int]:
  whole = _whole(cdf)
  return [b - a for a, b in zip(whole, whole[1:])]


def _product(of_activities: list[int], of_ends: list[list[int]]) -> list[int]:
  """The whole table of the kinds of an activity's and its ends' frequencies."""
  found = [
    1 + a * e // coding_tables.TOTAL
    for a, ends in zip(of_activities, of_ends)
    for e in ends
  ]
  found[found.index(max(found))] += coding_tables.TOTAL - sum(found)
  return [0, *itertools.accumulate(found)]


def _cut(cdf: list[int], sizes: list[int]) -> list[list[int]]:
  """The whole tables of these sizes that stand one after the other."""
  starts = [sum(sizes[:i]) for i in range(len(sizes))]
  return [_whole(cdf[a : a + n]) for a, n in zip(starts, sizes)]
