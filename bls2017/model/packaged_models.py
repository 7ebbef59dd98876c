"""The models that come with the package, by name.

Each is a model directory in `pretrained/` that is named for what it is tuned
for. A name stands wherever the path of a model directory does. A model is
listed where its directory is there, and known by its config.json alone: none of
its arrays are read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from bls2017 import errors
from bls2017.common import config

CONFIG_FILE = "config.json"
"""A directory that has this file is a model."""

MODEL_ID = "model_id"
"""Key of the model's id in it, hexadecimal."""

DEFAULT = "psnr"
"""The model that is taken where none is named."""

SEARCH_PATH = [
  os.path.join(os.path.dirname(os.path.dirname(__file__)), "pretrained")
]
"""Where models with names are; of two of one name the first one counts."""


def names() -> list[str]:
  """The names of all models, the default first."""
  return list(_directories())


def directory(model: str | None = None) -> str:
  """The directory that a name or a path stands for.

  Args:
    model: A name, or a path; the default model if None. A directory that is
      called like a packaged model is meant by a path such as "./psnr".

  Raises:
    errors.ModelError: if it is neither; paths of several parts are not looked
      at.
  """
  model = DEFAULT if model is None else model
  directories = _directories()
  if model in directories:
    return directories[model]
  if not os.path.dirname(model) and not os.path.exists(model):
    raise errors.ModelError(
      f"there is no model '{model}'; the package has {' and '.join(names())}"
    )
  return model


def find(model_id: bytes) -> str | None:
  """The name of the model that has an id; None where there is none.

  Args:
    model_id: 8 bytes, as a file names its model.

  Raises:
    errors.ModelError: if a packaged model is damaged.
  """
  for name, path in _directories().items():
    values = config.read_json(os.path.join(path, CONFIG_FILE))
    if values.get(MODEL_ID) == model_id.hex():
      return name
  return None


def _directories() -> dict[str, str]:
  """The models' directories by their names, the default first."""
  models: dict[str, str] = {}
  for folder in SEARCH_PATH:
    for name in _folders(folder):
      models.setdefault(name, os.path.join(folder, name))
  order = sorted(models, key=lambda name: (name != DEFAULT, name))
  return {name: models[name] for name in order}


def _folders(folder: str) -> Iterator[str]:
  try:
    entries = sorted(os.listdir(folder))
  except OSError:
    return
  for name in entries:
    if os.path.isfile(os.path.join(folder, name, CONFIG_FILE)):
      yield name
