"""The range coder's interface; FORMAT.md describes its streams.

A stream codes a sequence of table indices, each with a table of cumulative
frequencies. A sequence has exactly one stream: decoders refuse any other bytes
that would decode to the same indices.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bls2017.format import coding_tables


class RangeCoder(Protocol):
  """A runtime of the range coder; all runtimes write the same bytes."""

  def encode(
    self, rows: np.ndarray, tables: coding_tables.QualityTables
  ) -> list[bytes]:
    """Codes the positions of an image.

    Args:
      rows: Integers [positions, columns], table indices: the activity, where
        the tables know several, and those of the live channels; inside the
        tables.
      tables: Tables of the quality.

    Returns:
      One stream for each lane.
    """

  def decode(
    self,
    streams: list[bytes],
    positions: int,
    tables: coding_tables.QualityTables,
  ) -> np.ndarray:
    """The inverse of `encode`.

    Args:
      streams: One for each lane; any bytes.
      positions: Positions of the image.
      tables: Tables of the quality.

    Returns:
      int32 [positions, columns].

    Raises:
      errors.BitstreamError: if a stream is not what `encode` writes for any
        symbols.
    """
