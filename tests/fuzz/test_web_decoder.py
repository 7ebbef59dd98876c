"""The short form of the JavaScript decoder's fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz import web_decoder

# Runs Node, which the other tests do without: `pytest -m node`.
pytestmark = pytest.mark.node


@pytest.mark.parametrize("number", [0, 2])
def test_the_decoders_agree_on_all_cuts_and_flips(number):
  data = web_decoder.FILES[number]
  count, decoded = web_decoder.compare(web_decoder.cuts_and_flips(data))
  assert count == 9 * len(data)
  assert decoded


def test_the_decoders_agree_on_hostile_files():
  count, decoded = web_decoder.compare(web_decoder.hostile_files(1000, seed=0))
  assert count == 1000
  assert decoded
