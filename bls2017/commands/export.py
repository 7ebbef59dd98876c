"""Writes a model for TF Serving, or as a site that decodes in a browser.

--format=serving: BASE/N is the version, a SavedModel that TF Serving loads;
BASE/serving holds configuration for the server and a README.md that says how to
start it. Any TensorFlow and any model server runs it.

--format=web: SITE holds static files that any web server serves: a page that
shows .bls images, the decoder as ES modules, and a README.md that says how to
use both.
"""

from __future__ import annotations

import argparse

from bls2017 import errors
from bls2017.commands import coding
from bls2017.common import packages
from bls2017.images import reading
from bls2017.model import model_directory, packaged_models
from export import DEFAULT_MAX_PIXELS, FORMATS

USAGE = (
  "%(prog)s --output_dir=BASE [--version=N] [OPTIONS]\n"
  "       %(prog)s --format=web --output_dir=SITE [--tfjs=DIR] [OPTIONS]"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  add = parser.add_argument
  add(
    "--format",
    choices=FORMATS,
    default=FORMATS[0],
    help="default: %(default)s",
  )
  add(
    "--output_dir",
    metavar="DIR",
    required=True,
    help="base directory, in which a version is made; of a site, its own"
    " directory, which is new or empty",
  )
  add(
    "--version",
    metavar="N",
    type=int,
    help="number of the version; by default one above the highest",
  )
  add(
    "--tfjs",
    metavar="DIR",
    help="folder into which npm installed TensorFlow.js, to be copied into the"
    " site; by default pages load it from a public network",
  )
  add(
    "--model",
    default=packaged_models.DEFAULT,
    help="a model of the package"
    f" ({', '.join(packaged_models.names())}) or a model directory",
  )
  add(
    "--max_pixels",
    metavar="N",
    type=coding.at_least_one,
    help=f"refuse larger images; by default {DEFAULT_MAX_PIXELS} when serving,"
    " and on the web as many as the commands take",
  )


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  other = {"serving": "tfjs", "web": "version"}[options.format]
  if getattr(options, other) is not None:
    raise errors.UsageError(f"--{other} is not for --format={options.format}")
  if options.format == "web":
    from export.web import web_export

    path = web_export.export(
      model_directory.load(options.model),
      options.output_dir,
      tfjs=options.tfjs,
      max_pixels=options.max_pixels or reading.MAX_PIXELS,
    )
  else:
    packages.require_tensorflow("export")
    from export import export_model

    path = export_model.export(
      model_directory.load(options.model),
      options.output_dir,
      version=options.version,
      max_pixels=options.max_pixels or DEFAULT_MAX_PIXELS,
    )
  print(path)
  return 0
