"""Clients of a served export, over gRPC and over REST.

    with client.GrpcClient("localhost:8500") as codec:
      codec.compress_file("photo.jpg", "photo.bls", quality=6)
      codec.decompress_file("photo.bls", "photo.png")

Both need the packages that `pip install 'bls2017[serving]'` brings.
"""

from __future__ import annotations

import abc
import base64
import dataclasses
import random
import time
from typing import Any, Callable, TypeVar

import numpy as np

from bls2017 import errors, files
from bls2017.encode import request

DEFAULT_MODEL = "bls2017"
DEFAULT_TIMEOUT = 60.0
MAX_MESSAGE_BYTES = 256 * 2**20
"""gRPC's own limit is 4 MiB, less than many photographs."""

_BY_STATUS = {
  kind.exit_code: kind
  for kind in (
    errors.UsageError,
    errors.UnreadableInputError,
    errors.BitstreamError,
    errors.LimitError,
  )
}

_KINDS = {bytes: object, int: np.int32, float: np.float32}

T = TypeVar("T")
_Self = TypeVar("_Self", bound="Client")


class ServerError(errors.CodecError):
  """The server's answer cannot be used, or there is none in time."""


class UnavailableError(ServerError):
  """The server cannot be reached at present; asking again may help."""


@dataclasses.dataclass(frozen=True)
class Retries:
  """How often a request is sent again while the server is unavailable.

  Attributes:
    attempts: Requests in all, at least 1.
    first_delay: Seconds before the second one; each further delay is twice as
      long.
  """

  attempts: int = 4
  first_delay: float = 0.2

  def call(self, function: Callable[[], T]) -> T:
    """Calls a function again as long as it raises `UnavailableError`."""
    delay = self.first_delay
    for _ in range(self.attempts - 1):
      try:
        return function()
      except UnavailableError:
        # Clients that failed together should not come back together.
        time.sleep(delay * random.uniform(0.5, 1.0))
        delay *= 2
    return function()


@dataclasses.dataclass(frozen=True)
class FileInfo:
  """The facts that a compressed file states.

  Attributes:
    height: Pixels.
    width: Pixels.
    quality: From 1 to the model's levels.
    model_id: Hexadecimal.
    bpp: Bits of the whole file per pixel.
  """

  height: int
  width: int
  quality: float
  model_id: str
  bpp: float


class Client(abc.ABC):
  """A client of either kind. Threads can share one; `with` closes it.

  Every method raises the typed error of an item's status (`bls2017.errors`),
  `UnavailableError` if no server answers, or `ServerError`.

  Attributes:
    timeout: Seconds a request may take.
    retries: When requests are sent again.
  """

  def __init__(self, timeout: float, retries: Retries | None):
    self.timeout = timeout
    self.retries = retries or Retries()

  def __enter__(self: _Self) -> _Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  @abc.abstractmethod
  def close(self) -> None:
    """Closes the connection."""

  def compress(
    self, image: bytes, quality: float = request.DEFAULT_QUALITY
  ) -> bytes:
    """Compresses the bytes of a PNG or JPEG file."""
    inputs = {"image_bytes": image, "quality": float(quality)}
    return self.predict("compress", inputs)["compressed_bytes"]

  def decompress(self, data: bytes) -> bytes:
    """Decompresses a file to the bytes of a PNG file."""
    inputs = {"compressed_bytes": data}
    return self.predict("decompress", inputs)["image_bytes"]

  def decompress_to_jpeg(self, data: bytes, jpeg_quality: int = 90) -> bytes:
    """Decompresses a file to the bytes of a JPEG file of quality 1 to 100."""
    inputs = {"compressed_bytes": data, "jpeg_quality": jpeg_quality}
    return self.predict("decompress_to_jpeg", inputs)["image_bytes"]

  def info(self, data: bytes) -> FileInfo:
    """Reads the facts that a compressed file states."""
    outputs = self.predict("info", {"compressed_bytes": data})
    return FileInfo(
      height=int(outputs["height"]),
      width=int(outputs["width"]),
      quality=float(outputs["quality"]),
      model_id=_to_text(outputs["model_id"]),
      bpp=float(outputs["bpp"]),
    )

  def compress_file(
    self,
    source: str,
    output: str,
    quality: float = request.DEFAULT_QUALITY,
    overwrite: bool = False,
  ) -> None:
    """Compresses a PNG or JPEG file; "-" is standard input or output."""
    files.check_output(output, overwrite)
    data = self.compress(files.read(source), quality)
    files.write(output, data, overwrite)

  def decompress_file(
    self, source: str, output: str, overwrite: bool = False
  ) -> None:
    """Decompresses a file to a PNG file; "-" is standard input or output."""
    files.check_output(output, overwrite)
    files.write(output, self.decompress(files.read(source)), overwrite)

  def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Sends one item to a signature.

    Args:
      signature: Its name.
      inputs: Values by the names of its inputs: bytes, numbers, or arrays of an
        item's shape.

    Returns:
      The item's outputs by name; a string is bytes, or over REST may be text.
    """
    outputs = self.retries.call(lambda: self._send(signature, inputs))
    try:
      status, message = int(outputs["status"]), _to_text(outputs["message"])
    except (KeyError, TypeError, ValueError) as e:
      raise ServerError(f"the answer has no status: {e!r}") from e
    if status:
      raise _BY_STATUS.get(status, ServerError)(message)
    return outputs

  @abc.abstractmethod
  def _send(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]: ...


class GrpcClient(Client):
  """A client over gRPC."""

  def __init__(
    self,
    target: str,
    model: str = DEFAULT_MODEL,
    timeout: float = DEFAULT_TIMEOUT,
    retries: Retries | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    credentials: Any = None,
  ):
    """Makes a channel; nothing is sent yet.

    Args:
      target: "host:port" of the server.
      model: Name of the model there.
      timeout: Seconds a request may take.
      retries: When requests are sent again.
      max_message_bytes: Limit of a message, both ways.
      credentials: `grpc.ChannelCredentials` for TLS; none by default.

    Raises:
      errors.UsageError: if the packages for gRPC are missing.
    """
    super().__init__(timeout, retries)
    try:
      import grpc
      from tensorflow_serving.apis import (
        predict_pb2,
        prediction_service_pb2_grpc,
      )
    except ImportError as e:
      raise errors.UsageError(
        f"gRPC needs 'pip install bls2017[serving]' ({e})"
      ) from e
    self._model = model
    self._grpc, self._request = grpc, predict_pb2.PredictRequest
    limits = [
      ("grpc.max_send_message_length", max_message_bytes),
      ("grpc.max_receive_message_length", max_message_bytes),
    ]
    self._channel = (
      grpc.secure_channel(target, credentials, limits)
      if credentials
      else grpc.insecure_channel(target, limits)
    )
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
      self._channel
    )

  def close(self) -> None:
    """Closes the channel."""
    self._channel.close()

  def _send(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    request = self._request()
    request.model_spec.name = self._model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
      array = np.array([value], _KINDS.get(type(value)))
      request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    try:
      response = self._stub.Predict(request, timeout=self.timeout)
    except self._grpc.RpcError as e:
      is_unavailable = e.code() == self._grpc.StatusCode.UNAVAILABLE
      kind = UnavailableError if is_unavailable else ServerError
      raise kind(f"gRPC {e.code().name}: {e.details()}") from e
    return {
      name: tf.make_ndarray(tensor)[0]
      for name, tensor in response.outputs.items()
    }


class RestClient(Client):
  """A client over REST, which keeps its connections."""

  def __init__(
    self,
    url: str,
    model: str = DEFAULT_MODEL,
    timeout: float = DEFAULT_TIMEOUT,
    retries: Retries | None = None,
  ):
    """Sends nothing yet.

    Args:
      url: "http://host:port" of the server.
      model: Name of the model there.
      timeout: Seconds a request may take.
      retries: When requests are sent again.

    Raises:
      errors.UsageError: if the package `requests` is missing.
    """
    super().__init__(timeout, retries)
    try:
      import requests
    except ImportError as e:
      raise errors.UsageError(
        f"REST needs 'pip install bls2017[serving]' ({e})"
      ) from e
    self._requests, self._session = requests, requests.Session()
    self._url = f"{url.rstrip('/')}/v1/models/{model}:predict"

  def close(self) -> None:
    """Closes the connections."""
    self._session.close()

  def _send(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    columns = {name: [_to_json(value)] for name, value in inputs.items()}
    body: Any = {"signature_name": signature, "inputs": columns}
    try:
      answer = self._session.post(self._url, json=body, timeout=self.timeout)
    except self._requests.ConnectionError as e:
      raise UnavailableError(f"cannot reach {self._url}: {e}") from e
    except self._requests.RequestException as e:
      raise ServerError(f"no answer from {self._url}: {e}") from e
    if answer.status_code == self._requests.codes.unavailable:
      raise UnavailableError(f"{self._url} is unavailable")
    if not answer.ok:
      raise ServerError(f"HTTP {answer.status_code}: {answer.text[:500]}")
    try:
      outputs = answer.json()["outputs"]
      return {name: _from_json(v[0]) for name, v in outputs.items()}
    except (AttributeError, LookupError, TypeError, ValueError) as e:
      raise ServerError(f"the answer is not understood: {e!r}") from e


def _to_json(value: Any) -> Any:
  if isinstance(value, bytes):
    return {"b64": base64.b64encode(value).decode("ascii")}
  return value


def _from_json(value: Any) -> Any:
  if isinstance(value, dict):
    return base64.b64decode(value["b64"])
  return value


def _to_text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
