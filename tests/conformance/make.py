"""Makes the conformance set anew.

    python -m tests.conformance.make

This makes the golden model's tables and files (`golden`) as well. Only a new
version of the format or another model needs it; README.md describes the files.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import sys

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import decode
from bls2017.encode import candidates
from bls2017.format import coding_tables, container, lanes
from bls2017.model import model_directory, packaged_models
from bls2017.training import freezing
from tests import alpha_boxes, decoders, images
from tests.bls2017.format import reference_coder, tables_strategy
from tests.conformance import broken, golden, joined_model
from tests.conformance.conformance_set import (
  FILES,
  MANIFEST,
  PAIRS,
  ROOT,
  Entry,
  digest,
)

NAME = f"v{container.VERSION}"

SOUND = (
  # Name, height, width, quality.
  ("pixel", 1, 1, 1.0),
  ("column", 40, 1, 2.0),
  ("block", 16, 16, 1.5),
  ("odd", 33, 47, 1.25),
  ("lanes", 40, 60, 1.75),
  ("most", 50, 30, 1.75),
  ("long", 96, 112, 2.0),
  ("strip", 16, 1300, 2.0),
  ("alpha", 29, 31, 1.5),
)
"""From one position to more along a side than a decoder's tile."""

LANES = {"lanes": 4, "most": 8, "long": 2}
"""How many some of them have, whatever an encoder would choose."""

OF_PACKAGED = (("photograph", 64, 80, 6.0),)

METADATA = (
  golden.EXIF,
  golden.XMP,
  container.Box(b"zzz~", b"of a type that no reader knows"),
)
BOXES = {
  "lanes": METADATA,
  "pixel": METADATA,
  "block": tuple(
    container.Box(b"%04d" % number, b"1")
    for number in range(container.MAX_BOXES)
  ),
  "alpha": (
    container.Box(
      container.ALPHA,
      next(c.content for c in alpha_boxes.sound() if c.name == "all filters"),
    ),
  ),
}
"""The files that hold metadata or alpha."""

LONG_STRIP = (16, 3200)
"""Pixels of images of more positions than a lane holds, and than a byte of a
number."""

PIXELS = {"largest_difference": 1, "differing_share": 0.1}
"""How near a decoder's samples must come to those of the PNG files.

Decoders of 32-bit floats have 0.01% a level away; a coarser one may have more,
and by chance more yet in a small image.
"""

MAX_PIXELS = 2**26
"""The limit with which the files are to be decoded."""


def _files(
  model: model_directory.FrozenModel,
  sizes: tuple[tuple[str, int, int, float], ...],
) -> dict[str, bytes]:
  """Compresses photographs; returns files by name."""
  files = {}
  for seed, (name, height, width, quality) in enumerate(sizes):
    image = candidates.AnalysedImage(
      images.photograph(height, width, seed), model, boxes=BOXES.get(name, ())
    )
    candidate = image.candidate(model.config.quality_index(quality))
    num_lanes = LANES.get(name, candidate.num_lanes)
    candidate = dataclasses.replace(candidate, num_lanes=num_lanes)
    files[name] = image.file(candidate)
  return files


def _forged(model: model_directory.FrozenModel) -> dict[str, bytes]:
  """Files that no photograph gives."""
  last = len(model.tables) - 1
  size = LONG_STRIP
  positions = container.Header(*size, 0, b"").positions
  tables = model.quality_tables(last)
  grey = np.tile([0, *tables.zeros], (positions, 1))
  fewest = lanes.fewest(positions, tables.lane_positions)
  assert fewest > 1 and positions > 0x7F
  files = {
    "fewest": _packed(model, size, last, grey, fewest),
    "many": _packed(model, size, last, grey, positions),
  }
  tables = model.quality_tables(0)
  files["last"] = _packed(model, (16, 64), 0, _last(tables, 4), 1)
  for name, rows in _endings(tables).items():
    files[f"ending-{name}"] = _packed(model, (16, 16), 0, rows, 1)
  return files


def _packed(
  model: model_directory.FrozenModel,
  size: tuple[int, int],
  index: int,
  rows: np.ndarray,
  num_lanes: int,
) -> bytes:
  header = container.Header(*size, index, model.model_id)
  tables = model.quality_tables(index)
  return container.pack(header, rows, num_lanes, tables)


def _last(tables: coding_tables.QualityTables, positions: int) -> np.ndarray:
  """Rows of nothing but last table indices, and the last activity."""
  row = [tables.num_activities - 1, *(tables.sizes - 1)]
  return np.tile(row, (positions, 1))


def _endings(tables: coding_tables.QualityTables) -> dict[str, np.ndarray]:
  """Rows of one position, for each way in which a stream can end."""
  # A base that stays 0: nothing but first indices.
  first = np.concatenate([[0], tables.zeros])
  first[1 : 1 + tables.contexts + tables.ends[0, 0]] = 0
  found = {"zero": first[None]}
  for seed in itertools.count():
    rows = tables_strategy.likely_rows(tables, (1, 1), 1, seed, flat=False)
    (steps,) = reference_coder.lane_steps(rows, (1, 1), 1, tables)
    interval = reference_coder.narrowed(steps)
    stream = reference_coder.encode(steps)
    over = len(stream) - 2 * interval.words
    if over < 0:
      # The zeros that are left out reach into the words.
      found.setdefault("multiple", rows)
    elif broken.next_stream(stream, interval):
      found.setdefault({1: "one-byte", 2: "two-bytes"}[over], rows)
    if len(found) == 4:
      return found
  raise AssertionError


def _sound(path: pathlib.Path, prefix: str, files: dict[str, bytes]):
  """Writes files of a model and their pixels; returns their entries."""
  codec = codec_lib.Codec.load(str(path))
  entries: list[Entry] = []
  for name, data in files.items():
    stem = f"{prefix}-{name}"
    (FILES / f"{stem}.bls").write_bytes(data)
    symbols, pixels = codec.symbols(data), codec.decompress(data)
    Image.fromarray(pixels).save(FILES / f"{stem}.png")
    info = codec.info(data)
    entries.append(
      {
        "file": f"{stem}.bls",
        "model": path.relative_to(ROOT).as_posix(),
        "version": info.version,
        "height": info.height,
        "width": info.width,
        "quality": info.quality,
        "lanes": info.lanes,
        "metadata": info.metadata,
        "positions": list(symbols.shape[:2]),
        "symbols_sha256": digest(symbols),
        "pixels": f"{stem}.png",
        "pixels_sha256": digest(pixels),
      }
    )
  return entries


def _broken(path: pathlib.Path, sound: dict[str, bytes]) -> list[Entry]:
  """Writes broken files of a model; returns their entries."""
  model = model_directory.load(str(path))
  decoder = decoders.library(model, MAX_PIXELS)
  files = {
    name: decode.open(data, model, MAX_PIXELS) for name, data in sound.items()
  }
  tables = model.quality_tables(0)
  two = container.Header(16, 32, 0, model.model_id)
  cases = broken.cases(files["lanes"], files["fewest"], len(model.tables))
  cases += broken.ends(two, tables)
  cases += broken.alpha(files["alpha"])
  for name, file in files.items():
    if name.startswith("ending-"):
      cases += broken.endings(name, file)
  entries: list[Entry] = []
  for case in cases:
    name = f"{NAME}-broken-{case.name}.bls"
    (FILES / name).write_bytes(case.data)
    error = decoder(case.data).error
    if error != case.error:
      raise SystemExit(f"{name}: {error or 'none'}, not {case.error}")
    entries.append(
      {
        "file": name,
        "model": path.relative_to(ROOT).as_posix(),
        "fault": case.fault,
        "error": case.error,
      }
    )
  return entries


def main() -> int:
  """Writes the files and their manifest."""
  FILES.mkdir(exist_ok=True)
  for path in FILES.iterdir():
    path.unlink()
  golden.make()
  model = model_directory.load(str(golden.MODEL))
  pairs = joined_model.make(model)
  freezing.save(pairs, str(PAIRS), overwrite=True)
  files = {**_files(model, SOUND), **_forged(model)}
  sound = [
    *_sound(golden.MODEL, NAME, files),
    *_sound(PAIRS, "pairs", _files(pairs, SOUND)),
  ]
  for name in packaged_models.names():
    path = pathlib.Path(packaged_models.directory(name))
    packaged = _files(model_directory.load(str(path)), OF_PACKAGED)
    sound += _sound(path, name, packaged)
  manifest = {
    "max_pixels": MAX_PIXELS,
    "nearness": PIXELS,
    "sound": sound,
    "broken": _broken(golden.MODEL, files),
  }
  text = json.dumps(manifest, indent=1) + "\n"
  MANIFEST.write_text(text, encoding="utf-8")
  return 0


if __name__ == "__main__":
  sys.exit(main())
