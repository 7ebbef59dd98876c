"""TensorFlow's runtime and the exported graph pass the conformance set.

`tests/light` runs it on LiteRT, `tests/export/web` in JavaScript.
"""

from __future__ import annotations

import functools

import pytest
import tensorflow as tf

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import range_coder_numpy, range_coder_tfc
from bls2017.model import model_directory
from export import serving_module
from tests.conformance import conformance_set

MANIFEST = conformance_set.read_manifest()
CODERS = {
  "numpy": range_coder_numpy.NumpyRangeCoder,
  "tfc": range_coder_tfc.TfcRangeCoder,
}
NAMES = ("numpy", pytest.param("tfc", marks=pytest.mark.tfc))
MODELS = sorted({entry["model"] for entry in MANIFEST["sound"]})


@functools.cache
def _codec(model: str, coder: str) -> codec_lib.Codec:
  return codec_lib.Codec(
    model_directory.load(str(conformance_set.ROOT / model)),
    CODERS[coder](),
    MANIFEST["max_pixels"],
  )


@pytest.mark.parametrize("coder", NAMES)
@pytest.mark.parametrize("entry", MANIFEST["sound"], ids=lambda e: e["file"])
def test_sound_files_decode(entry, coder):
  codec = _codec(entry["model"], coder)
  conformance_set.check_sound(codec, entry, MANIFEST["nearness"])


@pytest.mark.parametrize("coder", NAMES)
@pytest.mark.parametrize("entry", MANIFEST["broken"], ids=lambda e: e["file"])
def test_broken_files_are_refused(entry, coder):
  conformance_set.check_broken(_codec(entry["model"], coder), entry)


@pytest.mark.parametrize("model", MODELS)
def test_the_exported_graph_agrees(model):
  module = serving_module.ServingModule(
    model_directory.load(str(conformance_set.ROOT / model)),
    MANIFEST["max_pixels"],
  )
  broken = [e for e in MANIFEST["broken"] if e["model"] == model]
  if broken:
    files = [conformance_set.data(e) for e in broken]
    statuses = module.decompress(files)["status"].numpy()
    for entry, status in zip(broken, statuses):
      assert status == getattr(errors, entry["error"]).exit_code, entry["file"]
  for entry in MANIFEST["sound"]:
    if entry["model"] == model:
      file = conformance_set.data(entry)
      outputs = module.decompress_image(tf.constant([file]))
      assert outputs["status"].numpy().tolist() == [0]
      conformance_set.check_pixels(
        outputs["image"].numpy()[0], entry, MANIFEST["nearness"]
      )


def test_the_set_covers_both_verdicts_of_every_version():
  for version in conformance_set.VERSIONS:
    sound = [e for e in MANIFEST["sound"] if e["version"] == version]
    assert {e["lanes"] > 1 for e in sound} == {False, True}
    assert len({e["quality"] for e in sound}) >= 4
  refusals = {e["error"] for e in MANIFEST["broken"]}
  assert refusals == {"BitstreamError", "ForeignModelError", "LimitError"}


def test_the_set_covers_every_pair_of_transforms():
  model = str(conformance_set.PAIRS.relative_to(conformance_set.ROOT))
  codec = _codec(model, "numpy")
  pairs = [
    codec.model.tables.pair_of(codec.model.config.quality_index(e["quality"]))
    for e in MANIFEST["sound"]
    if e["model"] == model
  ]
  assert set(pairs) == {0, 1}
  first = "synthesis/igdn_in/beta"
  channels = [len(pair.weights[first]) for pair in codec.model.pairs]
  assert channels == [12, 21]
