"""Counts the coding tables of a model anew, from photographs of yours.

Photographs of their kind become smaller files at nearly the same errors, since
the encoder knows what symbols cost there. Transforms stay, and nothing is
trained. The result is another model, which its files need.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator

import numpy as np

from bls2017 import errors
from bls2017.common import packages
from bls2017.images import reading
from bls2017.model import model_directory, packaged_models

USAGE = "%(prog)s --images=GLOB --output_dir=DIR [OPTIONS]"

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  add = parser.add_argument
  add(
    "--model",
    default=packaged_models.DEFAULT,
    help="a model directory, or the name of a packaged model (default:"
    " %(default)s)",
  )
  add(
    "--images",
    metavar="GLOB",
    required=True,
    help="the photographs: a pattern, or a folder, whose images at any depth"
    " are taken; a few hundred are enough",
  )
  add(
    "--output_dir",
    metavar="DIR",
    required=True,
    help="the model directory to write",
  )
  add("--overwrite", action="store_true", help="replace the model directory")


def run(options: argparse.Namespace) -> int:
  """Counts; returns the exit code."""
  if os.path.lexists(options.output_dir) and not options.overwrite:
    raise errors.OutputExistsError(f"{options.output_dir} exists")
  packages.require_training("tune_tables")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  logging.getLogger("bls2017.images.reading").setLevel(logging.ERROR)
  from bls2017.training import calibration, data, freezing

  model = model_directory.load(options.model)
  paths, _ = data.split_files(options.images, 0)
  images = list(_readable(paths))
  if not images:
    raise errors.UnreadableInputError(f"no image of {options.images!r}")
  tuned = calibration.counted_anew(model, images)
  freezing.save(tuned, options.output_dir, options.overwrite)
  print(f"{options.output_dir}: model {tuned.model_id.hex()}")
  return 0


def _readable(paths: list[str]) -> Iterator[np.ndarray]:
  """The pixels of the files that can be read."""
  for path in paths:
    try:
      yield reading.read_rgb(path)
    except errors.CodecError as e:
      _log.warning("%s is left out: %s", path, e)
