"""What a symbol is expected to cost, before its neighbours are known.

The table of another channel knows that its position codes the channel at all.
Until the ends of positions are chosen, a symbol other than 0 costs the bits of
its channel being coded as well; 0 mostly costs less than its table says, since
a position need not code it:

    P(s) = P(coded) table(s)
    P(0) = 1 - P(coded) (1 - table(0))

P(coded) follows from the tables of the ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bls2017.format import coding_tables, lanes


def of_symbols(tables: coding_tables.QualityTables) -> np.ndarray:
  """Bits of all table indices, multiples of 2**-8.

  Args:
    tables: The coding tables of a quality.

  Returns:
    float32 [K S + E + 1]: those of the other channels, activity after activity,
    those of the context channels' tables, and a 0 for what is not coded.
  """
  x = tables.contexts
  frequency = coding_tables.frequencies(tables.cdf).astype(np.float64)
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
  counts = coding_tables.frequencies(tables.end_cdf)
  others = np.arange(len(tables.live) - tables.contexts)
  reached = tables.ends[..., None] > others  # [K, G, R]
  return (counts[..., None] * reached).sum(1) / coding_tables.TOTAL


def table_starts(
  tables: coding_tables.QualityTables,
  activities: np.ndarray,
  contexts: Sequence[np.ndarray],
) -> np.ndarray:
  """Where the tables of symbols begin in what `of_symbols` gives.

  Args:
    tables: The coding tables of the quality.
    activities: Integers [positions].
    contexts: X times integers [positions], from `contexts`.

  Returns:
    int32 [positions, L].
  """
  starts = np.empty((len(activities), len(tables.live)), np.int32)
  sets = activities.astype(np.int32) * tables.cdf.shape[1]
  starts[:, tables.contexts :] = sets[:, None] + tables.starts
  for channel, of_channel in enumerate(contexts):
    begins = tables.context_starts[channel][activities, of_channel]
    starts[:, channel] = begins + tables.cdf.size
  return starts


def contexts(
  tables: coding_tables.QualityTables,
  indices: np.ndarray,
  near: lanes.Neighbours,
) -> list[np.ndarray]:
  """The contexts of the context channels.

  Args:
    tables: The coding tables of the quality.
    indices: Integers [positions, L], table indices.
    near: The neighbours of each position.

  Returns:
    X times uint8 [positions].
  """
  none = np.uint8(tables.contexts_of.shape[-1] - 1)
  found = []
  for channel, start in enumerate(tables.class_starts):
    of_symbols = tables.context_classes[start : start + tables.sizes[channel]]
    classes = np.append(of_symbols, none)
    left, other = neighbour_classes(classes, indices[:, channel], near)
    first, second = tables.contexts_of[:, channel]
    of_channel = first[left, other]
    of_channel[near.later] = second[left[near.later], other[near.later]]
    found.append(of_channel)
  return found


def neighbour_classes(
  classes: np.ndarray, indices: np.ndarray, near: lanes.Neighbours
) -> tuple[np.ndarray, np.ndarray]:
  """The two classes that make the context of each position.

  Args:
    classes: Integers [size + 1], of each table index of a channel, and at last
      what stands for no neighbour.
    indices: Integers [positions].
    near: The neighbours of each position.

  Returns:
    Integers [positions] of the type of `classes`, twice.
  """
  known = np.append(np.take(classes, indices), classes[-1])
  left, other = known[near.left], known[near.second]
  # Sums of two table indices need not fit into 16 bits.
  sums = indices[near.above].astype(np.int32) + indices[near.below]
  other[near.later] = np.take(classes, sums // 2)
  return left, other
