"""FORMAT.md tells the truth: its example, and a decoder written from it.

The decoder below uses nothing of the library, only what the document says.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib
import re
from typing import NamedTuple

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017.format import container, range_coder
from bls2017.model import packaged_models
from tests import images
from tests.conformance import conformance_set

ROOT = pathlib.Path(__file__).parents[3]
DOCUMENT = pathlib.Path(container.__file__).with_name("FORMAT.md")
TEXT = DOCUMENT.read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
GOLDEN = ROOT / "tests/golden/v5"
BLOCKS = re.findall(r"^```(\S+)\n(.*?)^```$", TEXT, re.M | re.S)

Step = tuple[int, int, int, int, int]
"""Range, value - base, lower and upper, and the table index."""


class Tables:
  """The arrays of tables.npz at one quality, tables as lists."""

  def __init__(self, path: pathlib.Path, index: int):
    with np.load(path) as f:
      size = f["size"][index].tolist()
      order = f["order"][index].tolist()
      self.minimum = f["minimum"][index].tolist()
      self.ends = f["ends"][index].tolist()
      self.of_ends = [_table(iter(c), len(c)) for c in f["end_cdf"][index]]
      self.activities = [
        _table(iter(c), len(c)) for c in f[f"activity_cdf/{index}"]
      ]
      self.kinds = [_kinds(table, self.of_ends) for table in self.activities]
      self.activity_tables = f[f"activity_tables/{index}"].tolist()
      self.surroundings = f[f"surroundings/{index}"].tolist()
      self.contexts_of = f[f"contexts_of/{index}"].tolist()
      self.lane_positions = int(f["lane_positions"][index])
      self.numbers = f[f"context_tables/{index}"].tolist()
      classes = f[f"context_classes/{index}"].tolist()
      cdf = f[f"cdf/{index}"].ravel().tolist()
      of_contexts = f[f"context_cdf/{index}"].tolist()
    self.live = [c for c in order if size[c] > 1]
    x = len(self.numbers)
    self.contexts, self.others = self.live[:x], self.live[x:]
    entries = iter(cdf)
    self.of_others = [
      [_table(entries, size[c]) for c in self.others] for _ in self.ends
    ]
    entries, left = iter(of_contexts), iter(classes)
    self.of_contexts, self.classes = [], []
    for c, numbers in zip(self.contexts, self.numbers):
      count = max(max(row) for row in numbers) + 1
      self.of_contexts.append([_table(entries, size[c]) for _ in range(count)])
      self.classes.append([next(left) for _ in range(size[c])])
    assert not [*entries, *left]


def _table(stored, size: int) -> list[int]:
  """The next table of so many symbols, its end included."""
  frequencies = []
  for v in itertools.islice(stored, size):
    exponent = max(int(v) // 16 - 1, 0)
    frequencies.append((int(v) - 16 * exponent) << exponent)
  largest = frequencies.index(max(frequencies))
  frequencies[largest] += 2**16 - sum(frequencies)
  return [0, *itertools.accumulate(frequencies)]


def _kinds(activities: list[int], ends: list[list[int]]) -> list[int]:
  """The table of kinds of a table of activities and those of their ends."""
  frequencies = [
    1 + (b - a) * (d - c) // 2**16
    for a, b, of_ends in zip(activities, activities[1:], ends)
    for c, d in zip(of_ends, of_ends[1:])
  ]
  largest = frequencies.index(max(frequencies))
  frequencies[largest] += 2**16 - sum(frequencies)
  return [0, *itertools.accumulate(frequencies)]


class Decoder:
  """The range decoder, which keeps the steps that it took."""

  def __init__(self, stream: bytes):
    self.steps: dict[str, Step] = {}
    self._stream = stream
    self._next = 4
    self._base, self._range = 0, 1 << 32
    self._value = int.from_bytes(stream[:4].ljust(4, b"\0"), "big")

  def decode(self, name: str, cdf: list[int]) -> int:
    offset = (self._value - self._base) % (1 << 32)
    bounds = [self._range * c // (1 << 16) for c in cdf]
    s = max(i for i, bound in enumerate(bounds) if bound <= offset)
    lower, upper = bounds[s], bounds[s + 1]
    self.steps[name] = (self._range, offset, lower, upper, s)
    self._base, self._range = (self._base + lower) % (1 << 32), upper - lower
    if self._range <= 1 << 16:
      taken = self._stream[self._next : self._next + 2].ljust(2, b"\0")
      self._next += 2
      self._base = (self._base << 16) % (1 << 32)
      self._range <<= 16
      self._value = (self._value << 16) % (1 << 32)
      self._value += int.from_bytes(taken, "big")
    return s


def _varint(data: bytes, at: int) -> tuple[int, int]:
  """An integer of seven bits a byte, and where it ends."""
  value, shift = 0, 0
  while True:
    value |= (data[at] & 0x7F) << shift
    at, shift = at + 1, shift + 7
    if data[at - 1] < 0x80:
      return value, at


class Lanes(NamedTuple):
  """The lanes of a file: what is stored of them, and where each begins."""

  m: int | None
  b: int | None
  bounds: list[int]


def _lanes(data: bytes) -> Lanes:
  size, at = _varint(data, 26)
  n, at = _varint(data, at + size)
  m = b = None
  lengths: list[int] = []
  if n > 1:
    m, at = _varint(data, at)
    b, at = data[at], at + 1
    num_bytes = -(-(n - 1) * b // 8)
    bits = int.from_bytes(data[at : at + num_bytes], "little")
    at += num_bytes
    lengths = [m + (bits >> i * b & (1 << b) - 1) for i in range(n - 1)]
  bounds = [at + sum(lengths[:i]) for i in range(n)]
  return Lanes(m, b, [*bounds, len(data)])


class Decoded(NamedTuple):
  """What a file decodes to.

  Attributes:
    symbols: int [h, w, C].
    kinds: Of each position.
    coded: How many of the other channels of each position are coded.
    steps: What each lane's decoder did, by lane, position and channel.
  """

  symbols: np.ndarray
  kinds: list[int]
  coded: list[int]
  steps: dict[str, Step]


def _decode(model: pathlib.Path, data: bytes) -> Decoded:
  tables = Tables(model / "tables.npz", data[5] - 8)
  height, width = np.frombuffer(data, "<u2", 2, 6).tolist()
  h, w = -(-height // 16), -(-width // 16)
  bounds = _lanes(data).bounds
  decoders = [Decoder(data[a:b]) for a, b in zip(bounds, bounds[1:])]
  n, count = len(decoders), h * w
  symbols = np.tile(tables.minimum, (count, 1))
  for c in tables.others:
    symbols[:, c] = 0
  kinds, coded, activities = [0] * count, [0] * count, [0] * count
  found: dict[tuple[int, int], int] = {}  # By position and context channel.
  for part in (0, 1):
    of_pass = [y * w + x for y in range(part, h, 2) for x in range(w)]
    for i, decoder in enumerate(decoders):
      first, end = (j * len(of_pass) // n for j in (i, i + 1))
      for k in range(first, end):
        p, where = of_pass[k], f"lane {i}, position {of_pass[k]}"
        known = min(k - first, p % w)
        above, below = p - w, p + w if p + w < count else p - w
        left = activities[p - 1] if known else -1
        v = tables.surroundings[activities[above]][activities[below]]
        cdf = tables.kinds[tables.activity_tables[v if part else -1][left]]
        kinds[p] = decoder.decode(f"{where}, kind", cdf)
        activities[p], number = divmod(kinds[p], len(tables.ends[0]))
        coded[p] = tables.ends[activities[p]][number]
        for j, c in enumerate(tables.contexts):
          classes = tables.classes[j]
          left = classes[found[p - 1, j]] if known else -1
          other = classes[found[p - 2, j]] if known > 1 and not part else -1
          if part:
            other = classes[(found[above, j] + found[below, j]) // 2]
          context = tables.contexts_of[part][j][left][other]
          cdf = tables.of_contexts[j][tables.numbers[j][activities[p]][context]]
          found[p, j] = decoder.decode(f"{where}, channel {c}", cdf)
          symbols[p, c] += found[p, j]
  rest = [(p, j) for p, c in enumerate(coded) for j in range(c)]
  for i, decoder in enumerate(decoders):
    for p, j in rest[i * len(rest) // n : (i + 1) * len(rest) // n]:
      c, cdf = tables.others[j], tables.of_others[activities[p]][j]
      s = decoder.decode(f"lane {i}, position {p}, channel {c}", cdf)
      symbols[p, c] = tables.minimum[c] + s
  steps = {k: step for d in decoders for k, step in d.steps.items()}
  return Decoded(symbols.reshape(h, w, -1), kinds, coded, steps)


def _golden(name: str) -> bytes:
  return (GOLDEN / f"{name}.bls").read_bytes()


def _assert_told(*sentences: str) -> None:
  for sentence in sentences:
    assert sentence in WORDS, sentence


@pytest.mark.parametrize("name", ["q1", "q1_5", "q2"])
def test_a_decoder_written_from_the_document_reads_golden_files(name):
  decoded = _decode(GOLDEN / "model", _golden(name))
  with np.load(GOLDEN / f"{name}.npz") as f:
    np.testing.assert_array_equal(decoded.symbols, f["symbols"])


@pytest.mark.parametrize(
  "entry", conformance_set.read_manifest()["sound"], ids=lambda e: e["file"]
)
def test_a_decoder_written_from_the_document_reads_the_conformance_set(entry):
  data = conformance_set.data(entry)
  folder = pathlib.Path(conformance_set.model_path(entry["model"]))
  symbols = _decode(folder, data).symbols
  found = conformance_set.digest(symbols.astype(np.int32))
  assert found == entry["symbols_sha256"]


@pytest.mark.parametrize("name", packaged_models.names())
def test_a_decoder_written_from_the_document_reads_packaged_models_files(name):
  codec = codec_lib.Codec.load(name)
  data = codec.compress(images.photograph(40, 60), 1, effort=1)
  symbols = _decode(pathlib.Path(packaged_models.directory(name)), data).symbols
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
  assert bytes.fromhex(content) == _golden("q1")


def test_the_steps_of_the_example_are_those_of_a_decoder():
  steps = _decode(GOLDEN / "model", _golden("q1")).steps
  lines = [
    line
    for name, text in BLOCKS
    if name == "steps"
    for line in text.splitlines()
  ]
  assert len(lines) >= 12
  for line in lines:
    told = re.fullmatch(
      r"(lane .*?) +range (\d+) +value - base (\d+)"
      r" +\[lower, upper\) (\d+) (\d+) +index (\d+)",
      line,
    )
    assert told is not None, line
    name, *numbers = told.groups()
    assert tuple(map(int, numbers)) == steps[name.strip()], line


def _listed(values) -> str:
  return " ".join(map(str, values))


def test_the_fields_of_the_example_are_those_of_its_file():
  data, tables = _golden("q1"), Tables(GOLDEN / "model/tables.npz", 0)
  height, width = np.frombuffer(data, "<u2", 2, 6).tolist()
  h, w, channels = _decode(GOLDEN / "model", data).symbols.shape
  lanes = _lanes(data)
  first, second, end = lanes.bounds
  _assert_told(
    f"has {len(data)} bytes",
    f"Quality index {data[5] - 8}, H = {height}, W = {width}:"
    f" P = {h} x {w} = {h * w} positions, P1 = {-(-h // 2) * w} and"
    f" P2 = {h // 2 * w}.",
    f"K = {len(tables.ends)} activities of G = {len(tables.ends[0])} ends,"
    f" L = C = {channels} live channels, of which X = {len(tables.contexts)}"
    f" are context channels, and lane_positions = {tables.lane_positions}",
    f"M = 0, n = {len(lanes.bounds) - 1}, m = {lanes.m} and b = {lanes.b}: the"
    f" first lane has the {second - first} bytes from {first} on, the second"
    f" the {end - second} from {second} on.",
  )


def test_the_tables_of_the_example_are_those_that_a_decoder_takes():
  tables = Tables(GOLDEN / "model/tables.npz", 0)
  decoded = _decode(GOLDEN / "model", _golden("q1"))
  activity, number = divmod(decoded.kinds[0], len(tables.ends[0]))
  surroundings, none = len(tables.activity_tables) - 1, len(tables.ends)
  classes = [
    tables.classes[j][decoded.steps[f"lane 0, position 0, channel {c}"][-1]]
    for j, c in enumerate(tables.contexts)
  ]
  first, second = tables.contexts_of
  alone = [of_channel[-1][-1] for of_channel in first]
  below = [of_channel[-1][c] for of_channel, c in zip(second, classes)]
  taking, lower, upper = next(
    (name.split()[-1], lower, upper)
    for name, (_, _, lower, upper, _) in decoded.steps.items()
    if upper - lower <= 1 << 16
  )

  def chosen(contexts):
    pairs = zip(tables.numbers, contexts)
    return _listed(numbers[activity][context] for numbers, context in pairs)

  around = tables.surroundings[activity][activity]
  _assert_told(
    f"Table {tables.activity_tables[-1][-1]} of the kinds is"
    f" `activity_tables[{surroundings}, {none}]`. Kind {decoded.kinds[0]} is"
    f" activity {activity} with its end {number}, which is {decoded.coded[0]}.",
    f"The context channels {_listed(tables.contexts)} have contexts"
    f" {_listed(alone)} and, for this activity, tables {chosen(alone)}.",
    f"After channel {taking} the range was {upper} - {lower} ="
    f" {upper - lower}, so two bytes were taken in.",
    f"surroundings {around} and table {tables.activity_tables[around][-1]} of"
    " the kinds.",
    f"are of classes {_listed(classes)}; with class {len(first[0]) - 1} to the"
    f" left they make contexts {_listed(below)}, and tables {chosen(below)}.",
  )


def test_the_rest_of_the_example_is_shared_out_as_it_says():
  tables = Tables(GOLDEN / "model/tables.npz", 0)
  _, kinds, ends, _ = decoded = _decode(GOLDEN / "model", _golden("q1"))
  half = sum(ends) // 2
  split = int(np.searchsorted(np.cumsum(ends), half, "right"))
  assert sum(ends[:split]) == half
  coded = tables.live[: len(tables.contexts) + ends[0]]
  _assert_told(
    f"The kinds of all positions are {_listed(kinds)}, their ends"
    f" {_listed(ends)}, T = {sum(ends)}.",
    f"So each lane has {half} table indices of the rest: the first lane has"
    f" those of positions 0 to {split - 1}.",
    f"The symbols of channels {_listed(coded)} of position 0 are"
    f" {_listed(decoded.symbols[0, 0, coded])}, all others are 0.",
  )


def test_the_latent_of_the_example_follows_from_the_tables():
  with np.load(GOLDEN / "model/tables.npz") as f:
    offset, gain = float(f["offset"][0, 0]), float(f["inverse_gain"][0, 0])
  symbol = _decode(GOLDEN / "model", _golden("q1")).symbols[0, 0, 0]
  latent = (symbol + offset) * gain
  _assert_told(f"({symbol} + {offset:.8f}) x {gain:.8f} = {latent:.4f}")


def test_the_other_files_of_the_example_hold_what_it_says():
  data = _golden("q1_5")
  first = int.from_bytes(data[31:35], "little")
  second = int.from_bytes(data[39 + first : 43 + first], "little")
  total = 8 + first + 8 + second
  _assert_told(f"M = {total} = 8 + {first} + 8 + {second}")
  lanes = _lanes(data)
  at = 27 + total
  _assert_told(
    f"n = {len(lanes.bounds) - 1} follows at {at}, and then the lane"
  )
  assert (data[26], data[at], lanes.bounds[0]) == (total, 1, at + 1)
  data = _golden("q2")
  lanes = _lanes(data)
  *others, before, last = np.diff(lanes.bounds).tolist()
  numbers = [length - lanes.m for length in (*others, before)]
  packed = data[lanes.bounds[0] - 2 : lanes.bounds[0]]
  bits = "".join(f"{number:0{lanes.b}b}"[::-1] + " " for number in numbers)
  _assert_told(
    f"lanes, of {', '.join(map(str, others))}, {before} and {last} bytes",
    f"n = 4, m = {lanes.m}, b = {lanes.b}, and the integers"
    f" {', '.join(map(str, numbers))} in {lanes.b * len(numbers)} bits:",
    f"{packed.hex(' ')} are the bits {bits.strip()} and four 0s",
  )


def test_the_configuration_of_the_document_is_the_golden_models():
  (text,) = (text for name, text in BLOCKS if name == "config.json")
  assert text == (GOLDEN / "model/config.json").read_text()


def test_digests_are_what_the_document_says():
  folder = GOLDEN / "model"
  values = json.loads((folder / "config.json").read_text())
  for name, expected in values["files"].items():
    content = bytes.fromhex(values["model_id"]) + (folder / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == expected


@pytest.mark.parametrize(
  "folder", [GOLDEN / "model", conformance_set.PAIRS], ids=lambda p: p.name
)
def test_the_model_id_is_what_the_document_says(folder):
  arrays = {}
  for path in sorted(folder.glob("weights*.npz")):
    pair = path.stem[len("weights_") :]
    with np.load(path) as f:
      for name in f.files:
        if name.startswith("synthesis/"):
          arrays[f"{pair}/{name}".lstrip("/")] = f[name]
  with np.load(folder / "tables.npz") as f:
    tables = {name: f[name] for name in f.files}
  read = [Tables(folder / "tables.npz", q) for q in range(len(tables["gain"]))]
  for name in sorted({name[:-2] for name in tables if name.endswith("/0")}):
    parts = [tables.pop(f"{name}/{q}").ravel() for q in range(len(read))]
    tables[name] = np.concatenate(parts)
  joined = itertools.chain.from_iterable
  for name, whole in (
    ("end_cdf", joined(t.of_ends for t in read)),
    ("activity_cdf", joined(t.activities for t in read)),
    ("cdf", joined(joined(t.of_others for t in read))),
    ("context_cdf", joined(joined(t.of_contexts for t in read))),
  ):
    flat = [n for table in whole for n in table[:-1]]
    tables[name] = np.array(flat, "<u2").reshape(tables[name].shape)
  arrays |= {f"tables/{name}": array for name, array in tables.items()}
  text = b"format:5;"
  for name, array in sorted(arrays.items()):
    shape = ",".join(map(str, array.shape))
    text += f"{name}:{array.dtype.str}:{shape};".encode() + array.tobytes()
  values = json.loads((folder / "config.json").read_text())
  assert values["model_id"] == hashlib.sha256(text).hexdigest()[:16]
  assert values["format"] == container.VERSION


def test_the_checksums_of_the_document_are_right():
  for length in (18, 40, 100):
    expected = f"{range_coder.fingerprint64(bytes(range(length))):016X}"
    text = "0, 1 ... 17 it is" if length == 18 else f"0 to {length - 1}"
    _assert_told(f"{text} {expected}")


def test_the_varint_of_the_document_is_right():
  _assert_told("300 is AC 02")
  assert _varint(bytes.fromhex("AC 02"), 0) == (300, 2)


def test_the_newest_version_is_described():
  assert f"- Version {container.VERSION}: " in TEXT
