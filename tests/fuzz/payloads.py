"""Fuzzing of payloads whose checksum is right, for each runtime.

    python -m tests.fuzz.payloads --runtime=tfc --streams=1000000

Files of a small model are made hostile lane by lane and sealed again. A worker
process decodes them, under a cap on its memory; a watchdog ends it when a file
takes too long. Each file must end as a typed error or as the one image whose
bytes these are. The runtimes are

- tfc, numpy: `Codec` with one of the range coders. What it accepts the other
  one must accept with the same symbols (`--compare=N` asks it at each Nth
  file), and compressing the symbols again must give the file;
- export: the exported graph, compared with `Codec`.

From version 3 on, files hold boxes of metadata as well, hostile ones among
them. `Codec` decodes a part of each file too, which must have the pixels of the
whole, and may be sound where a lane that it does not need is not.

A stream is the content of one lane. `--seed` makes other files, `--version`
files of an older version of the format.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import mmap
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
NEWEST = 3
RUNTIMES = ("tfc", "numpy", "export")

SLOW_SECONDS = 1.0
"""A file that takes more of the processor is a finding."""

HANG_SECONDS = 60.0
"""A file that takes more of the processor is a hang, and is ended."""

STALL_SECONDS = 1800.0
"""So is one that takes more by the clock; the machine may be busy."""

POLL_SECONDS = 1.0
"""How often the watchdog looks."""

MEMORY = 1 << 30
"""Bytes that a worker may take beside what it has when it begins."""

_HEARTBEAT = struct.Struct("<Q")
_BATCH = 64
_SIZES = ((1, 1), (16, 33), (48, 64), (100, 90), (160, 130))
"""Few, since every new size costs the transforms their preparation."""


@dataclasses.dataclass
class Tally:
  """What a run has seen.

  Attributes:
    files: Files decoded.
    streams: Their lanes.
    accepted: Files that are an image's.
    slowest: Most seconds of the processor that a file took.
    failures: What went wrong, with the file in hexadecimal.
  """

  files: int = 0
  streams: int = 0
  accepted: int = 0
  slowest: float = 0.0
  failures: list[str] = dataclasses.field(default_factory=list)


class Forger:
  """Makes hostile files of a codec's model; the same for one seed."""

  def __init__(self, codec, seed: int):
    """Args: codec: a `Codec`; seed: of all choices."""
    self._codec = codec
    self._rng = np.random.default_rng(seed)
    self._sound: dict = {}

  def file(self) -> tuple[bytes, int]:
    """A sealed file, and its number of lanes."""
    from bls2017.format import container, lanes
    from tests.fuzz import container as container_fuzz

    rng = self._rng
    height, width = _SIZES[int(rng.integers(len(_SIZES)))]
    index = int(rng.integers(len(self._codec.model.tables)))
    model = self._codec.model
    version = model.format_version
    header = container.Header(height, width, index, model.model_id, version)
    tables = self._codec._prepared.tables(index)
    streams = list(self._sound_streams(header))
    count = lanes.num_lanes(header.positions, tables.lane_positions)
    assert len(streams) == count
    longest = tables.max_lane_bytes(tables.lane_positions)
    # One hostile lane among sound ones decides alone; or all are hostile.
    all_hostile = rng.random() < 0.5
    for lane in range(count) if all_hostile else [int(rng.integers(count))]:
      streams[lane] = self._hostile(streams[lane], longest)
    if version < container.BOXES_VERSION or rng.random() < 0.6:
      return container.pack(header, streams), count
    boxes = [
      container.Box(b"fz%02d" % i, rng.bytes(int(rng.integers(1, 9))))
      for i in range(int(rng.choice([1, 3, container.MAX_BOXES])))
    ]
    data = bytearray(container.pack(header, streams, boxes))
    if rng.random() < 0.3:
      end = data.index(boxes[-1].type) + container.BOX_HEADER_BYTES
      place = int(rng.integers(container.HEADER_BYTES, end))
      data[place] = int(rng.choice([0, 1, data[place] ^ 1, 255]))
    return container_fuzz.seal(bytes(data)), count

  def region(self, data: bytes) -> tuple[int, int, int, int]:
    """A part of a file's image; the parts have few sizes."""
    from bls2017.format import container

    header = container.unpack_header(data)
    x, y = (
      int(self._rng.integers(-(-side // 16))) * 16
      for side in (header.width, header.height)
    )
    return x, y, min(16, header.width - x), min(16, header.height - y)

  def _sound_streams(self, header) -> list[bytes]:
    from tests.bls2017.format import tables_strategy

    key = (header.height, header.width, header.quality_index)
    if key not in self._sound:
      tables = self._codec._prepared.tables(header.quality_index)
      symbols = tables_strategy.likely_symbols(
        tables, header.positions, len(self._sound), flat=False
      )
      self._sound[key] = self._codec._coder.encode(symbols, tables)
    return self._sound[key]

  def _hostile(self, stream: bytes, longest: int) -> bytes:
    rng = self._rng
    kind = int(rng.integers(8))
    content = bytearray(stream)
    if kind == 0:
      return rng.bytes(int(rng.integers(0, min(longest, 200) + 1)))
    if kind == 1:
      return bytes(rng.choice([0, 0x20, 0x80, 0xFF], int(rng.integers(9))))
    if kind == 2:
      return b"\xff\x20" * int(rng.integers(1, 20))
    if kind == 3:
      return stream[: int(rng.integers(len(stream) + 1))]
    if kind == 4:
      return stream + bytes(rng.choice([0, 1, 255], int(rng.integers(1, 5))))
    if kind == 5:
      return bytes([int(rng.choice([0, 255]))]) * int(rng.integers(longest + 1))
    for _ in range(int(rng.integers(1, 4)) if content else 0):
      place = int(rng.integers(len(content)))
      if kind == 6:
        content[place] ^= 1 << int(rng.integers(8))
      else:
        content[place] = int(rng.integers(256))
    return bytes(content)


def make_codec(runtime: str, version: int = NEWEST):
  """A golden model's codec, its lanes shorter so that there are many."""
  from bls2017 import codec
  from bls2017.format import range_coder_numpy, range_coder_tfc
  from bls2017.model import model_directory

  model = model_directory.load(str(GOLDEN / f"v{version}" / "model"))
  tables = dataclasses.replace(
    model.tables, lane_positions=np.ones_like(model.tables.lane_positions)
  )
  coders = {
    "numpy": range_coder_numpy.NumpyRangeCoder,
  }
  coder = coders.get(runtime, range_coder_tfc.TfcRangeCoder)()
  return codec.Codec(dataclasses.replace(model, tables=tables), coder)


def outcome(codec, data: bytes) -> np.ndarray | None:
  """The symbols of a file, or None where it is refused."""
  from bls2017 import errors

  try:
    return codec.symbols(data)
  except errors.BitstreamError:
    return None


def part(codec, data: bytes, region) -> np.ndarray | None:
  """The pixels of a part of a file, or None where it is refused."""
  from bls2017 import errors

  try:
    return codec.decompress(data, region=region)
  except errors.BitstreamError:
    return None


def check_codec(codec, other, data: bytes, region=(0, 0, 1, 1)) -> bool:
  """Decodes a file; True where it is an image's.

  Args:
    codec: The codec under test.
    other: One of the other runtime to compare with, or None.
    data: The file.
    region: A part of its image, which is decoded as well.

  Raises:
    AssertionError: if a law does not hold.
  """
  from bls2017.format import container

  symbols = outcome(codec, data)
  pixels = part(codec, data, region)
  if other is not None:
    expected = outcome(other, data)
    assert (symbols is None) == (expected is None), "runtimes disagree"
    assert symbols is None or np.array_equal(symbols, expected), "symbols"
  if symbols is None:
    return False
  header = container.unpack_header(data)
  tables = codec._prepared.tables(header.quality_index)
  coder = codec._coder
  streams = container.unpack_lanes(data, header, tables.lane_positions)
  rows = coder.decode(streams, header.positions, tables)
  boxes = codec.metadata(data)
  again = container.pack(header, coder.encode(rows, tables), boxes)
  assert again == data, "two byte strings for one image"
  whole = codec.decompress(data)
  assert whole.shape == (header.height, header.width, 3)
  x, y, width, height = region
  assert np.array_equal(pixels, whole[y : y + height, x : x + width]), "part"
  return True


def _pixels(png: bytes) -> np.ndarray:
  """The pixels of a PNG file, int [H, W, 3]."""
  return np.array(Image.open(io.BytesIO(png))).astype(int)


class Worker:
  """Decodes files in this process, telling a watchdog of each."""

  def __init__(
    self,
    runtime: str,
    compare: int,
    version: int = NEWEST,
    heartbeat: mmap.mmap | None = None,
  ):
    self._codec = make_codec(runtime, version)
    self._compare = compare
    self._heartbeat = heartbeat
    self._module = None
    if runtime == "export":
      from export import serving_module

      self._module = serving_module.ServingModule(self._codec.model, 1 << 22)
    other = {"tfc": "numpy", "numpy": "tfc"}.get(runtime)
    self._other = make_codec(other, version) if other and compare else None

  def run(self, seed: int, streams: int) -> Tally:
    """Decodes files of a seed until so many streams were seen."""
    tally = Tally()
    forger = Forger(self._codec, seed)
    while tally.streams < streams and not tally.failures:
      files = [forger.file() for _ in range(_BATCH)]
      if self._module is None:
        for data, lanes in files:
          self._one(tally, data, lanes, forger.region(data))
      else:
        self._graph(tally, files)
    return tally

  def _one(
    self, tally: Tally, data: bytes, lanes: int, region: tuple[int, ...]
  ) -> None:
    self._beat()
    ask = self._compare and tally.files % self._compare == 0
    started = time.process_time()
    try:
      tally.accepted += check_codec(
        self._codec, self._other if ask else None, data, region
      )
    except Exception as e:  # Whatever it is, it is a finding.
      tally.failures.append(f"{type(e).__name__}: {e}: {data.hex()}")
    self._count(tally, data, time.process_time() - started)
    tally.streams += lanes

  def _graph(self, tally: Tally, files: list[tuple[bytes, int]]) -> None:
    self._beat()
    data = [d for d, _ in files]
    started = time.process_time()
    try:
      outputs = self._module.decompress(data)
      found = outputs["status"].numpy().tolist()
    except Exception as e:  # As above.
      tally.failures.append(f"{type(e).__name__}: {e}: {data[0].hex()} ...")
      return
    # The batch's time bounds that of each of its files.
    taken = time.process_time() - started
    for status, d in zip(found, data):
      expected = 4 if outcome(self._codec, d) is None else 0
      if status != expected:
        tally.failures.append(f"status {status}, not {expected}: {d.hex()}")
      self._count(tally, d, taken)
    for d, png in zip(data, outputs["image_bytes"].numpy()):
      pixels = self._codec.decompress(d) if png else None
      if png and np.abs(_pixels(png) - pixels).max() > 1:
        tally.failures.append(f"the pixels: {d.hex()}")
    tally.accepted += found.count(0)
    tally.streams += sum(lanes for _, lanes in files)

  def _count(self, tally: Tally, data: bytes, taken: float) -> None:
    tally.files += 1
    tally.slowest = max(tally.slowest, taken)
    if taken > SLOW_SECONDS and tally.files > 1:  # The first one traces.
      tally.failures.append(f"{taken:.1f} s: {data.hex()}")

  def _beat(self) -> None:
    if self._heartbeat is not None:
      before = _HEARTBEAT.unpack_from(self._heartbeat)[0]
      _HEARTBEAT.pack_into(self._heartbeat, 0, before + 1)


def _limit_memory() -> None:
  with open("/proc/self/statm", encoding="ascii") as f:
    size = int(f.read().split()[0]) * resource.getpagesize()
  resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def _work(arguments: argparse.Namespace) -> None:
  """A worker process: prints its tally as a line of JSON."""
  import tensorflow as tf

  from bls2017.format import container
  from tests.fuzz import container as container_fuzz

  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  if arguments.runtime != "export":
    # Twice as many files in the same time; the graph has its own checksum.
    container.checksum = container_fuzz.quick_checksum
  with open(arguments.heartbeat, "r+b") as f:
    heartbeat = mmap.mmap(f.fileno(), _HEARTBEAT.size)
  worker = Worker(
    arguments.runtime, arguments.compare, arguments.version, heartbeat
  )
  worker.run(0, 1)  # Builds the graphs, which has its own time and memory.
  _limit_memory()
  tally = worker.run(arguments.seed, arguments.streams)
  print(json.dumps(dataclasses.asdict(tally)))


def watch(
  runtime: str, seed: int, streams: int, compare: int, version: int = NEWEST
) -> Tally:
  """Runs a worker process under the watchdog.

  Args:
    runtime: One of `RUNTIMES`.
    seed: Of the files.
    streams: How many to decode.
    compare: Ask the other runtime too at each so manyth file, 0 for never.
    version: Of the format.

  Returns:
    The worker's tally; a crash or a hang is a failure in it.
  """
  with tempfile.NamedTemporaryFile() as shared:
    shared.write(bytes(_HEARTBEAT.size))
    shared.flush()
    process = subprocess.Popen(
      [
        sys.executable, "-m", "tests.fuzz.payloads", "--worker",
        f"--runtime={runtime}", f"--seed={seed}", f"--streams={streams}",
        f"--compare={compare}", f"--version={version}",
        f"--heartbeat={shared.name}",
      ],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    seen = b""
    while True:
      try:
        output, error = process.communicate(timeout=POLL_SECONDS)
        break
      except subprocess.TimeoutExpired:
        beat = pathlib.Path(shared.name).read_bytes()
        used, now = _processor_seconds(process.pid), time.monotonic()
        if beat != seen:
          seen, since = beat, (used, now)
        elif used - since[0] > HANG_SECONDS or now - since[1] > STALL_SECONDS:
          process.kill()
          process.communicate()
          number = _HEARTBEAT.unpack(seen)[0]
          return Tally(failures=[f"hang at file {number} of seed {seed}"])
  if process.returncode:
    return Tally(
      failures=[f"seed {seed} ended with {process.returncode}: {error[-2000:]}"]
    )
  return Tally(**json.loads(output.splitlines()[-1]))


def _processor_seconds(process: int) -> float:
  """Time of the processor that a process has used."""
  fields = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="ascii")
  # After the name, which may hold anything: utime and stime are the 12th, 13th.
  ticks = map(int, fields.rpartition(")")[2].split()[11:13])
  return sum(ticks) / os.sysconf("SC_CLK_TCK")


def main() -> int:
  """Runs workers one after the other, and prints the sum."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--runtime", choices=RUNTIMES, default="tfc")
  parser.add_argument("--streams", type=int, default=1_000_000)
  parser.add_argument("--per_process", type=int, default=100_000)
  parser.add_argument("--compare", type=int, default=0)
  parser.add_argument("--seed", type=int, default=1)
  parser.add_argument("--version", type=int, default=NEWEST)
  parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
  parser.add_argument("--heartbeat", help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.worker:
    _work(arguments)
    return 0
  total = Tally()
  seed = arguments.seed
  started = time.monotonic()
  while total.streams < arguments.streams and not total.failures:
    count = min(arguments.per_process, arguments.streams - total.streams)
    part = watch(
      arguments.runtime, seed, count, arguments.compare, arguments.version
    )
    seed += 1
    total = Tally(
      total.files + part.files,
      total.streams + part.streams,
      total.accepted + part.accepted,
      max(total.slowest, part.slowest),
      part.failures,
    )
    print(
      f"{arguments.runtime}: {total.streams} streams in {total.files} files,"
      f" {total.accepted} of them images; slowest {total.slowest:.3f} s of the"
      f" processor; {time.monotonic() - started:.0f} s; failures:"
      f" {len(total.failures)}",
      flush=True,
    )
  for failure in total.failures:
    print(failure)
  return bool(total.failures)


if __name__ == "__main__":
  sys.exit(main())
