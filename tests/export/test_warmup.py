"""Warm-up requests: what a model server reads, and what replaying finds."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import export
from bls2017 import errors
from export import warmup


def logs(version_dir: pathlib.Path) -> list:
  """The PredictRequests that a model server finds."""
  path = version_dir / "assets.extra" / "tf_serving_warmup_requests"
  found = []
  for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    # What is written is all there is: nothing is lost on the way.
    assert log.SerializeToString(deterministic=True) == record
    found.append(log.predict_log.request)
  return found


def test_there_are_requests_for_every_signature(base_dir):
  found = logs(base_dir / "1")
  for request in found:
    assert request.model_spec.name == "bls2017"
    for tensor in request.inputs.values():
      assert tf.make_ndarray(tensor).shape[0] == 1
  names = {request.model_spec.signature_name for request in found}
  assert names == set(export.SIGNATURES)


def test_requests_survive_writing(tmp_path):
  sent = [
    warmup.Call("a", {"x": np.array([b"\0" * 300, b""], object)}),
    warmup.Call(
      "b", {"y": np.float32([1, 2]), "z": np.zeros((1, 2, 3), np.uint8)}
    ),
  ]
  warmup.write(str(tmp_path), "model", sent)
  found = logs(tmp_path)
  assert len(found) == len(sent)
  for expected, request in zip(sent, found):
    assert request.model_spec.signature_name == expected.signature
    assert set(request.inputs) == set(expected.inputs)
    for name, array in expected.inputs.items():
      sent_array = tf.make_ndarray(request.inputs[name])
      np.testing.assert_array_equal(sent_array, array)


@tf.function(
  input_signature=[tf.TensorSpec((None,), tf.int32, "x")], autograph=False
)
def _answer(x):
  """Status x, and a failure for more than two items."""
  tf.debugging.assert_less(tf.size(x), 3, "too many")
  return {"status": x, "message": tf.strings.as_string(x)}


@pytest.mark.parametrize(
  "x, message", [([0, 0], None), ([0, 4], "refuses"), ([0] * 3, "fails")]
)
def test_replaying_finds_failing_requests(tmp_path, x, message):
  path = str(tmp_path / "1")
  signature = {"answer": _answer.get_concrete_function()}
  tf.saved_model.save(tf.Module(), path, signature)
  requests = [warmup.Call("answer", {"x": np.int32(x)})]
  if message is None:
    warmup.replay(path, requests)
  else:
    with pytest.raises(errors.ModelError, match=message):
      warmup.replay(path, requests)
