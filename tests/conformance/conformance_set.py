"""The conformance set, as README.md describes it, for the tests that run it."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = pathlib.Path(__file__).parent
FILES = FOLDER / "files"
MANIFEST = FOLDER / "conformance.json"
PAIRS = FOLDER / "pairs"
"""A model of two pairs of transforms; those of one pair are the golden ones."""

VERSIONS = (1, 2, 3)
"""Of the format, all with files of one pair."""

Entry = dict[str, Any]
"""What the manifest says of a file."""


def read_manifest() -> dict[str, Any]:
  """The content of `MANIFEST`."""
  values: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
  return values


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
    pixels: uint8 [H, W, 3], what a decoder gave.
    entry: Of the file.

  Returns:
    The largest difference in levels, and the share of samples that differ.
  """
  with Image.open(FILES / entry["pixels"]) as image:
    recorded = np.asarray(image)
  assert digest(recorded) == entry["pixels_sha256"]
  levels = np.abs(pixels.astype(int) - recorded)
  return int(levels.max()), float(np.mean(levels > 0))


def check_pixels(
  pixels: np.ndarray, entry: Entry, nearness: dict[str, float]
) -> None:
  """Asserts that a decoder's samples are as near as the manifest says."""
  largest, share = difference(pixels, entry)
  assert largest <= nearness["largest_difference"]
  assert share <= nearness["differing_share"]


def check_sound(
  codec: codec_lib.Codec, entry: Entry, nearness: dict[str, float]
) -> None:
  """Asserts that a codec reads a file as the set says."""
  file = data(entry)
  info = codec.info(file)
  for name in ("version", "height", "width", "quality", "lanes", "metadata"):
    assert getattr(info, name) == entry[name]
  symbols = codec.symbols(file)
  assert list(symbols.shape[:2]) == entry["positions"]
  assert digest(symbols.astype(np.int32)) == entry["symbols_sha256"]
  check_pixels(codec.decompress(file), entry, nearness)


def check_broken(codec: codec_lib.Codec, entry: Entry) -> None:
  """Asserts that a codec refuses a file as the set says."""
  with pytest.raises(errors.CodecError) as refusal:
    codec.decompress(data(entry))
  assert type(refusal.value).__name__ == entry["error"]
