"""Compares the JavaScript decoder with the library on hostile files.

    python -m tests.fuzz.web_decoder --files=20000 [--seed=1]

Small files of the conformance set and of random coding tables are changed,
nearly all with a checksum that is right again. Node (18 or newer) must end each
as the library does: with the same symbols, or with the same error.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import pathlib
import random
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import coding_tables, container, lanes
from bls2017.model import model_directory
from export.web import web_export
from tests.bls2017.format import tables_strategy
from tests.conformance import broken, conformance_set

NAME = f"v{container.VERSION}"
MODEL = conformance_set.ROOT / "tests" / "golden" / NAME / "model"
FILES = [
  conformance_set.data(entry)
  for entry in conformance_set.read_manifest()["sound"]
  if entry["file"].startswith(f"{NAME}-")
]
MEMORY_MEGABYTES = 256
"""Of Node's heap: a file that needs more is a crash."""

_VERSION_END = 5
_HEADER_BYTES = 26


def outcomes_in_node(site: str, files: Iterable[bytes]) -> list[str]:
  """Returns the hash of each file's symbols in JavaScript, or an error's name.

  Args:
    site: Where the files' model was exported to.
    files: What to decode.

  Raises:
    AssertionError: if Node crashes.
  """
  worker = pathlib.Path(__file__).with_suffix(".mjs")
  process = subprocess.run(
    ["node", f"--max-old-space-size={MEMORY_MEGABYTES}", str(worker), site],
    input="".join(f"{data.hex()}\n" for data in files),
    capture_output=True,
    text=True,
  )
  assert process.returncode == 0, process.stderr
  return process.stdout.split()


def outcome(codec: codec_lib.Codec, data: bytes) -> str:
  """Returns the hash of a file's symbols in the library, or an error's name."""
  try:
    return conformance_set.digest(codec.symbols(data).astype(np.int32))
  except errors.CodecError as e:
    return type(e).__name__


def compare(
  files: Sequence[bytes], model: model_directory.FrozenModel | None = None
) -> int:
  """Decodes files with both decoders.

  Args:
    files: The files.
    model: Of the files, by default the golden model.

  Returns:
    How many files both decoded.

  Raises:
    AssertionError: if the decoders differ on a file.
  """
  codec = codec_lib.Codec(model or model_directory.load(str(MODEL)))
  expected = [outcome(codec, data) for data in files]
  with tempfile.TemporaryDirectory() as folder:
    site = web_export.export(codec.model, folder, max_pixels=codec.max_pixels)
    found = outcomes_in_node(site, files)
  for ours, theirs, data in zip(expected, found, files):
    assert ours == theirs, f"{theirs}, not {ours}: {data.hex()}"
  return sum(not name.endswith("Error") for name in expected)


def random_model(seed: int) -> model_directory.FrozenModel:
  """The golden model with random tables of each shape, one for a quality."""
  shapes = itertools.product((3, 300), (0, 1, 12), (1, 4))
  parts = [
    tables_strategy.make_coding_tables(
      seed + number, channels=12, largest=largest, skew=0.5, lane_positions=9,
      activities=3, ends=3, contexts=contexts, classes=classes,
    )
    for number, (largest, contexts, classes) in enumerate(shapes)
  ]  # fmt: skip
  arrays = {
    name: np.concatenate([getattr(part, name) for part in parts])
    for name in (field.name for field in dataclasses.fields(parts[0]))
    if name != "frequencies"
  }
  frequencies = [part.frequencies[0] for part in parts]
  return dataclasses.replace(
    model_directory.load(str(MODEL)),
    tables=coding_tables.CodingTables(**arrays, frequencies=frequencies),
  )


def files_of(model: model_directory.FrozenModel, seed: int) -> Iterator[bytes]:
  """Yields files of random symbols, some of each quality."""
  rng = np.random.default_rng(seed)
  for quality, _ in itertools.product(range(len(model.tables)), range(3)):
    height, width = (int(side) for side in rng.integers(1, 129, 2))
    header = container.Header(height, width, quality, model.model_id)
    tables, positions = model.quality_tables(quality), header.positions
    fewest = lanes.fewest(positions, tables.lane_positions)
    count = int(rng.integers(fewest, positions, endpoint=True))
    rows = tables_strategy.likely_rows(tables, header.shape, count, seed, False)
    yield container.pack(header, rows, count, tables)


def cuts_and_flips(data: bytes) -> Iterator[bytes]:
  """Yields a file cut off anywhere, and with each bit changed, sealed."""
  for end in range(len(data)):
    yield sealed(data[:end])
  for bit in range(8 * len(data)):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    yield sealed(bytes(changed))


def hostile_files(
  count: int, seed: int, files: Sequence[bytes] = FILES
) -> Iterator[bytes]:
  """Yields changed files; the same for one seed."""
  rng = random.Random(seed)
  for _ in range(count):
    data = bytearray(rng.choice(files))
    for _ in range(rng.randint(1, 3)):
      # Lengths and the ends of lanes decide more than what is between them.
      end = len(data) - 1
      start, end = rng.choice(
        ((_VERSION_END, end), (_HEADER_BYTES, 40), (end - 8, end), (end, end))
      )
      place = rng.randint(min(start, end), min(end, len(data) - 1))
      value = rng.choice((0, 255, data[place] ^ 1, rng.randrange(256)))
      inserted = rng.choice((b"", bytes([value]), bytes([value, data[place]])))
      data[place : place + 1] = inserted
    yield bytes(data) if rng.random() < 0.05 else sealed(bytes(data))


def sealed(data: bytes) -> bytes:
  """Returns a file with the checksum that its other bytes have."""
  return broken.seal(data) if len(data) >= _HEADER_BYTES else data


def main() -> None:
  """Runs the fuzzer; see the module's description."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--files", type=int, default=20_000)
  parser.add_argument("--seed", type=int, default=1)
  arguments = parser.parse_args()
  count, seed = arguments.files, arguments.seed
  model = random_model(seed)
  sound = list(files_of(model, seed))
  decoded = compare(list(hostile_files(count, seed)))
  decoded += compare(sound + list(hostile_files(count, seed, sound)), model)
  print(
    f"{2 * count + len(sound)} files, {decoded} of them images: equal outcomes"
  )


if __name__ == "__main__":
  main()
