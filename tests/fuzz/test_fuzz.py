"""Short forms of the fuzzers."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import process

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import container
from tests import decoders, laws
from tests.fuzz import container as container_fuzz
from tests.fuzz import forger, payloads

FILES = [p.read_bytes() for p in sorted(forger.GOLDEN.glob("*.bls"))]


@laws.examples(400)
@given(
  data=st.one_of(st.binary(max_size=200), st.sampled_from(FILES)),
  changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4),
  end=st.integers(-40, 40),
)
def test_bytes_are_refused_or_one_spelling(data, changes, end):
  changed = bytearray(data + bytes(max(end, 1)))
  for place, value in changes:
    changed[place % len(changed)] = value
  container_fuzz.check(bytes(changed[: len(data) + end]))


@pytest.mark.parametrize("data", FILES, ids=len)
def test_a_file_that_is_made_readable_is_read(data):
  assert container_fuzz.readable(data) == data
  header = container.unpack_header(data)
  spoilt = b"RIFF" + b"\7" + data[5:18] + bytes(8) + data[26:]
  assert container.unpack_header(container_fuzz.readable(spoilt)) == header


@pytest.mark.parametrize(("data", "share"), [(FILES[0], 40), (FILES[1], 200)])
def test_damage_of_every_kind_is_refused_and_decoders_agree(data, share):
  assert payloads.check_damage(data, share).files > 20


def test_all_decoders_agree_on_hostile_files():
  model = forger.model()
  compared = [
    make(model, payloads.MAX_PIXELS) for make in decoders.DECODERS.values()
  ]
  files = forger.hostile_files(model, seed=1, streams=2000)
  tally = payloads.compare(compared, files)
  assert 0 < tally.sound < tally.files


def refusing(model, max_pixels):
  return lambda data: decoders.Outcome("BitstreamError")


def sleeping(model, max_pixels):
  return lambda data: time.sleep(600)


def hungry(model, max_pixels):
  """Wants more than a worker may take, once the cap is set."""
  calls = itertools.count()
  return lambda data: decoders.Outcome(str(len(bytes(next(calls) // 30 << 31))))


@pytest.mark.parametrize(
  ("makers", "error"),
  [
    ([decoders.library, refusing], AssertionError),
    ([hungry, hungry], MemoryError),
    ([sleeping], process.BrokenProcessPool),
  ],
)
def test_the_watchdog_reports(makers, error):
  with pytest.raises(error):
    payloads.watch(makers, 1, 1000, 1)
