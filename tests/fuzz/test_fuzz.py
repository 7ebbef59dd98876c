"""Short forms of the fuzzers, and what they have found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017.format import container
from tests import laws
from tests.fuzz import container as container_fuzz
from tests.fuzz import exhaustive, payloads

FILES = {
  version: [
    p.read_bytes() for p in sorted(exhaustive.GOLDEN.glob(f"v{version}/*.bls"))
  ]
  for version in (2, 3)
}
SMALLEST = min(FILES[2], key=len)
SMALLEST_WITH_BOXES = FILES[3][1]


@laws.examples(300)
@given(data=st.binary(max_size=200))
def test_bytes_are_refused_or_one_spelling(data):
  container_fuzz.check(data)


@laws.examples(200)
@given(
  data=st.sampled_from(FILES[2] + FILES[3]),
  changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4),
  end=st.integers(-40, 40),
)
def test_changed_files_are_refused_or_one_spelling(data, changes, end):
  changed = bytearray(data + bytes(max(end, 0)))
  for place, value in changes:
    changed[place % len(changed)] = value
  container_fuzz.check(bytes(changed[: len(changed) + min(end, 0)]))


def test_the_fuzzers_checksum_seals_files_too(monkeypatch):
  monkeypatch.setattr(container, "checksum", container_fuzz.quick_checksum)
  rng = random.Random(0)
  for _ in range(2000):
    container_fuzz.check(rng.randbytes(rng.randrange(100)))


@pytest.mark.parametrize("version", range(1, container.VERSION + 1))
def test_sealing_keeps_a_version_that_is_read(version):
  for path in payloads.GOLDEN.glob(f"v{version}/*.bls"):
    data = path.read_bytes()
    assert data[len(container.MAGIC)] == version
    assert container_fuzz.seal(data) == data


def test_sealing_makes_a_readable_version_of_any():
  for version in range(256):
    data = bytearray(SMALLEST)
    data[len(container.MAGIC)] = version
    container.unpack_header(container_fuzz.seal(bytes(data)))


@pytest.mark.parametrize(
  ("data", "sealed_share"),
  [(SMALLEST, 40), (SMALLEST_WITH_BOXES, 100)],
  ids=["smallest", "boxes"],
)
def test_all_that_can_happen_to_a_file(data, sealed_share):
  refused, decoded = exhaustive.check(data, sealed_share)
  assert refused > 9 * len(data)
  assert decoded > 20


@pytest.mark.parametrize(
  ("runtime", "version"),
  [
    ("tfc", 2), ("numpy", 2), ("export", 2),
    ("tfc", 3), ("numpy", 3), ("export", 3),
  ],
)  # fmt: skip
def test_hostile_payloads_are_refused_or_one_spelling(runtime, version):
  worker = payloads.Worker(runtime, 1, version)
  worker.run(seed=0, streams=1)  # Builds the graphs.
  tally = worker.run(seed=1, streams=2000)
  assert not tally.failures
  assert tally.streams >= 2000
  assert 0 < tally.accepted < tally.files


def test_hostile_payloads_of_the_first_version():
  worker = payloads.Worker("numpy", 1, version=1)
  worker.run(seed=0, streams=1)  # Builds the graphs.
  tally = worker.run(seed=1, streams=500)
  assert not tally.failures
  assert 0 < tally.accepted < tally.files


def test_the_newest_version_is_fuzzed():
  assert payloads.NEWEST == container.VERSION


def test_the_watchdog_reports_what_its_worker_saw():
  tally = payloads.watch("tfc", seed=1, streams=100, compare=0)
  assert not tally.failures
  assert tally.streams >= 100


def test_the_watchdog_reports_a_hang(monkeypatch):
  monkeypatch.setattr(payloads, "HANG_SECONDS", 0.1)
  # Several looks while the worker imports TensorFlow, however quick that is.
  monkeypatch.setattr(payloads, "POLL_SECONDS", 0.1)
  tally = payloads.watch("tfc", seed=1, streams=100, compare=0)
  assert tally.failures == ["hang at file 0 of seed 1"]
