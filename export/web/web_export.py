"""Writes a frozen model as static files that decode .bls images in a browser.

    SITE/index.html   a page that shows files; page.css and its scripts
    SITE/decoder/     the decoder: ES modules, and range_coder.wasm
    SITE/model/       model.json, the weights of each pair of transforms, and
                      the tables of each quality
    SITE/tfjs/        TensorFlow.js, if you gave a folder of it
    SITE/README.md    how to use all this

The other files of SITE/model hold arrays, one after the other, deflated: first
the lowest bytes of all numbers of an array, then the next. A file's name holds
a hash of its content, so browsers may keep it for ever.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import itertools
import json
import os
import pathlib
import shutil
import tempfile
import zlib
from typing import Any

import numpy as np

from bls2017 import errors
from bls2017.common import config
from bls2017.format import coding_tables
from bls2017.images import reading
from bls2017.model import model_directory

FORMAT = 5
"""The format of SITE/model, which decoder/model.js checks."""

TFJS_VERSION = "4.22.0"
CDN = "https://cdn.jsdelivr.net/npm/@tensorflow"

TFJS_FILES = {
  "core": (
    "tfjs-core",
    "tf-core.min.js",
    "sha256-CSRDh4j/faV7FND3xFoF2BYRpaS1JlPabQZehtNIdXw=",
  ),
  "backend": (
    "tfjs-backend-wasm",
    "tf-backend-wasm.min.js",
    "sha256-aRu+wO+LWn8X8hLpxdhYMgMPkNAwtG6ZrLTeofsW8Ak=",
  ),
  "simd": (
    "tfjs-backend-wasm",
    "tfjs-backend-wasm-simd.wasm",
    "sha256-d+uyim0083HbvyCGt/LeiZSs2OpaPPH6JNLCbIQMrHs=",
  ),
  "plain": (
    "tfjs-backend-wasm",
    "tfjs-backend-wasm.wasm",
    "sha256-cKXVFgYEZOUmnwHHS6wXcta4q2y2Eqzxa1za9h942JI=",
  ),
}
"""The package, file and integrity hash of each part of TensorFlow.js."""

_HERE = pathlib.Path(__file__).parent
_RANGE_CODER = "range_coder.wasm"
_NORMALIZATIONS = ("synthesis/igdn_in", "synthesis/0/igdn", "synthesis/1/igdn")


def export(
  model: model_directory.FrozenModel,
  output_dir: str,
  tfjs: str | None = None,
  max_pixels: int = reading.MAX_PIXELS,
) -> str:
  """Exports a model.

  Args:
    model: The model.
    output_dir: The site's directory; it must be empty or not exist.
    tfjs: A folder that holds the files of TensorFlow.js, or into which npm
      installed it. By default pages fetch it from a public network.
    max_pixels: The site refuses images of more pixels.

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
  target = pathlib.Path(os.path.abspath(output_dir))
  tfjs_files = find_tfjs(tfjs) if tfjs else {}
  try:
    if os.path.lexists(target) and (
      not target.is_dir() or any(target.iterdir())
    ):
      raise errors.OutputError(f"{output_dir} exists and is not empty")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      prefix=f".{target.name}.", dir=target.parent
    ) as temporary:
      site = pathlib.Path(temporary) / "site"
      shutil.copytree(_HERE / "site", site)
      shutil.copy(_HERE / "README.md", site)
      manifest = {
        "format": FORMAT,
        "model_id": model.model_id.hex(),
        "quality_steps": model.config.quality_steps,
        "max_pixels": max_pixels,
        "range_coder": _write_range_coder(site),
        "tensorflow": _write_tfjs(site, tfjs_files),
        **_write_model(site / "model", model),
      }
      text = json.dumps(manifest, separators=(",", ":")) + "\n"
      (site / "model" / "model.json").write_text(text, encoding="utf-8")
      os.rename(site, target)
  except OSError as e:
    raise errors.OutputError(f"cannot write {output_dir}: {e}") from e
  return output_dir


def integrity(data: bytes) -> str:
  """Returns the integrity hash of bytes, as HTML and `fetch` take it."""
  digest = hashlib.sha256(data).digest()
  return f"sha256-{base64.b64encode(digest).decode()}"


def cdn_address(package: str, file: str) -> str:
  """Returns where the public network has a file of TensorFlow.js."""
  return f"{CDN}/{package}@{TFJS_VERSION}/dist/{file}"


def find_tfjs(folder: str) -> dict[str, pathlib.Path]:
  """Finds each part of TensorFlow.js in a folder, as `export` takes it.

  Raises:
    errors.UnreadableInputError: if one is missing.
  """
  paths = {}
  for part, (package, file, _) in TFJS_FILES.items():
    dist = pathlib.Path(folder, "node_modules", "@tensorflow", package, "dist")
    found = [
      p for p in (dist / file, pathlib.Path(folder, file)) if p.is_file()
    ]
    if not found:
      raise errors.UnreadableInputError(
        f"{folder} does not hold {file} of @tensorflow/{package}"
      )
    paths[part] = found[0]
  return paths


def _write_range_coder(site: pathlib.Path) -> dict[str, str]:
  """Copies the range coder; returns its entry in the manifest."""
  source = importlib.resources.files("bls2017.format") / _RANGE_CODER
  data = source.read_bytes()
  (site / "decoder" / _RANGE_CODER).write_bytes(data)
  return {"file": f"../decoder/{_RANGE_CODER}", "integrity": integrity(data)}


def _write_tfjs(
  site: pathlib.Path, paths: dict[str, pathlib.Path]
) -> dict[str, dict[str, str]]:
  """Copies TensorFlow.js, if given; returns its entries in the manifest."""
  entries = {}
  for part, (package, file, known_hash) in TFJS_FILES.items():
    entry = {"file": cdn_address(package, file), "integrity": known_hash}
    if paths:
      (site / "tfjs").mkdir(exist_ok=True)
      data = paths[part].read_bytes()
      (site / "tfjs" / file).write_bytes(data)
      entry = {"file": f"../tfjs/{file}", "integrity": integrity(data)}
    entries[part] = entry
  return entries


def _write_model(
  directory: pathlib.Path, model: model_directory.FrozenModel
) -> dict[str, Any]:
  """Writes weights and tables; returns their entries in the manifest."""
  directory.mkdir()
  weights = [
    _write_arrays(directory, f"weights-{number}", _synthesis_arrays(pair))
    for number, pair in enumerate(model.pairs)
  ]
  tables = []
  for index in range(len(model.tables)):
    quality_tables = model.tables.for_quality(index)
    quality = model.config.index_quality(index)
    entry = _write_arrays(
      directory, f"quality-{quality:.3f}", _tables_arrays(quality_tables)
    )
    entry["lane_positions"] = quality_tables.lane_positions
    entry["pair"] = int(model.tables.pair[index])
    tables.append(entry)
  return {"weights": weights, "tables": tables}


def _synthesis_arrays(
  pair: model_directory.TransformPair,
) -> dict[str, np.ndarray]:
  """The arrays of each stage of synthesis; only 1-D ones stay 32-bit floats."""
  weights = pair.weights
  arrays = {}
  for stage, normalization in enumerate(_NORMALIZATIONS):
    _, stride = config.STAGES[-1 - stage]
    kernel = _phase_kernel(weights[f"synthesis/{stage}/kernel"], stride)
    bias = weights[f"synthesis/{stage}/bias"]
    if stage < len(_NORMALIZATIONS) - 1:
      # Odd phases do not depend on the input before.
      for p, q in itertools.product(range(stride), repeat=2):
        arrays[f"{stage}/kernel{p}{q}"] = kernel[p:, q:, :, p, q]
    else:
      arrays[f"{stage}/kernel"] = kernel.reshape(*kernel.shape[:3], -1)
      bias = np.tile(bias, stride * stride)
    arrays[f"{stage}/bias"] = bias
    arrays[f"{stage}/beta"] = weights[f"{normalization}/beta"]
    arrays[f"{stage}/gamma"] = weights[f"{normalization}/gamma"][None, None]
  with np.errstate(over="ignore"):
    arrays = {
      name: array.astype(np.float16 if array.ndim > 1 else np.float32)
      for name, array in arrays.items()
    }
  model_directory.check_finite(arrays, "as 16-bit floats, ")
  return arrays


def _phase_kernel(kernel: np.ndarray, stride: int) -> np.ndarray:
  """Turns an upsampling kernel into one that computes its output's phases.

  Args:
    kernel: float [k, k, in, out]. Tap t adds input i to output
      stride * i + t - k // 2.
    stride: By which it scales up.

  Returns:
    float [3, 3, in, stride, stride, out]. Tap t adds input i + t - 1 to phase p
    of what is output stride * i + p.
  """
  half = len(kernel) // 2
  _, _, channels_in, channels_out = kernel.shape
  result = np.zeros((3, 3, channels_in, stride, stride, channels_out))
  for t, u in itertools.product(range(len(kernel)), repeat=2):
    row, p = divmod(t - half, stride)
    column, q = divmod(u - half, stride)
    result[1 - row, 1 - column, :, p, q] = kernel[t, u]
  return result


def _tables_arrays(
  tables: coding_tables.QualityTables,
) -> dict[str, np.ndarray]:
  return {
    "inverse_gain": tables.inverse_gain,
    "offset": tables.offset,
    "minimum": tables.minimum.astype(np.int16),
    "size": (tables.maximum - tables.minimum + 1).astype(np.uint16),
    "live": tables.live.astype(np.uint16),
    "ends": tables.ends,
    "end_cdf": coding_tables.packed(tables.end_cdf),
    "activity_cdf": coding_tables.packed(tables.activity_cdf),
    "activity_tables": tables.activity_tables,
    "surroundings": tables.surroundings,
    "cdf": coding_tables.packed(tables.cdf),
    "context_cdf": coding_tables.packed(tables.context_cdf),
    "context_tables": tables.context_tables,
    "contexts_of": tables.contexts_of,
    "context_classes": tables.context_classes,
  }


def _write_arrays(
  directory: pathlib.Path, name: str, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
  """Writes a file of arrays; returns its entry in the manifest."""
  data = zlib.compress(b"".join(map(_planes, arrays.values())), 9)
  file = f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
  (directory / file).write_bytes(data)
  return {
    "file": file,
    "integrity": integrity(data),
    "arrays": [
      [name, array.dtype.name, list(array.shape)]
      for name, array in arrays.items()
    ],
  }


def _planes(array: np.ndarray) -> bytes:
  """The lowest bytes of all numbers, then the next bytes, and so on."""
  little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
  return little.reshape(-1, 1).view(np.uint8).T.tobytes()
