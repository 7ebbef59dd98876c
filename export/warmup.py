"""Warm-up requests, which a model server replays before it serves a version.

They are a TFRecord file of tensorflow.serving.PredictionLog messages. Those are
written here from their wire format, of which a few fields suffice, so that
exporting does not need the package tensorflow-serving-api:

    PredictionLog   6: predict_log
    PredictLog      1: request
    PredictRequest  1: model_spec, 2: inputs (a map entry: 1 key, 2 value)
    ModelSpec       1: name, 3: signature_name
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors

DIRECTORY = "assets.extra"
FILE = "tf_serving_warmup_requests"

_SIDES = ((64, 64), (256, 384))

_LENGTH_DELIMITED = 2
_PREDICT_LOG = 6
_REQUEST = 1
_MODEL_SPEC, _INPUTS = 1, 2
_NAME, _SIGNATURE = 1, 3
_KEY, _VALUE = 1, 2


class Call(NamedTuple):
  """A request of one item to a signature.

  Attributes:
    signature: Its name.
    inputs: Arrays by the names of the signature's inputs.
  """

  signature: str
  inputs: dict[str, np.ndarray]


def requests(image: np.ndarray, quality: float, file: bytes) -> list[Call]:
  """Makes a request for every signature.

  Args:
    image: uint8 [H, W, 4], RGBA.
    quality: At which the image was compressed.
    file: The bytes of its file.
  """
  qualities = {"quality": np.array([quality], np.float32)}
  png = _strings(tf.io.encode_png(image).numpy())
  colour = image[..., :3]
  jpeg = _strings(tf.io.encode_jpeg(colour).numpy())
  data = {"compressed_bytes": _strings(file)}
  jpeg_quality = {"jpeg_quality": np.array([90], np.int32)}
  return [
    Call("serving_default", {"image_bytes": png, **qualities}),
    Call("compress", {"image_bytes": jpeg, **qualities}),
    Call("compress_image", {"image": colour[None], **qualities}),
    Call("decompress_to_jpeg", {**data, **jpeg_quality}),
    *(Call(name, data) for name in ("decompress", "decompress_image", "info")),
  ]


def pictures(max_pixels: int) -> list[np.ndarray]:
  """Draws smooth pictures, uint8 [H, W, 4], of sizes that an export takes."""
  fitting = [(h, w) for h, w in _SIDES if h * w <= max_pixels]
  return [_picture(h, w) for h, w in fitting or [(1, 1)]]


def _picture(height: int, width: int) -> np.ndarray:
  y, x = np.mgrid[:height, :width] / 16.0
  waves = np.stack([np.sin(x), np.sin(y), np.sin(x + y), np.sin(x - y)], -1)
  return np.rint(127 + 96 * waves).astype(np.uint8)


def write(version_dir: str, model_name: str, requests: list[Call]) -> None:
  """Writes requests into a SavedModel's directory."""
  directory = os.path.join(version_dir, DIRECTORY)
  os.makedirs(directory)
  with tf.io.TFRecordWriter(os.path.join(directory, FILE)) as writer:
    for request in requests:
      writer.write(_to_bytes(request, model_name))


def replay(version_dir: str, requests: list[Call]) -> None:
  """Loads a SavedModel as a model server does, and answers requests.

  Raises:
    errors.ModelError: if a request fails, or an item of it has a status.
  """
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tags = [tf.saved_model.SERVING]
    loaded = tf.compat.v1.saved_model.load(session, tags, version_dir)
    for request in requests:
      signature = loaded.signature_def[request.signature]
      feeds = {
        signature.inputs[name].name: array
        for name, array in request.inputs.items()
      }
      fetches = {k: v.name for k, v in signature.outputs.items()}
      try:
        outputs = session.run(fetches, feeds)
      except tf.errors.OpError as e:
        raise errors.ModelError(
          f"the export fails at '{request.signature}': {e.message}"
        ) from e
      if outputs["status"].any():
        message = outputs["message"][0].decode()
        raise errors.ModelError(
          f"the export refuses a sound '{request.signature}': {message}"
        )


def _strings(data: bytes) -> np.ndarray:
  return np.array([data], object)


def _to_bytes(request: Call, model_name: str) -> bytes:
  spec = _field(_NAME, model_name.encode())
  spec += _field(_SIGNATURE, request.signature.encode())
  body = _field(_MODEL_SPEC, spec)
  for name, array in sorted(request.inputs.items()):
    tensor = tf.make_tensor_proto(array).SerializeToString()
    entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor)
    body += _field(_INPUTS, entry)
  return _field(_PREDICT_LOG, _field(_REQUEST, body))


def _field(number: int, content: bytes) -> bytes:
  """A field of a message: its tag, its length, its content."""
  tag = _varint(number << 3 | _LENGTH_DELIMITED)
  return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
  digits = []
  while value > 0x7F:
    digits.append(value & 0x7F | 0x80)
    value >>= 7
  return bytes([*digits, value])
