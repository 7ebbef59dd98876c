"""Fuzzing of the JavaScript decoder, compared with the library.

    python -m tests.fuzz.web_decoder --files=20000

Node (18 or newer) decodes files whose checksum is right and which are hostile
in their lanes, in their headers, or in both. Each must end as the library says:
as the same symbols, or as the same error. `--version` fuzzes files of an older
version of the format, `--seed` makes other files.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from tests.fuzz import payloads

WORKER = pathlib.Path(__file__).with_suffix(".mjs")
SLOW_SECONDS = 5.0
"""A file that takes more by the clock is a finding; the machine may be busy."""

MEMORY_MEGABYTES = 256
"""Of JavaScript's heap: more is a crash."""

_HOSTILE_HEADERS = 0.3
_UNSEALED = 0.05


class Forger:
  """Makes hostile files; the same for one seed."""

  def __init__(self, codec, seed: int):
    """Args: codec: a `Codec`; seed: of all choices."""
    self._payloads = payloads.Forger(codec, seed)
    self._rng = np.random.default_rng(seed + 1)

  def file(self) -> bytes:
    """A file whose checksum is right, but for a few."""
    data, _ = self._payloads.file()
    choice = self._rng.random()
    if choice < _HOSTILE_HEADERS:
      data = self._with_hostile_bytes(data)
    return data[:-1] if choice > 1 - _UNSEALED else data

  def _with_hostile_bytes(self, data: bytes) -> bytes:
    """Changes bytes of all the file, most of them near its begin."""
    from tests.conformance import broken

    changed = bytearray(data)
    for _ in range(int(self._rng.integers(1, 4))):
      ends = (10, 40, len(changed))
      end = min(ends[int(self._rng.integers(3))], len(changed))
      changed[int(self._rng.integers(4, end))] = int(self._rng.integers(256))
    return broken.seal(bytes(changed))


def outcome(codec, data: bytes) -> str:
  """What the library says: the hash of the symbols, or the error's name."""
  from bls2017 import errors
  from tests.conformance import conformance_set

  try:
    return conformance_set.digest(codec.symbols(data).astype(np.int32))
  except errors.CodecError as e:
    return type(e).__name__


class Decoder:
  """The JavaScript decoder in a process of Node; a context manager."""

  def __init__(self, codec, folder: str):
    """Exports the codec's model to a site in the folder."""
    from export.web import web_export

    self._site = web_export.export(
      codec.model, folder, max_pixels=codec.max_pixels
    )

  def __enter__(self) -> Decoder:
    self._process = subprocess.Popen(
      [
        "node", f"--max-old-space-size={MEMORY_MEGABYTES}", str(WORKER),
        self._site,
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )  # fmt: skip
    return self

  def __exit__(self, *exception: object) -> None:
    self._process.kill()
    self._process.communicate()

  def outcome(self, data: bytes) -> str:
    """What it says of a file; empty where it crashed."""
    assert self._process.stdin and self._process.stdout
    self._process.stdin.write(data.hex() + "\n")
    self._process.stdin.flush()
    return self._process.stdout.readline().strip()


def run(
  files: int, seed: int, version: int = payloads.NEWEST
) -> payloads.Tally:
  """Decodes so many files.

  Args:
    files: How many.
    seed: Of the files.
    version: Of the format.
  """
  codec = payloads.make_codec("tfc", version)
  codec.max_pixels = 2**22
  forger = Forger(codec, seed)
  tally = payloads.Tally()
  with tempfile.TemporaryDirectory() as folder, Decoder(codec, folder) as node:
    for _ in range(files):
      data = forger.file()
      expected = outcome(codec, data)
      started = time.monotonic()
      found = node.outcome(data)
      taken = time.monotonic() - started
      tally.files += 1
      tally.accepted += not expected.endswith("Error")
      tally.slowest = max(tally.slowest, taken)
      if found != expected or taken > SLOW_SECONDS:
        tally.failures.append(
          f"{found or 'a crash'} after {taken:.1f} s, not {expected}:"
          f" {data.hex()}"
        )
        break
  return tally


def main() -> int:
  """Runs the fuzzer; see the module's description."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--files", type=int, default=20_000)
  parser.add_argument("--seed", type=int, default=1)
  parser.add_argument("--version", type=int, default=payloads.NEWEST)
  arguments = parser.parse_args()
  tally = run(arguments.files, arguments.seed, arguments.version)
  print(
    f"{tally.files} files of version {arguments.version}, {tally.accepted} of"
    f" them images; slowest {tally.slowest:.3f} s; failures:"
    f" {len(tally.failures)}"
  )
  for failure in tally.failures:
    print(failure)
  return bool(tally.failures)


if __name__ == "__main__":
  sys.exit(main())
