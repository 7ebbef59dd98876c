"""Turns compressed files into images again.

The output is a PNG beside the input unless it is named; the ending of its name
says which other format is meant. "-" is standard input or output (as PNG).

A file names its model. It is found where it is one of the package's; --model
names any other.

With --output_dir, inputs may be any number of files, directories (all .bls
files below), patterns, and lists as @FILE or @-, a path in each line. One that
fails is reported and the rest goes on; one whose image exists, whole, of the
right size and not older, is skipped. The exit code is that of the first input
that failed.
"""

from __future__ import annotations

import functools
import sys

from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.commands import bulk_flags, coding_flags
from bls2017.common import files
from bls2017.images import image_io

USAGE = (
  "bls2017 decompress INPUT [OUTPUT] [FLAGS]\n"
  "bls2017 decompress --output_dir=DIR INPUTS... [FLAGS]"
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
  "runtime",
  "verbose",
  "workers",
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if not arguments:
    raise errors.UsageError(f"an input is needed; usage: {USAGE}")
  extension = coding_flags.image_extension()
  output_dir = coding_flags.OUTPUT_DIR.value
  if output_dir:
    kind = coding_flags.image_kind(f"x{extension}")
    return bulk_flags.for_each(
      arguments, output_dir, extension, functools.partial(_work, kind)
    )
  source, output = coding_flags.pair(arguments, extension)
  kind = coding_flags.image_kind(output)
  decoder = coding_flags.load_decoder()
  data = files.read(source, decoder.max_file_bytes)
  try:
    x_hat, about = decoder.decompress(data), decoder.about(data)
  except errors.CodecError as e:
    raise worker_threads.naming(source, e) from e
  quality = coding_flags.OUTPUT_QUALITY.value
  coded = image_io.encode(x_hat, kind, quality, about)
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
  return bulk_coding.Decompression(coding_flags.load_decoder(), kind, quality)
