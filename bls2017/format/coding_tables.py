"""Integer coding tables: everything that decoding needs of a model's priors.

Quality is a scale from 1 to the number of trained levels in equal steps, and
every step has its tables. A table holds the cumulative frequencies of a
channel's symbols, of precision 16 bits:

    0 = cdf[0] < cdf[1] < ... < cdf[n] = 65536

A table index is a symbol minus the table's smallest symbol. Symbols outside are
clipped to the table's ends, so there is no escape code, and hostile bytes
always decode in a bounded number of steps. A channel with a single symbol is
dead: it is not coded at all.

A model may hold several sets of tables, one for each activity: smooth
positions, busy ones, edges of one kind or another. Every position says its
activity, and its symbols are coded with that set. The sets share each channel's
range of symbols, so that symbols do not depend on activities.

Live channels are coded in an order of the quality's own. The first of them,
the context channels, know symbols of the same channel at neighbours (`lanes`):
these fall into classes, two classes make a context, and activity and context
choose the table. Of the others, which hold more and more zeros, a position
codes only the first ones; an activity has a few such ends to choose from.
Activity and end together are the kind of a position. The activities of
neighbours choose its table: that to the left, and those above and below, which
make its surroundings.

Tables are made once, when a model is frozen (`bls2017.training`). They are
never rebuilt from floating point when a file is decoded: another processor
would round some entry differently and lose the stream.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bls2017 import errors

PRECISION = 16
TOTAL = 1 << PRECISION

LENGTH_UNITS = 256
"""Units of a code length in a bit; so fine that they add less than 0.01%."""

MAX_ACTIVITIES = 32
"""Sets of tables. More would cost the exported graph's decoder digits."""

MAX_ENDS = 8
"""Ends of an activity."""

_BLOCK = 1024
"""Positions whose latents are made at once."""

MAX_LANE_BYTES = 0xFFFF

MAX_LANE_END_BYTES = 4
"""The most bytes that a lane takes beyond its indices' information."""


@dataclasses.dataclass(frozen=True, eq=False)
class QualityTables:
  """The tables of one quality of a model with C channels.

  Attributes:
    gain: float32 [C], latents times gain are what is rounded.
    inverse_gain: float32 [C], rounded latents times it are what is decoded.
    offset: float32 [C], subtracted before rounding and added after it.
    minimum: int32 [C], smallest symbol.
    maximum: int32 [C], largest symbol; equal to the smallest in dead channels.
    live: int32 [L], the channels that are coded, in their order; the first X
      are the context channels.
    ends: uint16 [K, G], how many of the L - X others a position may code, for
      each activity; rising until all are coded.
    end_cdf: uint16 [K, G], the cumulative frequencies of the ends of each
      activity. The end of a table, 65536, is left out.
    activity_cdf: uint16 [T, K], likewise, T tables of the activities.
    activity_tables: uint8 [V + 1, K + 1], the number of the table for each of
      the surroundings and each activity to the left; V stands for the first
      pass, K for no position to the left.
    surroundings: uint8 [K, K], those that the activities above and below make.
    cdf: uint16 [K, S], for each activity and, one after the other, each symbol
      of each other channel. S symbols in all.
    context_cdf: uint16 [E], the tables of the context channels.
    context_tables: uint8 [X, K, J], the number of a context channel's table for
      each activity and context.
    contexts_of: uint8 [2, X, N + 1, N + 1], the context that two classes make
      in each pass: that to the left, and another one. N stands for none.
    context_classes: uint8 [sizes of the context channels], the class of each
      symbol of each of them.
    lane_positions: The most positions of a lane.
  """

  gain: np.ndarray
  inverse_gain: np.ndarray
  offset: np.ndarray
  minimum: np.ndarray
  maximum: np.ndarray
  live: np.ndarray
  ends: np.ndarray
  end_cdf: np.ndarray
  activity_cdf: np.ndarray
  activity_tables: np.ndarray
  surroundings: np.ndarray
  cdf: np.ndarray
  context_cdf: np.ndarray
  context_tables: np.ndarray
  contexts_of: np.ndarray
  context_classes: np.ndarray
  lane_positions: int

  @property
  def num_activities(self) -> int:
    """K, sets of tables."""
    return len(self.ends)

  @property
  def contexts(self) -> int:
    """X, context channels."""
    return len(self.context_tables)

  @property
  def columns(self) -> int:
    """Columns of a row: the activity and the live channels."""
    return 1 + len(self.live)

  def max_lane_bytes(self, positions: int) -> int:
    """The longest stream that a lane of so many positions can need.

    A symbol narrows the interval at most by 2**16, that is by two bytes.
    """
    return 2 * positions * self.columns + MAX_LANE_END_BYTES

  def symbols(self, rows: np.ndarray) -> np.ndarray:
    """The symbols of all channels; a dead channel has its only one.

    Args:
      rows: Integers [..., 1 + L], the activity and the table indices of the
        live channels.

    Returns:
      int32 [..., C].
    """
    # Dead channels take a column of zeros: gathering is four times as fast as
    # writing to the columns of the live ones.
    zeros = np.zeros((*rows.shape[:-1], 1), rows.dtype)
    columns = np.full(len(self.minimum), self.columns)
    columns[self.live] = np.arange(1, self.columns)
    indices = np.take(np.concatenate([rows, zeros], -1), columns, axis=-1)
    return indices + self.minimum

  def latents(self, rows: np.ndarray) -> np.ndarray:
    """The latents y_hat that the synthesis takes: float32 [..., C].

    Args:
      rows: As for `symbols`.
    """
    # By blocks: the symbols of a strip take as much room as its latents.
    flat = rows.reshape(-1, rows.shape[-1])
    y_hat = np.empty((len(flat), len(self.minimum)), np.float32)
    for start in range(0, len(flat), _BLOCK):
      part = y_hat[start : start + _BLOCK]
      part[:] = self.symbols(flat[start : start + _BLOCK])
      part += self.offset
      part *= self.inverse_gain
    return y_hat.reshape(*rows.shape[:-1], -1)

  def last_others(self, indices: np.ndarray) -> np.ndarray:
    """How many of the other channels reach up to the last symbol that is not 0.

    Args:
      indices: Integers [positions, L], table indices.

    Returns:
      int [positions].
    """
    return last_counted(
      indices[:, self.contexts :] != self.zeros[self.contexts :]
    )

  def coded_others(self, rows: np.ndarray) -> np.ndarray:
    """How many of the other channels each position codes: uint16 [positions].

    Args:
      rows: As for `symbols`, of two axes.
    """
    coded = np.empty(len(rows), np.uint16)
    for start in range(0, len(rows), _BLOCK):
      part = rows[start : start + _BLOCK]
      last, ends = self.last_others(part[:, 1:]), self.ends[part[:, 0]]
      number = (ends < last[:, None]).sum(1)
      coded[start : start + _BLOCK] = ends[np.arange(len(part)), number]
    return coded

  @functools.cached_property
  def sizes(self) -> np.ndarray:
    """int32 [L]: how many symbols the table of each live channel has."""
    return (self.maximum - self.minimum + 1)[self.live].astype(np.int32)

  @functools.cached_property
  def zeros(self) -> np.ndarray:
    """int32 [L]: the table index of symbol 0 in each live channel."""
    return -self.minimum[self.live].astype(np.int32)

  @functools.cached_property
  def starts(self) -> np.ndarray:
    """int32 [L - X]: where each other channel's symbols begin among the S."""
    sizes = self.sizes[self.contexts :]
    return (np.cumsum(sizes) - sizes).astype(np.int32)

  @functools.cached_property
  def context_starts(self) -> np.ndarray:
    """int32 [X, K, J]: where a table begins in `context_cdf`."""
    sizes = self.sizes[: self.contexts]
    numbers = self.context_tables.astype(np.int32)
    entries = sizes * table_counts(numbers)
    first = np.cumsum(entries) - entries
    starts = first[:, None, None] + sizes[:, None, None] * numbers
    return starts.astype(np.int32)

  @functools.cached_property
  def class_starts(self) -> np.ndarray:
    """int32 [X]: where a context channel begins in `context_classes`."""
    sizes = self.sizes[: self.contexts]
    return (np.cumsum(sizes) - sizes).astype(np.int32)

  @functools.cached_property
  def code_lengths(self) -> np.ndarray:
    """float64 [K, S]: bits of each symbol; see `code_lengths`."""
    return code_lengths(self.cdf)

  @functools.cached_property
  def context_lengths(self) -> np.ndarray:
    """float64 [E]: bits of each symbol of the context channels."""
    return code_lengths(self.context_cdf[None])[0]

  @functools.cached_property
  def activity_lengths(self) -> np.ndarray:
    """float32 [V + 1, K + 1, K]: bits of activities among their neighbours."""
    lengths = code_lengths(self.activity_cdf).astype(np.float32)
    return lengths[self.activity_tables]

  @functools.cached_property
  def kind_cdf(self) -> np.ndarray:
    """uint16 [T, K G]: the tables of the kinds, activity * G + end's number.

    A kind has the product of both frequencies, rounded down, and 1 more; the
    first of the largest ones takes what their sum lacks.
    """
    of_ends = frequencies(self.end_cdf).astype(np.int64)
    of_activities = frequencies(self.activity_cdf)
    products = of_activities[:, :, None] * of_ends
    of_kinds = 1 + (products.reshape(len(products), -1) >> PRECISION)
    tables = np.arange(len(of_kinds))
    of_kinds[tables, of_kinds.argmax(1)] += TOTAL - of_kinds.sum(1)
    return (np.cumsum(of_kinds, 1) - of_kinds).astype(np.uint16)


def last_counted(counted: np.ndarray) -> np.ndarray:
  """How many items reach up to the last one that counts: int [n].

  Args:
    counted: bool [n, items].
  """
  items = counted.shape[1]
  if not items:
    return np.zeros(len(counted), np.intp)
  last = items - counted[:, ::-1].argmax(1)
  return np.where(counted[np.arange(len(counted)), last - 1], last, 0)


def table_counts(context_tables: np.ndarray) -> np.ndarray:
  """How many tables each context channel has: int32 [X].

  Args:
    context_tables: As in `QualityTables`.
  """
  return context_tables.astype(np.int32).max((1, 2), initial=-1) + 1


def upper_ends(cdf: np.ndarray) -> np.ndarray:
  """The cumulative frequency after each one: int32, shaped as `cdf`.

  Args:
    cdf: uint16 [n, S], tables one after the other, each beginning with 0.
  """
  ends = np.roll(cdf, -1, axis=1).astype(np.int32)
  return np.where(ends == 0, TOTAL, ends)


def frequencies(cdf: np.ndarray) -> np.ndarray:
  """The frequency of each symbol: int32, shaped as `cdf`.

  Args:
    cdf: As for `upper_ends`.
  """
  return upper_ends(cdf) - cdf


def code_lengths(cdf: np.ndarray) -> np.ndarray:
  """Bits of each symbol, float64, shaped as `cdf`.

  Multiples of 1 / `LENGTH_UNITS`, so that sums of them are exact.

  Args:
    cdf: As for `upper_ends`.
  """
  return rounded_lengths(PRECISION - np.log2(frequencies(cdf)))


def rounded_lengths(bits: np.ndarray) -> np.ndarray:
  """Bits as multiples of 1 / `LENGTH_UNITS`: float64, shaped as `bits`."""
  return np.rint(bits * LENGTH_UNITS) / LENGTH_UNITS


class Frequencies(NamedTuple):
  """The largest arrays of a quality, as in `QualityTables`.

  Attributes:
    cdf: uint16 [K, S].
    activity_cdf: uint16 [T, K].
    activity_tables: uint8 [V + 1, K + 1].
    surroundings: uint8 [K, K].
    context_cdf: uint16 [E].
    context_tables: uint8 [X, K, J].
    contexts_of: uint8 [2, X, N + 1, N + 1].
    context_classes: uint8 [sizes of the context channels].
  """

  cdf: np.ndarray
  activity_cdf: np.ndarray
  activity_tables: np.ndarray
  surroundings: np.ndarray
  context_cdf: np.ndarray
  context_tables: np.ndarray
  contexts_of: np.ndarray
  context_classes: np.ndarray


_EXACT = 32
"""Frequencies below it are stored as they are; from it on, five binary digits
of each are."""

_STORED = np.array(
  [i if i < _EXACT else (16 + i % 16) << (i // 16 - 1) for i in range(208)],
  np.int32,
)
"""The frequency that each stored byte stands for."""


def packed(cdf: np.ndarray) -> np.ndarray:
  """The bytes that a model directory has for tables; `unpacked` inverts it.

  Args:
    cdf: uint16 [...], whose last axis has tables one after the other. All
      frequencies but a table's largest one have five binary digits.

  Returns:
    uint8 [...].
  """
  flat = cdf.reshape(-1, max(cdf.shape[-1], 1))
  stored = np.searchsorted(_STORED, frequencies(flat), "right") - 1
  return stored.astype(np.uint8).reshape(cdf.shape)


def unpacked(stored: np.ndarray, sizes: np.ndarray) -> np.ndarray:
  """Tables from the bytes of a model directory.

  The largest frequency of a table, the first of them, takes what its sum lacks.

  Args:
    stored: uint8 [..., S].
    sizes: Integers, how many symbols each table has; S in all.

  Returns:
    uint16 [..., S].

  Raises:
    errors.ModelError: if they are no tables.
  """
  if stored.shape[-1] != sizes.sum() or stored.max(initial=0) >= len(_STORED):
    raise errors.ModelError("the coding tables are damaged")
  if not stored.size:
    return np.zeros(stored.shape, np.uint16)
  counts = _STORED[stored.reshape(-1, stored.shape[-1])]
  starts = np.cumsum(sizes) - sizes
  largest = np.maximum.reduceat(counts, starts, axis=1)
  places = np.arange(counts.shape[1])
  is_largest = counts == np.repeat(largest, sizes, axis=1)
  first = np.minimum.reduceat(
    np.where(is_largest, places, len(places)), starts, axis=1
  )
  sums = np.add.reduceat(counts, starts, axis=1)
  counts[np.arange(len(first))[:, None], first] += TOTAL - sums
  if counts.min() < 1 or sums.max() > TOTAL:
    raise errors.ModelError("the coding tables are damaged")
  # Whole tables are a multiple of 2**16.
  cdf = np.cumsum(counts, axis=1) - counts
  return cdf.astype(np.uint16).reshape(stored.shape)


@dataclasses.dataclass(frozen=True)
class CodingTables:
  """The tables of all Q qualities of a model with C channels.

  Attributes:
    gain: float32 [Q, C].
    inverse_gain: float32 [Q, C].
    offset: float32 [Q, C].
    minimum: int16 [Q, C].
    size: uint16 [Q, C], symbols of each table.
    order: uint16 [Q, C], all channels; the live ones are coded in this order.
    ends: uint16 [Q, K, G].
    end_cdf: uint16 [Q, K, G].
    lane_positions: uint16 [Q], the most positions of a lane.
    pair: uint8 [Q], the pair of transforms of each quality, from 0 on, never
      falling.
    frequencies: Of each quality. It may be a sequence that reads them when they
      are asked for.
  """

  gain: np.ndarray
  inverse_gain: np.ndarray
  offset: np.ndarray
  minimum: np.ndarray
  size: np.ndarray
  order: np.ndarray
  ends: np.ndarray
  end_cdf: np.ndarray
  lane_positions: np.ndarray
  pair: np.ndarray
  frequencies: Sequence[Frequencies]

  def __len__(self) -> int:
    return len(self.gain)

  @property
  def num_activities(self) -> int:
    """K, sets of tables of every quality."""
    return self.ends.shape[1]

  @property
  def num_pairs(self) -> int:
    """Pairs of transforms."""
    return int(self.pair[-1]) + 1

  def pair_of(self, index: int) -> int:
    """The pair of transforms of a quality, by its index."""
    return int(self.pair[index])

  def check(self) -> None:
    """Raises errors.ModelError unless these are sound tables.

    All but `frequencies`, which are checked when a quality's are used.
    """
    shape = self.gain.shape
    sound = (
      len(shape) == 2
      and all(
        getattr(self, name).shape == shape
        for name in ("inverse_gain", "offset", "minimum", "size", "order")
      )
      and all(
        getattr(self, name).shape == shape[:1]
        for name in ("lane_positions", "pair")
      )
      and len(self.frequencies) == len(self)
      and self._ends_are_sound()
      and bool(np.all(np.sort(self.order, 1) == np.arange(shape[1])))
      and all(
        np.all(np.isfinite(a))
        for a in (self.gain, self.inverse_gain, self.offset)
      )
      and bool(np.all(self.size >= 1))
      and bool(np.all(self.lane_positions >= 1))
      and self.pair[0] == 0
      and bool(np.all(np.isin(np.diff(self.pair.astype(np.int32)), (0, 1))))
    )
    if not sound:
      raise errors.ModelError("the coding tables are damaged")

  def _ends_are_sound(self) -> bool:
    if self.ends.ndim != 3:
      return False
    qualities, k, g = self.ends.shape
    return bool(
      qualities == len(self)
      and self.end_cdf.shape == self.ends.shape
      and 1 <= k <= MAX_ACTIVITIES
      and 1 <= g <= MAX_ENDS
      and np.all(np.diff(self.ends.astype(np.int32)) >= 0)
      and _rises(self.end_cdf.reshape(-1, g), np.array([g]))
    )

  def for_quality(self, index: int) -> QualityTables:
    """The tables of one quality, by its index.

    Raises:
      errors.ModelError: if they are not sound.
    """
    size = self.size[index].astype(np.int32)
    minimum = self.minimum[index].astype(np.int32)
    order = self.order[index].astype(np.int32)
    tables = QualityTables(
      gain=self.gain[index],
      inverse_gain=self.inverse_gain[index],
      offset=self.offset[index],
      minimum=minimum,
      maximum=minimum + size - 1,
      live=order[size[order] > 1],
      ends=self.ends[index],
      end_cdf=self.end_cdf[index],
      **self.frequencies[index]._asdict(),
      lane_positions=int(self.lane_positions[index]),
    )
    if not _is_sound(tables):
      raise errors.ModelError("the coding tables are damaged")
    return tables

  def arrays(self) -> dict[str, np.ndarray]:
    """The arrays by name; of `frequencies` those of all qualities in a row."""
    names = {f.name for f in dataclasses.fields(self)} - {"frequencies"}
    arrays = {name: getattr(self, name) for name in names}
    for name, parts in zip(Frequencies._fields, zip(*self.frequencies)):
      arrays[name] = np.concatenate([part.ravel() for part in parts])
    return dict(sorted(arrays.items()))


def _is_sound(tables: QualityTables) -> bool:
  """True if the frequencies fit the other arrays, and tables rise."""
  x, sets = tables.contexts, tables.num_activities
  others, of_contexts = tables.sizes[x:], tables.sizes[:x]
  if tables.contexts_of.ndim != 4 or tables.contexts_of.shape[-1] < 1:
    return False
  classes = tables.contexts_of.shape[-1]
  if (
    x > len(tables.live)
    or tables.activity_cdf.shape[1:] != (sets,)
    or tables.activity_tables.shape[1:] != (sets + 1,)
    or len(tables.activity_tables) < 2
    or tables.activity_tables.max() >= len(tables.activity_cdf)
    or tables.surroundings.shape != (sets, sets)
    or tables.surroundings.max() >= len(tables.activity_tables) - 1
    or tables.context_tables.shape[1:2] != (sets,)
    or tables.context_tables.ndim != 3
    or tables.contexts_of.shape != (2, x, classes, classes)
    or np.any(tables.contexts_of >= tables.context_tables.shape[2])
    or tables.context_classes.shape != (of_contexts.sum(),)
    or np.any(tables.context_classes >= classes - 1)
    or tables.cdf.shape != (sets, others.sum())
    or np.any(tables.ends[:, -1] != len(others))
    or np.any((tables.zeros < 0) | (tables.zeros >= tables.sizes))
  ):
    return False
  counts = table_counts(tables.context_tables)
  return (
    _rises(tables.cdf, others)
    and _rises(tables.activity_cdf, np.array([sets]))
    and _rises(tables.context_cdf[None], np.repeat(of_contexts, counts))
  )


def _rises(cdf: np.ndarray, size: np.ndarray) -> bool:
  """True if tables of these sizes begin with 0 and rise: cdf uint16 [n, S]."""
  if cdf.shape[1] != size.sum():
    return False
  begins = np.zeros(cdf.shape[1], bool)
  begins[np.cumsum(size) - size] = True
  rises = np.diff(cdf.astype(np.int32), axis=1) > 0
  return bool(np.all(rises | begins[1:]) and not np.any(cdf[:, begins]))
