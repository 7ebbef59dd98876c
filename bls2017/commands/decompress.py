"""Turns compressed files into images again.

The output is a PNG beside the input unless it is named; the ending of its name
says which other format is meant. "-" is standard input or output (as PNG).

A file names its model. It is found where it is one of the package's; --model
names any other.

--region=X,Y,W,H writes a part of the image, W x H pixels of which X columns lie
to the left and Y rows above, and decodes no more than it needs. They are pixels
of the image as this command writes it: upright, since the orientation of a
photograph is applied when it is compressed. --reduce=2, 4 or 8 writes a preview
of that fraction of the width and height, rounded up. With both, the region is
in pixels of the full size and is then reduced.

With --output_dir, inputs may be any number of files, directories (all .bls
files below), patterns, and lists as @FILE or @-, a path in each line. One that
fails is reported and the rest goes on; one whose image exists, whole, of the
right size and not older, is skipped. The exit code is that of the first input
that failed.
"""

from __future__ import annotations

import functools
import re
import sys

from absl import flags

from bls2017 import errors, files
from bls2017.bulk import worker_threads
from bls2017.commands import bulk_flags, coding_flags
from bls2017.images import image_io
from bls2017.model import regions

USAGE = (
  "bls2017 decompress INPUT [OUTPUT] [--region=X,Y,W,H] [--reduce=2|4|8]"
  " [FLAGS]\n"
  "bls2017 decompress --output_dir=DIR INPUTS... [--reduce=2|4|8] [FLAGS]"
)
SHARED_FLAGS = (
  "base_dir",
  "format",
  "max_pixels",
  "model",
  "output",
  "output_dir",
  "output_quality",
  "overwrite",
  "verbose",
  "workers",
)


class _RegionParser(flags.ArgumentParser[regions.Region]):
  """Regions such as 100,50,640,480."""

  syntactic_help = (
    "X,Y,W,H: columns to the left and rows above, 0 or more, and the width and"
    " height in pixels, 1 or more"
  )

  def parse(self, argument: str | regions.Region) -> regions.Region:
    """See `flags.ArgumentParser.parse`."""
    if isinstance(argument, regions.Region):
      return argument
    numbers = [part.strip() for part in argument.split(",")]
    if len(numbers) != 4 or not all(re.fullmatch(r"\d+", n) for n in numbers):
      raise ValueError(f"not {self.syntactic_help}")
    region = regions.Region(*map(int, numbers))
    if not (region.width and region.height):
      raise ValueError(f"not {self.syntactic_help}")
    return region

  def flag_type(self) -> str:
    """See `flags.ArgumentParser.flag_type`."""
    return "region"


_REGION = flags.DEFINE(
  _RegionParser(),
  "region",
  None,
  "Only this part of the image: columns to the left, rows above, width and"
  " height in pixels.",
)
_REDUCE = flags.DEFINE_enum(
  "reduce",
  "1",
  [str(factor) for factor in regions.REDUCTIONS],
  "A preview of this fraction of the width and height.",
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if not arguments:
    raise errors.UsageError(f"an input is needed; usage: {USAGE}")
  extension = coding_flags.image_extension()
  output_dir = coding_flags.OUTPUT_DIR.value
  if output_dir:
    if _REGION.value:
      # A rerun could not tell the parts of images from each other.
      raise errors.UsageError("--region is for one file, not for --output_dir")
    kind = coding_flags.image_kind(f"x{extension}")
    return bulk_flags.for_each(
      arguments, output_dir, extension, functools.partial(_work, kind)
    )
  source, output = coding_flags.pair(arguments, extension)
  kind = coding_flags.image_kind(output)
  decoder = coding_flags.load_decoder()
  data = files.read(source, decoder.max_file_bytes)
  try:
    decoded = decoder.decode(
      data, region=_REGION.value, reduce=int(_REDUCE.value)
    )
  except errors.CodecError as e:
    raise worker_threads.naming(source, e) from e
  x_hat = decoded.image
  quality = coding_flags.OUTPUT_QUALITY.value
  coded = image_io.encode(x_hat, kind, quality, decoded.metadata)
  files.write(output, coded, coding_flags.OVERWRITE.value)
  if coding_flags.VERBOSE.value:
    print(
      f"{source}: {x_hat.shape[1]} x {x_hat.shape[0]} pixels to {output}",
      file=sys.stderr,
    )
  return 0


def _work(kind: str) -> worker_threads.Work:
  from bls2017.bulk import bulk_coding

  quality = coding_flags.OUTPUT_QUALITY.value
  return bulk_coding.Decompression(
    coding_flags.load_decoder(), kind, quality, int(_REDUCE.value)
  )
