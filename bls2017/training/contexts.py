"""Coding tables that know a position's past and where its zeros begin.

`bls2017.format.coding_tables` says what the tables hold. Of the symbols that
files hold, this module makes

- the order of the channels: the context channels, then the others by how often
  they are not 0;
- the context channels, those that save most, and the classes of their symbols,
  each of about as many positions;
- the tables of activity and class. There are more of those than symbols can
  fill, so they are clustered (Lloyd 1982), each cluster being one table;
- the ends of each activity, which weigh the bits that they cost against the
  zeros that need not be coded.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from bls2017.format import coding_tables
from bls2017.format.coding_tables import QualityTables
from bls2017.training import table_building

MAX_CONTEXTS = 4
"""Nearly all of what the symbol before saves lies in mean and colours."""

LEAST_GAIN = 0.0005
"""The share of all bits that a context channel has to save."""

_CANDIDATES = 8
"""The channels that are tried, those that are 0 least often."""

_CLASSES = 15
_MAX_TABLES, _MIN_TABLES = 128, 24
_TABLE_ENTRIES = 12288
"""A channel has as many tables as make so many entries, within the bounds."""

_CLUSTER_ROUNDS = 20

_ENDS = 6
_STEP_BITS = 0.16
"""Bits that a zero which need not be coded is worth, for the sake of time."""

SET_WEIGHT = 20.0
"""Symbols that the mean of all activities counts as, in each of them."""

_CONTEXT_WEIGHT = 30.0
"""Symbols that activity and class count as when they are taken to act on a
symbol independently of each other."""

_KIND_WEIGHT = 0.5


class _Context(NamedTuple):
  """A channel whose tables may know the symbol before.

  Attributes:
    column: Of the indices.
    classes: uint8 [size], the class of each symbol.
    counts: float64 [K, N + 1, size], how often a symbol was coded.
    masses: float64 [K, N + 1, size], what it is expected to be, of sum 1.
    gain: Bits that it saves.
  """

  column: int
  classes: np.ndarray
  counts: np.ndarray
  masses: np.ndarray
  gain: float


def fitted(
  tables: QualityTables, rows: np.ndarray, follows: np.ndarray
) -> QualityTables:
  """The tables that suit symbols best.

  Args:
    tables: Any tables of the quality.
    rows: Integers [positions, 1 + L], activities and table indices of images,
      with the channels in the order of these tables.
    follows: bool [positions], those whose left neighbour is the one before.
  """
  order = np.argsort(tables.live)
  activities = rows[:, 0].astype(np.intp)
  indices = rows[:, 1:][:, order]
  live = tables.live[order]
  minimum = tables.minimum[live]
  sizes = (tables.maximum - tables.minimum + 1)[live]
  sets = tables.num_activities
  is_zero = indices == -minimum.astype(indices.dtype)
  by_share = np.argsort(is_zero.mean(0), kind="stable")
  found = []
  for column in by_share[:_CANDIDATES].tolist() if sets > 1 else []:
    symbols = indices[:, column].astype(np.intp)
    context = _context(symbols, activities, follows, sets, int(sizes[column]))
    found.append(context._replace(column=column))
  least = LEAST_GAIN * _bits(indices, activities)
  found = sorted((c for c in found if c.gain > least), key=lambda c: -c.gain)
  contexts = sorted(found[:MAX_CONTEXTS], key=lambda c: c.column)
  columns = [c.column for c in contexts]
  others = np.array([c for c in by_share if c not in columns], np.intp)
  ends, numbers = _ends(~is_zero[:, others], activities, sets)
  coded = ends[activities, numbers]
  cdf = _counted(indices[:, others], coded, activities, sets, sizes[others])
  return dataclasses.replace(
    tables,
    live=live[[*columns, *others]],
    ends=ends,
    kind_cdf=_kind_cdf(activities, numbers, sets),
    cdf=cdf,
    **_context_tables(contexts, sets),
  )


def _bits(indices: np.ndarray, activities: np.ndarray) -> float:
  """What symbols cost about, were their activities all that is known."""

  def times_log(counts: np.ndarray) -> float:
    seen = counts[counts > 0]
    return float((seen * np.log2(seen)).sum())

  own = indices.shape[1] * times_log(np.bincount(activities))
  span = int(indices.max()) + 1
  return own - sum(
    times_log(np.bincount(activities * span + column)) for column in indices.T
  )


def _context(
  indices: np.ndarray,
  activities: np.ndarray,
  follows: np.ndarray,
  sets: int,
  size: int,
) -> _Context:
  """What the symbol before tells of a channel's, int [positions]."""
  total = np.bincount(indices, minlength=size)
  below = np.cumsum(total) - total
  # Classes of about as many symbols; one of several classes takes the first.
  classes = _CLASSES * below // len(indices)
  classes = np.unique(classes, return_inverse=True)[1].astype(np.uint8)
  inner = int(classes.max()) + 1
  before = classes[np.roll(indices, 1)]
  shape = (sets, inner + 1, size)
  rows = (activities * (inner + 1) + before) * size + indices
  counts = np.bincount(rows[follows], minlength=int(np.prod(shape)))
  counts = counts.reshape(shape).astype(np.float64)
  # The first position of a lane may be any one.
  anywhere = total + 0.5
  anywhere /= anywhere.sum()
  of_activity = counts.sum(1) + SET_WEIGHT * anywhere
  of_activity /= of_activity.sum(1, keepdims=True)
  of_class = counts.sum(0) + SET_WEIGHT * anywhere
  of_class /= of_class.sum(1, keepdims=True)
  prior = of_activity[:, None] * of_class / anywhere
  prior /= prior.sum(2, keepdims=True)
  masses = counts + _CONTEXT_WEIGHT * prior
  masses /= masses.sum(2, keepdims=True)
  masses[:, -1] = of_activity
  gain = (counts * np.log2(masses / of_activity[:, None])).sum()
  return _Context(-1, classes, counts, masses, float(gain))


def _context_tables(contexts: list[_Context], sets: int) -> dict[str, Any]:
  """The arrays of `QualityTables` for context channels."""
  columns = max((c.masses.shape[1] for c in contexts), default=1)
  numbers = np.zeros((len(contexts), sets, columns), np.uint8)
  cdfs = [np.zeros(0, np.uint16)]
  for number, context in zip(numbers, contexts):
    size = context.masses.shape[2]
    most = min(max(_TABLE_ENTRIES // size, _MIN_TABLES), _MAX_TABLES)
    # Lanes begin seldom.
    weights = context.counts.sum(2)
    weights[:, -1] = 0.02 * weights.sum(1)
    masses, chosen = _clusters(
      context.masses.reshape(-1, size), weights.ravel(), most
    )
    chosen = chosen.reshape(sets, -1)
    number[:, : chosen.shape[1] - 1] = chosen[:, :-1]
    number[:, -1] = chosen[:, -1]
    cdfs += [table_building.cdf(mass) for mass in masses]
  return {
    "context_cdf": np.concatenate(cdfs),
    "context_tables": numbers,
    "context_classes": np.concatenate(
      [np.zeros(0, np.uint8), *(c.classes for c in contexts)]
    ),
  }


def _clusters(
  masses: np.ndarray, weights: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
  """Clusters densities so that coding with those of clusters costs least.

  Args:
    masses: float64 [n, size], positive.
    weights: float64 [n], how often each is used.
    most: How many clusters there may be.

  Returns:
    float64 [clusters, size], and int [n], the cluster of each density.
  """
  by_mean = np.argsort(masses @ np.arange(masses.shape[1]), kind="stable")
  chosen = np.empty(len(masses), np.intp)
  chosen[by_mean] = np.arange(len(masses)) * most // len(masses)
  weights = weights[:, None] + 1e-3
  for _ in range(_CLUSTER_ROUNDS):
    used, chosen = np.unique(chosen, return_inverse=True)
    centres = np.zeros((len(used), masses.shape[1]))
    np.add.at(centres, chosen, masses * weights)
    centres /= centres.sum(1, keepdims=True)
    chosen = (masses @ -np.log2(centres).T).argmin(1)
  used, chosen = np.unique(chosen, return_inverse=True)
  return centres[used], chosen


def _ends(
  counted: np.ndarray, activities: np.ndarray, sets: int
) -> tuple[np.ndarray, np.ndarray]:
  """Chooses the ends of each activity, and each position's among them.

  Args:
    counted: bool [positions, R], the symbols that are not 0.
    activities: int [positions].
    sets: K.

  Returns:
    uint16 [K, G] and int [positions].
  """
  last = coding_tables.last_counted(counted)
  histogram = np.zeros((sets, counted.shape[1] + 1))
  np.add.at(histogram, (activities, last), 1)
  ends = np.stack([_best_ends(h) for h in histogram])
  return ends, (ends[activities] < last[:, None]).sum(1)


def _best_ends(histogram: np.ndarray) -> np.ndarray:
  """Ends of one activity, uint16 [G], from how often each would do."""
  others = len(histogram) - 1
  before = np.concatenate([[0.0], np.cumsum(histogram)])
  total = before[-1] + 1.0
  # The least cost of positions up to an end, with one end, two, and so on.
  cost = np.full(others + 2, np.inf)
  cost[0] = 0.0
  costs, paths = [], []
  for _ in range(_ENDS):
    following = np.full(others + 2, np.inf)
    path = np.zeros(others + 2, np.intp)
    for end in range(others + 1):
      count = before[end + 1] - before[: end + 1]
      bits = _STEP_BITS * end - np.log2((count + 0.5) / total)
      ways = cost[: end + 1] + count * bits
      path[end + 1] = ways.argmin()
      following[end + 1] = ways.min()
    cost = following
    costs.append(cost[-1])
    paths.append(path)
  ends, place = [others] * _ENDS, others + 1
  count = int(np.argmin(costs)) + 1
  for number in range(count - 1, -1, -1):
    ends[number] = place - 1
    place = paths[number][place]
  return np.array(ends, np.uint16)


def _counted(
  indices: np.ndarray,
  coded: np.ndarray,
  activities: np.ndarray,
  sets: int,
  sizes: np.ndarray,
) -> np.ndarray:
  """The tables of the other channels, uint16 [K, S].

  Args:
    indices: Integers [positions, R].
    coded: Integers [positions], how many of them are coded.
    activities: int [positions].
    sets: K.
    sizes: int [R].
  """
  tables = [np.zeros((sets, 0), np.uint16)]
  for channel, size in enumerate(sizes.tolist()):
    used = coded > channel
    rows = activities[used] * size + indices[used, channel]
    counts = np.bincount(rows, minlength=sets * size).reshape(sets, size)
    everywhere = counts.sum(0) + 0.01
    masses = counts + SET_WEIGHT * everywhere / everywhere.sum()
    masses /= masses.sum(1, keepdims=True)
    tables.append(np.stack([table_building.cdf(m) for m in masses]))
  return np.concatenate(tables, axis=1)


def _kind_cdf(
  activities: np.ndarray, numbers: np.ndarray, sets: int
) -> np.ndarray:
  """The tables of the kinds, uint16 [K + 1, K G]."""
  kinds = np.full((sets, _ENDS), _KIND_WEIGHT)
  np.add.at(kinds, (activities, numbers), 1)
  of_activity = kinds / kinds.sum(1, keepdims=True)
  after = table_building.activity_density(activities, sets)
  masses = (after[:, :, None] * of_activity).reshape(sets + 1, -1)
  return np.stack([table_building.cdf(mass) for mass in masses])
