"""The library's runtimes decode and refuse what the conformance set says."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.bitstream import range_coder_numpy, range_coder_tfc
from bls2017.transforms import model_directory
from export import serving_module
from export.range_coder import range_coder_stock
from tests.conformance import make

MANIFEST = json.loads(make.MANIFEST.read_text(encoding="utf-8"))
CODERS = {
  "numpy": range_coder_numpy.NumpyRangeCoder,
  "tfc": range_coder_tfc.TfcRangeCoder,
  "stock": range_coder_stock.StockRangeCoder,
}
NAMES = ("numpy", "stock", pytest.param("tfc", marks=pytest.mark.tfc))
MODELS = sorted({entry["model"] for entry in MANIFEST["sound"]})


@functools.cache
def _codec(model: str, coder: str) -> codec_lib.Codec:
  return codec_lib.Codec(
    model_directory.load(str(make.ROOT / model)),
    CODERS[coder](),
    MANIFEST["max_pixels"],
  )


def _data(entry) -> bytes:
  return (make.FILES / entry["file"]).read_bytes()


def _check_nearness(pixels: np.ndarray, entry) -> None:
  with Image.open(make.FILES / entry["pixels"]) as image:
    recorded = np.asarray(image)
  assert make.digest(recorded) == entry["pixels_sha256"]
  difference = np.abs(pixels.astype(int) - recorded)
  nearness = MANIFEST["nearness"]
  assert difference.max() <= nearness["largest_difference"]
  assert np.mean(difference > 0) <= nearness["differing_share"]


@pytest.mark.parametrize("coder", NAMES)
@pytest.mark.parametrize("entry", MANIFEST["sound"], ids=lambda e: e["file"])
def test_sound_files_decode(entry, coder):
  codec = _codec(entry["model"], coder)
  data = _data(entry)
  info = codec.info(data)
  for name in ("version", "height", "width", "quality", "lanes", "metadata"):
    assert getattr(info, name) == entry[name]
  symbols = codec.symbols(data)
  assert list(symbols.shape[:2]) == entry["positions"]
  assert make.digest(symbols.astype(np.int32)) == entry["symbols_sha256"]
  _check_nearness(codec.decompress(data), entry)


@pytest.mark.parametrize("coder", NAMES)
@pytest.mark.parametrize("entry", MANIFEST["broken"], ids=lambda e: e["file"])
def test_broken_files_are_refused(entry, coder):
  with pytest.raises(errors.CodecError) as refusal:
    _codec(entry["model"], coder).decompress(_data(entry))
  assert type(refusal.value).__name__ == entry["error"]


@pytest.mark.parametrize("model", MODELS)
def test_the_exported_graph_agrees(model):
  module = serving_module.ServingModule(
    model_directory.load(str(make.ROOT / model)),
    "stock",
    MANIFEST["max_pixels"],
  )
  broken = [e for e in MANIFEST["broken"] if e["model"] == model]
  statuses = module.decompress([_data(e) for e in broken])["status"].numpy()
  for entry, status in zip(broken, statuses):
    assert status == getattr(errors, entry["error"]).exit_code, entry["file"]
  for entry in MANIFEST["sound"]:
    if entry["model"] == model:
      outputs = module.decompress_image(tf.constant([_data(entry)]))
      assert outputs["status"].numpy().tolist() == [0]
      _check_nearness(outputs["image"].numpy()[0], entry)


def test_the_set_covers_both_verdicts_of_every_version():
  for version in make.VERSIONS:
    sound = [e for e in MANIFEST["sound"] if e["version"] == version]
    assert {e["lanes"] > 1 for e in sound} == {False, True}
    assert len({e["quality"] for e in sound}) >= 4
  refusals = {e["error"] for e in MANIFEST["broken"]}
  assert refusals == {"BitstreamError", "ForeignModelError", "LimitError"}
