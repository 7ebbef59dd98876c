"""Writes a picture to try the codec with.

It is drawn from random numbers, always the same ones: smooth shading, edges,
texture and noise, as in a photograph.
"""

from __future__ import annotations

import argparse

from bls2017.commands import coding, photograph
from bls2017.images import writing

USAGE = "%(prog)s OUTPUT [--width=768] [--height=512] [--overwrite]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  add = parser.add_argument
  add("output", metavar="OUTPUT", help="the image file; its ending says which")
  add("--width", metavar="N", type=coding.at_least_one, default=768)
  add("--height", metavar="N", type=coding.at_least_one, default=512)
  coding.add(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  x = photograph.photograph(options.height, options.width)
  writing.write(x, options.output, options.overwrite)
  return 0
