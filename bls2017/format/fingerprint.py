"""FarmHash Fingerprint64, the checksum of a file.

The hash is Geof Pike's (https://github.com/google/farmhash). TensorFlow has it
as an operation, which is used where TensorFlow was imported anyway. Elsewhere
plain integers do: they take some 20 ms for a megabyte, and importing
TensorFlow takes seconds.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_SEED = 81
_MASK = (1 << 64) - 1
_CHUNK = 64

_State = tuple[int, int, int, int, int, int, int]


def fingerprint(data: bytes) -> bytes:
  """FarmHash Fingerprint64 of bytes: 8 bytes, little-endian."""
  tensorflow: Any = sys.modules.get("tensorflow")
  if hasattr(tensorflow, "fingerprint"):
    return bytes(tensorflow.fingerprint([data])[0].numpy())
  return plain_fingerprint(data)


def plain_fingerprint(data: bytes) -> bytes:
  """`fingerprint` in plain integers."""
  length = len(data)
  if length > _CHUNK:
    value = _hash_chunks(data)
  elif length > 32:
    value = _hash_33_to_64(data)
  elif length > 16:
    value = _mixed(*_halves(data, _multiplier(length)))
  else:
    value = _hash_0_to_16(data)
  return value.to_bytes(8, "little")


def _hash_0_to_16(data: bytes) -> int:
  length = len(data)
  mul = _multiplier(length)
  if length >= 8:
    a = (_word(data, 0) + _K2) & _MASK
    b = _word(data, length - 8)
    u = _rotated(b, 37) * mul + a
    v = (_rotated(a, 25) + b) * mul
    return _mixed(u, v, mul)
  if length >= 4:
    first, last = (int.from_bytes(x, "little") for x in (data[:4], data[-4:]))
    return _mixed(length + (first << 3), last, mul)
  if length:
    y = data[0] + (data[length >> 1] << 8)
    z = length + (data[-1] << 2)
    return _shift_mixed(y * _K2 ^ z * _K0) * _K2 & _MASK
  return _K2


def _halves(data: bytes, mul: int) -> tuple[int, int, int]:
  """What `_mixed` takes for bytes of 17 to 32, and for a part of more."""
  length = len(data)
  a = _word(data, 0) * _K1
  b = _word(data, 8)
  c = _word(data, length - 8) * mul
  d = _word(data, length - 16) * _K2
  u = _rotated(a + b, 43) + _rotated(c, 30) + d
  return u, a + _rotated(b + _K2, 18) + c, mul


def _hash_33_to_64(data: bytes) -> int:
  length = len(data)
  mul = _multiplier(length)
  a = _word(data, 0) * _K2
  b = _word(data, 8)
  c = _word(data, length - 8) * mul
  d = _word(data, length - 16) * _K2
  y = _rotated(a + b, 43) + _rotated(c, 30) + d
  z = _mixed(y, a + _rotated(b + _K2, 18) + c, mul)
  e = _word(data, 16) * mul
  f = _word(data, 24)
  g = (y + _word(data, length - 32)) * mul
  h = (z + _word(data, length - 24)) * mul
  u = _rotated(e + f, 43) + _rotated(g, 30) + h
  return _mixed(u, e + _rotated(f + a, 18) + g, mul)


def _hash_chunks(data: bytes) -> int:
  """The hash of more than 64 bytes, in chunks of 64; the last may overlap."""
  x = (_SEED * _K2 + _word(data, 0)) & _MASK
  y = (_SEED * _K1 + 113) & _MASK
  z = _shift_mixed(y * _K2 + 113) * _K2 & _MASK
  rest = (len(data) - 1) % _CHUNK
  whole = len(data) - 1 - rest
  state = _stepped(memoryview(data)[:whole], (x, y, z, 0, 0, 0, 0), _K1, 1)
  x, y, z, v0, v1, w0, w1 = state
  mul = _K1 + ((z & 0xFF) << 1)
  w0 += rest
  v0 += w0
  state = _stepped(data[-_CHUNK:], (x, y, z, v0, v1, w0 + v0, w1), mul, 9)
  x, y, z, v0, v1, w0, w1 = state
  u = _mixed(v0, w0, mul) + _shift_mixed(y) * _K0 + z
  return _mixed(u, _mixed(v1, w1, mul) + x, mul)


def _stepped(
  chunks: bytes | memoryview, state: _State, mul: int, factor: int
) -> _State:
  """Takes chunks of eight words into the state x, y, z, v0, v1, w0, w1.

  All of it is written out: calls of `_rotated` would take a third of the time.
  """
  x, y, z, v0, v1, w0, w1 = state
  mask = _MASK
  for c0, c1, c2, c3, c4, c5, c6, c7 in struct.iter_unpack("<8Q", chunks):
    t = x + y + v0 + c1 & mask
    x = ((t >> 37 | t << 27) & mask) * mul ^ w1 * factor
    t = y + v1 + c6 & mask
    y = ((t >> 42 | t << 22) & mask) * mul + v0 * factor + c5 & mask
    t = z + w0 & mask
    z = ((t >> 33 | t << 31) & mask) * mul & mask
    # Weak hashes of four words and two seeds each.
    a = v1 * mul + c0
    t = x + w0 + a + c3 & mask
    b = t >> 21 | t << 43
    s = a + c1 + c2 & mask
    v0 = s + c3 & mask
    v1 = b + (s >> 44 | s << 20) + a & mask
    a = z + w1 + c4
    t = y + c2 + a + c7 & mask
    b = t >> 21 | t << 43
    s = a + c5 + c6 & mask
    w0 = s + c7 & mask
    w1 = b + (s >> 44 | s << 20) + a & mask
    x, z = z, x & mask
  return x, y, z, v0, v1, w0, w1


def _mixed(u: int, v: int, mul: int) -> int:
  """Two words as one."""
  a = _shift_mixed((u ^ v) * mul)
  b = _shift_mixed((v ^ a) * mul)
  return b * mul & _MASK


def _shift_mixed(value: int) -> int:
  value &= _MASK
  return value ^ value >> 47


def _rotated(value: int, bits: int) -> int:
  """The lower 64 bits of a value, rotated to the right."""
  value &= _MASK
  return (value >> bits | value << (64 - bits)) & _MASK


def _multiplier(length: int) -> int:
  return _K2 + 2 * length


def _word(data: bytes, at: int) -> int:
  return int.from_bytes(data[at : at + 8], "little")
