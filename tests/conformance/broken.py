"""Broken files, made of a sound one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bls2017.format import coding_tables, container, lanes, range_coder
from tests import alpha_boxes, forging
from tests.bls2017.format import reference_coder
from tests.forging import box, changed, seal

FOREIGN = "ForeignModelError"
LIMIT = "LimitError"

_LARGEST = b"\xff\xff\xff\xff"
"""Height and width of the largest image that the format holds."""

_FAULTS_OF_ALPHA = (
  "a JPEG file", "followed by a byte", "of another height",
  "of another width", "two chunks of samples",
  "no samples", "a chunk before", "no end", "no header", "a wrong checksum",
  "a byte behind", "cut by 1", "a row missing", "a row more",
  "a last filter of no type", "a smaller window", "an empty block too much",
)  # fmt: skip


class Case(NamedTuple):
  """A broken file.

  Attributes:
    name: Of the file.
    fault: What is wrong with it.
    data: Its bytes.
    error: The library's name of the error that it must give.
  """

  name: str
  fault: str
  data: bytes
  error: str = "BitstreamError"


def cases(
  sound: container.File, many: container.File, qualities: int
) -> list[Case]:
  """Makes all broken files of a model.

  Args:
    sound: A file of 4 lanes whose lengths differ, with metadata.
    many: A file of so many positions that one lane cannot hold them.
    qualities: How many the model has.
  """
  return [
    *_header(sound.data, qualities),
    *_two_faults(sound),
    *_boxes(sound),
    *_numbers(sound, many),
    *_lengths(sound),
    *_streams(sound),
  ]


def _header(data: bytes, qualities: int) -> list[Case]:
  """Faults of the header, in the order in which a reader looks for them."""
  flipped = data[:-1] + bytes([data[-1] ^ 1])
  above = bytes([container.FIRST_QUALITY + qualities])
  return [
    Case("empty", "it has no bytes", b""),
    Case("magic", "another magic", b"\x89PNG" + data[4:]),
    Case(
      "magic-sealed",
      "another magic, the checksum right",
      changed(data, 0, b"\x89BLT"),
    ),
    Case("version-0", "version 0", changed(data, 4, b"\0")),
    Case("version-3", "version 3", changed(data, 4, b"\3")),
    Case("version-255", "version 255", changed(data, 4, b"\xff")),
    Case("header", "it ends within its header", data[:25]),
    Case("cut", "its last byte is missing", data[:-1]),
    Case("bit", "a bit is another one", flipped),
    Case("height", "height 0", changed(data, 6, b"\0\0")),
    Case("width", "width 0", changed(data, 8, b"\0\0")),
    Case("low-quality", "a quality below 1", changed(data, 5, b"\7")),
    Case("foreign", "another model", _foreign(data), FOREIGN),
    Case(
      "next-quality",
      "a quality a step above its model's",
      changed(data, 5, above),
    ),
    Case(
      "high-quality",
      "a quality that its model lacks",
      changed(data, 5, b"\xff"),
    ),
    Case("limit", "over the limit", changed(data, 6, _LARGEST), LIMIT),
    Case(
      "short",
      "it is too short for its image",
      changed(data, 6, b"\0\x20\0\x20"),
    ),
  ]


def _two_faults(sound: container.File) -> list[Case]:
  """Files with two faults, of which the first one counts."""
  data, foreign = sound.data, _foreign(sound.data)
  checksum = bytearray(foreign)
  checksum[18] ^= 1
  header = changed(data, 6, _LARGEST)[: forging.HEADER_BYTES]
  boxes = _with_boxes(sound, box(b"bbbb", b"2") + box(b"aaaa", b"1"))
  return [
    Case("checksum-foreign", "checksum, model", bytes(checksum)),
    Case("height-foreign", "height, model", changed(foreign, 6, b"\0\0")),
    Case(
      "foreign-quality", "model, quality", changed(foreign, 5, b"\xff"), FOREIGN
    ),
    Case(
      "quality-limit", "quality, limit", changed(data, 5, b"\xff" + _LARGEST)
    ),
    Case("limit-lanes", "limit, lanes", seal(header), LIMIT),
    Case(
      "boxes-limit",
      "boxes out of their order, limit",
      changed(boxes, 6, _LARGEST),
      LIMIT,
    ),
  ]


def _boxes(sound: container.File) -> list[Case]:
  """Faults of the metadata."""
  a, b = box(b"aaaa", b"1"), box(b"bbbb", b"2")
  many = b"".join(box(b"%04d" % number, b"1") for number in range(65))
  cases = [
    Case(f"boxes-{name}", fault, _with_boxes(sound, content))
    for name, fault, content in (
      ("order", "boxes out of their order", b + a),
      ("twice", "two boxes of one type", a + a),
      ("empty", "a box of no bytes", a + box(b"bbbb", b"")),
      ("type", "a type that is not printable", box(b"aa\x1fa", b"1")),
      ("type-7f", "a type with a byte of 7F", box(b"aa\x7fa", b"1")),
      ("long", "a box that ends behind the boxes", a + b[:-1]),
      ("cut", "boxes that end within a box's header", a + b[:5]),
      ("many", "65 boxes", many),
    )
  ]
  parts = forging.parts(sound)
  return [
    *cases,
    *(
      Case(f"boxes-{name}", fault, forging.joined(parts._replace(boxes=field)))
      for name, fault, field in (
        (
          "behind",
          "boxes that end behind the file",
          forging.number(len(sound.data)) + parts.boxes[1:],
        ),
        (
          "misspelt",
          "a length of the boxes with a byte too many",
          forging.number(0, spare=1),
        ),
        (
          "five-bytes",
          "a length of the boxes of 5 bytes",
          forging.number(1 << 28),
        ),
      )
    ),
    Case("boxes-none", "it ends before the boxes", seal(sound.data[:26])),
    Case(
      "boxes-number-cut",
      "it ends within the length of the boxes",
      seal(sound.data[:26] + b"\xff"),
    ),
  ]


def _numbers(sound: container.File, many: container.File) -> list[Case]:
  """Faults of the number of lanes."""
  parts, n = forging.parts(sound), sound.num_lanes
  sizes = [len(stream) for stream in parts.streams]
  positions = sound.header.positions
  streams = range_coder.encode(many.rows(), many.header.shape, 1, many.tables)
  too_few = forging.parts(many)._replace(streams=streams)
  rest = forging.lanes_field(sizes)[1:]
  # Lanes beyond the positions would have no heads.
  too_many = reference_coder.encode_rows(
    sound.rows(), sound.header.shape, positions + 1, sound.tables
  )
  return [
    *(
      Case(f"lanes-{name}", fault, forging.joined(parts, field + rest))
      for name, fault, field in (
        ("none", "no lanes", forging.number(0)),
        ("misspelt", "a number of lanes, and a byte", forging.number(n, 1)),
        ("misspelt-long", "the same of 4 bytes", forging.number(n, 3)),
        ("five-bytes", "a number of lanes of 5 bytes", forging.number(n, 4)),
      )
    ),
    Case("lanes-few", "a lane of too many positions", forging.joined(too_few)),
    Case(
      "lanes-many",
      "more lanes than positions",
      forging.joined(parts._replace(streams=too_many)),
    ),
    Case(
      "lanes-most",
      "as many lanes as a number can tell",
      forging.joined(parts, forging.number((1 << 28) - 1) + rest),
    ),
    Case(
      "lanes-cut",
      "it ends before the number of lanes",
      seal(sound.data[:26] + parts.boxes),
    ),
    Case(
      "lanes-number-cut",
      "it ends within the number of lanes",
      seal(sound.data[:26] + parts.boxes + b"\x84"),
    ),
  ]


def _lengths(sound: container.File) -> list[Case]:
  """Faults of the lengths of the lanes."""
  parts = forging.parts(sound)
  sizes = [len(stream) for stream in parts.streams]
  smallest = min(sizes[:-1])
  width = (max(sizes[:-1]) - smallest).bit_length()
  assert width and (len(sizes) - 1) * width % 8, "no bit is left over"
  right = forging.lanes_field(sizes)

  def field(smallest: bytes, width: int | None = None) -> bytes:
    return forging.lanes_field(sizes, smallest=smallest, width=width)

  behind_smallest = right[1 + len(forging.number(smallest)) :]

  def with_smallest(number: int) -> bytes:
    return right[:1] + forging.number(number) + behind_smallest

  faults = [
    (
      "smallest",
      "the smallest number of the lane lengths is not 0",
      field(forging.number(smallest - 1)),
    ),
    (
      "misspelt",
      "the smallest lane length with a byte too many",
      field(forging.number(smallest, spare=1)),
    ),
    (
      "wide",
      "more bits for the lane lengths than they need",
      field(forging.number(smallest), width + 1),
    ),
    (
      "17-bits",
      "lane lengths of 17 bits",
      field(forging.number(smallest), 17),
    ),
    (
      "spare-bit",
      "a bit left over from the lane lengths is set",
      right[:-1] + bytes([right[-1] | 0x80]),
    ),
    ("long", "a lane ends behind the file", with_smallest(smallest + 0x1000)),
    ("65536", "a lane length above 65535", with_smallest(65536)),
    (
      "most",
      "the smallest lane length as long as a number can tell",
      with_smallest((1 << 28) - 1),
    ),
  ]
  cases = [
    Case(f"lengths-{name}", fault, forging.joined(parts, lanes))
    for name, fault, lanes in faults
  ]
  for name, fault, length in (
    ("none", "it ends before the lane lengths", 1),
    ("no-bits", "it ends before the bits of a lane length", 2),
    ("cut", "it ends within the lane lengths", len(right) - 1),
  ):
    cut = sound.data[:26] + parts.boxes + right[:length]
    cases.append(Case(f"lengths-{name}", fault, seal(cut)))
  return cases


def _streams(sound: container.File) -> list[Case]:
  """Faults of a lane's content."""
  streams = forging.parts(sound).streams
  positions = lanes.most_positions(*sound.header.shape, sound.num_lanes)
  most = sound.tables.max_lane_bytes(positions)
  return [
    Case(name, fault, _with_stream(sound, lane, stream))
    for name, fault, lane, stream in (
      (
        "lane-too-long",
        "a lane longer than its symbols can need",
        0,
        b"\xff" * (most + 1),
      ),
      (
        "lane-longest",
        "a lane as long as its symbols can need",
        0,
        b"\xff" * most,
      ),
      (
        "last-lane-too-long",
        "a last lane longer than its symbols can need",
        -1,
        bytes(most + 1),
      ),
      ("zero-appended", "a lane with a zero at its end", 0, streams[0] + b"\0"),
      ("byte-appended", "a lane with a byte more", 0, streams[0] + b"\1"),
      (
        "last-lane-zero",
        "a last lane with a zero at its end",
        -1,
        streams[-1] + b"\0",
      ),
      ("lane-empty", "a lane of no bytes", 0, b""),
      ("lane-zeros", "a lane of zeros", 0, bytes(51)),
    )
  ]


def next_stream(
  stream: bytes, interval: reference_coder.Interval
) -> bytes | None:
  """As many bytes for the next number, where that is in the interval too."""
  base, size, words = interval
  missing = 2 * words + 4 - len(stream)
  number = int.from_bytes(stream, "big") + 1
  if missing >= 4 or number << 8 * missing >= base + size:
    return None
  return number.to_bytes(len(stream), "big")


def endings(name: str, file: container.File) -> list[Case]:
  """Spells the end of a stream in other ways, which decode to the same.

  Args:
    name: Of the file.
    file: One of one lane.
  """
  (steps,) = reference_coder.lane_steps(
    file.rows(), file.header.shape, 1, file.tables
  )
  base, size, words = interval = reference_coder.narrowed(steps)
  (stream,), length = forging.parts(file).streams, 2 * words + 4
  following = next_stream(stream, interval)
  cases = [
    (f"{name}-zero", "a zero too many", stream + b"\0"),
    (
      f"{name}-behind",
      "a byte behind those that are read",
      stream.ljust(length, b"\0") + b"\1",
    ),
    (
      f"{name}-longer",
      "another number, of more bytes",
      (base + size - 1).to_bytes(length, "big"),
    ),
  ]
  if following:
    cases.append(
      (f"{name}-next", "the next number of as many bytes", following)
    )
  if stream.endswith(b"\0"):
    cases.append((f"{name}-short", "a zero too few", stream[:-1]))
  for _, _, other in cases:
    decoder = reference_coder.Decoder(other)
    assert all(decoder.decode(cdf) == s for s, cdf in steps), "other symbols"
  return [
    Case(name, f"the end of a stream: {fault}", _with_stream(file, 0, other))
    for name, fault, other in cases
  ]


def ends(
  header: container.Header, tables: coding_tables.QualityTables
) -> list[Case]:
  """Positions of other ends than they need.

  Args:
    header: Of an image of two positions.
    tables: Of its quality. The second end of activity 0 is longer than the
      first, and one of the others repeats the one before it.
  """
  rows = np.tile([0, *tables.zeros], (2, 1))
  repeated = int(np.flatnonzero(np.diff(tables.ends[0]) == 0)[0]) + 1
  split = rows.copy()
  split[0, tables.contexts + tables.ends[0, 0]] += 1
  needed = rows.copy()
  needed[1, tables.contexts + tables.ends[0, repeated]] += 1
  cases = []
  for name, fault, of_image, num_lanes, numbers in (
    ("long", "an end is longer than it has to be", rows, 1, [1, 0]),
    ("last-long", "the last end is longer than it has to be", rows, 1, [0, 1]),
    ("repeated", "an end repeats the one before", needed, 1, [0, repeated]),
    (
      "split",
      "an end is longer than it has to be, two lanes hold its channels",
      split,
      2,
      [0, 1],
    ),
  ):
    streams = reference_coder.encode_rows(
      of_image, header.shape, num_lanes, tables, numbers
    )
    fields = container.pack(header, of_image, 2, tables)[:18]
    parts = forging.Parts(fields, forging.boxes_field(b""), streams)
    cases.append(Case(f"end-{name}", fault, forging.joined(parts)))
  return cases


def alpha(sound: container.File) -> list[Case]:
  """Faults of alpha, some of those that readers are tested with.

  Args:
    sound: A file without other boxes.
  """
  header = sound.header
  return [
    Case(
      f"alpha-{case.name.replace(' ', '-')}",
      f"alpha: {case.name}",
      _with_boxes(sound, box(container.ALPHA, case.content)),
    )
    for case in alpha_boxes.broken(header.height, header.width)
    if case.name in _FAULTS_OF_ALPHA
  ]


def _with_boxes(sound: container.File, content: bytes) -> bytes:
  boxes = forging.boxes_field(content)
  return forging.joined(forging.parts(sound)._replace(boxes=boxes))


def _with_stream(sound: container.File, lane: int, stream: bytes) -> bytes:
  parts = forging.parts(sound)
  parts.streams[lane] = stream
  return forging.joined(parts)


def _foreign(data: bytes) -> bytes:
  return changed(data, container.MODEL_ID_OFFSET, b"a model!")
