"""Frozen models, and the directories that hold them.

    config.json       format of the directory, the model's id, its
                      configuration, and digests of the other files
    weights.npz       the transforms' named arrays (BLS2017Model.get_arrays)
    tables.npz        the arrays of coding_tables.CodingTables; "cdf/0" and so
                      on are those of the frequencies of a quality, and all
                      tables are stored as `coding_tables.packed`
    analysis.graph    the transforms as LiteRT runs them (litert_graphs), but
    synthesis.graph   for the weights that they contain (shared_weights)

A model of several pairs of transforms has weights_0.npz, analysis_0.graph,
synthesis_0.graph, weights_1.npz and so on instead, by rising qualities.

The model id is the first 8 bytes of the SHA-256 over the format of the
directory and over the names, types, shapes and bytes of all arrays that
decoding depends on: those of every synthesis and the tables'. The names of
several pairs begin with "0/", "1/" and so on. Two models with one id decode
every file alike.

A digest is the SHA-256 of the model id and a file's bytes: it belongs to this
model and this file. So a file can be read when something of it
is needed, and be known to be the model's without the others.
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
from bls2017.model import litert_transforms, packaged_models, shared_weights

FORMAT = 5
"""Of the directory."""

DIGESTS = "files"
"""Key of the digests in config.json, by the files' names."""

CONFIG_FILE = packaged_models.CONFIG_FILE
WEIGHTS_FILE = "weights.npz"
TABLES_FILE = "tables.npz"

GRAPHS = ("analysis", "synthesis")


@dataclasses.dataclass(frozen=True)
class TransformPair:
  """An analysis and a synthesis, for a range of qualities.

  Attributes:
    weights: Named float arrays of both (`FrozenTransforms`).
    graphs: `GRAPHS` of the weights, as LiteRT runs them.
  """

  weights: Mapping[str, np.ndarray]
  graphs: Mapping[str, bytes]


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenModel:
  """A model that no longer changes; threads can share it.

  Attributes:
    config: Its configuration. `num_filters` and `num_latents` are the largest
      of its pairs, the lambdas those of all of them.
    pairs: The transforms; each quality has one (`CodingTables.pair_of`).
    tables: Coding tables, gains included.
    model_id: 8 bytes.
  """

  config: config.ModelConfig
  pairs: tuple[TransformPair, ...]
  tables: coding_tables.CodingTables
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

  def pair_of(self, quality_index: int) -> TransformPair:
    """The pair of transforms that codes a quality."""
    return self.pairs[self.tables.pair_of(quality_index)]

  def quality_tables(self, quality_index: int) -> coding_tables.QualityTables:
    """The coding tables of a quality, read once.

    Raises:
      errors.ModelError: if they are not sound.
    """
    kept = self._tables_by_quality
    if quality_index not in kept:
      tables = self.tables.for_quality(quality_index)
      kept.setdefault(quality_index, tables)
    return kept[quality_index]

  def transforms(
    self, quality_index: int
  ) -> litert_transforms.LiteRtTransforms:
    """The transforms of a quality's pair."""
    number = self.tables.pair_of(quality_index)
    kept = self._transforms_by_pair
    if number not in kept:
      transforms = litert_transforms.LiteRtTransforms(
        self.pairs[number].graphs, self.config.num_latents
      )
      kept.setdefault(number, transforms)
    return kept[number]

  @functools.cached_property
  def _tables_by_quality(self) -> dict[int, coding_tables.QualityTables]:
    return {}

  @functools.cached_property
  def _transforms_by_pair(
    self,
  ) -> dict[int, litert_transforms.LiteRtTransforms]:
    return {}


def model_id(
  pairs: Sequence[TransformPair], tables: coding_tables.CodingTables
) -> bytes:
  """The id that files carry; the module's description says of what it is made.

  Args:
    pairs: The transforms.
    tables: Coding tables.

  Returns:
    8 bytes.
  """
  digest = hashlib.sha256(f"format:{FORMAT};".encode())
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
  """The names of a pair's files: of its weights, and of its graphs by name."""

  weights: str
  graphs: dict[str, str]


def pair_files(number: int, num_pairs: int) -> PairFiles:
  """The files of one of a model's pairs, which are counted from 0."""
  suffix = f"_{number}" if num_pairs > 1 else ""
  stem, ending = os.path.splitext(WEIGHTS_FILE)
  graphs = {name: f"{name}{suffix}.graph" for name in GRAPHS}
  return PairFiles(f"{stem}{suffix}{ending}", graphs)


def check_finite(arrays: Mapping[str, np.ndarray], where: str = "") -> None:
  """Raises errors.ModelError if a value of named arrays is not finite.

  Args:
    arrays: The arrays.
    where: Begins the message.
  """
  for name, array in arrays.items():
    if not np.all(np.isfinite(array)):
      raise errors.ModelError(f"{where}{name} has values that are not finite")


def read_config(path: str | None = None) -> config.ModelConfig:
  """Reads the configuration of a model directory, without its arrays.

  Args:
    path: The directory, or the name of a packaged model
      (`packaged_models.directory`).

  Raises:
    errors.ModelError: if it is missing, damaged or of another format.
  """
  path = packaged_models.directory(path)
  values = config.read_json(os.path.join(path, CONFIG_FILE))
  return config.from_json(config.ModelConfig, values.get("model", {}))


def digest(identity: bytes, content: bytes) -> str:
  """Makes the digest of a file that config.json holds, hexadecimal.

  Args:
    identity: The model's id.
    content: Of the file in its directory.
  """
  return hashlib.sha256(identity + content).hexdigest()


def load(path: str | None = None) -> FrozenModel:
  """Reads and checks a model directory.

  Weights, graphs and each quality's tables are read when they are needed.

  Args:
    path: The directory, or the name of a packaged model
      (`packaged_models.directory`).

  Raises:
    errors.ModelError: if it is missing, damaged, of another format, or holds
      values that are not finite. For what is read later, when it is used.
  """
  path = packaged_models.directory(path)
  values = config.read_json(os.path.join(path, CONFIG_FILE))
  if values.get("format") != FORMAT:
    raise errors.ModelError(
      f"{path} has format {values.get('format')}, this program reads {FORMAT}"
    )
  directory = _Directory(path, values)
  stored = directory.arrays(TABLES_FILE)
  try:
    tables = _tables(stored)
  except (KeyError, TypeError, ValueError) as e:
    raise errors.ModelError(f"{path}: not the expected tables: {e}") from e
  tables.check()
  model = FrozenModel(
    config.from_json(config.ModelConfig, values.get("model", {})),
    tuple(
      directory.pair(pair_files(number, tables.num_pairs))
      for number in range(tables.num_pairs)
    ),
    tables,
    directory.identity,
  )
  shape = model.config.num_qualities, model.config.num_latents
  if tables.gain.shape != shape:
    raise errors.ModelError(f"{path}: the tables are not those of the model")
  return model


class _Directory:
  """The files of a directory, which are read when they are needed."""

  def __init__(self, path: str, values: dict[str, Any]):
    self._path = path
    try:
      self.identity = bytes.fromhex(values[packaged_models.MODEL_ID])
      self._digests = dict(values[DIGESTS])
    except (KeyError, TypeError, ValueError) as e:
      raise errors.ModelError(f"{path}: {CONFIG_FILE} is damaged: {e!r}") from e

  def content(self, name: str) -> bytes:
    try:
      with open(os.path.join(self._path, name), "rb") as f:
        content = f.read()
    except OSError as e:
      raise errors.ModelError(f"cannot read {self._path}/{name}: {e}") from e
    if digest(self.identity, content) != self._digests.get(name):
      raise errors.ModelError(
        f"{self._path} is damaged: {name} is not that of model"
        f" {self.identity.hex()}"
      )
    return content

  def arrays(self, name: str) -> Mapping[str, np.ndarray]:
    """The arrays of an .npz file; each is read when it is asked for."""
    content = self.content(name)
    try:
      arrays: Mapping[str, np.ndarray] = np.load(
        io.BytesIO(content), allow_pickle=False
      )
      return arrays
    except Exception as e:  # Damaged archives raise errors of many kinds.
      raise errors.ModelError(f"cannot read {self._path}/{name}: {e}") from e

  def pair(self, named: PairFiles) -> TransformPair:
    def weights() -> dict[str, np.ndarray]:
      arrays = dict(self.arrays(named.weights))
      check_finite(arrays, f"{self._path}: ")
      return arrays

    def graph(name: str) -> bytes:
      content = self.content(named.graphs[name])
      return shared_weights.splice(content, self.arrays(named.weights))

    return TransformPair(_LazyWeights(weights), LazyGraphs(graph))


def _tables(stored: Mapping[str, np.ndarray]) -> coding_tables.CodingTables:
  """The tables of all qualities, from the arrays of their file."""
  fields = {name: stored[name] for name in stored if "/" not in name}
  ends = fields.pop("end_cdf")
  return coding_tables.CodingTables(
    **fields,
    end_cdf=coding_tables.unpacked(ends, np.array(ends.shape[-1:])),
    frequencies=_StoredFrequencies(stored, fields["order"], fields["size"]),
  )


class _StoredFrequencies(Sequence[coding_tables.Frequencies]):
  """`CodingTables.frequencies` that are read when they are asked for."""

  def __init__(
    self, arrays: Mapping[str, np.ndarray], order: np.ndarray, size: np.ndarray
  ):
    self._arrays = arrays
    self._sizes = np.take_along_axis(size, order.astype(np.intp), 1)

  def __len__(self) -> int:
    return len(self._sizes)

  def __getitem__(self, index: Any) -> Any:
    if not 0 <= index < len(self):
      raise IndexError(index)
    try:
      stored = coding_tables.Frequencies(
        *(
          self._arrays[f"{name}/{index}"]
          for name in coding_tables.Frequencies._fields
        )
      )
      sizes = self._sizes[index].astype(np.intp)
      of_contexts, others = np.split(
        sizes[sizes > 1], [len(stored.context_tables)]
      )
      counts = coding_tables.table_counts(stored.context_tables)
      return stored._replace(
        cdf=coding_tables.unpacked(stored.cdf, others),
        activity_cdf=coding_tables.unpacked(
          stored.activity_cdf, np.array(stored.activity_cdf.shape[-1:])
        ),
        context_cdf=coding_tables.unpacked(
          stored.context_cdf, np.repeat(of_contexts, counts)
        ),
      )
    except errors.ModelError:
      raise
    except Exception as e:  # Damaged archives raise errors of many kinds.
      raise errors.ModelError(f"cannot read the coding tables: {e}") from e


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


class LazyGraphs(Mapping[str, bytes]):
  """A pair's graphs, each of which `read` gives whenever it is asked for."""

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
