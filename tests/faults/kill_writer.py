"""Kills a process that writes a file, over and over.

    python -m tests.faults.kill_writer --kills=500

A writer replaces a file by `bls2017.files.write` as quickly as it can,
each time with other content that names its number and length and ends with its
hash. It gets SIGKILL at a random moment. After each kill the file must be
whole, and not older than the last one that the writer said it had written.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time

_HEAD = struct.Struct("<QQ")
_LARGEST = 1 << 20
_LONGEST_LIFE = 0.3

_WRITER = """
import os, sys
from bls2017 import files
from tests.faults import kill_writer
path, number = sys.argv[1], int(sys.argv[2])
while True:
  number += 1
  files.write(path, kill_writer.content(number), overwrite=True)
  os.write(1, b"%d\\n" % number)
"""


def content(number: int) -> bytes:
  """The file's content of a number, of a length of its own."""
  rng = random.Random(number)
  body = rng.randbytes(rng.randrange(_LARGEST))
  data = _HEAD.pack(number, len(body)) + body
  return data + hashlib.sha256(data).digest()


def number_of(data: bytes) -> int:
  """The number of a content; raises AssertionError where it is not whole."""
  number, length = _HEAD.unpack_from(data)
  end = _HEAD.size + length
  assert data[end:] == hashlib.sha256(data[:end]).digest(), "a part of a file"
  return number


def run(kills: int, directory: str, seed: int = 0) -> tuple[int, int]:
  """Kills writers.

  Args:
    kills: How many.
    directory: An empty one to write in.
    seed: Of the moments.

  Returns:
    Files that were written, and kills that came while one was being written.

  Raises:
    AssertionError: if a file was lost, old, or only a part.
  """
  rng = random.Random(seed)
  path = os.path.join(directory, "file")
  number = amid = 0
  for _ in range(kills):
    with subprocess.Popen(
      [sys.executable, "-c", _WRITER, path, str(number)],
      stdout=subprocess.PIPE,
    ) as process:
      assert process.stdout is not None
      first = process.stdout.readline()  # It is at work now.
      time.sleep(rng.uniform(0, _LONGEST_LIFE))
      process.send_signal(signal.SIGKILL)
      said = (first + process.stdout.read()).split(b"\n")[:-1]
    with open(path, "rb") as f:
      found = number_of(f.read())
    last = int(said[-1])
    assert last <= found <= last + 1, f"{found} in the file, {last} was written"
    number = found
    leftovers = glob.glob(os.path.join(directory, ".file.*.tmp"))
    assert len(leftovers) <= 1, "one writer writes one file at a time"
    amid += len(leftovers)
    for leftover in leftovers:
      os.remove(leftover)
  assert os.listdir(directory) == ["file"]
  return number, amid


def main() -> None:
  """Prints what was tried."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--kills", type=int, default=500)
  parser.add_argument("--seed", type=int, default=0)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as directory:
    written, amid = run(arguments.kills, directory, arguments.seed)
  print(
    f"{arguments.kills} kills, {amid} of them with a file half written,"
    f" {written} files written; none lost, none in part"
  )


if __name__ == "__main__":
  main()
