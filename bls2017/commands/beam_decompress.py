"""Turns compressed files into images on many machines, by Apache Beam.

The inverse of `bls2017 beam_compress`, with the same rules; an image is taken
for done if it is whole, of the right size and not older than its input.
"""

from __future__ import annotations

import functools

from bls2017.commands import beam_flags, coding_flags

USAGE = (
  "bls2017 beam_decompress --input_glob=PATTERN --output_dir=DIR"
  " [FLAGS] [BEAM'S OPTIONS]"
)
SHARED_FLAGS = (
  "attempts",
  "format",
  "input_glob",
  "max_pixels",
  "model",
  "output_dir",
  "output_quality",
  "overwrite",
)
TAKES_OTHER_FLAGS = True


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  extension = coding_flags.image_extension()
  kind = coding_flags.image_kind(f"x{extension}")
  from bls2017 import decoder
  from bls2017.bulk import bulk_coding

  make_work = functools.partial(
    bulk_coding.Decompression,
    kind=kind,
    image_quality=coding_flags.OUTPUT_QUALITY.value,
  )
  return beam_flags.run(arguments, extension, decoder.load, make_work)
