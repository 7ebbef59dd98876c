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

from absl import flags

from bls2017.bulk import bulk_inputs
from bls2017.commands import beam_flags, coding_flags

USAGE = (
  "bls2017 beam_compress --input_glob=PATTERN --output_dir=DIR [--quality=5]"
  " [FLAGS] [BEAM'S OPTIONS]"
)
FLAG_MODULES = (coding_flags.__name__, beam_flags.__name__)
TAKES_OTHER_FLAGS = True

_QUALITY = flags.DEFINE_float(
  "quality", 5.0, "1 (smallest file) to 8 (best image), in steps of 1/8."
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  from bls2017.bulk import bulk_coding

  make_work = functools.partial(
    bulk_coding.load_compression,
    coding_flags.MODEL.value,
    coding_flags.MAX_PIXELS.value,
    _QUALITY.value,
  )
  extension = bulk_inputs.BITSTREAM_EXTENSION
  return beam_flags.run(arguments, extension, make_work, USAGE)
