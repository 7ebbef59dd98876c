"""Freezing a model: its tables, its id, and the directory that holds them.

`bls2017.model.model_directory` describes the directory and reads it.
"""

from __future__ import annotations

import dataclasses
import io
import os
import tempfile
from collections.abc import Mapping
from typing import Callable

import numpy as np

from bls2017 import errors, files
from bls2017.common import config
from bls2017.format import coding_tables
from bls2017.model import (
  litert_graphs,
  model_directory,
  packaged_models,
  shared_weights,
)
from bls2017.training import model as model_lib
from bls2017.training import table_building

_TRANSFORMS = ("analysis/", "synthesis/")


def freeze(
  model: model_lib.BLS2017Model,
  half_precision: bool = False,
  quality_steps: int = config.QUALITY_STEPS,
  share: table_building.Share | None = None,
) -> model_directory.FrozenModel:
  """Freezes a model: makes its tables and its id.

  Args:
    model: The trained model.
    half_precision: Whether kernels are kept as 16-bit floats, half the size.
    quality_steps: Qualities to a level.
    share: Of a run that becomes one of several pairs (`joining.shares`). The
      levels that it does not contribute are left out.

  Raises:
    errors.ModelError: if a weight is not finite.
  """
  share = share or table_building.Share(model.config.num_levels)
  arrays = model.get_arrays()
  weights = {k: v for k, v in arrays.items() if k.startswith(_TRANSFORMS)}
  if half_precision:
    with np.errstate(over="ignore"):
      weights = {
        k: v.astype(np.float16) if k.endswith("/kernel") else v
        for k, v in weights.items()
      }
  model_directory.check_finite({**arrays, **weights})
  model_config = dataclasses.replace(model.config, quality_steps=quality_steps)
  tables = table_building.build(
    model.prior, arrays["gain"], arrays["inverse_gain"], model_config, share
  )
  frozen = model_directory.FrozenModel(
    dataclasses.replace(
      model_config, lmbdas=model_config.lmbdas[: share.levels]
    ),
    (litert_graphs.pair(weights, model_config.num_latents),),
    tables,
    b"",
  )
  return with_tables(frozen, tables)


def with_tables(
  model: model_directory.FrozenModel, tables: coding_tables.CodingTables
) -> model_directory.FrozenModel:
  """A model with the same weights, other tables, and an id of its own.

  Args:
    model: The model.
    tables: The tables, whose lanes are chosen anew.
  """
  tables = table_building.with_lanes(tables)
  identity = model_directory.model_id(model.pairs, tables)
  return dataclasses.replace(model, tables=tables, model_id=identity)


def save(
  model: model_directory.FrozenModel, path: str, overwrite: bool = False
) -> None:
  """Writes a model directory, whole or not at all.

  Raises:
    errors.OutputError: if it exists or cannot be written.
  """
  path = os.path.abspath(path)
  if os.path.lexists(path) and not overwrite:
    raise errors.OutputExistsError(f"{path} exists")
  parent, name = os.path.split(path)
  try:
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=parent) as hidden:
      made, replaced = (os.path.join(hidden, n) for n in ("made", "replaced"))
      os.mkdir(made)
      _write(model, made)
      if os.path.isdir(path):
        os.rename(path, replaced)
      try:
        os.rename(made, path)
      except OSError:
        if os.path.exists(replaced):
          os.rename(replaced, path)
        raise
  except OSError as e:
    raise errors.OutputError(f"cannot write {path}: {e}") from e


def _write(model: model_directory.FrozenModel, directory: str) -> None:
  contents = {
    model_directory.TABLES_FILE: _npz(
      np.savez_compressed, _table_arrays(model.tables)
    )
  }
  for number, pair in enumerate(model.pairs):
    named = model_directory.pair_files(number, len(model.pairs))
    # Zip would save 7% of 16-bit floats, and take 30 ms to unpack a pair.
    contents[named.weights] = _npz(np.savez, pair.weights)
    for name, graph in pair.graphs.items():
      contents[named.graphs[name]] = shared_weights.cut(graph, pair.weights)
  for name, content in contents.items():
    files.write(os.path.join(directory, name), content)
  identity = model.model_id
  config.write_json(
    os.path.join(directory, model_directory.CONFIG_FILE),
    {
      "format": model_directory.FORMAT,
      packaged_models.MODEL_ID: identity.hex(),
      "model": config.to_json(model.config),
      model_directory.DIGESTS: {
        name: model_directory.digest(identity, content)
        for name, content in contents.items()
      },
    },
  )


def _npz(save: Callable[..., None], arrays: Mapping[str, np.ndarray]) -> bytes:
  buffer = io.BytesIO()
  save(buffer, **arrays)
  return buffer.getvalue()


def _table_arrays(tables: coding_tables.CodingTables) -> dict[str, np.ndarray]:
  """The arrays of the tables' file."""
  arrays = {
    field.name: getattr(tables, field.name)
    for field in dataclasses.fields(tables)
    if field.name != "frequencies"
  }
  for index, frequencies in enumerate(tables.frequencies):
    for name, array in frequencies._asdict().items():
      arrays[f"{name}/{index}"] = array
  return {
    name: coding_tables.packed(array) if "cdf" in name else array
    for name, array in arrays.items()
  }
