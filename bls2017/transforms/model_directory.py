"""Model directories: everything that coding needs, in three files.

    config.json  format of the directory, version of the files, model id, the
                 model's configuration
    weights.npz  the transforms' named arrays (BLS2017Model.get_arrays); in a
                 model of several pairs of transforms there is weights_0.npz,
                 weights_1.npz and so on instead, by rising qualities
    tables.npz   the arrays of coding_tables.CodingTables; where it has several
                 sets of tables, "cdf_steps" instead of "cdf", the differences
                 of its neighbours modulo 2**16, which compress better

The version of the files that a model writes and reads is a fact of the model.
Where config.json names none, it is 1 for tables of one activity, and else 2.

The model id is the first 8 bytes of the SHA-256 over the names, types, shapes
and bytes of all arrays that decoding depends on: those of every synthesis and
the tables'. The names of several pairs begin with "0/", "1/" and so on. From
version 3 on, the version precedes them. Two models with one id decode every
file alike.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bls2017 import errors
from bls2017.bitstream import coding_tables, container
from bls2017.common import config

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.npz"
TABLES_FILE = "tables.npz"

PRETRAINED = os.path.join(
  os.path.dirname(os.path.dirname(__file__)), "pretrained"
)
"""The model that comes with the package."""

FORMAT_VERSION = "format_version"
"""Key of the version of the files in config.json."""

CDF_STEPS = "cdf_steps"
"""Name of the array of the frequencies' differences."""


@dataclasses.dataclass(frozen=True)
class TransformPair:
  """An analysis and a synthesis, for a range of qualities.

  Attributes:
    weights: Named float arrays of both (`FrozenTransforms`).
  """

  weights: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class FrozenModel:
  """A model that no longer changes.

  Attributes:
    config: Its configuration. `num_filters` and `num_latents` are the largest
      of its pairs, the lambdas those of all of them.
    pairs: The transforms; each quality has one (`CodingTables.pair_of`).
    tables: Coding tables, gains included.
    format_version: Version of the files it writes and reads.
    model_id: 8 bytes.
  """

  config: config.ModelConfig
  pairs: tuple[TransformPair, ...]
  tables: coding_tables.CodingTables
  format_version: int
  model_id: bytes

  @property
  def weights(self) -> Mapping[str, np.ndarray]:
    """The weights of the only pair.

    Raises:
      errors.ModelError: if there are several pairs.
    """
    if len(self.pairs) > 1:
      raise errors.ModelError(
        "this needs a model of one pair of transforms, not of"
        f" {len(self.pairs)}"
      )
    return self.pairs[0].weights


def model_id(
  pairs: Sequence[TransformPair],
  tables: coding_tables.CodingTables,
  format_version: int,
) -> bytes:
  """The id that files carry; see the module's description.

  Args:
    pairs: The transforms.
    tables: Coding tables.
    format_version: Version of the files.

  Returns:
    8 bytes.
  """
  digest = hashlib.sha256()
  if format_version > 2:
    digest.update(f"format_version:{format_version};".encode())
  arrays = {}
  for number, pair in enumerate(pairs):
    prefix = f"{number}/" if len(pairs) > 1 else ""
    for name, array in pair.weights.items():
      if name.startswith("synthesis/"):
        arrays[prefix + name] = array
  arrays.update({f"tables/{k}": v for k, v in tables.arrays().items()})
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name])
    array = array.astype(array.dtype.newbyteorder("<"))
    shape = ",".join(map(str, array.shape))
    digest.update(f"{name}:{array.dtype.str}:{shape};".encode())
    digest.update(array.tobytes())
  return digest.digest()[: container.MODEL_ID_BYTES]


def weights_file(number: int, num_pairs: int) -> str:
  """The name of the file of a pair's weights; pairs are counted from 0."""
  if num_pairs == 1:
    return WEIGHTS_FILE
  stem, ending = os.path.splitext(WEIGHTS_FILE)
  return f"{stem}_{number}{ending}"


def check_finite(arrays: Mapping[str, np.ndarray], where: str = "") -> None:
  """Raises errors.ModelError if a value of named arrays is not finite.

  Args:
    arrays: What to look at.
    where: Begins the message.
  """
  for name, array in arrays.items():
    if not np.all(np.isfinite(array)):
      raise errors.ModelError(f"{where}{name} has values that are not finite")


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
  try:
    tables = _make_tables(_read_arrays(os.path.join(path, TABLES_FILE)))
  except TypeError as e:
    raise errors.ModelError(f"{path}: not the expected tables: {e}") from e
  tables.check()
  version = _format_version(values, tables, path)
  pairs = []
  for number in range(tables.num_pairs):
    name = weights_file(number, tables.num_pairs)
    pairs.append(TransformPair(_read_arrays(os.path.join(path, name))))
    check_finite(pairs[-1].weights, f"{path}: ")
  identity = model_id(pairs, tables, version)
  if values.get("model_id") != identity.hex():
    raise errors.ModelError(
      f"{path} is damaged: its id is {identity.hex()}, it should be"
      f" {values.get('model_id')}"
    )
  model_config = config.from_json(config.ModelConfig, values.get("model", {}))
  expected = model_config.num_qualities
  if tables.gain.shape != (expected, model_config.num_latents):
    raise errors.ModelError(f"{path}: the tables are not those of the model")
  return FrozenModel(model_config, tuple(pairs), tables, version, identity)


def _format_version(
  values: dict[str, Any], tables: coding_tables.CodingTables, path: str
) -> int:
  """The version of a model's files, from what its config.json says."""
  implied = 1 if tables.num_activities == 1 else 2
  version = values.get(FORMAT_VERSION, implied)
  if version != implied and version not in range(3, container.VERSION + 1):
    raise errors.ModelError(
      f"{path} is for files of version {version}, this program reads versions 1"
      f" to {container.VERSION}"
    )
  return int(version)


def _make_tables(arrays: dict[str, np.ndarray]) -> coding_tables.CodingTables:
  if CDF_STEPS in arrays:
    arrays["cdf"] = np.cumsum(arrays.pop(CDF_STEPS), dtype=np.uint16)
  return coding_tables.CodingTables(**arrays)


def _read_arrays(path: str) -> dict[str, np.ndarray]:
  try:
    with np.load(path, allow_pickle=False) as f:
      return {name: f[name] for name in f.files}
  except Exception as e:  # Damaged archives raise errors of many kinds.
    raise errors.ModelError(f"cannot read {path}: {e}") from e
