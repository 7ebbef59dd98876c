"""Hostile files whose checksum is right, and damaged ones."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np

from bls2017.encode import candidates
from bls2017.format import coding_tables, container, lanes
from bls2017.model import model_directory
from tests import forging, images
from tests.bls2017.format import reference_coder

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "v5"

SIZES = ((1, 1), (16, 33), (48, 64), (100, 90), (160, 130))
"""Few, since every new size costs the transforms their preparation."""

LONGEST_LANE = 4
"""The most positions of a lane; so short, an image has many lanes."""


def damaged(data: bytes) -> dict[str, list[bytes]]:
  """Damages a file in every place; by the kind of damage."""
  number = int.from_bytes(data, "little")
  flipped = (number ^ 1 << bit for bit in range(8 * len(data)))
  zeroed = [
    data[:start] + bytes(16) + data[start + 16 :]
    for start in range(len(data) - 16)
  ]
  return {
    "cut": [data[:length] for length in range(len(data))],
    "bit": [changed.to_bytes(len(data), "little") for changed in flipped],
    "zero": [changed for changed in zeroed if changed != data],
    "appended": [data + bytes(n) for n in range(1, 1001)],
  }


def model() -> model_directory.FrozenModel:
  """The golden model with lanes of 1 to 4 positions, by the quality."""
  golden = model_directory.load(str(GOLDEN / "model"))
  lengths = np.arange(len(golden.tables)) % LONGEST_LANE + 1
  tables = dataclasses.replace(
    golden.tables, lane_positions=lengths.astype(np.uint16)
  )
  return dataclasses.replace(golden, tables=tables)


def hostile_files(
  model: model_directory.FrozenModel, seed: int, streams: int
) -> Iterator[bytes]:
  """Forges files of at least so many lanes together; the same for one seed."""
  rng = np.random.default_rng(seed)
  analysed = functools.cache(lambda *size: _analysed(model, *size))
  while streams > 0:
    size = SIZES[int(rng.integers(len(SIZES)))]
    index = int(rng.integers(len(model.tables)))
    parts = _parts(rng, analysed(*size, index))
    tables = model.quality_tables(index)
    longest = tables.max_lane_bytes(LONGEST_LANE)
    count = len(parts.streams)
    # One hostile lane among sound ones decides alone; or all are hostile.
    is_hostile = np.arange(count) == rng.integers(-1, count)
    is_hostile |= rng.random() < 0.4
    hostile = [
      _hostile_stream(rng, stream, longest) if chosen else stream
      for stream, chosen in zip(parts.streams, is_hostile)
    ]
    boxes = _hostile_boxes(rng) if rng.random() < 0.2 else parts.boxes
    data = forging.joined(parts._replace(boxes=boxes, streams=hostile))
    lanes_start = forging.HEADER_BYTES + len(boxes)
    for share, start, end in (
      (0.1, lanes_start, lanes_start + 20),
      (0.05, container.QUALITY_OFFSET, container.MODEL_ID_OFFSET + 1),
    ):
      if rng.random() < share:
        place = int(rng.integers(start, end)) % len(data)
        data = forging.changed(data, place, _hostile_byte(rng, data[place]))
    yield data
    streams -= count


def _analysed(
  model: model_directory.FrozenModel, height: int, width: int, index: int
) -> tuple[container.Header, np.ndarray, coding_tables.QualityTables]:
  """A photograph's header, rows and tables."""
  pixels = images.photograph(height, width, index)
  candidate = candidates.AnalysedImage(pixels, model).candidate(index)
  header = container.Header(height, width, index, model.model_id)
  return header, candidate.rows, model.quality_tables(index)


def _parts(
  rng: np.random.Generator,
  image: tuple[container.Header, np.ndarray, coding_tables.QualityTables],
) -> forging.Parts:
  """A file of any number of lanes; its positions may have ends too long."""
  header, rows, tables = image
  fewest = lanes.fewest(len(rows), tables.lane_positions)
  num_lanes = int(rng.choice([fewest, rng.integers(fewest, len(rows) + 1)]))
  data = container.pack(header, rows, num_lanes, tables)
  parts = forging.parts(container.unpack_body(data, header, tables))
  if rng.random() < 0.9:
    return parts
  numbers = list(
    map(reference_coder.whole_tables(tables).number, rows.tolist())
  )
  for place in rng.integers(len(rows), size=rng.integers(3)):
    numbers[place] = int(rng.integers(numbers[place], tables.ends.shape[1]))
  streams = reference_coder.encode_rows(
    rows, header.shape, num_lanes, tables, numbers
  )
  return parts._replace(streams=streams)


def _hostile_byte(rng: np.random.Generator, byte: int) -> bytes:
  return bytes([int(rng.choice([0, 1, byte ^ 1, 255]))])


def _hostile_boxes(rng: np.random.Generator) -> bytes:
  """Metadata, of which a byte may be another one."""
  boxes = [
    forging.box(b"fz%02d" % number, rng.bytes(rng.integers(1, 9)))
    for number in range(int(rng.choice([1, 3, container.MAX_BOXES])))
  ]
  field = forging.boxes_field(b"".join(boxes))
  if rng.random() < 0.7:
    return field
  place = int(rng.integers(len(field)))
  byte = _hostile_byte(rng, field[place])
  return field[:place] + byte + field[place + 1 :]


def _hostile_stream(
  rng: np.random.Generator, stream: bytes, longest: int
) -> bytes:
  kind = int(rng.integers(8))
  if kind == 0:
    return rng.bytes(int(rng.integers(0, min(longest, 200) + 1)))
  if kind == 1:
    return bytes(rng.choice([0, 0x20, 0x80, 0xFF], int(rng.integers(9))))
  if kind == 2:
    return b"\xff\x20" * int(rng.integers(1, 20))
  if kind == 3:
    return stream[: int(rng.integers(len(stream) + 1))]
  if kind == 4:
    return stream + bytes(rng.choice([0, 1, 255], int(rng.integers(1, 5))))
  if kind == 5:
    return bytes([int(rng.choice([0, 255]))]) * int(rng.integers(longest + 1))
  content = np.frombuffer(stream, np.uint8).copy()
  if len(content):
    places = rng.integers(len(content), size=rng.integers(1, 4))
    changes = 1 << rng.integers(8, size=len(places))
    if kind == 7:
      changes = rng.integers(256, size=len(places))
    content[places] ^= changes.astype(np.uint8)
  return content.tobytes()
