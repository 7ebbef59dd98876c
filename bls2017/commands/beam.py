"""Compresses or decompresses files on many machines, by Apache Beam.

The files are those that `bls2017 compress --output_dir` and `bls2017 decompress
--output_dir` make, with the same rules; folders below the first wildcard of
--input_glob are kept. Options that are not listed here go to Beam:
--runner=FlinkRunner, --direct_num_workers=2 ...

Inputs that fail are listed with their reasons in OUTPUT_DIR/failures.jsonl. If
the pipeline fails, because a worker died or the disk is full, run the command
again to go on. The exit code is that of the first input that failed.
"""

from __future__ import annotations

import argparse
import functools
import logging
from typing import Any, Callable

from bls2017 import errors
from bls2017.commands import coding
from bls2017.common import packages
from bls2017.encode import request
from bls2017.many import inputs

USAGE = (
  "%(prog)s --input_glob=PATTERN --output_dir=DIR [OPTIONS]\n"
  "       [OPTIONS OF BEAM]"
)

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  about = "the inputs; * stays within a folder, ** does not"
  parser.add_argument(
    "--input_glob", metavar="PATTERN", required=True, help=about
  )
  coding.add(parser, "--output_dir", "--overwrite", "--model", "--max_pixels")
  compresses = parser.prog.endswith("beam_compress")
  ours = ("-q --quality", "--alpha") if compresses else coding.IMAGE
  coding.add(parser, *ours)
  parser.set_defaults(compresses=compresses, others=[])


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  packages.require("apache_beam", "this command", "bls2017[beam]")
  # Beam warns of each optional package that is missing.
  logging.disable(logging.WARNING)
  from bls2017 import beam
  from bls2017.many import work

  logging.disable(logging.NOTSET)
  logging.getLogger("apache_beam").setLevel(logging.ERROR)
  if not options.output_dir:
    raise errors.UsageError("--output_dir is needed")
  make: Callable[..., work.Work]
  settings: list[Any]
  if options.compresses:
    coding.check_quality(options)
    extension = inputs.BITSTREAM_EXTENSION
    asked = request.Request(options.quality, alpha=options.alpha)
    make, settings = work.compression, [asked]
  else:
    extension = coding.image_extension(options)
    kind = coding.image_kind(options, f"x{extension}")
    make, settings = work.decompression, [kind, options.output_quality]
  # A codec is sent to the workers by its model's name.
  make_work = functools.partial(make, coding.load_codec(options), *settings)
  summary, reasons = beam.run(
    options.input_glob,
    options.output_dir,
    extension,
    make_work,
    options.overwrite,
    options.others,
  )
  for reason in reasons:
    _log.error("bls2017: %s", " ".join(reason.split()))
  coding.log_summary(summary)
  return summary.exit_code
