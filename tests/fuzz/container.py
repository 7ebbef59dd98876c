"""Coverage-guided fuzzing of the container's parser.

    pip install -e '.[fuzz]'
    python -m tests.fuzz.container -runs=10000000 [libFuzzer's flags]

The short form is in `test_fuzz.py`.
"""

from __future__ import annotations

import importlib
import pathlib
import sys
import tempfile

from bls2017 import errors
from bls2017.format import container, lanes
from tests import forging
from tests.bls2017.format import tables_strategy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "v5"

TABLES = [
  tables_strategy.make_tables(0, 600, 2, 0.5, length)
  for length in (1, 35, 4096)
]
"""Of so many channels that lanes may be as long as the inputs."""


def check(data: bytes) -> None:
  """Asserts that bytes are refused, or are the one spelling of what is read.

  The bytes are tried as they are, and readable.
  """
  for tried in (data, readable(data)):
    try:
      header = container.unpack_header(tried)
    except errors.BitstreamError:
      continue
    for tables in TABLES:
      try:
        file = container.unpack_body(tried, header, tables)
      except errors.BitstreamError:
        continue
      fewest = lanes.fewest(header.positions, tables.lane_positions)
      assert fewest <= file.num_lanes <= header.positions, "lanes"
      types = [box.type for box in file.boxes]
      assert types == sorted(set(types)), "boxes out of their order"
      assert forging.joined(forging.parts(file)) == tried, "two spellings"


def readable(data: bytes) -> bytes:
  """The bytes with right magic, version and checksum."""
  begin = container.MAGIC + bytes([container.VERSION])
  return forging.changed(data.ljust(container.HEADER_BYTES, b"\0"), 0, begin)


def main() -> None:
  """Runs libFuzzer, with the golden files as its first inputs."""
  import atheris

  with atheris.instrument_imports(include=["bls2017.format"]):
    importlib.reload(lanes)
    importlib.reload(container)
  with tempfile.TemporaryDirectory() as corpus:
    for path in GOLDEN.glob("*.bls"):
      pathlib.Path(corpus, path.name).write_bytes(path.read_bytes())
    atheris.Setup([*sys.argv, "-max_len=1024", corpus], check)
    atheris.Fuzz()


if __name__ == "__main__":
  main()
