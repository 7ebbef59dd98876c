"""Decodes files under many settings of the processor.

    python -m tests.faults.determinism [--emulate] [--model=MODEL FILES]

The symbols of a file must be equal, its pixels within one grey level.
`--emulate` adds older processors, which qemu-x86_64 (Debian's qemu-user) plays.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "v5"
FILES = sorted(map(str, GOLDEN.glob("*.bls")))
PROCESSORS = ("Nehalem", "Haswell")
"""Emulated: one without AVX, one with AVX2."""


class Setting(NamedTuple):
  """A setting of the processor, which a process keeps.

  Attributes:
    cores: LiteRT runs as many threads.
    disabled: Instruction sets that NumPy leaves unused.
    emulated: A processor; empty for that of this machine.
  """

  cores: int
  disabled: str = ""
  emulated: str = ""


SETTINGS = [
  Setting(cores, disabled)
  for cores in (1, 2)
  for disabled in ("", "AVX2 FMA3 AVX512F AVX512_SKX")
]

_SCRIPT = """
import os, pathlib, sys
cores, model, output, *files = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
import numpy as np
import bls2017
codec = bls2017.Codec.load(model)
found = {}
for path in files:
  data = pathlib.Path(path).read_bytes()
  found[path + "/symbols"] = codec.symbols(data)
  found[path + "/pixels"] = codec.decompress(data)
np.savez(output, **found)
"""


def decode(
  files: list[str], model: str, setting: Setting
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Decodes files in a process of their own.

  Args:
    files: Paths of compressed files.
    model: A model directory, or the name of a packaged one.
    setting: The setting.

  Returns:
    The symbols and the pixels of each file.
  """
  emulator = ["qemu-x86_64", "-cpu", setting.emulated]
  with tempfile.TemporaryDirectory() as directory:
    output = os.path.join(directory, "decoded.npz")
    subprocess.run(
      [
        *(emulator if setting.emulated else []),
        *(sys.executable, "-c", _SCRIPT),
        *(str(setting.cores), model, output, *files),
      ],
      check=True,
      env={**os.environ, "NPY_DISABLE_CPU_FEATURES": setting.disabled},
    )
    with np.load(output) as found:
      return [(found[f"{f}/symbols"], found[f"{f}/pixels"]) for f in files]


def main() -> None:
  """Prints how far the settings are apart."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--model", default=str(GOLDEN / "model"))
  parser.add_argument("--emulate", action="store_true")
  parser.add_argument("files", nargs="*", default=FILES)
  arguments = parser.parse_args()
  settings = list(SETTINGS)
  if arguments.emulate:
    settings += [Setting(1, emulated=processor) for processor in PROCESSORS]
  first = decode(arguments.files, arguments.model, settings[0])
  for setting in settings:
    results = decode(arguments.files, arguments.model, setting)
    apart = [np.abs(a[1].astype(int) - b[1]) for a, b in zip(first, results)]
    print(
      f"{setting}: pixels within {max(a.max() for a in apart)},"
      f" {np.mean([np.mean(a > 0) for a in apart]):.1e} of them differ"
    )
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, results))
    assert all(a.max() <= 1 for a in apart)


if __name__ == "__main__":
  main()
