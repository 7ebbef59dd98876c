"""Turns compressed files into images again.

The output is a PNG beside the input unless it is named; the ending of its name
says which other format is meant. "-" is standard input or output (as PNG).
"""

from __future__ import annotations

import sys

from bls2017 import files, image_io
from bls2017.commands import coding_flags

USAGE = "bls2017 decompress INPUT [OUTPUT] [FLAGS]"
FLAG_MODULES = (coding_flags.__name__,)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  found = coding_flags.pairs(arguments, ".png", USAGE)
  for _, output in found:
    image_io.check_format(output)
  return coding_flags.for_each(found, _decompress)


def _decompress(source: str, output: str) -> None:
  data = files.read(source)
  x_hat = coding_flags.load_codec().decompress(data)
  image_io.write(x_hat, output, coding_flags.OVERWRITE.value)
  if coding_flags.VERBOSE.value:
    print(
      f"{source}: {x_hat.shape[1]} x {x_hat.shape[0]} pixels to {output}",
      file=sys.stderr,
    )
