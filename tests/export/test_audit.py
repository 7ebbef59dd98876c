"""The audit of an export's operations."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bls2017 import errors
from export import audit

REGISTRY = """
import json
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session
operations = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(
    pywrap_tf_session.TF_GetAllOpList()))
print(json.dumps([op.name for op in operations.op]))
"""


def _save(function, path, *specs) -> str:
  traced = tf.function(function, input_signature=specs, autograph=False)
  tf.saved_model.save(tf.Module(), path, traced.get_concrete_function())
  return path


def test_an_export_is_stock(base_dir):
  audit.check(str(base_dir / "1"))


def test_stock_operations_are_those_of_a_process_with_tensorflow_alone():
  output = subprocess.check_output([sys.executable, "-c", REGISTRY], text=True)
  registered = set(json.loads(output.splitlines()[-1]))
  names = {name for name in audit.stock_operations() if name[0].isupper()}
  assert names
  assert names <= registered


def test_foreign_operations_are_found_inside_functions(tmp_path):
  def add(x):
    return tf.map_fn(lambda item: item + 1, x)

  path = _save(add, str(tmp_path / "m"), tf.TensorSpec((None,), tf.int32))
  audit.check(path)
  file = tmp_path / "m" / "saved_model.pb"
  model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
  for function in model.meta_graphs[0].graph_def.library.function:
    for node in function.node_def:
      if node.op.startswith("Add"):
        node.op = "CreateRangeEncoder"
  file.write_bytes(model.SerializeToString())
  with pytest.raises(errors.ModelError, match="CreateRangeEncoder"):
    audit.check(path)


def test_python_functions_are_refused(tmp_path):
  def call(x):
    return tf.ensure_shape(tf.numpy_function(abs, [x], tf.float32), ())

  path = _save(call, str(tmp_path / "m"), tf.TensorSpec((), tf.float32))
  with pytest.raises(errors.ModelError, match="PyFunc"):
    audit.check(path)


def test_compiled_functions_are_refused(tmp_path):
  inner = tf.function(lambda x: x + 1, jit_compile=True, autograph=False)
  path = _save(
    lambda x: inner(x), str(tmp_path / "m"), tf.TensorSpec((), tf.float32)
  )
  with pytest.raises(errors.ModelError, match="XLA"):
    audit.check(path)
