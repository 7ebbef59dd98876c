"""Model directories: everything that coding needs.

    config.json       format of the directory, version of the model's files, its
                      id, its configuration, and digests of the other files
    weights.npz       the transforms' named arrays (BLS2017Model.get_arrays)
    tables.npz        the arrays of coding_tables.CodingTables; "cdf_steps/0",
                      "cdf_steps/1" ... are the differences of neighbours in the
                      tables of a quality modulo 2**16, which compress better
    analysis.graph    the transforms as LiteRT runs them (litert_graphs), but
    synthesis.graph   for the weights that they contain (shared_weights)

A model of several pairs of transforms has weights_0.npz, analysis_0.graph,
synthesis_0.graph, weights_1.npz and so on instead, by rising qualities.

The version of the files that a model writes and reads is a fact of the model.
Where config.json names none, it is 1 for tables of one activity, and else 2.

The model id is the first 8 bytes of the SHA-256 over the names, types, shapes
and bytes of all arrays that decoding depends on: those of every synthesis and
the tables'. The names of several pairs begin with "0/", "1/" and so on. From
version 3 on, the version precedes them. Two models with one id decode every
file alike.

A digest is the SHA-256 of the model id, the version and a file's bytes: it
belongs to this model and this file. So a file can be read when something of it
is needed, and be known to be the model's without the others.

Directories of format 2 have whole graphs, analysis.tflite and so on.
Directories of format 1 have no digests and no graphs, and all tables in one
array, "cdf", or its differences, "cdf_steps". They are read as a whole.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.format import coding_tables, container
from bls2017.model import packaged_models, shared_weights

FORMAT = 3
"""The format that is written; 1 and 2 are read as well."""

DIGESTS = "files"
"""Key of the digests in config.json, by the files' names."""

CONFIG_FILE = packaged_models.CONFIG_FILE
WEIGHTS_FILE = "weights.npz"
TABLES_FILE = "tables.npz"

FORMAT_VERSION = "format_version"
"""Key of the version of the files in config.json."""

CDF_STEPS = "cdf_steps"
"""Name of the arrays of the frequencies' differences."""

GRAPHS = ("analysis", "synthesis")
GRAPH_ENDING = ".graph"
WHOLE_GRAPH_ENDING = ".tflite"


@dataclasses.dataclass(frozen=True)
class TransformPair:
  """An analysis and a synthesis, for a range of qualities.

  Attributes:
    weights: Named float arrays of both (`FrozenTransforms`).
    graphs: `GRAPHS` of the weights, as LiteRT runs them; none where the pair
      was not read from a directory that has them.
  """

  weights: Mapping[str, np.ndarray]
  graphs: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


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

  def weights_of(self, quality: float) -> Mapping[str, np.ndarray]:
    """The weights of the pair that codes a quality.

    Raises:
      errors.UsageError: if the model has no such quality.
    """
    index = self.config.quality_index(quality)
    return self.pairs[self.tables.pair_of(index)].weights

  @property
  def has_graphs(self) -> bool:
    """Whether all pairs have graphs; a directory's are not read for it."""
    return all(len(pair.graphs) for pair in self.pairs)


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


class PairFiles(NamedTuple):
  """The names of a pair's files.

  Attributes:
    weights: Of its weights.
    graphs: Of its graphs, by `GRAPHS`.
  """

  weights: str
  graphs: dict[str, str]

  @classmethod
  def of(
    cls, number: int, num_pairs: int, directory_format: int = FORMAT
  ) -> PairFiles:
    """Those of one of several pairs, which are counted from 0."""
    suffix = f"_{number}" if num_pairs > 1 else ""
    stem, ending = os.path.splitext(WEIGHTS_FILE)
    graph = WHOLE_GRAPH_ENDING if directory_format == 2 else GRAPH_ENDING
    graphs = {name: f"{name}{suffix}{graph}" for name in GRAPHS}
    return cls(f"{stem}{suffix}{ending}", graphs)


def check_finite(arrays: Mapping[str, np.ndarray], where: str = "") -> None:
  """Raises errors.ModelError if a value of named arrays is not finite.

  Args:
    arrays: What to look at.
    where: Begins the message.
  """
  for name, array in arrays.items():
    if not np.all(np.isfinite(array)):
      raise errors.ModelError(f"{where}{name} has values that are not finite")


def read_config(path: str | None = None) -> config.ModelConfig:
  """The configuration of a model directory, without its arrays.

  Args:
    path: The directory, or the name of a packaged model
      (`packaged_models.directory`).

  Raises:
    errors.ModelError: if it is missing, damaged or of another format.
  """
  path = packaged_models.directory(path)
  values = config.read_json(os.path.join(path, CONFIG_FILE))
  return config.from_json(config.ModelConfig, values.get("model", {}))


def digest(identity: bytes, format_version: int, content: bytes) -> str:
  """What config.json holds of a file, hexadecimal.

  Args:
    identity: The model's id.
    format_version: Version of the model's files.
    content: Of the file in its directory.
  """
  return hashlib.sha256(
    identity + bytes([format_version]) + content
  ).hexdigest()


def load(path: str | None = None) -> FrozenModel:
  """Reads and checks a model directory.

  Weights, graphs and each quality's tables are read when they are needed; only
  what format 1 has no digests of is read at once.

  Args:
    path: The directory, or the name of a packaged model
      (`packaged_models.directory`).

  Raises:
    errors.ModelError: if it is missing, damaged, of another format, or holds
      values that are not finite. For what is read later, when it is used.
  """
  path = packaged_models.directory(path)
  values = config.read_json(os.path.join(path, CONFIG_FILE))
  if values.get("format") in (2, FORMAT):
    model = _opened(path, values)
  elif values.get("format") == 1:
    model = _read(path, values)
  else:
    raise errors.ModelError(
      f"{path} has format {values.get('format')}, this program reads formats 1"
      f" to {FORMAT}"
    )
  expected = model.config.num_qualities
  if model.tables.gain.shape != (expected, model.config.num_latents):
    raise errors.ModelError(f"{path}: the tables are not those of the model")
  return model


def _opened(path: str, values: dict[str, Any]) -> FrozenModel:
  """A directory whose files are read when they are needed."""
  try:
    identity = bytes.fromhex(values[packaged_models.MODEL_ID])
    digests = dict(values[DIGESTS])
    version = int(values[FORMAT_VERSION])
  except (KeyError, TypeError, ValueError) as e:
    raise errors.ModelError(f"{path}: {CONFIG_FILE} is damaged: {e!r}") from e

  def read(name: str) -> bytes:
    content = _content(path, name)
    if digest(identity, version, content) != digests.get(name):
      raise errors.ModelError(
        f"{path} is damaged: {name} is not that of model {identity.hex()}"
      )
    return content

  def weights(name: str) -> dict[str, np.ndarray]:
    return _finite(path, dict(_arrays(path, name, read(name))))

  def graph(named: PairFiles, name: str) -> bytes:
    content = read(named.graphs[name])
    if values["format"] == 2:
      return content
    shared = _arrays(path, named.weights, read(named.weights))
    return shared_weights.splice(content, shared)

  def pair(number: int) -> TransformPair:
    named = PairFiles.of(number, tables.num_pairs, values["format"])
    return TransformPair(
      _LazyWeights(functools.partial(weights, named.weights)),
      _LazyGraphs(functools.partial(graph, named)),
    )

  arrays = _arrays(path, TABLES_FILE, read(TABLES_FILE))
  steps = [name for name in arrays if name.startswith(CDF_STEPS)]
  fields = {name: arrays[name] for name in arrays if name not in steps}
  tables = _tables(path, fields, _StoredFrequencies(arrays, len(steps)))
  return FrozenModel(
    config.from_json(config.ModelConfig, values.get("model", {})),
    tuple(map(pair, range(tables.num_pairs))),
    tables,
    _format_version(values, tables, path),
    identity,
  )


def _read(path: str, values: dict[str, Any]) -> FrozenModel:
  """A directory of format 1."""
  weights = _all_arrays(path, WEIGHTS_FILE)
  fields = _all_arrays(path, TABLES_FILE)
  if CDF_STEPS in fields:
    fields["cdf"] = np.cumsum(fields.pop(CDF_STEPS), dtype=np.uint16)
  try:
    cdf, totals = fields.pop("cdf"), fields["size"].sum(1, dtype=np.int64)
    ends = np.cumsum(totals) * (len(cdf) // int(totals.sum()))
    parts = zip(np.split(cdf, ends[:-1]), totals)
    cdfs = [part.reshape(-1, total) for part, total in parts]
  except (KeyError, ValueError, ZeroDivisionError) as e:
    raise errors.ModelError(f"{path}: not the expected tables: {e!r}") from e
  tables = _tables(path, fields, cdfs)
  version = _format_version(values, tables, path)
  pairs = (TransformPair(_finite(path, weights)),)
  identity = model_id(pairs, tables, version)
  if values.get(packaged_models.MODEL_ID) != identity.hex():
    raise errors.ModelError(
      f"{path} is damaged: its id is {identity.hex()}, it should be"
      f" {values.get('model_id')}"
    )
  model_config = config.from_json(config.ModelConfig, values.get("model", {}))
  return FrozenModel(model_config, pairs, tables, version, identity)


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


def _tables(
  path: str, fields: dict[str, np.ndarray], cdfs: Sequence[np.ndarray]
) -> coding_tables.CodingTables:
  try:
    tables = coding_tables.CodingTables(**fields, cdfs=cdfs)
  except TypeError as e:
    raise errors.ModelError(f"{path}: not the expected tables: {e}") from e
  tables.check()
  return tables


def _finite(path: str, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  check_finite(weights, f"{path}: ")
  return weights


def _content(path: str, name: str) -> bytes:
  try:
    with open(os.path.join(path, name), "rb") as f:
      return f.read()
  except OSError as e:
    raise errors.ModelError(f"cannot read {path}/{name}: {e}") from e


def _arrays(path: str, name: str, content: bytes) -> Mapping[str, np.ndarray]:
  """The arrays of an .npz file, each of which is read when it is asked for."""
  try:
    arrays: Mapping[str, np.ndarray] = np.load(
      io.BytesIO(content), allow_pickle=False
    )
    return arrays
  except Exception as e:  # Damaged archives raise errors of many kinds.
    raise errors.ModelError(f"cannot read {path}/{name}: {e}") from e


def _all_arrays(path: str, name: str) -> dict[str, np.ndarray]:
  """The arrays of an .npz file without a digest."""
  arrays = _arrays(path, name, _content(path, name))
  try:
    return {key: arrays[key] for key in arrays}
  except Exception as e:  # As above.
    raise errors.ModelError(f"cannot read {path}/{name}: {e}") from e


class _StoredFrequencies(Sequence[np.ndarray]):
  """`CodingTables.cdfs` that are read and summed up when they are asked for."""

  def __init__(self, arrays: Mapping[str, np.ndarray], qualities: int):
    self._arrays = arrays
    self._qualities = qualities

  def __len__(self) -> int:
    return self._qualities

  def __getitem__(self, index: Any) -> Any:
    if not 0 <= index < self._qualities:
      raise IndexError(index)
    steps = self._arrays[f"{CDF_STEPS}/{index}"]
    cdf = np.cumsum(steps, dtype=np.uint16)
    return cdf.reshape(steps.shape)


class _LazyWeights(Mapping[str, np.ndarray]):
  """A pair's weights, which are read, all of them, when one is asked for."""

  def __init__(self, read: Callable[[], dict[str, np.ndarray]]):
    self._read = read

  @functools.cached_property
  def _values(self) -> dict[str, np.ndarray]:
    return self._read()

  def __getitem__(self, name: str) -> np.ndarray:
    return self._values[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._values)

  def __len__(self) -> int:
    return len(self._values)


class _LazyGraphs(Mapping[str, bytes]):
  """A pair's graphs, each of which is read whenever it is asked for."""

  def __init__(self, read: Callable[[str], bytes]):
    self._read = read

  def __getitem__(self, name: str) -> bytes:
    if name not in GRAPHS:
      raise KeyError(name)
    return self._read(name)

  def __iter__(self) -> Iterator[str]:
    return iter(GRAPHS)

  def __len__(self) -> int:
    return len(GRAPHS)
