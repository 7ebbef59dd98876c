"""Measures how fast this machine compresses and decompresses.

The codec beside the plain model that tensorflow-compression's own example would
be, and beside Pillow's JPEG 2000, WebP and AVIF at equal rate for a 768x512
image; the transforms beside a matrix product; peak memory; steps of training;
cold starts; many files. What is compared takes turns, and medians are given.
Pictures are made on the spot. The whole takes some 15 minutes on two cores;
every part can be left out.
"""

from __future__ import annotations

import sys

from absl import flags

from bls2017 import errors
from bls2017.commands import config_flags
from bls2017.common import config, packages
from bls2017.evaluation.benchmark import benchmark_config

USAGE = "bls2017 benchmark [--json=FILE] [FLAGS]"

config_flags.define(benchmark_config.BenchmarkConfig)
_JSON = flags.DEFINE_string("json", None, "Where the figures are saved.")


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  packages.require_training("benchmark")
  settings = config_flags.read(benchmark_config.BenchmarkConfig)
  from bls2017.evaluation.benchmark import run as benchmark

  report = benchmark.run(
    settings, lambda name: print(f"measuring {name} ...", file=sys.stderr)
  )
  print(report.to_text())
  if _JSON.value:
    config.write_json(_JSON.value, report.to_json())
  return 0
