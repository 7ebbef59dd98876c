"""Makes the conformance set anew.

    python -m tests.conformance.make

Only a new version of the format needs it; README.md describes what it writes.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import container
from bls2017.model import model_directory
from bls2017.training import freezing
from tests import images
from tests.conformance import broken, joined_model
from tests.conformance.conformance_set import (
  FILES,
  MANIFEST,
  PAIRS,
  ROOT,
  VERSIONS,
  digest,
)

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

BOXES = (
  container.Box(container.EXIF, b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
  container.Box(container.XMP, b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'),
  container.Box(b"zzz~", b"of a type that no reader knows"),
)
WITH_BOXES = ("lanes", "pixel")
"""The files that hold metadata, from version 3 on."""

PIXELS = {"largest_difference": 1, "differing_share": 0.1}
"""How near a decoder's samples must come to those of the PNG files.

With weights of 16 bits, some 3% of them are a level away; more by chance in a
small image.
"""

MAX_PIXELS = 2**26
"""The limit with which the files are to be decoded."""


def _sound(model: pathlib.Path, name_of_set: str) -> list[dict[str, Any]]:
  """Writes the files that a model wrote; returns what the set says of them."""
  codec = codec_lib.Codec.load(str(model))
  version = codec.model.format_version
  entries = []
  for seed, (name, height, width, quality) in enumerate(SOUND):
    has_boxes = version >= container.BOXES_VERSION and name in WITH_BOXES
    data = codec.compress(
      images.photograph(height, width, seed),
      quality,
      metadata=BOXES if has_boxes else (),
    )
    stem = f"{name_of_set}-{name}"
    (FILES / f"{stem}.bls").write_bytes(data)
    symbols, pixels = codec.symbols(data), codec.decompress(data)
    Image.fromarray(pixels).save(FILES / f"{stem}.png")
    info = codec.info(data)
    entries.append(
      {
        "file": f"{stem}.bls",
        "model": model.relative_to(ROOT).as_posix(),
        "version": info.version,
        "height": info.height,
        "width": info.width,
        "quality": info.quality,
        "lanes": info.lanes,
        "metadata": info.metadata,
        "positions": list(symbols.shape[:2]),
        "symbols_sha256": digest(symbols.astype(np.int32)),
        "pixels": f"{stem}.png",
        "pixels_sha256": digest(pixels),
      }
    )
  return entries


def _broken(model: pathlib.Path, version: int) -> list[dict[str, Any]]:
  codec = codec_lib.Codec.load(str(model))
  sound = (FILES / f"v{version}-lanes.bls").read_bytes()
  entries = []
  for case in broken.cases(sound, version):
    file = f"v{version}-broken-{case.name}.bls"
    (FILES / file).write_bytes(case.data)
    try:
      codec.decompress(case.data)
    except errors.CodecError as e:
      error = type(e).__name__
      if error != case.error:
        raise SystemExit(f"{file}: {error}, not {case.error}: {e}") from e
    else:
      raise SystemExit(f"{file} was decoded")
    entries.append(
      {
        "file": file,
        "model": model.relative_to(ROOT).as_posix(),
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
  sound, refused = [], []
  for version in VERSIONS:
    model = ROOT / f"tests/golden/v{version}/model"
    sound += _sound(model, f"v{version}")
    refused += _broken(model, version)
  golden = model_directory.load(str(model))
  freezing.save(joined_model.make(golden), str(PAIRS), overwrite=True)
  sound += _sound(PAIRS, "pairs")
  manifest = {
    "max_pixels": MAX_PIXELS,
    "nearness": PIXELS,
    "sound": sound,
    "broken": refused,
  }
  text = json.dumps(manifest, indent=1) + "\n"
  MANIFEST.write_text(text, encoding="utf-8")
  return 0


if __name__ == "__main__":
  sys.exit(main())
