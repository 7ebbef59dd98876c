"""Regions of interest: where the bits go."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.images import metrics
from tests import images

# Texture everywhere: what dark places can spare.
_TEXTURE = np.random.default_rng(0).normal(0, 20, (96, 112, 1))
X = np.clip(images.photograph(96, 112, 2) + _TEXTURE, 0, 255).astype(np.uint8)
MASK = np.zeros((96, 112), np.uint8)
MASK[32:80, 32:80] = 200


@pytest.fixture(scope="module")
def codec() -> codec_lib.Codec:
  """The packaged model: small ones have too few bits to move about."""
  return codec_lib.Codec.load()


def _psnrs(codec, data):
  x_hat = codec.decompress(data)
  inside = MASK > 0
  return metrics.psnr(X[inside], x_hat[inside]), metrics.psnr(
    X[~inside], x_hat[~inside]
  )


@pytest.mark.parametrize(
  "effort", [1, pytest.param(2, marks=pytest.mark.tensorflow)]
)
def test_bright_places_gain_at_the_same_size(codec, effort):
  size = len(codec.compress(X, 6))
  plain = codec.compress(X, max_bytes=size, effort=effort)
  drawn = codec.compress(X, max_bytes=size, roi=MASK, effort=effort)
  assert len(drawn) <= size
  inside, outside = _psnrs(codec, plain)
  inside_drawn, outside_drawn = _psnrs(codec, drawn)
  assert inside_drawn > inside + 0.3
  assert outside_drawn < outside


def test_bright_places_keep_their_quality_in_a_smaller_file(codec):
  plain, drawn = codec.compress(X, 7), codec.compress(X, 7, roi=MASK)
  assert len(drawn) < 0.95 * len(plain)
  assert _psnrs(codec, drawn)[0] > _psnrs(codec, plain)[0] - 0.5


def test_an_even_mask_changes_nothing(codec):
  for value in (1, 255):
    mask = np.full(X.shape[:2], value, np.uint8)
    assert codec.compress(X, 1.5, roi=mask) == codec.compress(X, 1.5)


@pytest.mark.parametrize(
  "mask",
  [
    MASK[:-1],
    MASK.astype(np.float32),
    np.zeros_like(MASK),
    np.stack([MASK] * 3, -1),
  ],
)
def test_unusable_masks_are_refused(codec, mask):
  with pytest.raises(errors.UsageError, match="region of interest"):
    codec.compress(X, 1, roi=mask)
