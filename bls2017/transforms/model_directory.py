"""Model directories: everything that coding needs, in three files.

    config.json  format, model id, the model's configuration
    weights.npz  the transforms' named arrays (BLS2017Model.get_arrays)
    tables.npz   the arrays of coding_tables.CodingTables; where it has several
                 sets of tables, "cdf_steps" instead of "cdf", the differences
                 of its neighbours modulo 2**16, which compress better

The model id is the first 8 bytes of the SHA-256 over the names, types, shapes
and bytes of all arrays that decoding depends on: the synthesis transform's and
the tables'. Two models with one id decode every file alike.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from bls2017 import errors
from bls2017.bitstream import coding_tables, container
from bls2017.common import config, files

if TYPE_CHECKING:
  from bls2017.training import model as model_lib

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.npz"
TABLES_FILE = "tables.npz"

PRETRAINED = os.path.join(
  os.path.dirname(os.path.dirname(__file__)), "pretrained"
)
"""The model that comes with the package."""

_STEPS = "cdf_steps"
_TRANSFORMS = ("analysis/", "synthesis/")


@dataclasses.dataclass(frozen=True)
class FrozenModel:
  """A model that no longer changes.

  Attributes:
    config: Its configuration.
    weights: Named float arrays of both transforms.
    tables: Coding tables, gains included.
    model_id: 8 bytes.
  """

  config: config.ModelConfig
  weights: dict[str, np.ndarray]
  tables: coding_tables.CodingTables
  model_id: bytes


def model_id(
  weights: dict[str, np.ndarray], tables: coding_tables.CodingTables
) -> bytes:
  """The id that files carry; see the module's description."""
  digest = hashlib.sha256()
  arrays = {k: v for k, v in weights.items() if k.startswith("synthesis/")}
  arrays.update({f"tables/{k}": v for k, v in tables.arrays().items()})
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name])
    array = array.astype(array.dtype.newbyteorder("<"))
    shape = ",".join(map(str, array.shape))
    digest.update(f"{name}:{array.dtype.str}:{shape};".encode())
    digest.update(array.tobytes())
  return digest.digest()[: container.MODEL_ID_BYTES]


def freeze(
  model: model_lib.BLS2017Model, half_precision: bool = False
) -> FrozenModel:
  """Freezes a model: makes its tables and its id.

  Args:
    model: The trained model.
    half_precision: Whether kernels are kept as 16-bit floats, half the size.

  Raises:
    errors.ModelError: if a weight is not finite.
  """
  arrays = model.get_arrays()
  check_finite(arrays)
  weights = {k: v for k, v in arrays.items() if k.startswith(_TRANSFORMS)}
  if half_precision:
    with np.errstate(over="ignore"):
      weights = {
        k: v.astype(np.float16) if k.endswith("/kernel") else v
        for k, v in weights.items()
      }
    check_finite(weights)
  tables = coding_tables.build(
    model.prior, arrays["gain"], arrays["inverse_gain"]
  )
  return FrozenModel(model.config, weights, tables, model_id(weights, tables))


def check_finite(arrays: dict[str, np.ndarray], where: str = "") -> None:
  """Raises errors.ModelError if a value of named arrays is not finite.

  Args:
    arrays: What to look at.
    where: Begins the message.
  """
  for name, array in arrays.items():
    if not np.all(np.isfinite(array)):
      raise errors.ModelError(f"{where}{name} has values that are not finite")


def save(model: FrozenModel, path: str, overwrite: bool = False) -> None:
  """Writes a model directory, whole or not at all.

  One that is replaced goes aside under a hidden name before the new one takes
  its place, and is then deleted: neither is ever seen in part.

  Raises:
    errors.OutputError: if it exists or cannot be written.
  """
  path = os.path.abspath(path)
  if os.path.lexists(path) and not overwrite:
    raise errors.OutputError(f"{path} exists; use --overwrite to replace it")
  parent, name = os.path.split(path)
  try:
    os.makedirs(parent, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    try:
      made = os.path.join(temporary, "made")
      os.mkdir(made)
      _write(model, made)
      _replace(made, path, os.path.join(temporary, "replaced"))
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
  except OSError as e:
    raise errors.OutputError(f"cannot write {path}: {e}") from e


def _replace(made: str, path: str, aside: str) -> None:
  """Gives a directory its name; one that has it goes aside."""
  replaces = os.path.isdir(path)
  if replaces:
    os.rename(path, aside)
  try:
    os.rename(made, path)
  except OSError:
    if replaces:
      os.rename(aside, path)
    raise


def _write(model: FrozenModel, directory: str) -> None:
  for name, arrays in (
    (WEIGHTS_FILE, model.weights),
    (TABLES_FILE, _table_arrays(model.tables)),
  ):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write(os.path.join(directory, name), buffer.getvalue())
  config.write_json(
    os.path.join(directory, CONFIG_FILE),
    {
      "format": FORMAT,
      "model_id": model.model_id.hex(),
      "model": config.to_json(model.config),
    },
  )


def load(path: str | None = None) -> FrozenModel:
  """Reads and checks a model directory.

  Args:
    path: The directory; the package's own model by default.

  Raises:
    errors.ModelError: if it is missing, damaged, of another format, or holds
      values that are not finite.
  """
  path = PRETRAINED if path is None else path
  values = config.read_json(os.path.join(path, CONFIG_FILE))
  if values.get("format") != FORMAT:
    raise errors.ModelError(
      f"{path} has format {values.get('format')}, this program reads {FORMAT}"
    )
  weights = _read_arrays(os.path.join(path, WEIGHTS_FILE))
  check_finite(weights, f"{path}: ")
  try:
    tables = _make_tables(_read_arrays(os.path.join(path, TABLES_FILE)))
  except TypeError as e:
    raise errors.ModelError(f"{path}: not the expected tables: {e}") from e
  tables.check()
  identity = model_id(weights, tables)
  if values.get("model_id") != identity.hex():
    raise errors.ModelError(
      f"{path} is damaged: its id is {identity.hex()}, it should be"
      f" {values.get('model_id')}"
    )
  model_config = config.from_json(config.ModelConfig, values.get("model", {}))
  expected = coding_tables.num_qualities(model_config.num_levels)
  if tables.gain.shape != (expected, model_config.num_latents):
    raise errors.ModelError(f"{path}: the tables are not those of the model")
  return FrozenModel(model_config, weights, tables, identity)


def _table_arrays(tables: coding_tables.CodingTables) -> dict[str, np.ndarray]:
  """What the file holds; `_make_tables` is the inverse."""
  arrays = tables.arrays()
  if tables.activities > 1:
    cdf = arrays.pop("cdf")
    arrays[_STEPS] = np.diff(cdf, prepend=cdf.dtype.type(0))
  return arrays


def _make_tables(arrays: dict[str, np.ndarray]) -> coding_tables.CodingTables:
  if _STEPS in arrays:
    arrays["cdf"] = np.cumsum(arrays.pop(_STEPS), dtype=np.uint16)
  return coding_tables.CodingTables(**arrays)


def _read_arrays(path: str) -> dict[str, np.ndarray]:
  try:
    with np.load(path, allow_pickle=False) as f:
      return {name: f[name] for name in f.files}
  except Exception as e:  # Damaged archives raise errors of many kinds.
    raise errors.ModelError(f"cannot read {path}: {e}") from e
