"""The range coder: its interface, and the normative description of a stream.

A stream codes a sequence of symbols, each with a table of cumulative
frequencies 0 = cdf[0] < ... < cdf[n] = 2**16. It is the range coder of
tensorflow-compression 2.14 (Martin 1979) without its escape code.

State of the encoder: an integer interval [base, base + size), at first
base = 0, size = 2**32, and a count w of 16-bit words, at first 0. For symbol s:

1. a = size * cdf[s] >> 16; b = size * cdf[s + 1] >> 16.
2. base = base + a; size = b - a.
3. If size <= 2**16: base = base << 16; size = size << 16; w = w + 1.

Invariants: 2**16 < size <= 2**32 before each symbol, and
base + size <= 2**(32 + 16 w): base is a number of 32 + 16 w bits, whose upper
16 w bits are the words that were shifted out of the lower 32.

End of the stream: let low = base mod 2**32. One number v of the interval is
chosen and written as bytes, the most significant first:

- if low + size > 2**32: v is the multiple of 2**32 in the interval; all
  trailing zero bytes are left out;
- else if low = 0: v = base, the first 2 w bytes;
- else, where base rounded up to a multiple of 2**24 lies inside the interval:
  that multiple, the first 2 w + 1 bytes;
- else base rounded up to a multiple of 2**16, the first 2 w + 2 bytes.

The decoder reads zeros past the end. Its state is the interval, with base
modulo 2**32, and `value`, the 32 bits of v at the same place:

1. find s such that a <= (value - base) mod 2**32 < b, with a and b as above;
2. narrow the interval to [base + a, base + b) as the encoder does;
3. if size <= 2**16, shift base, size and value by 16 bits, and take the next
   two bytes into value.

A sequence of symbols has exactly one stream: decoders refuse any other bytes
that would decode to the same symbols. They can encode again and compare, or
check at the end that v is the encoder's choice and that no byte is left over.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bls2017.bitstream import coding_tables


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
