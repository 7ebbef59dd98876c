"""Every decoder passes the conformance set; JavaScript in tests/export/web."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017.model import model_directory
from tests import decoders
from tests.conformance import conformance_set

MANIFEST = conformance_set.read_manifest()
GOLDEN = MANIFEST["broken"][0]["model"]
PAIRS = conformance_set.PAIRS.relative_to(conformance_set.ROOT).as_posix()

_each_decoder = pytest.mark.parametrize("decoder", decoders.DECODERS)
_each_sound_file = pytest.mark.parametrize(
  "entry", MANIFEST["sound"], ids=lambda entry: entry["file"]
)


@functools.cache
def _model(path: str) -> model_directory.FrozenModel:
  return model_directory.load(conformance_set.model_path(path))


@functools.cache
def _decoder(name: str, model: str) -> decoders.Decoder:
  return decoders.DECODERS[name](_model(model), MANIFEST["max_pixels"])


def _outcome(name: str, entry: conformance_set.Entry) -> decoders.Outcome:
  return _decoder(name, entry["model"])(conformance_set.data(entry))


@_each_decoder
@_each_sound_file
def test_sound_files_decode(entry, decoder):
  error, symbols, pixels = _outcome(decoder, entry)
  assert not error
  if symbols is not None:
    assert list(symbols.shape[:2]) == entry["positions"]
    found = conformance_set.digest(symbols.astype(np.int32))
    assert found == entry["symbols_sha256"]
  if pixels is not None:
    conformance_set.check_pixels(pixels, entry, MANIFEST["nearness"])


@_each_decoder
@pytest.mark.parametrize("entry", MANIFEST["broken"], ids=lambda e: e["file"])
def test_broken_files_are_refused(entry, decoder):
  assert _outcome(decoder, entry).error == entry["error"]


@_each_sound_file
def test_the_library_tells_what_files_state(entry):
  codec = codec_lib.Codec(_model(entry["model"]))
  info = codec.info(conformance_set.data(entry))
  for name in ("version", "height", "width", "quality", "lanes", "metadata"):
    assert getattr(info, name) == entry[name]


def test_the_set_covers_all_that_files_may_hold():
  sound = MANIFEST["sound"]
  positions = [int(np.prod(entry["positions"])) for entry in sound]
  lanes = [entry["lanes"] for entry in sound]
  assert any(n == 1 < p for n, p in zip(lanes, positions))
  assert any(1 < n < p for n, p in zip(lanes, positions))
  assert any(0x7F < n == p for n, p in zip(lanes, positions))
  contexts = set()
  for path, pairs in ((GOLDEN, {0}), (PAIRS, {0, 1})):
    model = _model(path)
    used = {
      model.config.quality_index(entry["quality"])
      for entry in sound
      if entry["model"] == path
    }
    assert len(used) >= 4
    assert {model.tables.pair_of(index) for index in used} == pairs
    contexts |= {model.quality_tables(index).contexts for index in used}
  assert contexts == {0, 2, 4}
  refusals = {entry["error"] for entry in MANIFEST["broken"]}
  assert refusals == {"BitstreamError", "ForeignModelError", "LimitError"}
