"""Compares this codec with others on images: numbers, plots and pictures.

Writes results.csv (a row for each image, codec and quality), summary.json
(means, settings, BD-rates), rd_psnr.png, rd_msssim.png, per_image/*.png and
report.html, one page that needs no network. A run that was interrupted goes on
where it stopped.

With --study one of the paper's questions is answered as well, and the answer
added to the report; --codecs= leaves it at that.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from bls2017.commands import coding, progress
from bls2017.common import packages
from bls2017.evaluation import evaluation_run, grid, image_codecs, study_results
from bls2017.model import packaged_models

USAGE = "%(prog)s --images=PATTERN --output_dir=DIR [OPTIONS]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  add = parser.add_argument
  add("--images", metavar="PATTERN", required=True, help="the image files")
  add("--output_dir", metavar="DIR", required=True, help="place of the results")
  add(
    "--codecs",
    metavar="NAMES",
    type=_names,
    default=image_codecs.DEFAULT,
    help="of bls2017, jpeg, jpeg444, jpeg2000, webp, avif, jpegxl (with a"
    " plug-in), jpeg_standard_tables and jpeg2000_reversible, separated by"
    " commas; by default the first seven, as far as they are installed",
  )
  add(
    "--qualities",
    metavar="CODEC:Q,Q...",
    action="append",
    type=_qualities,
    default=[],
    help="on the codec's own scale, for jpeg2000 bits per pixel; Q,Q... for"
    " bls2017; may be repeated",
  )
  add(
    "--model",
    action="append",
    default=[],
    help="a model of the package"
    f" ({', '.join(packaged_models.names())}) or a model directory; may be"
    f" repeated (default: {packaged_models.DEFAULT})",
  )
  add(
    "--workers",
    metavar="N",
    type=coding.at_least_one,
    help="processes; by default one for each core",
  )
  add(
    "--compare_images",
    metavar="NAMES",
    type=_names,
    help="images shown side by side in the report; by default the first two",
  )
  add(
    "--compare_bpp",
    metavar="X,X...",
    type=_numbers,
    default=(0.25, 0.6),
    help="rates at which they are compared (default: 0.25,0.6)",
  )
  add("--figure", metavar="NAME", help="image to draw under all codecs")
  add(
    "--figure_bpp",
    metavar="X",
    type=float,
    default=0.113,
    help="rate of the figure (default: %(default)s)",
  )
  add(
    "--study",
    choices=study_results.STUDIES,
    help="relaxation: the relaxed rate and distortion against the quantized"
    " ones, of the run in --train_dir; transforms: GDN, ReLU and linear;"
    " densities: deep factorized and piecewise-linear. The last two train small"
    " models",
  )
  add("--train_dir", metavar="DIR", help="run of train, for the relaxation")
  add("--train_images", metavar="PATTERN", help="photographs for small models")
  add(
    "--study_steps",
    metavar="N",
    type=coding.at_least_one,
    default=study_results.STEPS,
    help="of a small model: half an hour on a core; after few steps other"
    " choices are ahead (default: %(default)s)",
  )


def _names(text: str) -> tuple[str, ...]:
  return tuple(name for name in text.split(",") if name)


def _numbers(text: str) -> tuple[float, ...]:
  try:
    return tuple(map(float, text.split(",")))
  except ValueError as e:
    raise argparse.ArgumentTypeError(str(e)) from None


def _qualities(text: str) -> tuple[str, tuple[float, ...]]:
  name, _, numbers = text.rpartition(":")
  return name or image_codecs.LEARNED, _numbers(numbers)


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  logging.getLogger("bls2017").setLevel(logging.INFO)
  evaluation_run.require_packages()
  qualities: dict[str, tuple[float, ...]] = {}
  for name, added in options.qualities:
    qualities[name] = qualities.get(name, ()) + added
  codecs = grid.choose_codecs(options.codecs, options.model, qualities)
  bar = progress.ProgressBar()
  try:
    if options.study:
      _answer(options, bar.show)
    sentences = evaluation_run.evaluate(
      options.images,
      options.output_dir,
      codecs,
      bar.show,
      workers=options.workers,
      compare_images=options.compare_images,
      compare_bpp=options.compare_bpp,
      figure=options.figure,
      figure_bpp=options.figure_bpp,
    )
  finally:
    bar.close()
  for sentence in sentences:
    print(sentence, file=sys.stderr)
  print(os.path.join(options.output_dir, "report.html"))
  return 0


def _answer(options: argparse.Namespace, tell: grid.Progress) -> None:
  packages.require_training(f"the study '{options.study}'")
  from bls2017.evaluation import studies

  answer = studies.run(
    options.study,
    options.images,
    tell,
    train_images=options.train_images,
    train_dir=options.train_dir,
    steps=options.study_steps,
  )
  directory = os.path.join(options.output_dir, evaluation_run.STUDIES_DIR)
  study_results.save(answer, directory)
