"""A graph holds the tables of qualities that differ."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from bls2017.format import coding_tables
from export.graph import graph_tables
from export.range_coder import stock_decoder, stock_encoder
from tests.bls2017.format import tables_strategy


def _joined(*models: coding_tables.CodingTables) -> coding_tables.CodingTables:
  """A model with the qualities of all."""
  frequencies = [quality for m in models for quality in m.frequencies]
  names = {f.name for f in dataclasses.fields(models[0])} - {"frequencies"}
  arrays = {n: np.concatenate([getattr(m, n) for m in models]) for n in names}
  return coding_tables.CodingTables(**arrays, frequencies=frequencies)


def test_each_quality_has_its_tables():
  model = _joined(
    *(
      tables_strategy.make_coding_tables(
        seed, 12, 9, 0.3, 50 + seed, 3, 2, contexts, classes
      )
      for seed, (contexts, classes) in enumerate([(0, 1), (3, 4), (2, 3)])
    )
  )
  rooms = [graph_tables.room_of(model.for_quality(i)) for i in range(3)]
  room = graph_tables.Room(3, max(r.contexts for r in rooms), 4)
  assert len({r.contexts for r in rooms}) == 3
  graph = graph_tables.GraphTables(model)
  assert len(graph) == len(model)
  for index in range(len(model)):
    tables = model.for_quality(index)
    expected = graph_tables.arrays(tables, room)
    found = graph.for_quality(tf.constant(index))
    for array, tensor in zip(expected, found):
      np.testing.assert_array_equal(tensor, array)
    channels = graph.channels(tf.constant(index))
    for name, tensor in channels._asdict().items():
      np.testing.assert_array_equal(tensor, getattr(tables, name))
    assert graph.columns(tf.constant(index)) == tables.columns


def test_rows_of_a_model_without_contexts_come_back():
  model = tables_strategy.make_coding_tables(1, 9, 9, 0.3, 50, 3, 2)
  graph = graph_tables.GraphTables(model)
  rows = tables_strategy.likely_rows(model.for_quality(0), (3, 4), 2, 0, True)

  @tf.function(autograph=False)
  def coded(index, height, width, num_lanes):
    tables, shape = graph.for_quality(index), (height, width)
    lanes = stock_encoder.encode(tf.constant(rows), shape, num_lanes, tables)
    return stock_decoder.decode(*lanes, shape, tables)

  found, sound = coded(*map(tf.constant, (0, 3, 4, 2)))
  assert sound
  np.testing.assert_array_equal(found, rows)
