"""Turns compressed files into images again.

OUTPUT is a PNG beside the input unless you name it; the ending of its name says
which other format you want. "-" is standard input or output (as PNG).

--region=X,Y,W,H writes a part of the image, W x H pixels of which X columns lie
to the left and Y rows above; no more than it needs is decoded. --reduce=2, 4 or
8 writes a preview of that fraction of the width and height, rounded up. With
both, the region is in pixels of the full size.

With --output_dir you can give any number of files, directories (all .bls files
below them), patterns, and lists as @FILE or @- with a path in each line. A file
that fails is named and the rest goes on. A file whose image is there (whole, of
the right size, and not older) is skipped. The exit code is that of the first
input that failed.
"""

from __future__ import annotations

import argparse
import re

from bls2017 import errors
from bls2017.commands import coding
from bls2017.decode import REDUCTIONS
from bls2017.many import work

USAGE = (
  "%(prog)s INPUT [OUTPUT] [OPTIONS]\n"
  "       %(prog)s --output_dir=DIR INPUT... [OPTIONS]"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  coding.add(parser, *coding.FILES, *coding.IMAGE)
  add = parser.add_argument
  add("--region", metavar="X,Y,W,H", type=_region, help="only this part")
  add("--reduce", type=int, choices=REDUCTIONS, default=1, help="a preview")


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  if options.output_dir and options.region:
    # A rerun could not tell the parts of images from each other.
    raise errors.UsageError("--region is for one file, not for --output_dir")

  def decompression(output: str) -> work.Work:
    kind = coding.image_kind(options, output)
    return work.decompression(
      coding.load_codec(options),
      kind,
      options.output_quality,
      options.region,
      options.reduce,
    )

  return coding.run(options, coding.image_extension(options), decompression)


def _region(text: str) -> tuple[int, ...]:
  """A region such as 100,50,640,480."""
  if not re.fullmatch(r"\d+,\d+,0*[1-9]\d*,0*[1-9]\d*", text.replace(" ", "")):
    raise argparse.ArgumentTypeError(
      f"'{text}' is not X,Y,W,H: columns to the left and rows above, 0 or more,"
      " and the width and height in pixels, 1 or more"
    )
  return tuple(map(int, text.split(",")))
