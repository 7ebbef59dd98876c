"""What a symbol is expected to cost, before its neighbours are known.

The table of another channel knows that its position codes the channel at all.
Until the ends of positions are chosen, a symbol other than 0 costs the bits of
its channel being coded as well; 0 mostly costs less than its table says, since
a position need not code it:

    P(s) = P(coded) table(s)
    P(0) = 1 - P(coded) (1 - table(0))

P(coded) follows from the kinds of the first positions of lanes, which may be of
any kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bls2017.format import coding_tables


def of_symbols(tables: coding_tables.QualityTables) -> np.ndarray:
  """Bits of all table indices, multiples of 2**-8.

  Args:
    tables: The coding tables of a quality.

  Returns:
    float32 [K S + E + 1]: those of the other channels, activity after activity,
    those of the context channels' tables, and a 0 for what is not coded.
  """
  x = tables.contexts
  frequency = coding_tables.upper_ends(tables.cdf) - tables.cdf.astype("f8")
  share = _coded_share(tables)
  coded = np.repeat(share, tables.sizes[x:], axis=1)
  zeros = tables.starts + tables.zeros[x:]
  mass = coded * frequency
  total = float(coding_tables.TOTAL)
  mass[:, zeros] = total - share * (total - frequency[:, zeros])
  bits = coding_tables.PRECISION - np.log2(mass)
  return np.concatenate(
    [
      coding_tables.rounded_lengths(bits).ravel(),
      tables.context_lengths,
      [0.0],
    ]
  ).astype(np.float32)


def _coded_share(tables: coding_tables.QualityTables) -> np.ndarray:
  """How many positions code a channel: float64 [K, R], 1 where all do."""
  cdf = tables.kind_cdf[-1:]
  kinds = (coding_tables.upper_ends(cdf) - cdf).reshape(tables.ends.shape)
  others = np.arange(len(tables.live) - tables.contexts)
  reached = tables.ends[..., None] > others  # [K, G, R]
  counts = (kinds[..., None] * reached).sum(1)
  return counts / kinds.sum(1, keepdims=True)


def table_starts(
  tables: coding_tables.QualityTables,
  activities: np.ndarray,
  classes: Sequence[np.ndarray],
) -> np.ndarray:
  """Where the tables of symbols begin in what `of_symbols` gives.

  Args:
    tables: The coding tables of the quality.
    activities: Integers [positions].
    classes: X times integers [positions], from `context_classes`.

  Returns:
    int32 [positions, L].
  """
  starts = np.empty((len(activities), len(tables.live)), np.int32)
  sets = activities.astype(np.int32) * tables.cdf.shape[1]
  starts[:, tables.contexts :] = sets[:, None] + tables.starts
  for channel, of_channel in enumerate(classes):
    begins = tables.context_starts[channel][activities, of_channel]
    starts[:, channel] = begins + tables.cdf.size
  return starts


def context_classes(
  tables: coding_tables.QualityTables, indices: np.ndarray
) -> list[np.ndarray]:
  """The class of each context channel's symbol at the position before.

  Args:
    tables: The coding tables of the quality.
    indices: Integers [positions, L], table indices.

  Returns:
    X times uint8 [positions]; the first position follows a symbol 0.
  """
  before = np.concatenate(
    [tables.zeros[None, : tables.contexts], indices[:-1, : tables.contexts]]
  )
  return [
    np.take(tables.context_classes, start + before[:, channel])
    for channel, start in enumerate(tables.class_starts)
  ]
