"""Files of every version of the bitstream decode to what was recorded.

GENERATE_GOLDEN=1 rewrites the files of the present version; only a change of
the bitstream, which raises its version, may need that.
"""

from __future__ import annotations

import os
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017.format import container, range_coder_tfc
from bls2017.model import model_directory
from bls2017.training import freezing
from export.range_coder import range_coder_stock
from tests import images

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CASES = {"q1": 1.0, "q1_5": 1.5, "q2": 2.0}
SIZES = {"q1": (45, 70), "q1_5": (90, 140), "q2": (120, 170)}
"""Of the images of the present version; one lane, two, and four."""

ORIENTATION = struct.pack("<4sIHHHIII", b"II*\0", 8, 1, 0x112, 3, 1, 6, 0)
BOXES = (
  container.Box(container.EXIF, ORIENTATION),
  container.Box(container.XMP, b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'),
)
WITH_BOXES = "q1_5"


def _versions():
  return sorted(p.name for p in GOLDEN.glob("v*"))


@pytest.fixture(scope="session", autouse=True)
def _generate(codec):
  if os.environ.get("GENERATE_GOLDEN") != "1":
    return
  folder = GOLDEN / f"v{container.VERSION}"
  model = freezing.with_tables(codec.model, codec.model.tables)
  freezing.save(model, str(folder / "model"), overwrite=True)
  codec = codec_lib.Codec(model)
  for name, quality in CASES.items():
    x = images.photograph(*SIZES[name])
    boxes = BOXES if name == WITH_BOXES else ()
    data = codec.compress(x, quality, metadata=boxes)
    (folder / f"{name}.bls").write_bytes(data)
    Image.fromarray(codec.decompress(data)).save(folder / f"{name}.png")
    np.savez_compressed(folder / f"{name}.npz", symbols=codec.symbols(data))


def test_there_are_golden_files_of_the_present_version():
  assert f"v{container.VERSION}" in _versions()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("version", _versions())
@pytest.mark.parametrize(
  "coder",
  [range_coder_tfc.TfcRangeCoder(), range_coder_stock.StockRangeCoder()],
  ids=["tfc", "stock"],
)
def test_golden_files_decode_to_what_was_recorded(coder, version, name):
  model = model_directory.load(str(GOLDEN / version / "model"))
  codec = codec_lib.Codec(model, coder)
  data = (GOLDEN / version / f"{name}.bls").read_bytes()
  with np.load(GOLDEN / version / f"{name}.npz") as f:
    np.testing.assert_array_equal(codec.symbols(data), f["symbols"])
  with Image.open(GOLDEN / version / f"{name}.png") as f:
    recorded = np.asarray(f).astype(int)
  difference = np.abs(codec.decompress(data) - recorded)
  # Another processor may round a sample the other way, no more.
  assert difference.max() <= 1


@pytest.mark.parametrize("version", _versions())
def test_a_model_writes_files_of_its_own_version(version):
  codec = codec_lib.Codec.load(str(GOLDEN / version / "model"))
  data = codec.compress(images.photograph(*SIZES["q1"]), 1)
  assert f"v{codec.info(data).version}" == version


def test_the_present_version_holds_boxes_and_several_lanes():
  codec = codec_lib.Codec.load(str(GOLDEN / f"v{container.VERSION}" / "model"))
  lanes = []
  for name in CASES:
    data = (GOLDEN / f"v{container.VERSION}" / f"{name}.bls").read_bytes()
    lanes.append(codec.info(data).lanes)
    assert codec.metadata(data) == (BOXES if name == WITH_BOXES else ())
  assert lanes == [1, 2, 4]
