"""The range coder and the checksum: range_coder.c, run as WebAssembly.

FORMAT.md describes the streams. A sequence of symbols has exactly one stream:
any other bytes that would decode to it are refused.

The bytes of strangers meet native code only here, and only inside the memory of
a WebAssembly instance. An instance serves one thread at a time, so each thread
has its own. They work on after a fork.
"""

from __future__ import annotations

import functools
import math
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import wasmtime

from bls2017 import errors
from bls2017.format import coding_tables, lanes

_MODULE = pathlib.Path(__file__).with_name("range_coder.wasm")

GROUP_INDICES = 1 << 20
"""Table indices coded by one call, which bounds the memory that it needs."""

_STATE_WORDS = 4
"""Numbers of 32 bits that hold a decoder."""

_PAGE_BYTES = 1 << 16
_KEPT_BYTES = 1 << 24
"""An instance whose memory grew beyond this is not kept for the next call."""

_of_thread = threading.local()


class Heads(NamedTuple):
  """What comes first in the lanes of an image, and says where the rest lies.

  Attributes:
    heads: uint16 [positions, 1 + X], the activity of each position and the
      table indices of the context channels.
    coded: uint16 [positions], how many of the other channels are coded.
    states: uint32 [lanes, 4], of the decoders behind the heads.
    begins: int64 [positions + 1], how many table indices of other channels are
      coded before each position, and in all.
  """

  heads: np.ndarray
  coded: np.ndarray
  states: np.ndarray
  begins: np.ndarray


def encode(
  rows: np.ndarray,
  shape: tuple[int, int],
  num_lanes: int,
  tables: coding_tables.QualityTables,
) -> list[bytes]:
  """Encodes the positions of an image.

  Args:
    rows: Integers [positions, 1 + L], the activity and the table indices of the
      live channels of each position, all of them inside their tables.
    shape: Positions along both sides.
    num_lanes: At least 1, at most as many as positions.
    tables: The coding tables of the quality.

  Returns:
    One stream for each lane.
  """
  coded = tables.coded_others(rows)
  begins = _begins(coded)
  bounds = lanes.bounds(int(begins[-1]), num_lanes)
  heads = _shorts(rows[:, : 1 + tables.contexts])
  streams: list[bytes] = []
  for group in _groups(len(rows), num_lanes, tables):
    count = group.stop - group.start
    steps = _lengths(bounds, group)
    part, skip = _covering(begins, bounds[group.start], bounds[group.stop])
    positions = count * lanes.most_positions(*shape, num_lanes)
    indices = positions * (1 + tables.contexts) + int(steps.sum())
    most = 2 * indices + coding_tables.MAX_LANE_END_BYTES * count
    payload, lengths = np.empty(most, np.uint8), np.empty(count, np.uint32)
    _run(
      "encode", _struct(tables), (*shape, num_lanes), group.start, count, heads,
      coded, steps, _shorts(rows[part]), coded[part], skip,
      out=(payload, lengths),
    )  # fmt: skip
    ends = np.cumsum(lengths).tolist()
    content = payload[: ends[-1]].tobytes()
    streams += [content[a:b] for a, b in zip([0, *ends], ends)]
  return streams


def decode_heads(
  streams: Sequence[bytes],
  shape: tuple[int, int],
  tables: coding_tables.QualityTables,
) -> Heads:
  """Decodes what comes first in the lanes of an image.

  Args:
    streams: One for each lane, of any bytes.
    shape: Positions along both sides of the image, at least as many as lanes.
    tables: The coding tables of the quality.

  Raises:
    errors.BitstreamError: if `encode` does not write these streams.
  """
  positions = math.prod(shape)
  heads = np.empty((positions, 1 + tables.contexts), np.uint16)
  coded = np.empty(positions, np.uint16)
  states = np.empty((len(streams), _STATE_WORDS), np.uint32)
  _decode(
    "decode_heads", tables, ((*shape, len(streams)),), streams,
    out=(heads, coded, states),
  )  # fmt: skip
  return Heads(heads, coded, states, _begins(coded))


def decode(
  streams: Sequence[bytes],
  heads: Heads,
  first: int,
  end: int,
  tables: coding_tables.QualityTables,
) -> np.ndarray:
  """Decodes a run of positions of an image, all of which inverts `encode`.

  Args:
    streams: One for each lane of the image, of any bytes.
    heads: What `decode_heads` gives for them.
    first: The first position.
    end: The position behind the last one.
    tables: The coding tables of the quality.

  Returns:
    uint16 [end - first, 1 + L].

  Raises:
    errors.BitstreamError: if `encode` does not write the lanes that hold the
      run: all lanes where all positions are asked for.
  """
  begins = heads.begins
  bounds = lanes.bounds(int(begins[-1]), len(streams))
  lane, last = 0, len(streams)
  if first:
    lane = int(np.searchsorted(bounds, begins[first], "right")) - 1
  if end < len(heads.coded):
    last = int(np.searchsorted(bounds, begins[end], "left"))
  group = slice(lane, max(lane, last))
  part, skip = _covering(begins, bounds[group.start], bounds[group.stop])
  part = slice(min(part.start, first), max(part.stop, end))
  rows = np.empty((part.stop - part.start, tables.columns), np.uint16)
  _decode(
    "decode_others", tables, (len(streams[group]), _lengths(bounds, group)),
    streams[group], heads.states[group], len(rows), heads.heads[part],
    heads.coded[part], skip, out=(rows,),
  )  # fmt: skip
  return rows[first - part.start : end - part.start]


def fingerprint64(data: bytes) -> int:
  """FarmHash Fingerprint64 of bytes, from 0 to 2**64 - 1."""
  hashed = _run("fingerprint64", np.frombuffer(data, np.uint8), len(data))
  return hashed % 2**64


def _begins(coded: np.ndarray) -> np.ndarray:
  """The sums of numbers before each one, and of all: int64 [n + 1]."""
  return np.concatenate([[0], np.cumsum(coded, dtype=np.int64)])


def _lengths(bounds: np.ndarray, group: slice) -> np.ndarray:
  """How long the runs of some lanes are: uint32 [lanes of the group]."""
  return np.diff(bounds[group.start : group.stop + 1]).astype(np.uint32)


def _covering(begins: np.ndarray, start: int, end: int) -> tuple[slice, int]:
  """The positions that hold some steps, and the steps of the first before."""
  first = int(np.searchsorted(begins, start, "right")) - 1
  stop = int(np.searchsorted(begins, end, "left"))
  return slice(first, max(first, stop)), int(start - begins[first])


def _groups(
  positions: int, num_lanes: int, tables: coding_tables.QualityTables
) -> Iterator[slice]:
  """The lanes that one call codes."""
  indices = positions * tables.columns
  step = max(GROUP_INDICES * num_lanes // max(indices, 1), 1)
  for start in range(0, num_lanes, step):
    yield slice(start, min(start + step, num_lanes))


def _shorts(rows: np.ndarray) -> np.ndarray:
  return np.ascontiguousarray(rows, np.uint16)


def _struct(tables: coding_tables.QualityTables) -> tuple[Any, ...]:
  """The fields of `Tables` in range_coder.c."""
  return (
    tables.num_activities,
    tables.ends.shape[1],
    len(tables.live),
    tables.contexts,
    len(tables.activity_tables) - 1,
    tables.contexts_of.shape[-1] - 1,
    tables.context_tables.shape[2],
    tables.cdf.shape[1],
    tables.kind_cdf,
    tables.activity_tables,
    tables.surroundings,
    tables.ends,
    tables.cdf,
    tables.starts.astype(np.uint32),
    tables.context_cdf,
    tables.context_starts.astype(np.uint32),
    tables.contexts_of,
    tables.context_classes,
    tables.class_starts.astype(np.uint32),
    tables.sizes.astype(np.uint16),
    tables.zeros.astype(np.uint16),
  )


def _decode(
  function: str,
  tables: coding_tables.QualityTables,
  lanes_of: tuple[Any, ...],
  streams: Sequence[bytes],
  *arguments: Any,
  out: Sequence[np.ndarray],
) -> None:
  """Calls one of the decoders of range_coder.c."""
  payload = np.frombuffer(b"".join(streams), np.uint8)
  lengths = np.array([len(stream) for stream in streams], np.uint32)
  try:
    is_sound = _run(
      function,
      _struct(tables),
      *lanes_of,
      payload,
      lengths,
      *arguments,
      out=out,
    )
  except wasmtime.Trap:
    is_sound = 0
  if not is_sound:
    raise errors.BitstreamError(
      "the payload is not what an encoder of this format writes"
    )


def _run(function: str, *arguments: Any, out: Sequence[np.ndarray] = ()) -> int:
  """Calls a function of range_coder.c.

  Args:
    function: Its name.
    *arguments: Numbers, contiguous arrays, of which it gets copies, and structs
      of them as tuples.
    out: Its last arguments: contiguous arrays, which it fills.
  """
  instance = getattr(_of_thread, "instance", None) or _Instance()
  # An instance whose call was interrupted or trapped is not used again.
  _of_thread.instance = None
  result = instance.run(function, arguments, out)
  if instance.memory_bytes <= _KEPT_BYTES:
    _of_thread.instance = instance
  return result


@functools.cache
def _compiled() -> tuple[wasmtime.Engine, wasmtime.Module]:
  config = wasmtime.Config()
  # By default, an instance reserves gigabytes of addresses, and traps are
  # signals of the process.
  config.memory_reservation = 0
  config.memory_guard_size = 0
  config.memory_reservation_for_growth = 1 << 20
  config.signals_based_traps = False
  engine = wasmtime.Engine(config)
  return engine, wasmtime.Module.from_file(engine, str(_MODULE))


class _Instance:
  """The module with a memory of its own, which arguments fill from the heap on.

  Attributes:
    memory_bytes: Of the memory.
  """

  def __init__(self) -> None:
    engine, module = _compiled()
    self._store = wasmtime.Store(engine)
    instance = wasmtime.Instance(self._store, module, [])
    exports: Any = instance.exports(self._store)
    self._exports = exports
    self._memory = exports["memory"]
    self._heap: int = exports["__heap_base"].value(self._store)

  @property
  def memory_bytes(self) -> int:
    return int(self._memory.data_len(self._store))

  def run(
    self, function: str, arguments: Sequence[Any], out: Sequence[np.ndarray]
  ) -> int:
    self._end = self._heap
    copied: list[tuple[int, np.ndarray]] = []
    values = [self._placed(value, copied) for value in arguments]
    filled: list[tuple[int, np.ndarray]] = []
    values += [self._placed(array, filled) for array in out]
    missing = self._end - self.memory_bytes
    if missing > 0:
      self._memory.grow(self._store, -(-missing // _PAGE_BYTES))
    buffer = self._memory.get_buffer_ptr(self._store)
    memory = np.frombuffer(buffer, np.uint8)
    for at, array in copied:
      memory[at : at + array.nbytes] = array.reshape(-1).view(np.uint8)
    result = self._exports[function](self._store, *values)
    for at, array in filled:
      array.reshape(-1).view(np.uint8)[:] = memory[at : at + array.nbytes]
    return int(result or 0)

  def _placed(self, value: Any, arrays: list[tuple[int, np.ndarray]]) -> int:
    """A number, or the address that an array or a struct gets."""
    if isinstance(value, tuple):
      fields = [self._placed(field, arrays) for field in value]
      value = np.array(fields, np.uint32)
    if not isinstance(value, np.ndarray):
      return int(value)
    start = -(-self._end // 8) * 8
    arrays.append((start, value))
    self._end = start + value.nbytes
    return start
