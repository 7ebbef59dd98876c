"""The golden model, and the files that record what decoders make of it.

The model is a small one. Its transforms, gains and ranges of symbols were
trained and are kept; its coding tables are made here, from photographs, as
those of packaged models are.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017.encode import candidates
from bls2017.format import coding_tables, container
from bls2017.model import model_directory
from bls2017.training import calibration, freezing, table_building
from tests import images
from tests.conformance.conformance_set import ROOT

FOLDER = ROOT / "tests" / "golden" / f"v{container.VERSION}"
MODEL = FOLDER / "model"

EXIF = container.Box(container.EXIF, b"II*\0\x08\0\0\0\0\0\0\0\0\0")
XMP = container.Box(container.XMP, b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')

ACTIVITIES = 4
PHOTOGRAPHS = 12

FILES = (
  # Name, height, width, index of the quality, lanes, boxes.
  ("q1", 24, 40, 0, 2, ()),
  ("q1_5", 90, 130, 4, 1, (EXIF, XMP)),
  ("q2", 120, 170, 8, 4, ()),
)


def make() -> None:
  """Makes the model's tables and the files anew."""
  kept = model_directory.load(str(MODEL))
  model = dataclasses.replace(kept, tables=_uncalibrated(kept.tables))
  size = calibration.PATCH_SIZE
  photographs = [
    images.photograph(size, size, 100 + seed) for seed in range(PHOTOGRAPHS)
  ]
  model = calibration.calibrate(model, np.stack(photographs), ACTIVITIES)
  freezing.save(model, str(MODEL), overwrite=True)
  codec = codec_lib.Codec(model)
  for seed, (name, height, width, index, lanes, boxes) in enumerate(FILES):
    pixels = images.photograph(height, width, seed)
    image = candidates.AnalysedImage(pixels, model, boxes=boxes)
    candidate = image.candidate(index)
    data = image.file(dataclasses.replace(candidate, num_lanes=lanes))
    (FOLDER / f"{name}.bls").write_bytes(data)
    np.savez_compressed(FOLDER / f"{name}.npz", symbols=codec.symbols(data))
    Image.fromarray(codec.decompress(data)).save(FOLDER / f"{name}.png")


def _uncalibrated(
  tables: coding_tables.CodingTables,
) -> coding_tables.CodingTables:
  """Tables of the same symbols that know nothing of any photograph."""
  count, channels = tables.size.shape
  frequencies = []
  for minimum, size in zip(tables.minimum.tolist(), tables.size.tolist()):
    cdfs = []
    for first, symbols in zip(minimum, size):
      distance = np.abs(first + np.arange(symbols))
      masses = 0.5 ** (40 * distance / symbols)
      cdfs.append(table_building.cdf(masses / masses.sum()))
    frequencies.append(
      coding_tables.Frequencies(
        cdf=np.concatenate(cdfs)[None],
        **table_building.ALONE,
      )
    )
  return dataclasses.replace(
    tables,
    order=np.tile(np.arange(channels, dtype=np.uint16), (count, 1)),
    ends=np.full((count, 1, 1), channels, np.uint16),
    end_cdf=np.zeros((count, 1, 1), np.uint16),
    frequencies=frequencies,
  )
