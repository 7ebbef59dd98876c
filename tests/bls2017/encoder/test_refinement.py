"""Refining: what effort buys, and what it never does."""

from __future__ import annotations

import numpy as np
import pytest

from bls2017 import errors
from bls2017.encoder import options as options_lib
from bls2017.encoder import refinement
from bls2017.images import metrics
from tests import images


@pytest.fixture(scope="module")
def x():
  return images.photograph(48, 80, 5)


def _lagrangian(codec, x, encoded):
  index = codec.model.config.quality_index(encoded.quality)
  lmbda = codec.model.config.lmbda(index)
  mse = np.mean(np.square(x.astype(float) - codec.decompress(encoded.data)))
  return encoded.estimated_bits / x[..., 0].size + lmbda * mse


def _encode(codec, x, quality=None, observer=None, **options):
  return codec.encode(x, quality, options_lib.Options(**options), observer)


class _Bar:
  def __init__(self, stop_after=None):
    self.total, self.done, self._stop_after = None, 0, stop_after

  def on_start(self, what, total, done):
    assert what == "refining"
    assert done == 0
    self.total = total

  def on_done(self):
    self.done += 1
    if self.done == self._stop_after:
      raise KeyboardInterrupt


def test_the_lagrangian_never_rises_with_effort(codec, x):
  values = {}
  for effort in (1, 3, 4, 5):
    encoded = _encode(codec, x, 1.5, effort=effort)
    assert encoded.quality == 1.5
    values[effort] = _lagrangian(codec, x, encoded)
  # Without decoding, effort 3 can only be better on average.
  assert values[4] <= min(values[1], values[3])
  assert values[5] <= values[4]
  assert values[5] < 0.995 * values[1]


def test_refining_tells_of_its_steps(codec, x):
  bar = _Bar()
  _encode(codec, x, 1, bar, effort=5)
  assert bar.done == bar.total == sum(refinement.ROUND_STEPS[:2])


@pytest.mark.parametrize("stop_after", [1, 15])
def test_what_was_found_before_an_interrupt_is_kept(codec, x, stop_after):
  plain = _encode(codec, x, 2, effort=1)
  encoded = _encode(codec, x, 2, _Bar(stop_after), effort=9)
  assert encoded.interrupted
  assert not plain.interrupted
  assert _lagrangian(codec, x, encoded) <= _lagrangian(codec, x, plain)


def test_windows_cover_an_image_and_agree_with_one(codec, x, monkeypatch):
  whole = _encode(codec, x, 2, effort=5)
  monkeypatch.setattr(refinement, "WINDOW", 3)
  bar = _Bar()
  parts = _encode(codec, x, 2, bar, effort=5)
  assert bar.done == bar.total == 30 * 2
  plain = _lagrangian(codec, x, _encode(codec, x, 2, effort=1))
  assert _lagrangian(codec, x, parts) < plain
  assert _lagrangian(codec, x, whole) < plain


def test_targets_are_kept_by_refined_files(codec):
  x = images.photograph(64, 64, 7)
  plain = _encode(codec, x, 1.5)
  size = len(plain.data)
  encoded = _encode(codec, x, max_bytes=size, effort=4)
  assert len(encoded.data) <= size
  psnr = metrics.psnr(x, codec.decompress(plain.data))
  assert metrics.psnr(x, codec.decompress(encoded.data)) >= psnr
  encoded = _encode(codec, x, target_psnr=psnr, effort=4)
  assert metrics.psnr(x, codec.decompress(encoded.data)) >= psnr


def test_ms_ssim_can_be_refined(codec):
  x = images.photograph(176, 176, 4)
  plain = _encode(codec, x, 1)
  encoded = _encode(codec, x, 1, effort=4, metric="ms_ssim")
  before, after = (
    1 - metrics.ms_ssim(x, codec.decompress(e.data)) for e in (plain, encoded)
  )
  rate = encoded.estimated_bits / plain.estimated_bits
  assert after / before + rate <= 2 + 1e-6


def test_ms_ssim_needs_its_scales(codec, x):
  with pytest.raises(errors.UsageError, match="161"):
    codec.compress(x, effort=4, metric="ms_ssim", quality=1)
