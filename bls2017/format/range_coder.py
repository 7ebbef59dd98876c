"""The range coder and the checksum: range_coder.c, run as WebAssembly.

FORMAT.md describes the streams. A sequence of symbols has exactly one stream:
any other bytes that would decode to it are refused.

The bytes of strangers meet native code only here, and only inside the memory of
a WebAssembly instance. An instance serves one thread at a time, so each thread
has its own. They work on after a fork.
"""

from __future__ import annotations

import functools
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import wasmtime

from bls2017 import errors
from bls2017.format import coding_tables, lanes

_MODULE = pathlib.Path(__file__).with_name("range_coder.wasm")

_GROUP_INDICES = 1 << 20
"""Table indices coded by one call, which bounds the memory that it needs."""

_PAGE_BYTES = 1 << 16
_KEPT_BYTES = 1 << 24
"""An instance whose memory grew beyond this is not kept for the next call."""

_of_thread = threading.local()


def encode(
  rows: np.ndarray, tables: coding_tables.QualityTables
) -> list[bytes]:
  """Encodes the positions of an image.

  Args:
    rows: Integers [positions, 1 + L], the activity and the table indices of the
      live channels of each position, all of them inside their tables.
    tables: The coding tables of the quality.

  Returns:
    One stream for each lane.
  """
  streams: list[bytes] = []
  for start, end in _groups(len(rows), tables):
    count = lanes.num_lanes(end - start, tables.lane_positions)
    most = count * tables.max_lane_bytes(0)
    most += tables.max_lane_bytes(end - start)
    payload, lengths = np.empty(most, np.uint8), np.empty(count, np.uint32)
    group = np.ascontiguousarray(rows[start:end], np.uint16)
    _run("encode", _struct(tables), len(group), group, out=(payload, lengths))
    ends = np.cumsum(lengths).tolist()
    content = payload[: ends[-1]].tobytes()
    streams += [content[a:b] for a, b in zip([0, *ends], ends)]
  return streams


def decode(
  streams: Sequence[bytes], positions: int, tables: coding_tables.QualityTables
) -> np.ndarray:
  """Decodes lanes; the inverse of `encode`.

  Args:
    streams: One for each lane, of any bytes.
    positions: Of all lanes together.
    tables: The coding tables of the quality.

  Returns:
    uint16 [positions, 1 + L].

  Raises:
    errors.BitstreamError: if a stream is not what `encode` writes.
  """
  rows = np.empty((positions, tables.columns), np.uint16)
  for start, end in _groups(positions, tables):
    first = start // tables.lane_positions
    count = lanes.num_lanes(end - start, tables.lane_positions)
    group = streams[first : first + count]
    payload = np.frombuffer(b"".join(group), np.uint8)
    lengths = np.array([len(stream) for stream in group], np.uint32)
    try:
      sound = _run(
        "decode", _struct(tables), end - start, payload, lengths,
        out=(rows[start:end],),
      )  # fmt: skip
    except wasmtime.Trap:
      sound = 0
    if not sound:
      raise errors.BitstreamError(
        "the payload is not what an encoder of this format writes"
      )
  return rows


def fingerprint64(data: bytes) -> int:
  """FarmHash Fingerprint64 of bytes, from 0 to 2**64 - 1."""
  hashed = _run("fingerprint64", np.frombuffer(data, np.uint8), len(data))
  return hashed % 2**64


def _groups(
  positions: int, tables: coding_tables.QualityTables
) -> Iterator[tuple[int, int]]:
  """Runs of whole lanes that one call codes: first position, and the end."""
  lane = tables.lane_positions
  group = max(_GROUP_INDICES // (tables.columns * lane), 1) * lane
  for start in range(0, positions, group):
    yield start, min(start + group, positions)


def _struct(tables: coding_tables.QualityTables) -> tuple[Any, ...]:
  """The fields of `Tables` in range_coder.c."""
  sizes = tables.maximum - tables.minimum + 1
  return (
    tables.num_activities,
    len(tables.live),
    tables.cdf.shape[1],
    tables.lane_positions,
    tables.cdf,
    tables.activity_cdf,
    tables.starts[tables.live].astype(np.uint32),
    sizes[tables.live].astype(np.uint16),
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
