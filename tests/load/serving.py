"""An exported model under load, a tenth of it hostile.

    python -m tests.load.serving --minutes=30 [--max_batch_size=1]

A server process answers over gRPC as TF Serving does, in sessions of the
exported graph, and merges requests as the generated configuration asks for.
Sixteen clients, each sending its next request when it has an answer, go through
phases in turn: clean ones with sound requests alone, and mixed ones with a
tenth of hostile requests. Both lie so close together that whatever else the
machine does falls on both. Every answer is compared with the library's, or for
files with what the same export gives alone.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import container
from bls2017.model import model_directory
from export import client, export_model
from tests import images
from tests.export import library, model_server

MODEL = pathlib.Path(__file__).parents[1] / "golden" / "v5" / "model"
CLIENTS = 16
HOSTILE_SHARE = 0.1
MAX_PIXELS = 1 << 20
_SIZES = ((64, 96), (160, 120), (33, 17), (1, 300))
MAX_BATCH_SIZE = 8
_SERVER_THREADS = CLIENTS
_WARM_UP_SHARE = 0.1
_TIMEOUT = 600.0  # Slowness shows in the times; a lost request shows here.

Call = Callable[[client.GrpcClient], bool]


@dataclasses.dataclass(frozen=True)
class Request:
  """A request and what must come of it.

  Attributes:
    name: What kind it is.
    call: Sends it, and says whether the answer is right.
    error: The error that must be raised instead of an answer.
  """

  name: str
  call: Call
  error: type[errors.CodecError] | None = None


@dataclasses.dataclass
class Phase:
  """The figures of a phase, or of several.

  Attributes:
    seconds: Of each sound request.
    hostile: Hostile requests answered.
    wrong: Requests whose answer was not the right one.
    server_bytes: Resident memory of the server at the end.
  """

  seconds: list[float] = dataclasses.field(default_factory=list)
  hostile: int = 0
  wrong: list[str] = dataclasses.field(default_factory=list)
  server_bytes: int = 0

  def p99(self) -> float:
    """The time that 99% of the sound requests do not exceed."""
    return float(np.percentile(self.seconds, 99))


def sound_requests(
  codec: codec_lib.Codec, served: model_server.SessionModel
) -> list[Request]:
  """Requests that must succeed."""
  found = []
  for i, size in enumerate(_SIZES):
    x = images.photograph(*size, seed=i)
    png = library.png(x)
    quality = 1 + i / 4
    outputs = served("compress_image", image=x[None], quality=[quality])
    data = outputs["compressed_bytes"][0]
    decoded = codec.decompress(data).astype(int)
    found += [
      Request(
        "compress",
        lambda c, p=png, q=quality, d=data: c.compress(p, q) == d,
      ),
      Request(
        "decompress",
        lambda c, d=data, e=decoded: _close(c.decompress(d), e),
      ),
      Request("info", lambda c, d=data, s=size: c.info(d).height == s[0]),
    ]
  return found


def hostile_requests(codec: codec_lib.Codec, seed: int = 0) -> list[Request]:
  """Requests that must fail alone, each with its error."""
  rng = np.random.default_rng(seed)
  x = images.photograph(160, 120, seed=9)
  data = codec.compress(x, 1.5)
  png = library.png(x)
  corrupt = {"empty": b"", "noise": rng.bytes(1 << 20)}
  for i in range(8):
    flipped = bytearray(data)
    place = int(rng.integers(len(data)))
    flipped[place] ^= 1 << int(rng.integers(8))
    corrupt[f"bit {8 * place}"] = bytes(flipped)
    corrupt[f"cut {i}"] = data[: int(rng.integers(len(data)))]
  head = container.HEADER_BYTES
  fields, body = data[: container.CHECKSUM_OFFSET], data[head:]
  for name, content in (
    ("ones", body[:40] + b"\xff" * (len(body) - 40)),
    ("zeros", body[:40] + bytes(len(body) - 40)),
    ("last byte", body[:-1] + bytes([body[-1] ^ 0x55])),
  ):
    corrupt[name] = _sealed(fields, content)
  huge = fields[:6] + struct.pack("<HH", 65535, 65535) + fields[10:]
  found = [_decompression(name, d, codec) for name, d in corrupt.items()]
  bomb = png[:16] + struct.pack(">II", 30000, 30000) + png[24:]
  wrong_rank = np.zeros((2, 2), np.float32)
  found += [
    Request(
      "decompress huge",
      lambda c: c.decompress(_sealed(huge, body)),
      errors.LimitError,
    ),
    Request("compress bomb", lambda c: c.compress(bomb, 1), errors.LimitError),
    Request(
      "compress cut",
      lambda c: c.compress(png[: len(png) // 2], 1),
      errors.UnreadableInputError,
    ),
    Request(
      "compress noise",
      lambda c: c.compress(corrupt["noise"], 1),
      errors.UnreadableInputError,
    ),
    Request("quality", lambda c: c.compress(png, 99), errors.UsageError),
    Request(
      "wrong rank",
      lambda c: c.predict("decompress", {"compressed_bytes": wrong_rank}),
      client.ServerError,
    ),
    Request(
      "wrong type",
      lambda c: c.predict("compress", {"image_bytes": png, "quality": b"high"}),
      client.ServerError,
    ),
    Request(
      "unknown signature",
      lambda c: c.predict("explode", {"compressed_bytes": data}),
      client.ServerError,
    ),
  ]
  return found


def _decompression(name: str, data: bytes, codec: codec_lib.Codec) -> Request:
  """Expects what the library does with a file, maybe another image's."""
  try:
    expected = codec.decompress(data).astype(int)
  except errors.BitstreamError:
    return Request(
      f"decompress {name}",
      lambda c: c.decompress(data),
      errors.BitstreamError,
    )
  return Request(
    f"decompress {name}", lambda c: _close(c.decompress(data), expected)
  )


def _sealed(fields: bytes, body: bytes) -> bytes:
  return fields + container.checksum(fields + body) + body


def _close(png: bytes, expected: np.ndarray) -> bool:
  return bool(np.abs(library.pixels(png) - expected).max() <= 1)


def answer(request: Request, connected: client.GrpcClient) -> str | None:
  """Sends a request; returns what is wrong with the answer, if anything."""
  try:
    right = request.call(connected)
  except client.UnavailableError as e:
    return f"{request.name}: the server went away: {e}"
  except errors.CodecError as e:
    if request.error is None or not isinstance(e, request.error):
      return f"{request.name}: {type(e).__name__}: {e}"
    return None
  if request.error is not None or not right:
    return f"{request.name}: a wrong answer"
  return None


def run_phase(
  address: str,
  sound: list[Request],
  hostile: list[Request],
  seconds: float,
  seed: int,
) -> Phase:
  """Sends requests from all clients for some time.

  Args:
    address: Of the server.
    sound: What to send.
    hostile: What a tenth of the requests are; may be empty.
    seconds: How long.
    seed: Of the choices.
  """
  phase, lock = Phase(), threading.Lock()
  end = time.monotonic() + seconds

  def work(number: int) -> None:
    rng = random.Random(1000 * seed + number)
    # A connection of its own each, as from machines of their own.
    with client.GrpcClient(
      address, timeout=_TIMEOUT, retries=client.Retries(1)
    ) as connected:
      while time.monotonic() < end:
        bad = bool(hostile) and rng.random() < HOSTILE_SHARE
        request = rng.choice(hostile if bad else sound)
        started = time.monotonic()
        wrong = answer(request, connected)
        taken = time.monotonic() - started
        with lock:
          if bad:
            phase.hostile += 1
          else:
            phase.seconds.append(taken)
          if wrong:
            phase.wrong.append(wrong)

  with concurrent.futures.ThreadPoolExecutor(CLIENTS) as threads:
    for result in [threads.submit(work, number) for number in range(CLIENTS)]:
      result.result()  # Raises what a client met that is not an answer.
  return phase


class Server:
  """A server in a process of its own.

  Attributes:
    address: Where it answers.
  """

  def __init__(self, path: str, max_batch_size: int):
    """Starts it.

    Args:
      path: The exported version.
      max_batch_size: How many items are merged at most.
    """
    self._process = subprocess.Popen(
      [
        sys.executable,
        "-m",
        "tests.load.serving",
        f"--serve={path}",
        f"--max_batch_size={max_batch_size}",
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert self._process.stdout is not None
    self.address = json.loads(self._process.stdout.readline())

  def __enter__(self) -> Server:
    return self

  def __exit__(self, *exception: object) -> None:
    self._process.communicate()

  def is_alive(self) -> bool:
    """True while the process that was started runs."""
    return self._process.poll() is None

  def resident_bytes(self) -> int:
    """Its resident memory."""
    path = pathlib.Path(f"/proc/{self._process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", path.read_text(encoding="ascii"))
    assert found
    return 1024 * int(found[1])


def _serve(path: str, max_batch_size: int) -> None:
  """The server process: lives until its standard input is closed."""
  with (
    model_server.SessionModel(path) as model,
    model_server.BatchingModel(model, max_batch_size) as batching,
    model_server.grpc_server(batching, _SERVER_THREADS) as address,
  ):
    print(json.dumps(address), flush=True)
    sys.stdin.read()


def load_codec() -> codec_lib.Codec:
  """The library's codec of the model that is served."""
  return codec_lib.Codec(
    model_directory.load(str(MODEL)), max_pixels=MAX_PIXELS
  )


def run(
  path: str,
  phases: int,
  seconds: float,
  progress: Callable[[str], None],
  max_batch_size: int = MAX_BATCH_SIZE,
) -> tuple[Phase, Phase, float]:
  """Serves an export, and sends it phases of requests.

  Args:
    path: The exported version.
    phases: How many, clean and mixed in turn, after a warm-up.
    seconds: Of each.
    progress: Told of each phase.
    max_batch_size: How many items the server merges at most.

  Returns:
    All clean and all mixed phases, and the growth of the server's memory from
    the end of the warm-up to the end, as a share of it.
  """
  codec = load_codec()
  with model_server.SessionModel(path) as alone:
    sound = sound_requests(codec, alone)
  hostile = hostile_requests(codec)
  clean, mixed = Phase(), Phase()
  with Server(path, max_batch_size) as server:
    warm_up = max(seconds, _WARM_UP_SHARE * phases * seconds)
    first = run_phase(server.address, sound, hostile, warm_up, 0)
    clean.wrong += first.wrong
    before = server.resident_bytes()
    for number in range(1, phases + 1):
      total, bad = (mixed, hostile) if number % 2 == 0 else (clean, [])
      phase = run_phase(server.address, sound, bad, seconds, number)
      assert server.is_alive(), "the server ended"
      total.seconds += phase.seconds
      total.hostile += phase.hostile
      total.wrong += phase.wrong
      total.server_bytes = server.resident_bytes()
      progress(
        f"{'mixed' if bad else 'clean'}: {len(phase.seconds)} sound"
        f" ({len(phase.seconds) / seconds:.1f} a second),"
        f" {phase.hostile} hostile, {len(phase.wrong)} wrong;"
        f" p99 {phase.p99():.3f} s; {total.server_bytes / 2**20:.1f} MiB"
      )
    drift = server.resident_bytes() / before - 1
  return clean, mixed, drift


def main() -> int:
  """Prints what was seen; 1 where something was wrong."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--minutes", type=float, default=30)
  parser.add_argument("--phases", type=int, default=30)
  parser.add_argument("--max_batch_size", type=int, default=MAX_BATCH_SIZE)
  parser.add_argument("--serve", help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.serve:
    _serve(arguments.serve, arguments.max_batch_size)
    return 0
  with tempfile.TemporaryDirectory() as directory:
    path = export_model.export(
      model_directory.load(str(MODEL)),
      directory,
      max_pixels=MAX_PIXELS,
    )
    clean, mixed, drift = run(
      path,
      arguments.phases,
      60 * arguments.minutes / arguments.phases / (1 + _WARM_UP_SHARE),
      lambda line: print(line, flush=True),
      arguments.max_batch_size,
    )
  wrong = clean.wrong + mixed.wrong
  print(
    f"{len(clean.seconds) + len(mixed.seconds)} sound and {mixed.hostile}"
    f" hostile requests, {len(wrong)} answered wrong; p99 of the sound ones"
    f" {clean.p99():.3f} s clean, {mixed.p99():.3f} s mixed, ratio"
    f" {mixed.p99() / clean.p99():.2f}; memory {100 * drift:+.1f}%; the server"
    " was never restarted"
  )
  for line in wrong[:10]:
    print(line)
  return bool(wrong)


if __name__ == "__main__":
  sys.exit(main())
