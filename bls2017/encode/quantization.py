"""Latents to symbols: rounding, and rounding that knows what a symbol costs.

A latent of scaled value u lies between the symbols k = floor(u) and k + 1. The
upper one is taken where u - k exceeds a threshold:

    threshold = 1/2 + strength (bits(k + 1) - bits(k))

With strength 0 this is rounding to the nearest symbol. With strength 1 / (2 w)
it minimises `bits + w (u - symbol)**2`: the cheaper symbol of both, mostly the
one closer to the middle of the table, gets more room. Decoders do not notice.

Optimised quantization bends the thresholds instead, which on average moves
files to a better curve of rate and distortion. With
increase = bits(k + 1) - bits(k), it adds to a threshold

    BEND increase |increase|     between 0 and its neighbours,
    -OUTWARD or OUTWARD          above and below: away from 0.

Between 0 and its neighbours the square of the increase gives large differences
in bits more weight than small ones. Elsewhere latents are rounded away from 0,
because the decoder amplifies latents by the energy around them: those that
become 0 take energy from their neighbours, which larger symbols give back. The
tables of a single activity predict the cost of a symbol too poorly for this, so
that latents are rounded with them.

Where tables know several activities (`bls2017.encode.activities`), the
activities of the rounded latents say what a symbol costs. They are chosen anew
for the final symbols. Optimised quantization rounds latents below DEAD_ZONE to
0 before it chooses the first activities, since most of them will become 0.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import numpy as np

from bls2017 import errors
from bls2017.common import blocks
from bls2017.encode import activities, expected_bits
from bls2017.format import coding_tables, lanes

_BLOCK = 256
"""Positions that are quantized at once."""

_MOST_STEPS = 16
"""How far from the nearest symbol a cheaper one is sought."""

BEND = 0.0035
OUTWARD = 0.03
"""The thresholds of optimised quantization; a search on held-out photographs
chose both numbers."""

DEAD_ZONE = 0.6
"""Optimised quantization expects scaled latents below it to become 0."""


class Quantized(NamedTuple):
  """The symbols of an image.

  Attributes:
    rows: int16 [positions, columns], the activity of each position, then the
      table indices of the live channels.
    bits: Information content of the rows under the tables.
    num_lanes: Lanes that the rows are to be coded in.
    clipped: Number of latents that lay beyond the ends of their tables.
  """

  rows: np.ndarray
  bits: float
  num_lanes: int
  clipped: int


@functools.lru_cache(maxsize=8)
def quantizer(tables: coding_tables.QualityTables) -> Quantizer:
  """The quantizer of a quality; those used last are kept."""
  return Quantizer(tables)


class Quantizer:
  """Quantizes the latents of images at one quality."""

  def __init__(self, tables: coding_tables.QualityTables):
    self._tables = tables
    self._chooser = activities.Chooser(tables)
    self._minimum = tables.minimum.astype(np.float32)
    self._maximum = tables.maximum.astype(np.float32)
    self._live_minimum = self._minimum[tables.live]
    self._last = tables.sizes - 1
    self._last_lower = (self._last - 1).astype(np.float32)
    self._increases, self._bends = _increases(tables)

  def scaled(self, latents: np.ndarray) -> np.ndarray:
    """The latents in the unit of the symbols.

    Args:
      latents: float32 [positions, C].

    Returns:
      float32 [positions, C]; the symbol k is decoded to k in this unit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
      scaled = latents * self._tables.gain
      scaled -= self._tables.offset
      return scaled

  def quantize(
    self,
    scaled: np.ndarray,
    shape: tuple[int, int],
    strength: float | np.ndarray = 0.0,
    optimised: bool = False,
  ) -> Quantized:
    """The symbols of scaled latents.

    Args:
      scaled: float32 [positions, C], from the method `scaled`.
      shape: Positions along both sides of the image.
      strength: The weight of a bit against half a squared error, a number for
        all positions or float32 [positions]. 0 is plain rounding. With a weight
        for each position, symbols beyond the two neighbours are tried as well.
      optimised: Whether thresholds are bent.

    Raises:
      errors.ModelError: if a latent is not finite.
    """
    return self._quantize(
      scaled, shape, strength, optimised, lambda block: block
    )

  def quantize_latents(
    self,
    latents: np.ndarray,
    shape: tuple[int, int],
    strength: float | np.ndarray = 0.0,
    optimised: bool = False,
  ) -> Quantized:
    """Quantizes as `quantize` does, but takes latents and scales them."""
    return self._quantize(latents, shape, strength, optimised, self.scaled)

  def _quantize(
    self,
    values: np.ndarray,
    shape: tuple[int, int],
    strength: float | np.ndarray,
    optimised: bool,
    scale: Callable[[np.ndarray], np.ndarray],
  ) -> Quantized:
    strength = np.asarray(strength, np.float32)
    optimised = optimised and self._tables.num_activities > 1
    rows = np.empty((len(values), self._tables.columns), np.int16)
    indices = rows[:, 1:]
    clipped = 0
    for block in blocks.blocks(len(values), _BLOCK):
      indices[block], outside = self._rounded(scale(values[block]), optimised)
      clipped += outside
    costs = self._chooser.costs(indices)
    choice = self._chooser.choose(costs, indices, shape)
    if strength.any() or optimised:
      known = expected_bits.contexts(
        self._tables, indices, lanes.neighbours(*shape)
      )
      costs_of = self._costs(strength, optimised, choice.activities, known)
      for block in blocks.blocks(len(values), _BLOCK):
        cheaper = self._weighed(scale(values[block]), costs_of(block))
        self._chooser.change(costs[block], indices[block], cheaper)
        indices[block] = cheaper
      choice = self._chooser.choose(costs, indices, shape)
    rows[:, 0] = choice.activities
    return Quantized(rows, choice.bits, choice.num_lanes, clipped)

  def _rounded(
    self, scaled: np.ndarray, optimised: bool
  ) -> tuple[np.ndarray, int]:
    """Rounds to the nearest symbols.

    Returns:
      int16 [positions, L], table indices of the live channels; and how many
      latents were clipped.
    """
    rounded = np.rint(scaled)
    if optimised:
      rounded *= np.abs(scaled) >= np.float32(DEAD_ZONE)
    # They are clipped as floats: a float that no integer can hold would change
    # its sign.
    inside = np.maximum(rounded, self._minimum)
    np.minimum(inside, self._maximum, out=inside)
    outside = inside != rounded  # True for infinities and NaN as well.
    clipped = int(np.count_nonzero(outside))
    if clipped and not np.all(np.isfinite(scaled[outside])):
      raise errors.ModelError("the model's latents of the image are not finite")
    inside -= self._minimum
    return np.take(inside.astype(np.int16), self._tables.live, axis=1), clipped

  def _costs(
    self,
    strength: np.ndarray,
    optimised: bool,
    chosen: np.ndarray,
    contexts: list[np.ndarray],
  ) -> Callable[[slice], _Costs]:
    """Gives the costs of the steps from symbol to symbol in a block."""
    steps = self._bends if optimised else np.zeros_like(self._bends)
    strengths = None
    if strength.ndim:
      strengths = strength[:, None]
    else:
      steps = steps + strength * self._increases

    def of_block(block: slice) -> _Costs:
      part = None if strengths is None else strengths[block]
      starts = expected_bits.table_starts(
        self._tables, chosen[block], [c[block] for c in contexts]
      )
      return _Costs(steps, self._increases, part, starts)

    return of_block

  def _weighed(self, scaled: np.ndarray, costs: _Costs) -> np.ndarray:
    """The table indices that cost least in all, int16 [positions, L]."""
    u = np.take(scaled, self._tables.live, axis=1)
    u -= self._live_minimum
    indices = self._nearly_nearest(u, costs)
    if costs.strength is not None:
      indices = self._descended(indices, u, costs)
    return indices.astype(np.int16)

  def _nearly_nearest(self, u: np.ndarray, costs: _Costs) -> np.ndarray:
    """The cheaper of the two neighbours of each u, int32 [positions, L]."""
    lower = np.floor(u)
    np.maximum(lower, 0, out=lower)
    np.minimum(lower, self._last_lower, out=lower)
    indices = lower.astype(np.int32)
    threshold = costs.upwards(indices)
    threshold += np.float32(0.5)
    indices += np.subtract(u, lower, out=lower) > threshold
    return indices

  def _descended(
    self, indices: np.ndarray, u: np.ndarray, costs: _Costs
  ) -> np.ndarray:
    """Moves table indices down and up as long as that pays."""
    for step in (1, -1):
      for _ in range(_MOST_STEPS):
        moved = np.clip(indices + step, 0, self._last)
        lower = np.minimum(indices, moved)
        further = (u - moved) ** 2 - (u - indices) ** 2
        gain = further + 2 * step * costs.upwards(lower)
        pays = (moved != indices) & (gain < 0)
        if not pays.any():
          break
        indices = np.where(pays, moved, indices)
    return indices


class _Costs(NamedTuple):
  """Costs of a step to the next symbol, in units of half a squared error.

  Attributes:
    steps: float32, the cost at each symbol of each table, as
      `expected_bits.of_symbols` has them.
    increases: float32, likewise the bits that count `strength` besides.
    strength: float32 [positions, 1]; None where it is 0 everywhere.
    starts: int32 [positions, L], where the tables begin in the flat arrays.
  """

  steps: np.ndarray
  increases: np.ndarray
  strength: np.ndarray | None
  starts: np.ndarray

  def upwards(self, lower: np.ndarray) -> np.ndarray:
    """The cost of the step up from table indices: float32 [positions, L]."""
    entries = lower + self.starts
    cost = np.take(self.steps, entries)
    if self.strength is not None:
      cost += self.strength * np.take(self.increases, entries)
    return cost


def _increases(
  tables: coding_tables.QualityTables,
) -> tuple[np.ndarray, np.ndarray]:
  """Bits that the next symbol of each table costs more, and what bends make.

  Both are float32, one after the other as `expected_bits.of_symbols` has them.
  The last symbol of a table has no next one.
  """
  lengths = expected_bits.of_symbols(tables)
  x, sets = tables.contexts, tables.num_activities
  copies = coding_tables.table_counts(tables.context_tables)
  channels = np.concatenate(
    [np.tile(np.arange(x, len(tables.live)), sets), np.repeat(range(x), copies)]
  ).astype(np.intp)
  sizes = tables.sizes[channels]
  ends = np.cumsum(sizes)
  symbols = np.arange(ends[-1] + 1) if len(ends) else np.zeros(1, np.intp)
  symbols[:-1] -= np.repeat(ends - sizes + tables.zeros[channels], sizes)
  increases = np.roll(lengths, -1) - lengths
  increases[ends - 1] = increases[-1] = 0
  if sets == 1:
    return increases, np.zeros_like(increases)
  return increases, bends(increases, symbols, np.where)


def bends(increase: Any, lower: Any, where: Callable[..., Any]) -> Any:
  """The amount that optimised quantization adds to thresholds.

  Args:
    increase: float32 [...], bits that the upper symbol costs more; an array or
      a tensor.
    lower: [...], the lower symbol; 0 is the middle of its table.
    where: `np.where` for arrays, `tf.where` for tensors.

  Returns:
    float32 [...], of the kind that `where` gives.
  """
  beside_zero = (lower == 0) | (lower == -1)
  outward = where(lower < 0, np.float32(OUTWARD), np.float32(-OUTWARD))
  return where(beside_zero, BEND * increase * abs(increase), outward)
