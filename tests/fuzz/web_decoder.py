"""Compares the JavaScript decoder with the library on hostile files.

    python -m tests.fuzz.web_decoder --files=20000 [--seed=1]

Small files of the conformance set are changed, nearly all with a checksum that
is right again. Node (18 or newer) must end each as the library does: with the
same symbols, or with the same error.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from export.web import web_export
from tests.conformance import broken, conformance_set

MODEL = conformance_set.ROOT / "tests" / "golden" / "v3" / "model"
FILES = [
  conformance_set.data(entry)
  for entry in conformance_set.read_manifest()["sound"]
  if entry["file"].startswith("v3-")
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


def compare(files: Sequence[bytes]) -> int:
  """Decodes files with both decoders.

  Returns:
    How many files both decoded.

  Raises:
    AssertionError: if the decoders differ on a file.
  """
  codec = codec_lib.Codec.load(str(MODEL))
  expected = [outcome(codec, data) for data in files]
  with tempfile.TemporaryDirectory() as folder:
    site = web_export.export(codec.model, folder, max_pixels=codec.max_pixels)
    found = outcomes_in_node(site, files)
  for ours, theirs, data in zip(expected, found, files):
    assert ours == theirs, f"{theirs}, not {ours}: {data.hex()}"
  return sum(not name.endswith("Error") for name in expected)


def cuts_and_flips(data: bytes) -> Iterator[bytes]:
  """Yields a file cut off anywhere, and with each bit changed, sealed."""
  for end in range(len(data)):
    yield sealed(data[:end])
  for bit in range(8 * len(data)):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    yield sealed(bytes(changed))


def hostile_files(count: int, seed: int) -> Iterator[bytes]:
  """Yields changed files; the same for one seed."""
  rng = random.Random(seed)
  for _ in range(count):
    data = bytearray(rng.choice(FILES))
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
  decoded = compare(list(hostile_files(arguments.files, arguments.seed)))
  print(f"{arguments.files} files, {decoded} of them images: equal outcomes")


if __name__ == "__main__":
  main()
