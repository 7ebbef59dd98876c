"""Graphs without the weights that their model directory has anyway.

LiteRT's graphs hold the weights of a model a second time: its kernels and its
norms as 32-bit floats in another order, and some as a part of their taps. `cut`
takes those ranges of bytes out and notes what they were, `splice` puts them
back. Biases, scaled kernels and whatever else a graph has stay in it. Weights
that are stored as 16-bit floats have the same values as 32-bit floats.

A cut graph is a line of JSON, the list of its `Piece`s, and then the bytes that
are left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.common import config

LEAST_BYTES = 1024
"""Shorter ranges stay in the graph."""

Taps = tuple[tuple[int, int], tuple[int, int]]


class Piece(NamedTuple):
  """A range of a graph's bytes, as it is found in the weights.

  Attributes:
    at: Bytes of the cut graph before it.
    array: Name of the weights: a kernel, or the norm of a GDN, [in, out].
    taps: First one and step along rows and columns, up to the last tap or down
      to the first one; None for a norm.
  """

  at: int
  array: str
  taps: Taps | None

  def content(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Its numbers, float32, in the order of its bytes."""
    array = weights[self.array]
    if self.taps is None:
      return np.ascontiguousarray(array.T, "<f4")
    rows, columns = (slice(first, None, step) for first, step in self.taps)
    # From [rows, columns, in, out] to [out, rows, columns, in].
    array = array[rows, columns].transpose(3, 0, 1, 2)
    return np.ascontiguousarray(array, "<f4")


def cut(graph: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
  """A graph without what the weights have.

  Args:
    graph: Any bytes.
    weights: Named float arrays, as `splice` will get them.
  """
  ends: dict[int, tuple[int, Piece]] = {}  # By where they start in the graph.
  for piece in _possible(weights):
    content = piece.content(weights).tobytes()
    start = graph.find(content)
    end = start + len(content)
    overlaps = any(start < e and s < end for s, (e, _) in ends.items())
    if start >= 0 and not overlaps:
      ends[start] = end, piece
  pieces, left, done = [], bytearray(), 0
  for start, (end, piece) in sorted(ends.items()):
    left += graph[done:start]
    pieces.append(piece._replace(at=len(left)))
    done = end
  left += graph[done:]
  header = json.dumps([piece._asdict() for piece in pieces])
  result = header.encode() + b"\n" + left
  assert splice(result, weights) == graph
  return result


def splice(content: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
  """The inverse of `cut`.

  Args:
    content: Of a cut graph.
    weights: The same; only arrays that the graph shares are asked for.

  Raises:
    errors.ModelError: if the list of pieces is damaged, or not of these
      weights.
  """
  header, _, left = content.partition(b"\n")
  parts: list[bytes | memoryview] = []
  done = 0
  try:
    pieces = [Piece(**values) for values in json.loads(header)]
    arrays = {name: weights[name] for name in {p.array for p in pieces}}
    for piece in pieces:
      if not done <= piece.at <= len(left):
        raise ValueError(f"there is no piece {piece}")
      parts += [left[done : piece.at], piece.content(arrays).data]
      done = piece.at
  except (IndexError, KeyError, TypeError, ValueError) as e:
    raise errors.ModelError(f"a graph does not fit its weights: {e!r}") from e
  return b"".join([*parts, left[done:]])


def _possible(weights: Mapping[str, np.ndarray]) -> Iterator[Piece]:
  """All pieces that a graph may have, the largest of each array first."""
  for name, array in weights.items():
    if array.size * np.dtype(np.float32).itemsize < LEAST_BYTES:
      continue
    if name.endswith("/gamma"):
      yield Piece(0, name, None)
    elif name.endswith("/kernel"):
      for taps in _possible_taps(*array.shape[:2]):
        yield Piece(0, name, taps)


def _possible_taps(rows: int, columns: int) -> Iterator[Taps]:
  """All taps of a kernel; those of a phase of upsampling, the last one first.

  A correlation at the low resolution (`frozen_transforms`) meets the taps of a
  convolution up in the opposite order.
  """
  yield (0, 1), (0, 1)
  for stride in sorted({stride for _, stride in config.STAGES}):
    for p in range(stride):
      for q in range(stride):
        yield (rows - 1 - p, -stride), (columns - 1 - q, -stride)
