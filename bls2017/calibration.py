"""Coding tables that fit what is coded, not the noisy latents of training.

A prior learns the density of latents with uniform noise, one network with few
parameters for each channel. The symbols of rounded latents follow it closely,
but not exactly; and between two trained levels it was never trained at all.
Counting the symbols of photographs at every quality mends both.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from bls2017 import coding_tables, frozen_transforms, model_directory

PRIOR_WEIGHT = 20.0
"""The prior counts as so many symbols that were seen."""


def calibrate(
  model: model_directory.FrozenModel, patches: np.ndarray
) -> model_directory.FrozenModel:
  """A model with the same transforms and gains, and calibrated tables.

  Args:
    model: The model.
    patches: uint8 [n, P, P, 3], photographs, P a multiple of 16.

  Returns:
    A model of its own id.
  """
  transforms = frozen_transforms.FrozenTransforms(model.weights)

  @tf.function(autograph=False)
  def analysis(x: tf.Tensor) -> tf.Tensor:
    return transforms.analysis(tf.cast(x, tf.float32))

  counts = [_Counts(model.tables.for_quality(i)) for i in _qualities(model)]
  for patch in patches:
    latents = analysis(tf.constant(patch[None]))[0].numpy()
    for each in counts:
      each.add(latents.reshape(-1, latents.shape[-1]))
  tables = dataclasses.replace(
    model.tables,
    cdf=np.concatenate([c for each in counts for c in each.cdfs()]),
  )
  tables.check()
  return dataclasses.replace(
    model,
    tables=tables,
    model_id=model_directory.model_id(model.weights, tables),
  )


def _qualities(model: model_directory.FrozenModel) -> range:
  return range(len(model.tables))


class _Counts:
  """How often each symbol of one quality was seen."""

  def __init__(self, tables: coding_tables.QualityTables):
    self._tables = tables
    self._size = tables.maximum - tables.minimum + 1
    self._starts = np.cumsum(self._size) - self._size
    self._counts = np.zeros(int(self._size.sum()), np.int64)

  def add(self, latents: np.ndarray) -> None:
    """Counts the symbols of latents, float32 [positions, C]."""
    t = self._tables
    symbols = np.rint(latents * t.gain - t.offset)
    symbols = np.clip(symbols, t.minimum, t.maximum) - t.minimum
    places = (symbols.astype(np.int64) + self._starts).ravel()
    self._counts += np.bincount(places, minlength=len(self._counts))

  def cdfs(self) -> list[np.ndarray]:
    """The tables of all channels, each uint16 [size] as `CodingTables` has."""
    found = [np.zeros(size, np.uint16) for size in self._size]
    for row, channel in enumerate(self._tables.live):
      first, size = self._starts[channel], self._size[channel]
      seen = self._counts[first : first + size]
      prior = np.diff(self._tables.cdf[row, : size + 1]) / coding_tables.TOTAL
      mass = seen + PRIOR_WEIGHT * prior
      frequency = coding_tables.frequencies(mass / mass.sum())
      found[channel][1:] = np.cumsum(frequency)[:-1]
    return found
