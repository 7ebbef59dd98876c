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
positions, busy ones, edges of one kind or another. Every position then says its
activity first, and its symbols are coded with that set. The sets share each
channel's range of symbols, so that symbols do not depend on activities. The
activity itself is coded with a table that the activity of the position before
it in the lane chooses.

Tables are made once, when a model is frozen (`bls2017.training`). They are
never rebuilt from floating point when a file is decoded: another processor
would round some entry differently and lose the stream.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from bls2017 import errors

PRECISION = 16
TOTAL = 1 << PRECISION

LENGTH_UNITS = 256
"""Units of a code length in a bit; so fine that they add less than 0.01%."""

MAX_ACTIVITIES = 32
"""Sets of tables. More would cost the exported graph's decoder digits."""

_BLOCK = 1024
"""Positions whose latents are made at once."""

MAX_LANE_BYTES = 0xFFFF

MAX_LANE_END_BYTES = 4
"""The most bytes that a lane takes beyond its indices' information."""

MEAN_LANE_END_BYTES = 0.3
"""The same on average."""


@dataclasses.dataclass(frozen=True, eq=False)
class QualityTables:
  """The tables of one quality of a model with C channels.

  Attributes:
    gain: float32 [C], latents times gain are what is rounded.
    inverse_gain: float32 [C], rounded latents times it are what is decoded.
    offset: float32 [C], subtracted before rounding and added after it.
    minimum: int32 [C], smallest symbol.
    maximum: int32 [C], largest symbol; equal to the smallest in dead channels.
    live: int32 [L], the channels that are coded, increasing.
    cdf: uint16 [K, S], for each activity and, one channel after the other, each
      symbol of each channel the cumulative frequency below it. S symbols in
      all; the end of a table, 65536, is left out.
    activity_cdf: uint16 [K + 1, K], likewise of the activity itself, for each
      activity of the position before, and for the first position of a lane.
    lane_positions: Spatial positions of a lane.
  """

  gain: np.ndarray
  inverse_gain: np.ndarray
  offset: np.ndarray
  minimum: np.ndarray
  maximum: np.ndarray
  live: np.ndarray
  cdf: np.ndarray
  activity_cdf: np.ndarray
  lane_positions: int

  @property
  def num_activities(self) -> int:
    """K, sets of tables."""
    return len(self.cdf)

  @property
  def columns(self) -> int:
    """Columns of a row: the activity and the live channels."""
    return 1 + len(self.live)

  def max_lane_bytes(self, positions: int) -> int:
    """The longest stream that so many positions can need.

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

  @functools.cached_property
  def starts(self) -> np.ndarray:
    """int32 [C]: where each channel's symbols begin among the S."""
    size = self.maximum - self.minimum + 1
    return (np.cumsum(size) - size).astype(np.int32)

  @functools.cached_property
  def code_lengths(self) -> np.ndarray:
    """float64 [K, S]: bits of each symbol; see `code_lengths`."""
    return code_lengths(self.cdf)

  @functools.cached_property
  def activity_lengths(self) -> np.ndarray:
    """float64 [K + 1, K]: bits of each activity."""
    return code_lengths(self.activity_cdf)


def upper_ends(cdf: np.ndarray) -> np.ndarray:
  """The cumulative frequency after each one: int32, shaped as `cdf`.

  Args:
    cdf: uint16 [n, S], tables one after the other, each beginning with 0.
  """
  ends = np.roll(cdf, -1, axis=1).astype(np.int32)
  return np.where(ends == 0, TOTAL, ends)


def code_lengths(cdf: np.ndarray) -> np.ndarray:
  """Bits of each symbol, float64, shaped as `cdf`.

  Multiples of 1 / `LENGTH_UNITS`, so that sums of them are exact.

  Args:
    cdf: As for `upper_ends`.
  """
  bits = PRECISION - np.log2(upper_ends(cdf) - cdf)
  return np.rint(bits * LENGTH_UNITS) / LENGTH_UNITS


@dataclasses.dataclass(frozen=True)
class CodingTables:
  """The tables of all Q qualities of a model with C channels.

  Attributes:
    gain: float32 [Q, C].
    inverse_gain: float32 [Q, C].
    offset: float32 [Q, C].
    minimum: int16 [Q, C].
    size: uint16 [Q, C], symbols of each table.
    cdfs: Q times uint16 [K, S], for each activity and channel the cumulative
      frequencies cdf[0] .. cdf[size - 1]; the last one, 65536, is left out. S
      is the sum of the quality's sizes. It may be a sequence that reads them
      when they are asked for.
    lane_positions: uint16 [Q].
    activity_cdf: uint16 [Q, K + 1, K], likewise, of the activity itself, for
      each activity of the position before, and for the first of a lane. None
      stands for a single activity.
    pair: uint8 [Q], the pair of transforms of each quality, from 0 on, never
      falling; None stands for a single pair.
  """

  gain: np.ndarray
  inverse_gain: np.ndarray
  offset: np.ndarray
  minimum: np.ndarray
  size: np.ndarray
  cdfs: Sequence[np.ndarray]
  lane_positions: np.ndarray
  activity_cdf: np.ndarray | None = None
  pair: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.gain)

  @property
  def num_activities(self) -> int:
    """K, sets of tables of every quality."""
    return 1 if self.activity_cdf is None else self.activity_cdf.shape[-1]

  @property
  def num_pairs(self) -> int:
    """Pairs of transforms."""
    return 1 if self.pair is None else int(self.pair[-1]) + 1

  def pair_of(self, index: int) -> int:
    """The pair of transforms of a quality, by its index."""
    return 0 if self.pair is None else int(self.pair[index])

  @property
  def cdf(self) -> np.ndarray:
    """uint16 [K * sum of all sizes]: `cdfs`, one after the other."""
    return np.concatenate([cdf.ravel() for cdf in self.cdfs])

  def check(self) -> None:
    """Raises errors.ModelError unless these are sound tables.

    All but `cdfs`, which are checked when a quality's are used.
    """
    shape = self.gain.shape
    sound = (
      len(shape) == 2
      and all(
        getattr(self, name).shape == shape
        for name in ("inverse_gain", "offset", "minimum", "size")
      )
      and self._activities_are_sound()
      and self._pairs_are_sound()
      and len(self.cdfs) == len(self)
      and self.lane_positions.shape == shape[:1]
      and all(
        np.all(np.isfinite(a))
        for a in (self.gain, self.inverse_gain, self.offset)
      )
      and bool(np.all(self.size >= 1))
      and bool(np.all(self.lane_positions >= 1))
    )
    if not sound:
      raise errors.ModelError("the coding tables are damaged")

  def _activities_are_sound(self) -> bool:
    cdf = self.activity_cdf
    if cdf is None:
      return True
    k = cdf.shape[-1]
    return bool(
      cdf.shape == (len(self.gain), k + 1, k)
      and 2 <= k <= MAX_ACTIVITIES
      and np.all(cdf[..., 0] == 0)
      and np.all(np.diff(cdf.astype(np.int32)) > 0)
    )

  def _pairs_are_sound(self) -> bool:
    pair = self.pair
    if pair is None:
      return True
    return bool(
      pair.shape == self.gain.shape[:1]
      and pair[0] == 0
      and np.all(np.isin(np.diff(pair.astype(np.int32)), (0, 1)))
    )

  def for_quality(self, index: int) -> QualityTables:
    """The tables of one quality, by its index.

    Raises:
      errors.ModelError: if they are not sound.
    """
    size = self.size[index].astype(np.int32)
    minimum = self.minimum[index].astype(np.int32)
    sets = self.num_activities
    activity_cdf = np.zeros((sets + 1, sets), np.uint16)
    if self.activity_cdf is not None:
      activity_cdf[:] = self.activity_cdf[index]
    cdf = self.cdfs[index]
    if not _rises(cdf.astype(np.int32), sets, size):
      raise errors.ModelError("the coding tables are damaged")
    return QualityTables(
      gain=self.gain[index],
      inverse_gain=self.inverse_gain[index],
      offset=self.offset[index],
      minimum=minimum,
      maximum=minimum + size - 1,
      live=np.flatnonzero(size > 1).astype(np.int32),
      cdf=cdf,
      activity_cdf=activity_cdf,
      lane_positions=int(self.lane_positions[index]),
    )

  def arrays(self) -> dict[str, np.ndarray]:
    """The arrays by name: the fields, with `cdf` for `cdfs`."""
    names = {f.name for f in dataclasses.fields(self)} - {"cdfs"} | {"cdf"}
    fields = {name: getattr(self, name) for name in sorted(names)}
    return {name: a for name, a in fields.items() if a is not None}


def _rises(cdf: np.ndarray, sets: int, size: np.ndarray) -> bool:
  """True if tables of these sizes begin with 0 and rise: cdf int32 [K, S]."""
  if cdf.shape != (sets, int(size.sum())):
    return False
  begins = np.zeros(cdf.shape[1], bool)
  begins[np.cumsum(size) - size] = True
  rises = np.diff(cdf, axis=1) > 0
  return bool(np.all(rises | begins[1:]) and not np.any(cdf[:, begins]))
