"""Coding tables that fit what is coded, not the noisy latents of training.

A prior learns the density of latents with uniform noise, one network with few
parameters for each channel. The symbols of rounded latents follow it closely,
but not exactly; and between two trained levels it was never trained at all.
Counting the symbols of photographs at every quality mends both.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bls2017 import coding_tables, model_directory, quantization, strips

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
  transforms = strips.Transforms(model.weights, model.config.num_latents)
  counts = [
    _Counts(model.tables.for_quality(i)) for i in range(len(model.tables))
  ]
  for patch in patches:
    latents = transforms.latents(patch)
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


class _Counts:
  """How often each symbol of one quality was seen."""

  def __init__(self, tables: coding_tables.QualityTables):
    self._tables = tables
    self._quantizer = quantization.Quantizer(tables)
    live, width = tables.code_lengths.shape
    self._seen = np.zeros((live, width), np.int64)

  def add(self, latents: np.ndarray) -> None:
    """Counts the symbols of latents, float32 [positions, C]."""
    rows = self._quantizer.quantize_latents(latents).rows
    places = rows + np.arange(len(self._seen)) * self._seen.shape[1]
    counts = np.bincount(places.ravel(), minlength=self._seen.size)
    self._seen += counts.reshape(self._seen.shape)

  def cdfs(self) -> list[np.ndarray]:
    """The tables of all channels, each uint16 [size] as `CodingTables` has."""
    tables = self._tables
    sizes = tables.maximum - tables.minimum + 1
    found = [np.zeros(size, np.uint16) for size in sizes]
    for seen, cdf, channel in zip(self._seen, tables.cdf, tables.live):
      size = sizes[channel]
      prior = np.diff(cdf[: size + 1]) / coding_tables.TOTAL
      mass = seen[:size] + PRIOR_WEIGHT * prior
      frequency = coding_tables.frequencies(mass / mass.sum())
      found[channel][1:] = np.cumsum(frequency)[:-1]
    return found
