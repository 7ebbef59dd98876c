"""Long arrays in blocks, so that what is temporary stays in the caches."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(length: int, size: int) -> Iterator[slice]:
  """The slices of at most `size` items that `length` items are cut into."""
  for start in range(0, length, size):
    yield slice(start, start + size)
