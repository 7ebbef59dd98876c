"""Makes the conformance set anew.

    python -m tests.conformance.make

Only a new version of the format needs it; README.md describes the files.
"""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import decode
from bls2017.encode import request, search
from bls2017.format import container
from bls2017.model import model_directory, packaged_models
from bls2017.training import freezing
from tests import decoders, images
from tests.conformance import broken, joined_model
from tests.conformance.conformance_set import (
  FILES,
  MANIFEST,
  PAIRS,
  ROOT,
  Entry,
  digest,
)

NAME = f"v{container.VERSION}"
GOLDEN = ROOT / "tests" / "golden" / NAME / "model"

SOUND = (
  # Name, height, width, quality.
  ("pixel", 1, 1, 1.0),
  ("column", 40, 1, 2.0),
  ("block", 16, 16, 1.5),
  ("odd", 33, 47, 1.25),
  ("lanes", 150, 170, 1.875),
  ("strip", 16, 1300, 2.0),
)
"""One lane, several, and more positions along a side than a decoder's tile."""

OF_PACKAGED = (("photograph", 150, 170, 6.0),)

METADATA = (
  container.Box(container.EXIF, b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
  container.Box(container.XMP, b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'),
  container.Box(b"zzz~", b"of a type that no reader knows"),
)
BOXES = {
  "lanes": METADATA,
  "pixel": METADATA,
  "block": tuple(
    container.Box(b"%04d" % number, b"1")
    for number in range(container.MAX_BOXES)
  ),
}
"""The files that hold metadata."""

EXTREMES = (48, 64)
"""Pixels of the files of nothing but first and last table indices."""

PIXELS = {"largest_difference": 1, "differing_share": 0.1}
"""How near a decoder's samples must come to those of the PNG files.

Decoders of 32-bit floats have 0.01% a level away; a coarser one may have more,
and by chance more yet in a small image.
"""

MAX_PIXELS = 2**26
"""The limit with which the files are to be decoded."""


def _files(
  model: model_directory.FrozenModel, sizes: tuple[tuple[str, int, int, float]]
) -> dict[str, bytes]:
  """Compresses photographs; returns files by name."""
  files = {}
  for seed, (name, height, width, quality) in enumerate(sizes):
    pixels = images.photograph(height, width, seed)
    found = search.encode(
      pixels, model, request.Request(quality), BOXES.get(name, ())
    )
    files[name] = found.image.file(found.candidate)
  return files


def _extremes(model: model_directory.FrozenModel) -> dict[str, bytes]:
  """Files whose streams end as others seldom do.

  The base of a stream of first table indices stays 0. The interval of one of
  last table indices always ends where a number is a multiple of 2^32.
  """
  header = container.Header(*EXTREMES, 0, model.model_id)
  tables = model.quality_tables(0)
  sizes = (tables.maximum - tables.minimum)[tables.live]
  last = np.concatenate([[tables.num_activities - 1], sizes])
  return {
    name: container.pack(
      header, np.tile(row, (header.positions, 1)), tables, ()
    )
    for name, row in (("first", 0 * last), ("last", last))
  }


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
  entries: list[Entry] = []
  for case in broken.cases(
    files["lanes"], files["first"], files["last"], len(model.tables)
  ):
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
  golden = model_directory.load(str(GOLDEN))
  pairs = joined_model.make(golden)
  freezing.save(pairs, str(PAIRS), overwrite=True)
  packaged = pathlib.Path(packaged_models.directory())
  files = {**_files(golden, SOUND), **_extremes(golden)}
  sound = [
    *_sound(GOLDEN, NAME, files),
    *_sound(PAIRS, "pairs", _files(pairs, SOUND)),
    *_sound(
      packaged,
      "packaged",
      _files(model_directory.load(str(packaged)), OF_PACKAGED),
    ),
  ]
  manifest = {
    "max_pixels": MAX_PIXELS,
    "nearness": PIXELS,
    "sound": sound,
    "broken": _broken(GOLDEN, files),
  }
  text = json.dumps(manifest, indent=1) + "\n"
  MANIFEST.write_text(text, encoding="utf-8")
  return 0


if __name__ == "__main__":
  sys.exit(main())
