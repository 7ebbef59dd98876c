"""Coding tables that know a position's neighbours and where its zeros begin.

`bls2017.format.coding_tables` says what the tables hold. Of the symbols that
files hold, this module makes

- the order of the channels: the context channels, then the others by how often
  they are not 0;
- the context channels, those that save most, and the classes of their symbols,
  each of about as many positions;
- the contexts that two classes make, and the tables of activity and context;
- the surroundings that two activities make, and the tables of activities;
- the ends of each activity, which weigh the bits that they cost against the
  zeros that need not be coded.

There are more pairs of classes than symbols can fill, so they are clustered
(Lloyd 1982), each cluster being one context; and so are tables.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from bls2017.encode import expected_bits
from bls2017.format import coding_tables, lanes
from bls2017.format.coding_tables import QualityTables
from bls2017.training import table_building

MAX_CONTEXTS = 4
"""Nearly all of what the symbol before saves lies in mean and colours."""

LEAST_GAIN = 0.0005
"""The share of all bits that a context channel has to save."""

_CANDIDATES = 8
"""The channels that are tried, those that are 0 least often."""

_CLASSES = 15
_CONTEXTS = 32
"""Contexts of a pass."""

_MAX_TABLES, _MIN_TABLES = 128, 24
_TABLE_ENTRIES = 12288
"""A channel has as many tables as make so many entries, within the bounds."""

_SURROUNDINGS = 64
_ACTIVITY_TABLES = 192

_CLUSTER_ROUNDS = 20

_BEGINS = 0.02
"""How often a table that lanes begin with is used, as a share of all others."""

_ENDS = 6
_STEP_BITS = 0.16
"""Bits that a zero which need not be coded is worth, for the sake of time."""

SET_WEIGHT = 20.0
"""Symbols that the mean of all activities counts as, in each of them."""

_PAIR_WEIGHT = 30.0
"""Symbols that two things count as when they are taken to act on a symbol
independently of each other."""

_END_WEIGHT = 0.5


class _Context(NamedTuple):
  """A channel whose tables may know symbols of neighbours.

  Attributes:
    column: Of the indices.
    classes: uint8 [size], the class of each symbol.
    contexts: uint8 [2, N + 1, N + 1], what two classes make in each pass.
    weights: float64 [K, J], how often a symbol was coded.
    masses: float64 [K, J, size], what it is expected to be, of sum 1.
    gain: Bits that it saves.
  """

  column: int
  classes: np.ndarray
  contexts: np.ndarray
  weights: np.ndarray
  masses: np.ndarray
  gain: float


def fitted(
  tables: QualityTables, rows: np.ndarray, near: lanes.Neighbours
) -> QualityTables:
  """The tables that suit symbols best.

  Args:
    tables: Any tables of the quality.
    rows: Integers [positions, 1 + L], activities and table indices of images,
      with the channels in the order of these tables.
    near: The neighbours of each position.
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
    size = int(sizes[column])
    found.append(_context(column, symbols, activities, near, sets, size))
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
    end_cdf=_end_cdf(activities, numbers, sets),
    cdf=cdf,
    **_activity_tables(activities, near, sets),
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
  column: int,
  indices: np.ndarray,
  activities: np.ndarray,
  near: lanes.Neighbours,
  sets: int,
  size: int,
) -> _Context:
  """The context of a channel of these symbols, int [positions]."""
  total = np.bincount(indices, minlength=size)
  below = np.cumsum(total) - total
  # Classes of about as many symbols; one of several classes takes the first.
  classes = _CLASSES * below // len(indices)
  classes = np.unique(classes, return_inverse=True)[1].astype(np.uint8)
  none = int(classes.max()) + 1
  anywhere = _normalized(total + 0.5)
  left, other = expected_bits.neighbour_classes(
    np.append(classes.astype(np.intp), none), indices, near
  )
  is_later = np.zeros(len(indices), bool)
  is_later[near.later] = True
  contexts, found = [], np.empty(len(indices), np.intp)
  count = 0
  for of_pass in (~is_later, is_later):
    pairs = left[of_pass] * (none + 1) + other[of_pass]
    counts = _counts(pairs, indices[of_pass], (none + 1) ** 2, size)
    chosen = count + _clustered_pairs(
      counts.reshape(none + 1, none + 1, size), anywhere, _CONTEXTS
    )
    found[of_pass] = chosen.ravel()[pairs]
    contexts.append(chosen)
    count = int(chosen.max()) + 1
  counts = _counts(activities * count + found, indices, sets * count, size)
  counts = counts.reshape(sets, count, size)
  of_activity = _normalized(counts.sum(1) + SET_WEIGHT * anywhere)
  masses = _joint(counts, anywhere)
  gain = (counts * np.log2(masses / of_activity[:, None])).sum()
  return _Context(
    column,
    classes,
    np.stack(contexts).astype(np.uint8),
    counts.sum(2),
    masses,
    float(gain),
  )


def _normalized(counts: np.ndarray) -> np.ndarray:
  return counts / counts.sum(-1, keepdims=True)


def _counts(
  rows: np.ndarray, symbols: np.ndarray, num_rows: int, size: int
) -> np.ndarray:
  """How often each symbol was seen in each row: float64 [rows, size]."""
  counts = np.bincount(rows * size + symbols, minlength=num_rows * size)
  return counts.reshape(num_rows, size).astype(np.float64)


def _joint(counts: np.ndarray, anywhere: np.ndarray) -> np.ndarray:
  """Densities given two things, float64 [m, n, size].

  Args:
    counts: float64 [m, n, size].
    anywhere: float64 [size], the density when neither is known.
  """
  first, second = (
    _normalized(counts.sum(axis) + SET_WEIGHT * anywhere) for axis in (1, 0)
  )
  independent = _normalized(first[:, None] * second / anywhere)
  return _normalized(counts + _PAIR_WEIGHT * independent)


def _clustered_pairs(
  counts: np.ndarray, anywhere: np.ndarray, most: int
) -> np.ndarray:
  """The clusters of pairs of classes, int [N + 1, N + 1].

  Args:
    counts: float64 [N + 1, N + 1, size]; N stands for no neighbour.
    anywhere: float64 [size].
    most: How many clusters there may be.
  """
  # Lanes begin anywhere, not at the edges of images alone.
  masses = _joint(counts, anywhere)
  masses[-1] = _normalized(counts.sum(0) + SET_WEIGHT * anywhere)
  masses[:, -1] = _normalized(counts.sum(1) + SET_WEIGHT * anywhere)
  masses[-1, -1] = anywhere
  weights = counts.sum(2)
  for unknown in (weights[-1], weights[:, -1]):
    unknown += _BEGINS * weights.sum() / len(weights)
  size = masses.shape[2]
  _, chosen = _clusters(masses.reshape(-1, size), weights.ravel(), most)
  return chosen.reshape(weights.shape)


def _activity_tables(
  activities: np.ndarray, near: lanes.Neighbours, sets: int
) -> dict[str, Any]:
  """The arrays of `QualityTables` for activities."""
  total = np.bincount(activities, minlength=sets)
  anywhere = _normalized(total + 0.5)
  above, below = activities[near.above], activities[near.below]
  later = activities[near.later]
  pairs = _counts(above * sets + below, later, sets**2, sets)
  pairs = pairs.reshape(sets, sets, sets)
  pairs += pairs.swapaxes(0, 1)
  masses = _joint(pairs, anywhere).reshape(-1, sets)
  _, surroundings = _clusters(masses, pairs.sum(2).ravel(), _SURROUNDINGS)
  count = int(surroundings.max()) + 1
  around = np.full(len(activities), count, np.intp)
  around[near.later] = surroundings[above * sets + below]
  left = np.append(activities, sets)[near.left]
  counts = _counts(
    around * (sets + 1) + left, activities, (count + 1) * (sets + 1), sets
  )
  counts = counts.reshape(count + 1, sets + 1, sets)
  masses = _joint(counts, anywhere)
  # Lanes begin anywhere, not at the edges of images alone.
  masses[:, -1] = _normalized(counts.sum(1) + SET_WEIGHT * anywhere)
  weights = counts.sum(2)
  weights[:, -1] += _BEGINS * weights.sum(1)
  masses, tables = _clusters(
    masses.reshape(-1, sets), weights.ravel(), _ACTIVITY_TABLES
  )
  return {
    "activity_cdf": np.stack([table_building.cdf(mass) for mass in masses]),
    "activity_tables": tables.reshape(weights.shape).astype(np.uint8),
    "surroundings": surroundings.reshape(sets, sets).astype(np.uint8),
  }


def _context_tables(contexts: list[_Context], sets: int) -> dict[str, Any]:
  """The arrays of `QualityTables` for context channels."""
  count = max((c.masses.shape[1] for c in contexts), default=1)
  classes = max((c.contexts.shape[1] for c in contexts), default=1)
  numbers = np.zeros((len(contexts), sets, count), np.uint8)
  contexts_of = np.zeros((2, len(contexts), classes, classes), np.uint8)
  cdfs = [np.zeros(0, np.uint16)]
  for i, context in enumerate(contexts):
    size = context.masses.shape[2]
    most = min(max(_TABLE_ENTRIES // size, _MIN_TABLES), _MAX_TABLES)
    masses, chosen = _clusters(
      context.masses.reshape(-1, size), context.weights.ravel(), most
    )
    numbers[i, :, : context.masses.shape[1]] = chosen.reshape(sets, -1)
    # The last class stands for none, also where a channel has fewer of them.
    own = np.minimum(np.arange(classes), context.contexts.shape[1] - 1)
    contexts_of[:, i] = context.contexts[:, own[:, None], own]
    cdfs += [table_building.cdf(mass) for mass in masses]
  return {
    "context_cdf": np.concatenate(cdfs),
    "context_tables": numbers,
    "contexts_of": contexts_of,
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
    counts = _counts(activities[used], indices[used, channel], sets, size)
    everywhere = counts.sum(0) + 0.01
    masses = counts + SET_WEIGHT * everywhere / everywhere.sum()
    masses /= masses.sum(1, keepdims=True)
    tables.append(np.stack([table_building.cdf(m) for m in masses]))
  return np.concatenate(tables, axis=1)


def _end_cdf(
  activities: np.ndarray, numbers: np.ndarray, sets: int
) -> np.ndarray:
  """The tables of the ends, uint16 [K, G]."""
  masses = _normalized(_counts(activities, numbers, sets, _ENDS) + _END_WEIGHT)
  return np.stack([table_building.cdf(mass) for mass in masses])
