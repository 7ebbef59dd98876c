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
from bls2017.commands import progress as progress_lib

USAGE = "bls2017 evaluate --images=PATTERN --output_dir=DIR [FLAGS]"

_IMAGES = flags.DEFINE_string("images", None, "Pattern of the image files.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where results go.")
_CODECS = flags.DEFINE_list(
  "codecs",
  None,
  "Of bls2017, jpeg, jpeg444, jpeg2000, webp, avif, jpegxl (with a plug-in),"
  " jpeg_standard_tables, jpeg2000_reversible. By default the first seven, as"
  " far as they are installed.",
)
_QUALITIES = flags.DEFINE_multi_string(
  "qualities",
  [],
  "CODEC:Q,Q,... or, for bls2017, Q,Q,...; may be repeated. On each codec's own"
  " scale; for jpeg2000 bits per pixel.",
)
_MODEL = flags.DEFINE_multi_string(
  "model", [], "Model directory; may be repeated. The packaged one by default."
)
_WORKERS = flags.DEFINE_integer("workers", None, "Processes; one per core.")
_COMPARE = flags.DEFINE_list(
  "compare_images",
  None,
  "Names of the images shown side by side in the report; the first two by"
  " default, and none for ''.",
)
_COMPARE_BPP = flags.DEFINE_list(
  "compare_bpp", ["0.25", "0.6"], "Rates at which they are compared."
)
_FIGURE = flags.DEFINE_string(
  "figure", None, "Name of an image to draw under all codecs: figure.jpg."
)
_FIGURE_BPP = flags.DEFINE_float("figure_bpp", 0.113, "Rate of the figure.")
_STUDY = flags.DEFINE_enum(
  "study",
  None,
  ("relaxation", "transforms", "densities"),
  "relaxation: the relaxed rate and distortion against the quantized ones (of"
  " the run in --train_dir); transforms: GDN, ReLU and linear; densities: deep"
  " factorized and piecewise-linear. The last two train small models.",
)
_TRAIN_DIR = flags.DEFINE_string(
  "train_dir", None, "Run of bls2017 train, for --study=relaxation."
)
_TRAIN_IMAGES = flags.DEFINE_string(
  "train_images", None, "Pattern of photographs for the small models."
)
_STUDY_STEPS = flags.DEFINE_integer("study_steps", 3000, "Of a small model.")


def _floats(values: list[str], flag: str) -> tuple[float, ...]:
  try:
    return tuple(float(v) for v in values)
  except ValueError as e:
    raise errors.UsageError(f"--{flag} must hold numbers: {e}") from e


def _qualities() -> dict[str, tuple[float, ...]]:
  chosen: dict[str, tuple[float, ...]] = {}
  for value in _QUALITIES.value:
    name, _, numbers = value.rpartition(":")
    name = name or "bls2017"
    added = _floats(numbers.split(","), "qualities")
    chosen[name] = chosen.get(name, ()) + added
  return chosen


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not (_IMAGES.value and _OUTPUT_DIR.value):
    raise errors.UsageError("--images and --output_dir are needed")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  from bls2017.evaluation import evaluation_run

  request = evaluation_run.Request(
    images=_IMAGES.value,
    output_dir=_OUTPUT_DIR.value,
    codecs=_CODECS.value,
    models=tuple(_MODEL.value),
    qualities=_qualities(),
    workers=_WORKERS.value,
    compare_images=_COMPARE.value,
    compare_bpp=_floats(_COMPARE_BPP.value, "compare_bpp"),
    figure=_FIGURE.value,
    figure_bpp=_FIGURE_BPP.value,
    study=_STUDY.value,
    train_dir=_TRAIN_DIR.value,
    train_images=_TRAIN_IMAGES.value,
    study_steps=_STUDY_STEPS.value,
  )
  progress = progress_lib.ProgressBar()
  try:
    written = evaluation_run.run(request, progress)
  finally:
    progress.close()
  print("wrote", ", ".join(written), file=sys.stderr)
  print(os.path.join(_OUTPUT_DIR.value, "report.html"))
  return 0
