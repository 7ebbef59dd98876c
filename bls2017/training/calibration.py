"""Coding tables that fit what is coded, not the noisy latents of training.

A prior learns the density of latents with uniform noise. The symbols of rounded
latents follow it closely, but not exactly, and between two trained levels it
was never trained at all. Counting the symbols of photographs mends both.

Several sets of tables know where an image is smooth and where it is busy
(`bls2017.format.coding_tables`). They are made as the centres of clusters are
(Lloyd 1982): positions choose the set that codes them in the fewest bits, each
set is counted again from the positions that chose it, and so on. Classifying
what is coded is as old as adaptive transform coding (Chen & Smith, "Adaptive
Coding of Monochrome and Color Images", 1977).

Files are written with optimised quantization (`bls2017.encode.quantization`),
which makes cheap symbols more frequent. So at last symbols are optimised with
the tables and counted again, a few times: tables and symbols agree then.
What neighbours tell, and ends (`bls2017.training.contexts`) follow from those
symbols.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import blocks
from bls2017.encode import quantization
from bls2017.format import coding_tables, lanes
from bls2017.format.coding_tables import QualityTables
from bls2017.model import model_directory
from bls2017.training import contexts, freezing, table_building

PRIOR_WEIGHT = 20.0
"""The prior counts as so many symbols; the mean of all sets does in each."""

_CLUSTER_ROUNDS = 16
"""Rounds at the lowest quality in which positions choose each for itself."""

_FIRST_OPTIMISED_ROUNDS = 24
_OPTIMISED_ROUNDS = 3
"""Rounds with optimised symbols, at the lowest quality and at the others, which
begin with the activities of the one below."""

_CONTEXT_ROUNDS = 2
"""Rounds in which contexts and ends are made."""

PATCH_SIZE = 256
"""Side of the middles of photographs to calibrate with."""

_BLOCK = 8192

_log = logging.getLogger(__name__)


def calibrate(
  model: model_directory.FrozenModel, patches: np.ndarray, sets: int = 1
) -> model_directory.FrozenModel:
  """A model with the same transforms and gains, and calibrated tables.

  Args:
    model: The model, with one set of tables.
    patches: uint8 [n, P, P, 3], photographs, P a multiple of 16.
    sets: Activities that the tables are to know.

  Raises:
    errors.UsageError: if sets is not in 1 to `coding_tables.MAX_ACTIVITIES`.
    errors.ModelError: if the model has several sets already.
  """
  if not 1 <= sets <= coding_tables.MAX_ACTIVITIES:
    raise errors.UsageError(
      f"activities must be 1 to {coding_tables.MAX_ACTIVITIES}, not {sets}"
    )
  if model.tables.num_activities > 1:
    raise errors.ModelError("the tables know several activities already")
  latents = _latents(model, 0, patches)
  fitted = []
  chosen = None
  for index in range(len(model.tables)):
    prior = model.tables.for_quality(index)
    rows = _rows(prior, latents, optimised=False)
    columns = _columns(prior, rows)
    rounds = _OPTIMISED_ROUNDS
    if chosen is None:
      chosen = _clusters(prior, columns, sets)
      rounds = _FIRST_OPTIMISED_ROUNDS
    tables = _counted(prior, columns, chosen, sets)
    for _ in range(rounds if sets > 1 else 0):
      rows = _rows(tables, latents)
      columns, chosen = _columns(tables, rows), rows[:, 0].astype(np.int32)
      tables = _counted(prior, columns, chosen, sets)
    if sets > 1:
      tables = with_contexts(tables, latents)
    fitted.append(tables)
  return freezing.with_tables(model, with_qualities(model.tables, fitted))


def counted_anew(
  model: model_directory.FrozenModel,
  images: Sequence[np.ndarray],
) -> model_directory.FrozenModel:
  """A model with the same transforms and gains, and tables that suit images.

  Args:
    model: The model.
    images: uint8 [H, W, 3], of any sizes. With those of a few hundred thousand
      positions (16 x 16 pixels) tables suit other images as well.
  """
  fitted: list[QualityTables] = []
  count = len(model.tables)
  for _, qualities in itertools.groupby(range(count), model.tables.pair_of):
    of_pair = list(qualities)
    latents = _latents(model, of_pair[0], images)
    for index in of_pair:
      tables = model.tables.for_quality(index)
      fitted.append(with_contexts(tables, latents))
      _log.info("tables of quality %d of %d", index + 1, count)
  return freezing.with_tables(model, with_qualities(model.tables, fitted))


def _latents(
  model: model_directory.FrozenModel, quality: int, images: Iterable[np.ndarray]
) -> list[np.ndarray]:
  """Latents of images at a quality, by its index: float32 [h, w, C] each."""
  transforms = model.transforms(quality)
  return [transforms.latents(x) for x in images]


def _rows(
  tables: QualityTables, latents: Sequence[np.ndarray], optimised: bool = True
) -> np.ndarray:
  """The rows of images one after the other; see `quantization.Quantized`."""
  quantizer = quantization.Quantizer(tables)
  quantized = (
    quantizer.quantize_latents(
      y.reshape(-1, y.shape[2]), (len(y), y.shape[1]), optimised=optimised
    )
    for y in latents
  )
  return np.concatenate([q.rows for q in quantized])


def _neighbours(latents: Sequence[np.ndarray]) -> lanes.Neighbours:
  """The neighbours of positions of images one after the other."""
  total = sum(y[..., 0].size for y in latents)
  found, start = [], 0
  for y in latents:
    h, w, _ = y.shape
    found.append(
      [np.where(n == h * w, total, n + start) for n in lanes.neighbours(h, w)]
    )
    start += h * w
  return lanes.Neighbours(*map(np.concatenate, zip(*found)))


def with_contexts(
  tables: QualityTables, latents: Sequence[np.ndarray]
) -> QualityTables:
  """Tables that know neighbours and ends, from those of several activities.

  Args:
    tables: The tables.
    latents: Of photographs, float32 [h, w, C] each.
  """
  near = _neighbours(latents)
  for _ in range(_CONTEXT_ROUNDS):
    tables = contexts.fitted(tables, _rows(tables, latents), near)
  return tables


def with_qualities(
  tables: coding_tables.CodingTables, qualities: Sequence[QualityTables]
) -> coding_tables.CodingTables:
  """The same gains and symbols, coded in another way.

  Args:
    tables: The tables of all qualities.
    qualities: Those that replace them, in their order.
  """
  channels = np.arange(tables.gain.shape[1])
  orders = [
    np.concatenate([q.live, np.setdiff1d(channels, q.live)]) for q in qualities
  ]
  calibrated = dataclasses.replace(
    tables,
    order=np.stack(orders).astype(np.uint16),
    ends=np.stack([q.ends for q in qualities]),
    end_cdf=np.stack([q.end_cdf for q in qualities]),
    frequencies=[
      coding_tables.Frequencies(
        *(getattr(q, name) for name in coding_tables.Frequencies._fields)
      )
      for q in qualities
    ],
  )
  calibrated.check()
  return calibrated


def _columns(tables: QualityTables, rows: np.ndarray) -> np.ndarray:
  """The index of each symbol among all S: int [positions, live channels]."""
  return rows[:, 1:] + tables.starts


def _clusters(
  prior: QualityTables, columns: np.ndarray, sets: int
) -> np.ndarray:
  """The activity of every position, int [positions], by its own bits alone."""
  (bits,) = _costs(columns, prior.code_lengths).T
  chosen = bits.argsort().argsort() * sets // len(bits)
  for _ in range(_CLUSTER_ROUNDS if sets > 1 else 0):
    share = np.bincount(chosen, minlength=sets) + 1.0
    lengths = -np.log2(_density(prior, columns, chosen, sets))
    activity_bits = -np.log2(share / share.sum())
    chosen = (_costs(columns, lengths) + activity_bits).argmin(1)
  return chosen


def _costs(columns: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """Bits of every position with each set: float32 [positions, sets]."""
  of_symbols = tf.constant(lengths.T, tf.float32)
  costs = []
  for block in blocks.blocks(len(columns), _BLOCK):
    part = columns[block]
    positions = np.repeat(np.arange(len(part)), part.shape[1])
    costs.append(tf.sparse.segment_sum(of_symbols, part.ravel(), positions))
  return np.concatenate(costs)


def _counted(
  prior: QualityTables,
  columns: np.ndarray,
  chosen: np.ndarray,
  sets: int,
) -> QualityTables:
  """The tables of positions of these symbols and activities."""
  density = _density(prior, columns, chosen, sets)
  cdf = np.zeros(density.shape, np.uint16)
  for start, size in zip(prior.starts, prior.sizes):
    part = slice(start, start + size)
    for of_set, cdf_of_set in zip(density, cdf):
      mass = of_set[part] / of_set[part].sum()
      cdf_of_set[part] = table_building.cdf(mass)
  if sets == 1:
    return dataclasses.replace(prior, cdf=cdf)
  masses = table_building.activity_density(chosen, sets)
  return dataclasses.replace(
    prior,
    ends=np.tile(prior.ends[:1], (sets, 1)),
    end_cdf=np.zeros((sets, 1), np.uint16),
    activity_cdf=np.stack([table_building.cdf(p) for p in masses]),
    activity_tables=np.tile(np.arange(sets + 1, dtype=np.uint8), (2, 1)),
    surroundings=np.zeros((sets, sets), np.uint8),
    cdf=cdf,
    context_tables=np.zeros((0, sets, 1), np.uint8),
  )


def _density(
  prior: QualityTables, columns: np.ndarray, chosen: np.ndarray, sets: int
) -> np.ndarray:
  """Masses of all symbols in each set, float64 [sets, S], none of them 0."""
  total = prior.cdf.shape[1]
  seen = np.zeros(sets * total, np.int64)
  for block in blocks.blocks(len(columns), _BLOCK):
    entries = columns[block] + chosen[block, None] * total
    seen += np.bincount(entries.ravel(), minlength=len(seen))
  seen = seen.reshape(sets, total)

  def normalized(mass: np.ndarray) -> np.ndarray:
    sums = np.add.reduceat(mass, prior.starts, axis=-1)
    return mass / np.repeat(sums, prior.sizes, axis=-1)

  own = coding_tables.frequencies(prior.cdf) / coding_tables.TOTAL
  everywhere = normalized(seen.sum(0) + PRIOR_WEIGHT * own)  # [1, S]
  return (
    everywhere if sets == 1 else normalized(seen + PRIOR_WEIGHT * everywhere)
  )
