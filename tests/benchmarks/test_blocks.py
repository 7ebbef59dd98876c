from __future__ import annotations

import numpy as np
import pytest

from tests import images
from tests.benchmarks import blocks


def test_a_photograph_has_no_block_excess() -> None:
  x = images.photograph(256, 320)
  assert blocks.block_excess(x) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("shift", [0, 5])
def test_only_steps_on_the_grid_count(shift: int) -> None:
  # Blocks of 16 pixels that differ by 6 grey levels, like a chessboard.
  y, x = (np.arange(n) + shift for n in (128, 160))
  board = 100 + 6 * ((y[:, None] // 16 + x // 16) % 2)
  picture = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
  excess = blocks.block_excess(picture)
  if shift:
    assert excess < 0.1
  else:
    # On the grid 6; at both neighbours of each of its lines -3.
    assert excess == pytest.approx(6 + 2 * 3 / 15, rel=0.05)


def test_both_directions_count_alike() -> None:
  x = images.photograph(200, 160)
  turned = np.ascontiguousarray(x.swapaxes(0, 1))
  assert blocks.block_excess(x) == pytest.approx(blocks.block_excess(turned))
