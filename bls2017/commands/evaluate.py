"""Compares this codec with others on images: numbers, plots and pictures.

Writes results.csv (a row for each image, codec and quality), summary.json
(means, settings, BD-rates), rd_psnr.png, rd_msssim.png, per_image/*.png and
report.html, one page that needs no network. A run that was interrupted goes on
where it stopped.

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
from bls2017.common import config, packages
from bls2017.evaluation import evaluation_run, grid, image_codecs, study_results
from bls2017.model import packaged_models

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
  "model",
  [],
  "A model of the package by its name"
  f" ({', '.join(packaged_models.names())}), or a model directory; may be"
  f" repeated. By default {packaged_models.DEFAULT}.",
)
_WORKERS = flags.DEFINE_integer(
  "workers", None, "Processes; one per core.", lower_bound=1
)
_COMPARE_IMAGES = flags.DEFINE_list(
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
_FIGURE_BPP = flags.DEFINE_float(
  "figure_bpp", 0.113, "Rate of the figure.", lower_bound=0.0
)
_STUDY = flags.DEFINE_enum(
  "study",
  None,
  study_results.STUDIES,
  "relaxation: the relaxed rate and distortion against the quantized ones (of"
  " the run in --train_dir); transforms: GDN, ReLU and linear; densities:"
  " deep factorized and piecewise-linear. The last two train small models.",
)
_TRAIN_DIR = flags.DEFINE_string(
  "train_dir", None, "Run of bls2017 train, for --study=relaxation."
)
_TRAIN_IMAGES = flags.DEFINE_string(
  "train_images", None, "Pattern of photographs for the small models."
)
_STUDY_STEPS = flags.DEFINE_integer(
  "study_steps", 3000, "Of a small model.", lower_bound=1
)


def _numbers(flag: str, texts: list[str]) -> tuple[float, ...]:
  try:
    return tuple(map(config.number, texts))
  except ValueError as e:
    raise errors.UsageError(f"--{flag}: {e}") from e


def _qualities() -> dict[str, tuple[float, ...]]:
  chosen: dict[str, tuple[float, ...]] = {}
  for value in _QUALITIES.value:
    name, _, texts = value.rpartition(":")
    name = name or image_codecs.LEARNED
    added = _numbers("qualities", texts.split(","))
    chosen[name] = chosen.get(name, ()) + added
  return chosen


def _answer(
  study: str, images: str, output_dir: str, progress: grid.Progress
) -> None:
  packages.require_training(f"the study '{study}'")
  from bls2017.evaluation import studies

  answer = studies.run(
    study,
    images,
    progress,
    train_images=_TRAIN_IMAGES.value,
    train_dir=_TRAIN_DIR.value,
    steps=_STUDY_STEPS.value,
  )
  directory = os.path.join(output_dir, evaluation_run.STUDIES_DIR)
  study_results.save(answer, directory)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  images, output_dir = _IMAGES.value, _OUTPUT_DIR.value
  if not (images and output_dir):
    raise errors.UsageError("--images and --output_dir are needed")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  evaluation_run.require_packages()
  names = image_codecs.DEFAULT if _CODECS.value is None else _CODECS.value
  codecs = grid.choose_codecs(names, _MODEL.value, _qualities())
  compare_bpp = _numbers("compare_bpp", _COMPARE_BPP.value)
  bar = progress_lib.ProgressBar()
  try:
    if _STUDY.value:
      _answer(_STUDY.value, images, output_dir, bar.show)
    sentences = evaluation_run.evaluate(
      images,
      output_dir,
      codecs,
      bar.show,
      workers=_WORKERS.value,
      compare_images=_COMPARE_IMAGES.value,
      compare_bpp=compare_bpp,
      figure=_FIGURE.value,
      figure_bpp=_FIGURE_BPP.value,
    )
  finally:
    bar.close()
  for sentence in sentences:
    print(sentence, file=sys.stderr)
  print(os.path.join(output_dir, "report.html"))
  return 0
