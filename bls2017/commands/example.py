"""Writes a picture to try the codec with.

It is drawn from random numbers, always the same ones: smooth shading, edges,
texture and noise, as in a photograph.
"""

from __future__ import annotations

from absl import flags

from bls2017 import errors
from bls2017.commands import coding_flags, photograph
from bls2017.images import image_io

USAGE = "bls2017 example OUTPUT [--width=768] [--height=512] [--overwrite]"
SHARED_FLAGS = ("overwrite",)

_WIDTH = flags.DEFINE_integer("width", 768, "Pixels.", lower_bound=1)
_HEIGHT = flags.DEFINE_integer("height", 512, "Pixels.", lower_bound=1)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if len(arguments) != 1:
    raise errors.UsageError(f"one output is needed; usage: {USAGE}")
  x = photograph.photograph(_HEIGHT.value, _WIDTH.value)
  image_io.write(x, arguments[0], coding_flags.OVERWRITE.value)
  return 0
