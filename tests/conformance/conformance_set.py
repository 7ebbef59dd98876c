"""The conformance set, as README.md describes it, for the tests that run it."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from bls2017.model import packaged_models

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = pathlib.Path(__file__).parent
FILES = FOLDER / "files"
MANIFEST = FOLDER / "conformance.json"
PAIRS = FOLDER / "pairs"
"""A model of two pairs of transforms; the golden model has one."""

Entry = dict[str, Any]
"""An entry of the manifest: the facts of a file."""


def read_manifest() -> dict[str, Any]:
  """The content of `MANIFEST`."""
  values: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
  return values


def model_path(name: str) -> str:
  """The directory of a model, as an entry names it.

  Packaged models are those of the package, which need not lie beside the tests.
  """
  path = pathlib.PurePosixPath(name)
  if path.parent.name == "pretrained":
    return packaged_models.directory(path.name)
  return str(ROOT / path)


def digest(array: np.ndarray) -> str:
  """SHA-256 of an array's bytes, little-endian, hexadecimal."""
  little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
  return hashlib.sha256(little.tobytes()).hexdigest()


def data(entry: Entry) -> bytes:
  """The bytes of a file."""
  return (FILES / entry["file"]).read_bytes()


def difference(pixels: np.ndarray, entry: Entry) -> tuple[int, float]:
  """How far a decoder's samples are from those of the set.

  Args:
    pixels: uint8 [H, W, 3], or 4 where the file has alpha, from a decoder.
    entry: Of the file.

  Returns:
    The largest difference in levels, and the share of samples that differ.
  """
  with Image.open(FILES / entry["pixels"]) as image:
    recorded = np.asarray(image)
  assert digest(recorded) == entry["pixels_sha256"]
  np.testing.assert_array_equal(pixels[..., 3:], recorded[..., 3:])
  levels = np.abs(pixels.astype(int) - recorded)
  return int(levels.max()), float(np.mean(levels > 0))


def check_pixels(
  pixels: np.ndarray, entry: Entry, nearness: dict[str, float]
) -> None:
  """Asserts that a decoder's samples are as near as the manifest says."""
  largest, share = difference(pixels, entry)
  assert largest <= nearness["largest_difference"]
  # A sample may differ by chance where there are few.
  assert share <= max(nearness["differing_share"], 1 / pixels.size)
