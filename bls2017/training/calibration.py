"""Coding tables that fit what is coded, not the noisy latents of training.

A prior learns the density of latents with uniform noise, one network with few
parameters for each channel. The symbols of rounded latents follow it closely,
but not exactly; and between two trained levels it was never trained at all.
Counting the symbols of photographs at every quality mends both.

A density that is the same everywhere in an image also knows nothing of where
the image is smooth and where it is busy. Several sets of tables do, one for
each activity of a position (`bls2017.format.coding_tables`). They are made
as the centres of clusters are (Lloyd 1982): positions choose the set that codes
them in the fewest bits, each set is counted again from the positions that chose
it, and so on. Classifying what is coded is as old as adaptive transform coding
(Chen & Smith, "Adaptive Coding of Monochrome and Color Images", 1977).

Files are written with optimised quantization (`bls2017.encode.quantization`),
which makes cheap symbols more frequent. So at last symbols are optimised with
the tables and counted again, a few times: tables and symbols agree then.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bls2017 import errors
from bls2017.common import blocks
from bls2017.encode import activities, quantization
from bls2017.format import coding_tables
from bls2017.model import model_directory, strips
from bls2017.training import freezing, table_building

PRIOR_WEIGHT = 20.0
"""The prior counts as so many symbols that were seen.

In each of several sets, what was seen everywhere takes the prior's place."""

ACTIVITY_WEIGHT = 5.0
"""Pairs of activities that the overall shares of the activities count as."""

_DIGITS = 5
"""Binary digits of a frequency in one of several sets. They cost 0.01% more
bits than all 16, and sets of tables take two thirds of the space."""

_ROUNDS = 16
"""How often positions of the lowest quality choose a set at first, each for
itself."""

_FIRST_OPTIMISED_ROUNDS = 24
_OPTIMISED_ROUNDS = 3
"""How often symbols are optimised with the tables so far, and counted again.

A quality begins with the activities of the one below it."""

_BLOCK = 8192


def calibrate(
  model: model_directory.FrozenModel, patches: np.ndarray, sets: int = 1
) -> model_directory.FrozenModel:
  """A model with the same transforms and gains, and calibrated tables.

  Args:
    model: The model, with one set of tables.
    patches: uint8 [n, P, P, 3], photographs, P a multiple of 16.
    sets: Activities that the tables are to know, from 1 to
      `coding_tables.MAX_ACTIVITIES`.

  Returns:
    A model of its own id.

  Raises:
    errors.UsageError: if the number of sets is out of its range.
    errors.ModelError: if the model has several sets already.
  """
  if not 1 <= sets <= coding_tables.MAX_ACTIVITIES:
    raise errors.UsageError(
      f"activities must be 1 to {coding_tables.MAX_ACTIVITIES}, not {sets}"
    )
  if model.tables.num_activities > 1:
    raise errors.ModelError("the tables know several activities already")
  transforms = strips.Transforms(model.weights, model.config.num_latents)
  latents = np.stack([transforms.latents(patch) for patch in patches])
  images = len(latents)
  latents = latents.reshape(-1, latents.shape[-1])
  fitted = []
  chosen = None
  for index in range(len(model.tables)):
    fit = _Fit(model.tables.for_quality(index), latents, images)
    rounds = _OPTIMISED_ROUNDS
    if chosen is None:
      chosen = fit.choose(sets)
      rounds = _FIRST_OPTIMISED_ROUNDS
    of_quality = fit.tables(sets, chosen)
    for _ in range(rounds if sets > 1 else 0):
      chosen = fit.optimise(of_quality)
      of_quality = fit.tables(sets, chosen)
    fitted.append(of_quality)
  changes: dict[str, Any] = {
    "cdfs": [f.cdf.reshape(len(f.activity_cdf) - 1, -1) for f in fitted]
  }
  if sets > 1:
    changes["activity_cdf"] = np.stack([f.activity_cdf for f in fitted])
  tables = dataclasses.replace(model.tables, **changes)
  tables.check()
  return freezing.with_tables(model, tables, model.format_version)


@dataclasses.dataclass(frozen=True)
class _Fitted:
  """Tables of one quality, as `coding_tables.CodingTables` has them.

  Attributes:
    cdf: uint16 [sets * S].
    activity_cdf: uint16 [sets + 1, sets], of the activities.
  """

  cdf: np.ndarray
  activity_cdf: np.ndarray


class _Fit:
  """The symbols of photographs at one quality."""

  def __init__(
    self,
    tables: coding_tables.QualityTables,
    latents: np.ndarray,
    images: int,
  ):
    """Quantizes.

    Args:
      tables: Of the quality.
      latents: float32 [images * positions, C].
      images: How many.
    """
    self._tables = tables
    self._latents = latents
    self._images = images
    self._take(quantization.Quantizer(tables).quantize_latents(latents).rows)

  def choose(self, sets: int) -> np.ndarray:
    """The activity of every position, int [positions], by its costs alone."""
    if sets == 1:
      return np.zeros(len(self._columns), np.int64)
    (bits,) = self._costs(self._tables.code_lengths).T
    ranks = bits.argsort().argsort()
    chosen = ranks * sets // len(ranks)
    for _ in range(_ROUNDS):
      share = np.bincount(chosen, minlength=sets) + 1.0
      activity_bits = -np.log2(share / share.sum())
      lengths = -np.log2(self._density(sets, chosen))
      chosen = (self._costs(lengths) + activity_bits).argmin(1)
    return chosen

  def optimise(self, fitted: _Fitted) -> np.ndarray:
    """Quantizes again, as files of these tables are.

    Args:
      fitted: Of several sets.

    Returns:
      int32 [positions], the activities.
    """
    tables = dataclasses.replace(
      self._tables,
      cdf=fitted.cdf.reshape(len(fitted.activity_cdf) - 1, -1).astype(np.int32),
      activity_cdf=fitted.activity_cdf.astype(np.int32),
    )
    rows = (
      quantization.Quantizer(tables)
      .quantize_latents(self._latents, optimised=True)
      .rows
    )
    self._take(rows[:, tables.activity_columns :])
    return rows[:, 0].astype(np.int32)

  def tables(self, sets: int, chosen: np.ndarray) -> _Fitted:
    """The tables of positions with these activities, int [positions]."""
    density = self._density(sets, chosen)
    first = self._tables.starts
    ends = np.append(first[1:], density.shape[1])
    cdf = np.zeros(density.shape, np.uint16)
    for density_of_set, cdf_of_set in zip(density, cdf):
      for start, end in zip(first, ends):
        if end - start > 1:
          p = density_of_set[start:end]
          frequency = table_building.frequencies(p / p.sum())
          if sets > 1:
            frequency = _shortened(frequency)
          cdf_of_set[start + 1 : end] = np.cumsum(frequency)[:-1]
    masses = self._activity_density(sets, chosen)
    frequency = np.stack([table_building.frequencies(p) for p in masses])
    activity_cdf = np.zeros((sets + 1, sets), np.uint16)
    activity_cdf[:, 1:] = np.cumsum(frequency, axis=1)[:, :-1]
    return _Fitted(cdf=cdf.ravel(), activity_cdf=activity_cdf)

  def _take(self, symbols: np.ndarray) -> None:
    """Takes the symbols of the live channels, [positions, L]."""
    # The index of each symbol among all symbols of all channels.
    self._columns = symbols + self._tables.starts[self._tables.live]

  def _density(self, sets: int, chosen: np.ndarray) -> np.ndarray:
    """Masses of all symbols in each set, float64 [sets, S], none of them 0."""
    first = self._tables.starts
    size = np.diff(first, append=self._tables.cdf.shape[1])
    (cdf,) = self._tables.cdf
    prior = (coding_tables.upper_ends(cdf[None])[0] - cdf) / coding_tables.TOTAL
    seen = self._counts(sets, chosen)

    def normalized(mass: np.ndarray) -> np.ndarray:
      sums = np.add.reduceat(mass, first, axis=-1)
      return mass / np.repeat(sums, size, axis=-1)

    everywhere = normalized(seen.sum(0) + PRIOR_WEIGHT * prior)
    if sets == 1:
      return everywhere[None]
    return normalized(seen + PRIOR_WEIGHT * everywhere)

  def _counts(self, sets: int, chosen: np.ndarray) -> np.ndarray:
    """How often each symbol was seen, int64 [sets, S]."""
    total = self._tables.cdf.shape[1]
    seen = np.zeros(sets * total, np.int64)
    for block in blocks.blocks(len(self._columns), _BLOCK):
      columns = self._columns[block] + chosen[block, None] * total
      seen += np.bincount(columns.ravel(), minlength=len(seen))
    return seen.reshape(sets, total)

  def _costs(self, lengths: np.ndarray) -> np.ndarray:
    """Bits of every position with each set: float32 [positions, sets].

    Args:
      lengths: float64 [sets, S].
    """
    sums = activities.summer(np.ascontiguousarray(lengths.T, np.float32))
    costs = []
    for block in blocks.blocks(len(self._columns), _BLOCK):
      columns = self._columns[block]
      positions = np.arange(len(columns), dtype=np.int32)
      positions = np.repeat(positions, columns.shape[1])
      costs.append(sums(columns.ravel(), positions, len(columns)))
    return np.concatenate(costs)

  def _activity_density(self, sets: int, chosen: np.ndarray) -> np.ndarray:
    """Masses of activities after each other one, and of any, [sets + 1, sets].

    Lanes begin anywhere, so that any stands for their first ones.
    """
    anywhere = np.bincount(chosen, minlength=sets) + 1.0
    anywhere /= anywhere.sum()
    # In raster order, as in a lane, but not from image to image.
    of_images = chosen.reshape(self._images, -1)
    pairs = sets * of_images[:, :-1] + of_images[:, 1:]
    seen = np.bincount(pairs.ravel(), minlength=sets * sets)
    after = seen.reshape(sets, sets) + ACTIVITY_WEIGHT * anywhere
    after /= after.sum(1, keepdims=True)
    return np.concatenate([after, anywhere[None]])


def _shortened(frequency: np.ndarray) -> np.ndarray:
  """Frequencies of fewer digits, of the same sum and at least 1.

  Those that lose most by rounding down are rounded up, as many as the sum
  allows; the largest makes up for the rest. Rounding each to its nearest would
  not do: those of a wide, flat table all err to one side.

  Args:
    frequency: int64 [n], at least 1.
  """
  units = 2 ** np.maximum(np.ceil(np.log2(frequency + 1)) - _DIGITS, 0)
  units = units.astype(np.int64)
  short = frequency // units * units
  order = np.argsort((short - frequency) / units, kind="stable")
  upwards = order[np.cumsum(units[order]) <= (frequency - short).sum()]
  short[upwards] += units[upwards]
  short[short.argmax()] += frequency.sum() - short.sum()
  return short
