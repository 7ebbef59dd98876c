"""Writes a frozen model as static files that decode .bls images in a browser.

    SITE/index.html   a page that shows files; page.css and its scripts
    SITE/decoder/     the decoder, ES modules
    SITE/model/       model.json, the weights of each pair of transforms, and
                      the tables of each quality
    SITE/tfjs/        TensorFlow.js, where a folder of it was given
    SITE/README.md    for those who put it on a site

A file of the model holds arrays, one after the other, deflated; of numbers of
several bytes first the lowest bytes of all, then the next. Its name holds a
hash of its content, so that it may be cached for ever.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import zlib
from typing import Any

import numpy as np

from bls2017 import errors
from bls2017.format import coding_tables
from bls2017.images import image_io
from bls2017.model import model_directory

FORMAT = 2
"""Of the files in SITE/model; decoder/model.js reads it."""

TFJS_VERSION = "4.22.0"
CDN = "https://cdn.jsdelivr.net/npm/@tensorflow"

TFJS_FILES = {
  "core": (
    "tfjs-core",
    "tf-core.min.js",
    "sha384-ZVckeGw84RpbmPMzx1s9LFUqIaeIsG46rmlH/HynDuJikkmGLnTDnEmT0CrKI6Yi",
  ),
  "backend": (
    "tfjs-backend-wasm",
    "tf-backend-wasm.min.js",
    "sha384-8zJmraBl5B7v26aoZux6x4HhlWKyW2wD1RVC4LUkQxHS99ATPEvmsTL6D44t0Acv",
  ),
  "simd": (
    "tfjs-backend-wasm",
    "tfjs-backend-wasm-simd.wasm",
    "sha384-K3GxiUF8sNsf8m8ZYuEKWXFARCxCn0erZqbTdbYOpxeDRf0k+CWFF5gZ3xbW4cez",
  ),
  "plain": (
    "tfjs-backend-wasm",
    "tfjs-backend-wasm.wasm",
    "sha384-ZwWxXkngOvkV9/jOFE8ZwnuJTftuqBs9dPATM9/5t0SK6UNhYkhiCmKe98UmiVMj",
  ),
}
"""The package, file and integrity hash of each of `TFJS_VERSION`'s parts."""

_SITE = pathlib.Path(__file__).parent / "site"
_README = pathlib.Path(__file__).parent / "README.md"
_TRANSFORM = "synthesis/"
_HASH_CHARACTERS = 12


def export(
  model: model_directory.FrozenModel,
  output_dir: str,
  tfjs: str | None = None,
  max_pixels: int = image_io.MAX_PIXELS,
) -> str:
  """Exports a model.

  Args:
    model: The model.
    output_dir: The site's directory; it must not exist or be empty.
    tfjs: A folder with TensorFlow.js: where npm installed it, or with the four
      files of `TFJS_FILES`. By default pages fetch it from a public network.
    max_pixels: Images of more pixels are refused.

  Returns:
    The site's directory.

  Raises:
    errors.UsageError: if an argument is out of its range.
    errors.UnreadableInputError: if a file of TensorFlow.js is missing.
    errors.ModelError: if the weights do not fit into 16 bits.
    errors.OutputError: if the directory is taken or cannot be written.
  """
  if not 1 <= max_pixels < 2**31:
    raise errors.UsageError("max_pixels must be from 1 to 2**31 - 1")
  target = os.path.abspath(output_dir)
  scripts = tfjs_files(tfjs) if tfjs else None
  try:
    if os.path.lexists(target) and (
      not os.path.isdir(target) or os.listdir(target)
    ):
      raise errors.OutputError(f"{output_dir} exists and is not empty")
    parent, name = os.path.split(target)
    os.makedirs(parent, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
  except OSError as e:
    raise errors.OutputError(f"cannot write {output_dir}: {e}") from e
  try:
    shutil.copytree(_SITE, temporary, dirs_exist_ok=True)
    shutil.copy(_README, temporary)
    tensorflow = _write_tfjs(scripts, temporary)
    _write_model(model, temporary / "model", tensorflow, max_pixels)
    os.chmod(temporary, 0o755)
    os.rename(temporary, target)
  except OSError as e:
    raise errors.OutputError(f"cannot write {output_dir}: {e}") from e
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return output_dir


def _write_model(
  model: model_directory.FrozenModel,
  directory: pathlib.Path,
  tensorflow: dict[str, Any],
  max_pixels: int,
) -> None:
  directory.mkdir()
  tables = []
  for index in range(len(model.tables)):
    quality = model.tables.for_quality(index)
    name = f"quality-{model.config.index_quality(index):.3f}"
    entry = _write_arrays(directory, name, quality_arrays(quality))
    entry["lane_positions"] = quality.lane_positions
    tables.append({**entry, "pair": model.tables.pair_of(index)})
  manifest = {
    "format": FORMAT,
    "model_id": model.model_id.hex(),
    "format_version": model.format_version,
    "num_latents": model.config.num_latents,
    "quality_steps": model.config.quality_steps,
    "max_pixels": max_pixels,
    "weights": [
      _write_arrays(directory, f"weights-{number}", _weights(pair))
      for number, pair in enumerate(model.pairs)
    ],
    "tables": tables,
    "tensorflow": tensorflow,
  }
  text = json.dumps(manifest, separators=(",", ":")) + "\n"
  (directory / "model.json").write_text(text, encoding="utf-8")


def _weights(pair: model_directory.TransformPair) -> dict[str, np.ndarray]:
  """The arrays of synthesis, those of several dimensions as 16-bit floats."""
  arrays = {}
  for name, array in pair.weights.items():
    if name.startswith(_TRANSFORM):
      with np.errstate(over="ignore"):
        arrays[name] = array.astype(
          np.float16 if array.ndim > 1 else np.float32
        )
  model_directory.check_finite(arrays, "as 16-bit floats, ")
  return arrays


def quality_arrays(
  tables: coding_tables.QualityTables,
) -> dict[str, np.ndarray]:
  """What the file of a quality holds.

  Frequencies are stored less one, those of one symbol in all sets side by side:
  they resemble each other.
  """
  sets = len(tables.cdf)
  activities = tables.activity_cdf if sets > 1 else tables.activity_cdf[:0]
  return {
    "inverse_gain": tables.inverse_gain,
    "offset": tables.offset,
    "minimum": tables.minimum.astype(np.int16),
    "size": (tables.maximum - tables.minimum + 1).astype(np.uint16),
    "frequencies": _frequencies(tables.cdf),
    "activity_frequencies": _frequencies(activities),
  }


def _frequencies(cdf: np.ndarray) -> np.ndarray:
  """uint16 [symbols, sets]: frequencies less one, of int32 [sets, symbols]."""
  frequencies = coding_tables.upper_ends(cdf) - cdf
  return (frequencies - 1).T.astype(np.uint16)


def _write_arrays(
  directory: pathlib.Path, name: str, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
  """Writes a file of arrays; returns what the manifest says of it."""
  data = zlib.compress(b"".join(map(_planes, arrays.values())), 9)
  digest = hashlib.sha256(data).hexdigest()
  file = f"{name}-{digest[:_HASH_CHARACTERS]}.bin"
  (directory / file).write_bytes(data)
  return {
    "file": file,
    "bytes": len(data),
    "integrity": integrity(data, "sha256"),
    "arrays": [
      {"name": name, "type": array.dtype.name, "shape": list(array.shape)}
      for name, array in arrays.items()
    ],
  }


def _planes(array: np.ndarray) -> bytes:
  """All lowest bytes of an array's numbers, then all of the next, ..."""
  little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
  return little.reshape(-1, 1).view(np.uint8).T.tobytes()


def integrity(data: bytes, algorithm: str) -> str:
  """The integrity hash of bytes, as HTML's elements and `fetch` take it.

  Args:
    data: The bytes.
    algorithm: "sha256" or "sha384".
  """
  digest = hashlib.new(algorithm, data).digest()
  return f"{algorithm}-{base64.b64encode(digest).decode()}"


def tfjs_files(folder: str) -> dict[str, pathlib.Path]:
  """The files of TensorFlow.js in a folder, by their part.

  Args:
    folder: Where npm installed it, or with the four files themselves.

  Raises:
    errors.UnreadableInputError: if one is missing.
  """
  root = pathlib.Path(folder)
  paths = {}
  for part, (package, file, _) in TFJS_FILES.items():
    places = (
      root / file,
      root / package / "dist" / file,
      root / "@tensorflow" / package / "dist" / file,
      root / "node_modules" / "@tensorflow" / package / "dist" / file,
    )
    path = next((p for p in places if p.is_file()), None)
    if path is None:
      raise errors.UnreadableInputError(
        f"{folder} does not hold {file} of @tensorflow/{package}"
      )
    paths[part] = path
  return paths


def cdn_address(package: str, file: str) -> str:
  """Where the public network has a file of a package of TensorFlow.js."""
  return f"{CDN}/{package}@{TFJS_VERSION}/dist/{file}"


def _write_tfjs(
  scripts: dict[str, pathlib.Path] | None, site: pathlib.Path
) -> dict[str, Any]:
  """Copies TensorFlow.js, if given; returns what the manifest says of it."""
  entries = {}
  for part, (package, file, known_hash) in TFJS_FILES.items():
    entry = {
      "file": cdn_address(package, file),
      "integrity": known_hash,
    }
    if scripts:
      (site / "tfjs").mkdir(exist_ok=True)
      data = scripts[part].read_bytes()
      (site / "tfjs" / file).write_bytes(data)
      entry = {
        "file": f"../tfjs/{file}",
        "integrity": integrity(data, "sha384"),
      }
    entries[part] = entry
  return entries
