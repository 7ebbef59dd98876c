"""The short form of the JavaScript decoder's fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz import payloads, web_decoder

# Runs Node, which the other tests do without: `pytest -m node`.
pytestmark = pytest.mark.node


@pytest.mark.parametrize("version", range(1, payloads.NEWEST + 1))
def test_the_javascript_decoder_agrees_with_the_library(version):
  tally = web_decoder.run(400, seed=0, version=version)
  assert not tally.failures
  assert tally.files == 400
  assert 0 < tally.accepted < tally.files
