"""Writes a frozen model as a version of a model server's base directory.

    BASE/N/        the SavedModel, with its warm-up requests
    BASE/serving/  configuration for the server; its README.md says how

A server watches BASE and loads what appears under a number, so a version is
written under another name, tried, and renamed.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import tensorflow as tf

from bls2017 import errors
from bls2017.model import model_directory
from export import DEFAULT_MAX_PIXELS, audit, serving_module, warmup

MODEL_NAME = "bls2017"
SERVING_DIRECTORY = "serving"

_CONFIGURATION = pathlib.Path(__file__).parent / "serving"


def export(
  model: model_directory.FrozenModel,
  output_dir: str,
  version: int | None = None,
  max_pixels: int = DEFAULT_MAX_PIXELS,
) -> str:
  """Exports a model.

  Args:
    model: The model.
    output_dir: The base directory; it is made if it is missing. Configuration
      that is there already is kept, since it may have been edited.
    version: Number of the version; one above the highest by default.
    max_pixels: Limit of an image's pixels in the exported graph.

  Returns:
    The version's directory.

  Raises:
    errors.UsageError: if an argument is out of its range.
    errors.OutputError: if the version exists or cannot be written.
    errors.ModelError: if the result does not pass its own checks.
  """
  if max_pixels < 1 or max_pixels >= 2**31:
    raise errors.UsageError("max_pixels must be from 1 to 2**31 - 1")
  for pair in model.pairs:
    model_directory.check_finite(pair.weights)
  try:
    os.makedirs(output_dir, exist_ok=True)
    version = _next_version(output_dir) if version is None else version
    target = os.path.join(output_dir, str(version))
    if version < 1:
      raise errors.UsageError("a version must be at least 1")
    if os.path.lexists(target):
      raise errors.OutputError(f"{target} exists")
    temporary = tempfile.mkdtemp(prefix=f".version-{version}.", dir=output_dir)
  except OSError as e:
    raise errors.OutputError(f"cannot write {output_dir}: {e}") from e
  try:
    _write_version(model, temporary, max_pixels)
    _write_configuration(os.path.join(output_dir, SERVING_DIRECTORY))
    os.chmod(temporary, 0o755)
    os.rename(temporary, target)
  except (OSError, tf.errors.OpError) as e:
    raise errors.OutputError(f"cannot write {target}: {e}") from e
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return target


def _next_version(output_dir: str) -> int:
  versions = (int(n) for n in os.listdir(output_dir) if n.isdecimal())
  return max(versions, default=0) + 1


def _write_version(
  model: model_directory.FrozenModel, directory: str, max_pixels: int
) -> None:
  module = serving_module.ServingModule(model, max_pixels)
  # The root has no functions: it saves the signatures, and nothing twice.
  root = tf.Module()
  root.held = module.variables
  tf.saved_model.save(root, directory, module.signatures())
  audit.check(directory)
  requests = []
  for picture in warmup.pictures(max_pixels):
    for quality in _lowest_qualities(model):
      png = tf.io.encode_png(picture)[None]
      outputs = module.compress(png, tf.constant([quality]))
      file = outputs["compressed_bytes"].numpy()[0]
      requests += warmup.requests(picture, quality, file)
  warmup.write(directory, MODEL_NAME, requests)
  warmup.replay(directory, requests)


def _lowest_qualities(model: model_directory.FrozenModel) -> list[float]:
  """The lowest quality of each pair of transforms."""
  tables = model.tables
  pairs = [tables.pair_of(index) for index in range(len(tables))]
  return [
    model.config.index_quality(pairs.index(number))
    for number in range(len(model.pairs))
  ]


def _write_configuration(directory: str) -> None:
  os.makedirs(directory, exist_ok=True)
  for source in sorted(_CONFIGURATION.iterdir()):
    path = os.path.join(directory, source.name)
    if not os.path.exists(path):
      shutil.copyfile(source, path)
