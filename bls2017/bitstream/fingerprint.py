"""FarmHash Fingerprint64, the checksum of a file.

The hash is Geof Pike's (https://github.com/google/farmhash). TensorFlow has it
as an operation, which is used where TensorFlow was imported anyway. Elsewhere
plain integers do: they take some 40 ms for a megabyte, and importing
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

_Pair = tuple[int, int]


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
  state = x, y, z, (0, 0), (0, 0)
  rest = (len(data) - 1) % _CHUNK
  whole = len(data) - 1 - rest
  for words in struct.iter_unpack("<8Q", memoryview(data)[:whole]):
    state = _step(words, *state, _K1, 1)
  x, y, z, v, w = state
  mul = _K1 + ((z & 0xFF) << 1)
  w0 = w[0] + rest
  v0 = v[0] + w0
  words = struct.unpack("<8Q", data[-_CHUNK:])
  x, y, z, v, w = _step(words, x, y, z, (v0, v[1]), (w0 + v0, w[1]), mul, 9)
  u = _mixed(v[0], w[0], mul) + _shift_mixed(y) * _K0 + z
  return _mixed(u, _mixed(v[1], w[1], mul) + x, mul)


def _step(
  words: tuple[int, ...],
  x: int,
  y: int,
  z: int,
  v: _Pair,
  w: _Pair,
  mul: int,
  factor: int,
) -> tuple[int, int, int, _Pair, _Pair]:
  """Takes a chunk of eight words into the state x, y, z, v, w."""
  v0, v1 = v
  w0, w1 = w
  x = _rotated(x + y + v0 + words[1], 37) * mul ^ w1 * factor
  y = _rotated(y + v1 + words[6], 42) * mul + v0 * factor + words[5]
  z = _rotated(z + w0, 33) * mul
  v = _weak(words[:4], v1 * mul, x + w0)
  w = _weak(words[4:], z + w1, y + words[2])
  return z & _MASK, y & _MASK, x & _MASK, v, w


def _weak(words: tuple[int, ...], a: int, b: int) -> _Pair:
  """A weak hash of four words and two seeds."""
  first, second, third, fourth = words
  a += first
  b = _rotated(b + a + fourth, 21)
  c = a
  a += second + third
  return (a + fourth) & _MASK, (b + _rotated(a, 44) + c) & _MASK


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
