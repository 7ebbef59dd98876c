"""The short form of the JavaScript decoder's fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz import web_decoder

# Runs Node, which the other tests do without: `pytest -m node`.
pytestmark = pytest.mark.node


@pytest.mark.parametrize("number", [0, 2])
def test_the_decoders_agree_on_all_cuts_and_flips(number):
  files = list(web_decoder.cuts_and_flips(web_decoder.FILES[number]))
  assert 0 < web_decoder.compare(files) < len(files)


def test_the_decoders_agree_on_hostile_files():
  files = list(web_decoder.hostile_files(1000, seed=0))
  assert 0 < web_decoder.compare(files) < len(files)


def test_the_decoders_agree_on_random_tables():
  model = web_decoder.random_model(seed=0)
  sound = list(web_decoder.files_of(model, seed=0))
  hostile = list(web_decoder.hostile_files(1000, 0, sound))
  assert web_decoder.compare(sound, model) == len(sound)
  assert 0 < web_decoder.compare(hostile, model) < len(hostile)
