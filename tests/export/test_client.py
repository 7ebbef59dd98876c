"""The clients against servers on real sockets."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent import futures

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from export import client
from tests import images, memory
from tests.export import library, model_server

QUICK = client.Retries(attempts=3, first_delay=0.01)
KINDS = {
  "grpc": (model_server.grpc_server, client.GrpcClient),
  "rest": (model_server.rest_server, client.RestClient),
}


@pytest.fixture(scope="module", params=KINDS)
def served(request, session_model):
  """A client of either kind, its server behind it."""
  serve, connect = KINDS[request.param]
  with serve(session_model) as address, connect(address) as made:
    yield made


@pytest.fixture(scope="module")
def file(session_model, photographs) -> bytes:
  """The file of the first photograph at quality 1.25."""
  outputs = session_model(
    "compress_image", image=photographs[0][None], quality=[1.25]
  )
  return outputs["compressed_bytes"][0]


def test_files_go_there_and_back(served, codec, photographs, file, tmp_path):
  photo, packed, output = (
    str(tmp_path / n) for n in ("p.png", "p.bls", "o.png")
  )
  Image.fromarray(photographs[0]).save(photo)
  served.compress_file(photo, packed, quality=1.25)
  with open(packed, "rb") as f:
    assert f.read() == file
  served.decompress_file(packed, output)
  difference = np.array(Image.open(output)).astype(int) - codec.decompress(file)
  assert np.abs(difference).max() <= 1
  jpeg = library.pixels(served.decompress_to_jpeg(file))
  assert jpeg.shape == photographs[0].shape
  expected = codec.info(file)
  info = served.info(file)
  assert (info.height, info.width) == (expected.height, expected.width)
  assert info.quality == expected.quality
  assert info.model_id == expected.model_id
  assert info.bpp == pytest.approx(expected.bpp, rel=1e-6)
  with pytest.raises(errors.OutputError):
    served.compress_file(photo, packed)
  served.compress_file(photo, packed, quality=2, overwrite=True)


def test_a_status_is_a_typed_error(served, photographs, file):
  png = library.png(photographs[0])
  large = library.png(images.photograph(300, 300))
  for call, error, message in (
    (lambda: served.compress(png, 9), errors.UsageError, "between 1 and 2"),
    (lambda: served.compress(b"x", 1), errors.UnreadableInputError, "neither"),
    (lambda: served.decompress(file[:-1]), errors.BitstreamError, "checksum"),
    (lambda: served.info(b"x"), errors.BitstreamError, "not a bls2017 file"),
    (lambda: served.compress(large, 1), errors.LimitError, "limit"),
  ):
    with pytest.raises(error, match=message):
      call()


@pytest.mark.parametrize("kind", KINDS)
def test_an_unavailable_server_is_asked_again(session_model, file, kind):
  serve, connect = KINDS[kind]
  with serve(session_model, refusals=2) as address:
    with connect(address, retries=QUICK) as patient:
      assert patient.info(file).height == 48
  with serve(session_model, refusals=3) as address:
    with connect(address, retries=QUICK) as patient:
      with pytest.raises(client.UnavailableError):
        patient.info(file)
  with connect(address, retries=QUICK) as alone:
    with pytest.raises(client.UnavailableError):
      alone.info(file)


@pytest.mark.parametrize(
  "kind, answer", [("grpc", "NOT_FOUND"), ("rest", "404")]
)
def test_a_server_without_the_model(session_model, kind, answer):
  serve, connect = KINDS[kind]
  with serve(session_model) as address:
    with connect(address, model="other") as other:
      with pytest.raises(client.ServerError, match=answer):
        other.info(b"x")


def test_a_rest_client_keeps_its_connection(session_model, file):
  connections: set = set()
  with model_server.rest_server(session_model, peers=connections) as url:
    with client.RestClient(url) as connected:
      for _ in range(3):
        connected.info(file)
  assert len(connections) == 1


def test_a_request_of_another_shape_or_type_is_an_invalid_argument(
  session_model, photographs, file
):
  png = library.png(photographs[0])
  with (
    model_server.grpc_server(session_model) as address,
    client.GrpcClient(address) as connected,
  ):
    for signature, inputs in (
      ("decompress", {"compressed_bytes": np.zeros((2, 2), np.float32)}),
      ("decompress", {"compressed_bytes": np.array([[file]])}),
      ("decompress", {"image_bytes": png}),
      ("compress", {"image_bytes": png}),
      ("compress", {"image_bytes": png, "quality": b"high"}),
      ("compress", {"image_bytes": [png, png], "quality": [1.0]}),
      ("compress_image", {"image": np.zeros((4, 4)), "quality": [1.0]}),
      ("explode", {"compressed_bytes": file}),
    ):
      with pytest.raises(client.ServerError, match="INVALID_ARGUMENT"):
        connected.predict(signature, inputs)
      assert connected.info(file).height == 48


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
        hasty.compress(b"x")
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


def _requests(session_model, photographs, count: int):
  """Mixed good and bad requests, each with the answer or the error's code."""
  rng = random.Random(0)
  pngs = [library.png(x) for x in photographs]
  outputs = session_model(
    "compress", image_bytes=pngs, quality=[1.5] * len(pngs)
  )
  files = outputs["compressed_bytes"].tolist()
  outputs = session_model("decompress", compressed_bytes=files)
  decoded = outputs["image_bytes"].tolist()
  for _ in range(count):
    i = rng.randrange(len(pngs))
    cut = rng.randrange(len(files[i]))
    yield rng.choice(
      [
        (lambda c, i=i: c.compress(pngs[i], 1.5), files[i]),
        (lambda c, i=i: c.decompress(files[i]), decoded[i]),
        (lambda c, i=i: c.info(files[i]).width, photographs[i].shape[1]),
        (lambda c, i=i, n=cut: c.decompress(files[i][:n]), 4),
        (lambda c, i=i: c.compress(pngs[i][:-30], 1.5), 3),
        (lambda c, i=i: c.compress(pngs[i], 0.0), 2),
        (lambda c, i=i: c.compress(pngs[i][:16] + b"\x7f" * 8, 1.0), 5),
      ]
    )


def test_a_thousand_mixed_requests_from_eight_threads(
  session_model, photographs
):
  def answer(call, connected):
    try:
      return call(connected)
    except errors.CodecError as e:
      return e.exit_code

  with (
    model_server.grpc_server(session_model) as address,
    client.GrpcClient(address) as connected,
    futures.ThreadPoolExecutor(8) as pool,
  ):

    def send(count):
      requests = list(_requests(session_model, photographs, count))
      found = pool.map(lambda r: answer(r[0], connected), requests)
      assert list(found) == [expected for _, expected in requests]

    send(200)
    before = memory.resident()
    send(1000)
    assert memory.resident() - before < 40 * 2**20
