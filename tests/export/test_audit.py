"""The audit of an export's operations."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

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
  module = tf.Module()
  tf.saved_model.save(module, path, traced.get_concrete_function())
  return path


def test_an_export_is_stock(base_dir):
  audit.check(str(base_dir / "1"))


def test_stock_operations_are_those_of_a_process_without_tfc():
  output = subprocess.check_output([sys.executable, "-c", REGISTRY], text=True)
  registered = set(json.loads(output.splitlines()[-1]))
  public = audit.stock_operations()
  operations = {name for name in public if name[0].isupper()}
  assert operations <= registered
  assert not audit.TFC_OPERATIONS & registered
  assert not audit.TFC_OPERATIONS & public


@pytest.mark.tfc
def test_foreign_operations_are_found_inside_functions(tmp_path):
  import tensorflow_compression as tfc

  lookup = np.array([[16, 0, 1 << 15, 1 << 16]], np.int32)

  def encode(x):
    def item(symbols):
      handle = tfc.create_range_encoder([], lookup)
      first_table = tf.zeros((1,), tf.int32)
      handle = tfc.entropy_encode_index(handle, first_table, symbols[None])
      return tfc.entropy_encode_finalize(handle)

    return tf.map_fn(item, x, fn_output_signature=tf.string)

  path = _save(encode, str(tmp_path / "m"), tf.TensorSpec((None,), tf.int32))
  with pytest.raises(errors.ModelError, match="CreateRangeEncoder"):
    audit.check(path)
  audit.check(path, allowed=audit.TFC_OPERATIONS)


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
