"""Checks that a SavedModel holds only operations that its server has.

A model server refuses a whole model for one unknown operation, so this is found
out at export.
"""

from __future__ import annotations

import os

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bls2017 import errors

_PYTHON_OPERATIONS = frozenset(
  ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction")
)
"""Registered everywhere, but they call back into Python."""

_COMPILED = ("_XlaMustCompile", "_XlaCompile")


def stock_operations() -> frozenset[str]:
  """Names TensorFlow's own operations, whatever libraries were loaded."""
  return frozenset(dir(tf.raw_ops))


def read(path: str) -> list[tf.compat.v1.GraphDef]:
  """Reads the graphs of a SavedModel, by its directory."""
  with open(os.path.join(path, "saved_model.pb"), "rb") as f:
    model = saved_model_pb2.SavedModel.FromString(f.read())
  return [meta_graph.graph_def for meta_graph in model.meta_graphs]


def nodes(graph: tf.compat.v1.GraphDef) -> list[tf.compat.v1.NodeDef]:
  """Lists the nodes of a graph and of its functions."""
  inner = [n for f in graph.library.function for n in f.node_def]
  return [*graph.node, *inner]


def check(path: str) -> None:
  """Refuses a SavedModel that a stock model server cannot run.

  Args:
    path: Its directory.

  Raises:
    errors.ModelError: naming what it must not hold.
  """
  known = stock_operations() - _PYTHON_OPERATIONS
  foreign, compiled = set(), set()
  for graph in read(path):
    functions = {f.signature.name for f in graph.library.function}
    foreign |= {n.op for n in nodes(graph)} - known - functions
    named = [(n.name, n.attr) for n in nodes(graph)]
    named += [(f.signature.name, f.attr) for f in graph.library.function]
    compiled |= {
      name
      for name, attributes in named
      if any(c in attributes and attributes[c].b for c in _COMPILED)
    }
  if foreign:
    raise errors.ModelError(
      f"{path} has operations that are not stock: {', '.join(sorted(foreign))}"
    )
  if compiled:
    raise errors.ModelError(
      f"{path} asks for XLA, which model servers refuse:"
      f" {', '.join(sorted(compiled))}"
    )
