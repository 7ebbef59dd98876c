"""Servers for tests that answer as TF Serving does.

The gRPC one implements the official PredictionService over the session loader
that TF Serving uses; the REST one speaks its columnar JSON.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class SessionModel:
  """A SavedModel in a session."""

  def __init__(self, path: str):
    self._session = tf.compat.v1.Session(graph=tf.Graph())
    with self._session.graph.as_default():
      loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], path)
    self.signatures = loaded.signature_def

  def __enter__(self) -> SessionModel:
    return self

  def __exit__(self, *exception):
    self._session.close()

  def __call__(self, signature: str, **inputs) -> dict[str, np.ndarray]:
    return self._session.run(*self._request(signature, inputs))

  def operations(self, signature: str, **inputs) -> list[str]:
    """The kinds of the operations that a request runs."""
    traced = tf.compat.v1.RunMetadata()
    options = tf.compat.v1.RunOptions(
      trace_level=tf.compat.v1.RunOptions.FULL_TRACE
    )
    request = self._request(signature, inputs)
    self._session.run(*request, options=options, run_metadata=traced)
    # "name = Kind(inputs)".
    labels = (
      node.timeline_label
      for device in traced.step_stats.dev_stats
      for node in device.node_stats
    )
    return [s.partition(" = ")[2].partition("(")[0] for s in labels]

  def _request(self, signature: str, inputs: dict) -> tuple[dict, dict]:
    """The fetches and feeds of a session."""
    # Asking a protocol buffer's map for what it lacks would add that to it.
    if signature not in self.signatures:
      raise KeyError(f"no signature {signature}")
    described = self.signatures[signature]
    if unknown := sorted(set(inputs) - set(described.inputs)):
      raise KeyError(f"{signature} has no inputs {unknown}")
    feeds = {described.inputs[k].name: v for k, v in inputs.items()}
    return {k: v.name for k, v in described.outputs.items()}, feeds


class BatchingModel:
  """Merges requests to a model as TF Serving does with --enable_batching.

  Requests of one signature are merged whose inputs have the same types and,
  but for the number of items, the same shapes. A batch starts as soon as a
  thread is free.
  """

  def __init__(
    self, model: SessionModel, max_batch_size: int = 8, threads: int = 2
  ):
    self._model = model
    self._size = max_batch_size
    self._waiting: list[tuple[tuple, dict, futures.Future]] = []
    self._changed = threading.Condition()
    self._closed = False
    self._threads = [
      threading.Thread(target=self._work) for _ in range(threads)
    ]
    for thread in self._threads:
      thread.start()

  def __enter__(self) -> BatchingModel:
    return self

  def __exit__(self, *exception):
    with self._changed:
      self._closed = True
      self._changed.notify_all()
    for thread in self._threads:
      thread.join()

  def __call__(self, signature: str, **inputs) -> dict[str, np.ndarray]:
    kinds = {k: (v.dtype, v.shape[1:]) for k, v in inputs.items()}
    answer: futures.Future = futures.Future()
    with self._changed:
      key = signature, tuple(sorted(kinds.items()))
      self._waiting.append((key, inputs, answer))
      self._changed.notify()
    return answer.result()

  def _work(self) -> None:
    while True:
      with self._changed:
        self._changed.wait_for(lambda: self._waiting or self._closed)
        if not self._waiting:
          return
        key = self._waiting[0][0]
        batch = [r for r in self._waiting if r[0] == key][: self._size]
        self._waiting = [
          r for r in self._waiting if not any(r is taken for taken in batch)
        ]
      self._answer(key[0], batch)

  def _answer(self, signature: str, batch: list) -> None:
    try:
      merged = {
        name: np.concatenate([inputs[name] for _, inputs, _ in batch])
        for name in batch[0][1]
      }
      outputs = self._model(signature, **merged)
    except Exception as e:  # Whatever it is, every request is told.
      for _, _, answer in batch:
        answer.set_exception(e)
      return
    start = 0
    for _, inputs, answer in batch:
      end = start + len(next(iter(inputs.values())))
      answer.set_result({k: v[start:end] for k, v in outputs.items()})
      start = end


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
  def __init__(self, model: SessionModel | BatchingModel, refusals: int):
    self._model = model
    self._refusals = refusals

  def Predict(self, request, context):  # noqa: N802
    if self._refusals > 0:
      self._refusals -= 1
      context.abort(grpc.StatusCode.UNAVAILABLE, "loading")
    if request.model_spec.name != "bls2017":
      context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
    inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
    try:
      outputs = self._model(request.model_spec.signature_name, **inputs)
    except (tf.errors.InvalidArgumentError, KeyError, ValueError) as e:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(e))
    response = predict_pb2.PredictResponse()
    for name, array in outputs.items():
      response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    return response


@contextlib.contextmanager
def grpc_server(
  model: SessionModel | BatchingModel, threads: int = 8, refusals: int = 0
):
  """A server on a real socket; the value is its address.

  Args:
    model: What answers.
    threads: How many requests are worked on at once.
    refusals: So many first requests find it unavailable.
  """
  options = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
  ]
  server = grpc.server(futures.ThreadPoolExecutor(threads), options=options)
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
    _Service(model, refusals), server
  )
  port = server.add_insecure_port("localhost:0")
  server.start()
  try:
    yield f"localhost:{port}"
  finally:
    server.stop(None).wait()


@contextlib.contextmanager
def rest_server(
  model: SessionModel, refusals: int = 0, peers: set | None = None
):
  """Serves REST on a real socket; `peers` gets an entry per connection."""
  remaining = [refusals]

  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Keeps connections.

    def do_POST(self):  # noqa: N802
      if peers is not None:
        peers.add(self.client_address)
      body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
      if remaining[0] > 0:
        remaining[0] -= 1
        self._answer(503, {"error": "loading"})
      elif self.path != "/v1/models/bls2017:predict":
        self._answer(404, {"error": "no such model"})
      else:
        self._answer(200, {"outputs": _predict(model, body)})

    def _answer(self, code, values):
      content = json.dumps(values).encode()
      self.send_response(code)
      self.send_header("Content-Length", str(len(content)))
      self.end_headers()
      self.wfile.write(content)

    def log_message(self, *arguments):
      del arguments

  server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  try:
    yield f"http://localhost:{server.server_port}"
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


def _predict(model: SessionModel, body: dict) -> dict[str, list]:
  inputs = {
    name: [
      base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values
    ]
    for name, values in body["inputs"].items()
  }
  outputs = model(body.get("signature_name", "serving_default"), **inputs)
  return {name: _column(name, array) for name, array in outputs.items()}


def _column(name: str, array: np.ndarray) -> list:
  if name.endswith("_bytes"):
    return [{"b64": base64.b64encode(v).decode()} for v in array]
  return [v.decode() if isinstance(v, bytes) else v for v in array.tolist()]
