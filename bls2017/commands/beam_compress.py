"""Compresses photographs on many machines, as an Apache Beam pipeline.

The same files as `bls2017 compress --output_dir` makes, by any runner of Beam;
folders below the first wildcard of --input_glob are kept. Flags that are not
listed here go to Beam: --runner=FlinkRunner, --direct_num_workers=2 ...

Inputs that fail are listed with their reasons in OUTPUT_DIR/failures.jsonl.
Outputs that exist, whole, of this model and quality and not older than their
inputs, are skipped. The exit code is that of the first input that failed.
"""

from __future__ import annotations

import functools

from bls2017.bulk import inputs
from bls2017.commands import beam_flags, coding_flags

USAGE = (
  "bls2017 beam_compress --input_glob=PATTERN --output_dir=DIR [--quality=6]"
  " [FLAGS] [BEAM'S OPTIONS]"
)
SHARED_FLAGS = (
  "attempts",
  "input_glob",
  "max_pixels",
  "model",
  "output_dir",
  "overwrite",
  "quality",
)
TAKES_OTHER_FLAGS = True


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  coding_flags.check_quality()
  from bls2017 import codec
  from bls2017.bulk import bulk_coding

  make_work = functools.partial(
    bulk_coding.Compression, quality=coding_flags.QUALITY.value
  )
  return beam_flags.run(
    arguments, inputs.BITSTREAM_EXTENSION, codec.Codec.load, make_work
  )
