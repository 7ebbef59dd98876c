"""Checks that a SavedModel holds only operations its server has.

A model server refuses a whole model for one unknown operation, so this is found
out at export.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bls2017 import errors

PYTHON_OPERATIONS = frozenset(
  ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction")
)
"""Registered everywhere, but they call back into Python."""

_COMPILED = ("_XlaMustCompile", "_XlaCompile")


def stock_operations() -> frozenset[str]:
  """Names of TensorFlow's own operations, whatever libraries were loaded."""
  return frozenset(dir(tf.raw_ops))


def check(path: str) -> None:
  """Refuses a SavedModel that a stock model server cannot run.

  Args:
    path: Its directory.

  Raises:
    errors.ModelError: naming what it must not hold.
  """
  known = stock_operations() - PYTHON_OPERATIONS
  foreign, compiled = set(), set()
  for graph in _graphs(path):
    functions = {f.signature.name for f in graph.library.function}
    for node in _nodes(graph):
      if node.op not in known and node.op not in functions:
        foreign.add(node.op)
      if any(name in node.attr and node.attr[name].b for name in _COMPILED):
        compiled.add(node.name)
    for function in graph.library.function:
      if any(n in function.attr and function.attr[n].b for n in _COMPILED):
        compiled.add(function.signature.name)
  if foreign:
    raise errors.ModelError(
      f"{path} has operations that are not stock: {', '.join(sorted(foreign))}"
    )
  if compiled:
    raise errors.ModelError(
      f"{path} asks for XLA, which model servers refuse:"
      f" {', '.join(sorted(compiled))}"
    )


def _graphs(path: str) -> Iterator[tf.compat.v1.GraphDef]:
  model = saved_model_pb2.SavedModel()
  with open(os.path.join(path, "saved_model.pb"), "rb") as f:
    model.ParseFromString(f.read())
  return (meta_graph.graph_def for meta_graph in model.meta_graphs)


def _nodes(graph: tf.compat.v1.GraphDef) -> Iterator[tf.compat.v1.NodeDef]:
  yield from graph.node
  for function in graph.library.function:
    yield from function.node_def
