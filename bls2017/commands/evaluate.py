"""Compares this codec with others on images: numbers, plots and pictures.

Writes results.csv (a row for each image, codec and quality), summary.json,
rd_psnr.png, rd_msssim.png, per_image/*.png and report.html, one page that needs
no network. A run that was interrupted goes on where it stopped.

With --study one of the paper's questions is answered as well, and the answer
added to the report; --codecs= leaves it at that.
"""

from __future__ import annotations

import logging
import os
import sys

from absl import flags

from bls2017 import errors
from bls2017.commands import config_flags
from bls2017.commands import progress as progress_lib
from bls2017.common import config, packages
from bls2017.evaluation import evaluation_config
from bls2017.model import packaged_models

USAGE = "bls2017 evaluate --images=PATTERN --output_dir=DIR [FLAGS]"

_IMAGES = flags.DEFINE_string("images", None, "Pattern of the image files.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where results go.")
_QUALITIES = flags.DEFINE_multi_string(
  "qualities",
  [],
  "CODEC:Q,Q,... or, for bls2017, Q,Q,...; may be repeated. On each codec's own"
  " scale; for jpeg2000 bits per pixel.",
)
_MODEL = flags.DEFINE_multi_string(
  "model",
  [],
  "A model of the package by its name"
  f" ({', '.join(packaged_models.names())}), or a model directory; may be"
  f" repeated. By default {packaged_models.DEFAULT}.",
)
config_flags.define(evaluation_config.EvaluationConfig)


def _qualities() -> dict[str, tuple[float, ...]]:
  chosen: dict[str, tuple[float, ...]] = {}
  for value in _QUALITIES.value:
    name, _, numbers = value.rpartition(":")
    name = name or "bls2017"
    try:
      added = tuple(map(config.number, numbers.split(",")))
    except ValueError as e:
      raise errors.UsageError(f"--qualities: {e}") from e
    chosen[name] = chosen.get(name, ()) + added
  return chosen


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not (_IMAGES.value and _OUTPUT_DIR.value):
    raise errors.UsageError("--images and --output_dir are needed")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  settings = config_flags.read(
    evaluation_config.EvaluationConfig,
    images=_IMAGES.value,
    output_dir=_OUTPUT_DIR.value,
    models=tuple(_MODEL.value),
    qualities=_qualities(),
  )
  packages.require_tensorflow("evaluate")
  from bls2017.evaluation import evaluation_run

  progress = progress_lib.ProgressBar()
  try:
    outcome = evaluation_run.run(settings, progress)
  finally:
    progress.close()
  print(*outcome.headline, sep="\n", file=sys.stderr)
  print("wrote", ", ".join(outcome.files), file=sys.stderr)
  print(os.path.join(_OUTPUT_DIR.value, "report.html"))
  return 0
