"""FORMAT.md tells the truth: its example, and a decoder written from it.

The decoder below uses nothing of the library, only what the document says.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017.format import container
from bls2017.model import packaged_models
from tests import images
from tests.conformance import conformance_set

ROOT = pathlib.Path(__file__).parents[3]
DOCUMENT = pathlib.Path(container.__file__).with_name("FORMAT.md")
TEXT = DOCUMENT.read_text(encoding="utf-8")
GOLDEN = ROOT / "tests/golden/v3"
BLOCKS = re.findall(r"^```(\S+)\n(.*?)^```$", TEXT, re.M | re.S)

Step = tuple[int, int, int, int, int]


def read_tables(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of tables.npz, with `cdf` in place of its differences."""
  with np.load(path) as f:
    arrays = {name: f[name] for name in f.files}
  steps = [arrays.pop(f"cdf_steps/{i}") for i in range(len(arrays["gain"]))]
  parts = [np.cumsum(part, dtype=np.uint16).ravel() for part in steps]
  return {**arrays, "cdf": np.concatenate(parts)}


class Tables:
  """The arrays of tables.npz at one quality."""

  def __init__(self, path: pathlib.Path, index: int):
    arrays = read_tables(path)
    size = arrays["size"].astype(int)
    self.activities = 1
    if "activity_cdf" in arrays:
      self.activities = arrays["activity_cdf"].shape[2]
      self.activity = [
        [*row, 1 << 16] for row in arrays["activity_cdf"][index].tolist()
      ]
    start = self.activities * size[:index].sum()
    if f"cdf_steps/{index}" in arrays:
      steps = arrays[f"cdf_steps/{index}"]
      arrays["cdf"], start = np.cumsum(steps, dtype=np.uint16), 0
    self.channels = []
    for _ in range(self.activities):
      channels = []
      for n in size[index].tolist():
        channels.append([*arrays["cdf"][start : start + n].tolist(), 1 << 16])
        start += n
      self.channels.append(channels)
    self.live = np.flatnonzero(size[index] > 1)
    self.minimum = arrays["minimum"][index].astype(int)
    self.lane_positions = int(arrays["lane_positions"][index])


class Decoder:
  """The range decoder, which keeps the steps that it took."""

  def __init__(self, stream: bytes):
    self.steps: list[Step] = []
    self._stream = stream
    self._next = 4
    self._base, self._size = 0, 1 << 32
    self._value = int.from_bytes(stream[:4].ljust(4, b"\0"), "big")

  def decode(self, cdf: list[int]) -> int:
    offset = (self._value - self._base) % (1 << 32)
    bounds = [self._size * c // (1 << 16) for c in cdf]
    s = max(i for i, bound in enumerate(bounds) if bound <= offset)
    a, b = bounds[s], bounds[s + 1]
    self.steps.append((self._size, offset, a, b, s))
    self._base, self._size = (self._base + a) % (1 << 32), b - a
    if self._size <= 1 << 16:
      taken = self._stream[self._next : self._next + 2].ljust(2, b"\0")
      self._next += 2
      self._base = (self._base << 16) % (1 << 32)
      self._size <<= 16
      self._value = (self._value << 16) % (1 << 32)
      self._value += int.from_bytes(taken, "big")
    return s


def _lane_lengths(data: bytes, count: int) -> tuple[list[int], int]:
  """The lengths of the lanes, and where the first one begins."""
  at = 30 + int.from_bytes(data[26:30], "little")
  if count == 1:
    return [len(data) - at], at
  m, width = int.from_bytes(data[at : at + 2], "little"), data[at + 2]
  at += 3
  num_bytes = -(-(count - 1) * width // 8)
  bits = int.from_bytes(data[at : at + num_bytes], "little")
  numbers = [bits >> i * width & (1 << width) - 1 for i in range(count - 1)]
  at += num_bytes
  lengths = [m + number for number in numbers]
  return [*lengths, len(data) - at - sum(lengths)], at


def _decode(model: pathlib.Path, data: bytes) -> tuple[np.ndarray, list[Step]]:
  """The symbols of a file, and the steps of its first lane."""
  tables = Tables(model / "tables.npz", data[5] - 8)
  height, width = np.frombuffer(data, "<u2", 2, 6).tolist()
  h, w = -(-height // 16), -(-width // 16)
  count = -(-h * w // tables.lane_positions)
  lengths, at = _lane_lengths(data, count)
  symbols = np.tile(tables.minimum, (h * w, 1))
  steps: list[Step] = []
  for lane in range(count):
    first = lane * tables.lane_positions
    positions = range(first, min(first + tables.lane_positions, h * w))
    decoder = Decoder(data[at : at + lengths[lane]])
    at += lengths[lane]
    activities = dict.fromkeys(positions, 0)
    if tables.activities > 1:
      before = tables.activities
      for position in positions:
        before = decoder.decode(tables.activity[before])
        activities[position] = before
    for position in positions:
      for c in tables.live:
        cdf = tables.channels[activities[position]][c]
        symbols[position, c] += decoder.decode(cdf)
    steps = steps or decoder.steps
  assert at == len(data)
  return symbols.reshape(h, w, -1), steps


@pytest.mark.parametrize("name", ["q1", "q1_5", "q2"])
def test_a_decoder_written_from_the_document_reads_golden_files(name):
  data = (GOLDEN / f"{name}.bls").read_bytes()
  symbols, _ = _decode(GOLDEN / "model", data)
  with np.load(GOLDEN / f"{name}.npz") as f:
    np.testing.assert_array_equal(symbols, f["symbols"])


def test_a_decoder_written_from_the_document_reads_files_of_several_pairs():
  sound = conformance_set.read_manifest()["sound"]
  for entry in (e for e in sound if e["file"].startswith("pairs-")):
    data = conformance_set.data(entry)
    symbols, _ = _decode(ROOT / entry["model"], data)
    found = conformance_set.digest(symbols.astype(np.int32))
    assert found == entry["symbols_sha256"]


def test_a_decoder_written_from_the_document_reads_the_packaged_models_files():
  codec = codec_lib.Codec.load()
  data = codec.compress(images.photograph(40, 60), 1, effort=1)
  symbols, _ = _decode(pathlib.Path(packaged_models.directory()), data)
  np.testing.assert_array_equal(symbols, codec.symbols(data))


def test_the_bytes_of_the_example_are_those_of_the_files():
  shown = [(name, text) for name, text in BLOCKS if name.endswith(".bls")]
  assert {name for name, _ in shown} == {"q1.bls", "q1_5.bls", "q2.bls"}
  for name, text in shown:
    data = (GOLDEN / name).read_bytes()
    for line in text.splitlines():
      offset, *content = line.split()
      expected = bytes.fromhex("".join(content))
      assert data[int(offset) :].startswith(expected), f"{name}: {line}"
  whole = dict(shown)["q1.bls"]
  content = "".join("".join(line.split()[1:]) for line in whole.splitlines())
  assert bytes.fromhex(content) == (GOLDEN / "q1.bls").read_bytes()


def test_the_steps_of_the_example_are_those_of_a_decoder():
  data = (GOLDEN / "q1.bls").read_bytes()
  symbols, steps = _decode(GOLDEN / "model", data)
  positions = symbols.shape[0] * symbols.shape[1]
  taken = {f"activity {i},": steps[i] for i in range(positions)}
  taken |= {f"channel {i} ": steps[positions + i] for i in range(24)}
  lines = "".join(text for name, text in BLOCKS if name == "steps")
  assert len(lines.splitlines()) == 9
  for line in lines.splitlines():
    (expected,) = (step for name, step in taken.items() if name in line)
    numbers = re.search(
      r"size (\d+) +value - base (\d+) +\[a, b\) (\d+) (\d+) +index (\d+)", line
    )
    assert numbers is not None
    assert tuple(map(int, numbers.groups())) == expected
  activities = " ".join(str(step[4]) for step in steps[:positions])
  assert f"The 15 activities are {activities}." in TEXT
  assert symbols[0, 0, :4].tolist() == [15, 1, 2, 0]


def test_the_latent_of_the_example_follows_from_the_tables():
  with np.load(GOLDEN / "model/tables.npz") as f:
    offset, gain = float(f["offset"][0, 0]), float(f["inverse_gain"][0, 0])
  assert (
    f"(15 + {offset:.8f}) x {gain:.8f} = {(15 + offset) * gain:.4f}" in TEXT
  )


def test_the_model_id_is_what_the_document_says():
  folder = GOLDEN / "model"
  with np.load(folder / "weights.npz") as f:
    arrays = {n: f[n] for n in f.files if n.startswith("synthesis/")}
  tables = read_tables(folder / "tables.npz")
  arrays |= {f"tables/{name}": array for name, array in tables.items()}
  text = b"format_version:3;"
  for name, array in sorted(arrays.items()):
    shape = ",".join(map(str, array.shape))
    text += f"{name}:{array.dtype.str}:{shape};".encode() + array.tobytes()
  expected = hashlib.sha256(text).hexdigest()[:16]
  values = json.loads((folder / "config.json").read_text())
  assert values["model_id"] == expected
  assert values["format_version"] == container.VERSION


def test_the_newest_version_is_described():
  assert f"- Version {container.VERSION}: " in TEXT
