"""The clients against servers on real sockets."""

from __future__ import annotations

import io
import random
import resource
import subprocess
import sys
import threading
import time
from concurrent import futures

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from export import client
from tests import images
from tests.export import model_server

QUICK = client.Retries(attempts=3, first_delay=0.01)


def _png(x: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(x).save(buffer, "PNG")
  return buffer.getvalue()


@pytest.fixture(scope="module", params=["grpc", "rest"])
def served(request, session_model):
  """A client of either kind, its server behind it."""
  if request.param == "grpc":
    with (
      model_server.grpc_server(session_model) as address,
      client.GrpcClient(address) as made,
    ):
      yield made
  else:
    with (
      model_server.rest_server(session_model) as url,
      client.RestClient(url) as made,
    ):
      yield made


def test_files_go_there_and_back(served, codec, photographs, tmp_path):
  photo, packed, output = (
    str(tmp_path / n) for n in ("p.png", "p.bls", "o.png")
  )
  Image.fromarray(photographs[0]).save(photo)
  served.compress_file(photo, packed, quality=1.25)
  with open(packed, "rb") as f:
    data = f.read()
  assert data == codec.compress(photographs[0], 1.25)
  served.decompress_file(packed, output)
  difference = np.array(Image.open(output)).astype(int) - codec.decompress(data)
  assert np.abs(difference).max() <= 1
  jpeg = Image.open(io.BytesIO(served.decompress_to_jpeg(data)))
  assert (jpeg.format, jpeg.size) == ("JPEG", (64, 48))
  expected = codec.info(data)
  info = served.info(data)
  assert (info.height, info.width) == (expected.height, expected.width)
  assert info.quality == expected.quality
  assert info.model_id == expected.model_id
  assert info.bpp == pytest.approx(expected.bpp, rel=1e-6)
  with pytest.raises(errors.OutputError):
    served.compress_file(photo, packed)
  served.compress_file(photo, packed, quality=2, overwrite=True)


def test_a_status_is_a_typed_error(served, codec, photographs):
  png = _png(photographs[0])
  data = codec.compress(photographs[0], 1.5)
  for call, error, message in (
    (lambda: served.compress(png, 9), errors.UsageError, "between 1 and 2"),
    (lambda: served.compress(b"x", 1), errors.UnreadableInputError, "neither"),
    (lambda: served.decompress(data[:-1]), errors.BitstreamError, "checksum"),
    (lambda: served.info(b"x"), errors.BitstreamError, "not a bls2017 file"),
    (
      lambda: served.compress(_png(images.photograph(200, 200)), 1),
      errors.LimitError,
      "limit",
    ),
  ):
    with pytest.raises(error, match=message):
      call()


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_an_unavailable_server_is_asked_again(session_model, codec, kind):
  make = {
    "grpc": (model_server.grpc_server, client.GrpcClient),
    "rest": (model_server.rest_server, client.RestClient),
  }
  serve, connect = make[kind]
  data = codec.compress(images.photograph(16, 16), 1)
  with serve(session_model, refusals=2) as address:
    assert connect(address, retries=QUICK).info(data).height == 16
  with serve(session_model, refusals=3) as address:
    with pytest.raises(client.UnavailableError):
      connect(address, retries=QUICK).info(data)
  start = time.monotonic()
  with pytest.raises(client.UnavailableError):
    connect(address, retries=QUICK).info(data)
  assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_a_server_without_the_model(session_model, kind):
  if kind == "grpc":
    with model_server.grpc_server(session_model) as address:
      with client.GrpcClient(address, model="other") as other:
        with pytest.raises(client.ServerError, match="NOT_FOUND"):
          other.info(b"x")
  else:
    with model_server.rest_server(session_model) as url:
      with pytest.raises(client.ServerError, match="404"):
        client.RestClient(url, model="other").info(b"x")


def test_a_request_of_another_shape_or_type_is_an_invalid_argument(
  session_model, codec
):
  data = codec.compress(images.photograph(16, 16), 1)
  png = _png(images.photograph(16, 16))
  with (
    model_server.grpc_server(session_model) as address,
    client.GrpcClient(address) as connected,
  ):
    for signature, inputs in (
      ("decompress", {"compressed_bytes": np.zeros((2, 2), np.float32)}),
      ("decompress", {"compressed_bytes": np.array([[data]])}),
      ("decompress", {"image_bytes": png}),
      ("compress", {"image_bytes": png}),
      ("compress", {"image_bytes": png, "quality": b"high"}),
      ("compress", {"image_bytes": [png, png], "quality": [1.0]}),
      ("compress_image", {"image": np.zeros((4, 4)), "quality": [1.0]}),
      ("explode", {"compressed_bytes": data}),
    ):
      with pytest.raises(client.ServerError, match="INVALID_ARGUMENT"):
        connected._predict(signature, inputs)
      assert connected.info(data).height == 16


def test_messages_over_the_limit_are_refused_here(session_model):
  with model_server.grpc_server(session_model) as address:
    with client.GrpcClient(address, max_message_bytes=1000) as small:
      with pytest.raises(client.ServerError, match="RESOURCE_EXHAUSTED"):
        small.compress(bytes(2000))
    with client.GrpcClient(address) as usual:
      with pytest.raises(errors.UnreadableInputError):
        usual.compress(bytes(5 * 2**20), 1)


def test_a_slow_server_is_given_up(session_model):
  given_up = threading.Event()

  def slow(*args, **kwargs):
    given_up.wait(60)
    return session_model(*args, **kwargs)

  with model_server.grpc_server(slow) as address:
    with client.GrpcClient(address, timeout=0.1) as hasty:
      with pytest.raises(client.ServerError, match="DEADLINE_EXCEEDED"):
        hasty.compress(_png(images.photograph(64, 64)))
    given_up.set()


@pytest.mark.parametrize(
  "module, call",
  [("grpc", "GrpcClient('x')"), ("requests", "RestClient('http://x')")],
)
def test_missing_packages_are_named(module, call):
  script = (
    f"import sys; sys.modules['{module}'] = None\n"
    f"from export import client\nclient.{call}"
  )
  process = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=False
  )
  assert "bls2017[serving]" in process.stderr.splitlines()[-1]


def _requests(codec, count: int):
  """Mixed good and bad requests, each with a check of its outcome."""
  rng = random.Random(0)
  photographs = [images.photograph(16 * i, 24, i) for i in (1, 2, 3)]
  pngs = [_png(x) for x in photographs]
  files = [codec.compress(x, 1.5) for x in photographs]
  decoded = [codec.decompress(d).astype(int) for d in files]

  def check_image(png: bytes, i: int) -> bool:
    pixels = np.array(Image.open(io.BytesIO(png))).astype(int)
    return bool(np.abs(pixels - decoded[i]).max() <= 1)

  for _ in range(count):
    i = rng.randrange(3)
    cut = rng.randrange(len(files[i]))
    yield rng.choice(
      [
        (lambda c, i=i: c.compress(pngs[i], 1.5) == files[i], None),
        (lambda c, i=i: check_image(c.decompress(files[i]), i), None),
        (lambda c, i=i: c.info(files[i]).width == 24, None),
        (lambda c, i=i, n=cut: c.decompress(files[i][:n]), 4),
        (lambda c, i=i: c.compress(pngs[i][:-30], 1.5), 3),
        (lambda c, i=i: c.compress(pngs[i], 0.0), 2),
        (lambda c, i=i: c.compress(pngs[i][:16] + b"\x7f" * 8, 1.0), 5),
      ]
    )


def test_a_thousand_mixed_requests_from_eight_threads(session_model, codec):
  def outcome(request, connected):
    call, expected = request
    try:
      return call(connected) and expected is None
    except errors.CodecError as e:
      return e.exit_code == expected

  with model_server.grpc_server(session_model) as address:
    with client.GrpcClient(address) as connected:
      with futures.ThreadPoolExecutor(8) as pool:

        def send(count):
          results = pool.map(
            lambda r: outcome(r, connected), _requests(codec, count)
          )
          assert all(results)

        send(200)
        before = _resident_bytes()
        send(1000)
        grown = _resident_bytes() - before
  assert grown < 40 * 2**20


def _resident_bytes() -> int:
  with open("/proc/self/statm", encoding="ascii") as f:
    return int(f.read().split()[1]) * resource.getpagesize()
