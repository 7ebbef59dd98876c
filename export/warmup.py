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
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

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


class Request(NamedTuple):
  """A request to a signature.

  Attributes:
    signature: Its name.
    inputs: Arrays by the names of the signature's inputs.
  """

  signature: str
  inputs: dict[str, np.ndarray]


class Sample(NamedTuple):
  """A file of a picture.

  Attributes:
    height: Of the picture, pixels.
    width: Likewise.
    quality: At which it was coded.
    data: The bytes of the file.
  """

  height: int
  width: int
  quality: float
  data: bytes


def requests(samples: Iterable[Sample]) -> list[Request]:
  """Requests for every signature.

  Args:
    samples: Files of pictures of the sizes of `sides`, at one quality of each
      pair of transforms.
  """
  result = []
  for height, width, of_sample, file in samples:
    image = picture(height, width)
    quality = np.array([of_sample], np.float32)
    data = _strings(file)
    pixels = {"image": image[None], "quality": quality}
    result += [
      *(
        Request(name, {"image_bytes": _strings(encoded), "quality": quality})
        for name, encoded in (
          ("serving_default", tf.io.encode_png(image).numpy()),
          ("compress", tf.io.encode_jpeg(image).numpy()),
        )
      ),
      Request("compress_image", pixels),
      Request(
        "decompress_to_jpeg",
        {"compressed_bytes": data, "jpeg_quality": np.array([90], np.int32)},
      ),
      *(
        Request(name, {"compressed_bytes": data})
        for name in ("decompress", "decompress_image", "info")
      ),
    ]
  return result


def sides(max_pixels: int) -> list[tuple[int, int]]:
  """Heights and widths of the pictures, those that an export takes."""
  fitting = [(h, w) for h, w in _SIDES if h * w <= max_pixels]
  return fitting or [(1, 1)]


def picture(height: int, width: int) -> np.ndarray:
  """uint8 [height, width, 3]: smooth colours."""
  y, x = np.mgrid[:height, :width] / 16.0
  waves = np.stack([np.sin(x), np.sin(y), np.sin(x + y)], -1)
  return np.rint(127 + 96 * waves).astype(np.uint8)


def write(version_dir: str, model_name: str, requests: list[Request]) -> None:
  """Writes the requests into a SavedModel's directory."""
  directory = os.path.join(version_dir, DIRECTORY)
  os.makedirs(directory)
  with tf.io.TFRecordWriter(os.path.join(directory, FILE)) as writer:
    for request in requests:
      writer.write(_to_bytes(request, model_name))


def read(version_dir: str) -> list[Request]:
  """The requests of a SavedModel's directory."""
  path = os.path.join(version_dir, DIRECTORY, FILE)
  records = tf.data.TFRecordDataset(path).as_numpy_iterator()
  return [_from_bytes(record) for record in records]


def replay(version_dir: str) -> None:
  """Loads a SavedModel as a model server does, and answers its requests.

  Raises:
    errors.ModelError: if a request fails, or an item of it has a status.
  """
  requests = read(version_dir)
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


def _to_bytes(request: Request, model_name: str) -> bytes:
  spec = _field(_NAME, model_name.encode())
  spec += _field(_SIGNATURE, request.signature.encode())
  body = _field(_MODEL_SPEC, spec)
  for name, array in sorted(request.inputs.items()):
    tensor = tf.make_tensor_proto(array).SerializeToString()
    entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor)
    body += _field(_INPUTS, entry)
  return _field(_PREDICT_LOG, _field(_REQUEST, body))


def _from_bytes(record: bytes) -> Request:
  log = dict(_fields(record))[_PREDICT_LOG]
  signature, inputs = "", {}
  for number, content in _fields(dict(_fields(log))[_REQUEST]):
    if number == _MODEL_SPEC:
      signature = dict(_fields(content))[_SIGNATURE].decode()
    elif number == _INPUTS:
      entry = dict(_fields(content))
      tensor = tensor_pb2.TensorProto.FromString(entry[_VALUE])
      inputs[entry[_KEY].decode()] = tf.make_ndarray(tensor)
  return Request(signature, inputs)


def _field(number: int, content: bytes) -> bytes:
  """A field of a message: its tag, its length, its content."""
  return _varint(number << 3 | _LENGTH_DELIMITED) + (
    _varint(len(content)) + content
  )


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
  """The fields of a message, all of which have a length."""
  offset = 0
  while offset < len(message):
    tag, offset = _read_varint(message, offset)
    length, offset = _read_varint(message, offset)
    yield tag >> 3, message[offset : offset + length]
    offset += length


def _varint(value: int) -> bytes:
  digits = []
  while value > 0x7F:
    digits.append(value & 0x7F | 0x80)
    value >>= 7
  return bytes([*digits, value])


def _read_varint(message: bytes, offset: int) -> tuple[int, int]:
  value = shift = 0
  while message[offset] & 0x80:
    value |= (message[offset] & 0x7F) << shift
    shift += 7
    offset += 1
  return value | message[offset] << shift, offset + 1
