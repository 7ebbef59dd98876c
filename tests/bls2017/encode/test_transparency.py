"""Invisible pixels get colours that cost little; visible ones keep theirs."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017.encode import transparency
from tests import alphas, images


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (300, 1), (45, 70)])
@pytest.mark.parametrize("make", alphas.KINDS)
def test_visible_pixels_keep_their_colours(make, size):
  x, alpha = images.photograph(*size), make(*size)
  smeared = transparency.smeared(x, alpha)
  assert smeared.dtype == np.uint8 and smeared.shape == x.shape
  np.testing.assert_array_equal(smeared[alpha > 0], x[alpha > 0])
  # Only visible colours count; the others become something between them.
  other = np.where(alpha[..., None], x, 255 - x)
  np.testing.assert_array_equal(transparency.smeared(other, alpha), smeared)
  if alpha.any():
    ends = x[alpha > 0].min(0), x[alpha > 0].max(0)
    assert np.all((smeared >= ends[0] - 4.0) & (smeared <= ends[1] + 4.0))


def test_colours_go_on_smoothly():
  x = np.zeros((64, 96, 3), np.uint8)
  x[:, :, 0] = 2 * np.arange(96)
  alpha = np.full((64, 96), 255, np.uint8)
  alpha[16:48, 30:60] = 0
  smeared = transparency.smeared(np.where(alpha[..., None], x, 255), alpha)
  assert np.abs(smeared.astype(int) - x).max() <= 24
  assert np.abs(np.diff(smeared[..., 0].astype(int), axis=1)).max() <= 24


@pytest.mark.parametrize("height", [1, 2, 7, 64, 129])
def test_strips_do_not_show(monkeypatch, height):
  x, alpha = images.photograph(height, 51), alphas.sprite(height, 51)
  alpha = np.where(np.arange(51) % 9, alpha, 0).astype(np.uint8)
  whole = transparency.smeared(x, alpha)
  monkeypatch.setattr(transparency, "_STRIP", 2)
  np.testing.assert_array_equal(transparency.smeared(x, alpha), whole)


def test_errors_count_by_alpha_if_any_pixel_is_seen():
  alpha = alphas.soft(20, 30)
  weights = transparency.error_weights(alpha)
  np.testing.assert_allclose(weights, alpha / 255, rtol=1e-6)
  assert transparency.error_weights(np.zeros_like(alpha)) is None
