"""Refining: what effort buys, and what it never does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bls2017 import errors
from bls2017.encode import refinement
from bls2017.encode import request as request_lib
from bls2017.images import metrics
from tests import images


@pytest.fixture(scope="module")
def x():
  return images.photograph(48, 80, 5)


def _encode(codec, x, quality, effort, progress=None):
  request = request_lib.Request(quality, effort=effort)
  return codec.encode(x, request, progress=progress)


class _Bar:
  """Progress that ends refining after some steps."""

  def __init__(self, stop_after=None):
    self.total, self.done, self._stop_after = None, 0, stop_after

  def __call__(self, done, total):
    assert done == self.done + 1
    self.done, self.total = done, total
    return done == self._stop_after


@pytest.mark.parametrize("quality", [1, 1.5, 2])
def test_more_effort_is_not_larger_and_not_worse(codec, x, quality):
  files = [_encode(codec, x, quality, e) for e in (1, 2, 3, 4)]
  sizes = [len(file.data) for file in files]
  psnrs = [metrics.psnr(x, codec.decompress(file.data)) for file in files]
  assert all(file.quality == quality for file in files)
  assert np.all(np.diff(sizes) <= 0)
  for lower, higher in itertools.combinations(psnrs, 2):
    assert higher >= lower - 0.05
  assert sizes[-1] < 0.99 * sizes[0]


def test_refining_tells_of_its_steps(codec, x):
  bar = _Bar()
  _encode(codec, x, 1, 3, bar)
  assert bar.done == bar.total == sum(refinement.ROUND_STEPS[:2])


@pytest.mark.parametrize("stop_after", [1, 15, 25])
def test_stopping_keeps_what_was_gained(codec, x, stop_after):
  plain = _encode(codec, x, 2, 1)
  encoded = _encode(codec, x, 2, 9, _Bar(stop_after))
  assert encoded.stopped
  assert not plain.stopped
  assert len(encoded.data) <= len(plain.data)
  before, after = (
    metrics.psnr(x, codec.decompress(e.data)) for e in (plain, encoded)
  )
  assert after >= before - 0.05


def test_windows_cover_an_image_and_gain_together(codec, x, monkeypatch):
  plain = _encode(codec, x, 2, 1)
  monkeypatch.setattr(refinement, "WINDOW", 3)
  bar = _Bar()
  parts = _encode(codec, x, 2, 4, bar)
  assert bar.done == bar.total == sum(refinement.ROUND_STEPS[:3]) * 2
  assert len(parts.data) < len(plain.data)
  before, after = (
    metrics.psnr(x, codec.decompress(e.data)) for e in (plain, parts)
  )
  assert after >= before - 0.05


def test_a_size_buys_a_better_image(codec):
  x = images.photograph(64, 64, 7)
  size = len(codec.compress(x, 1.5))
  files = [codec.compress(x, max_bytes=size, effort=e) for e in (1, 2, 4)]
  assert all(len(file) <= size for file in files)
  psnrs = [metrics.psnr(x, codec.decompress(file)) for file in files]
  assert np.all(np.diff(psnrs) >= 0)
  assert psnrs[-1] > psnrs[0]


def test_a_psnr_takes_a_smaller_file(codec):
  x = images.photograph(64, 64, 7)
  psnr = metrics.psnr(x, codec.decompress(codec.compress(x, 1.5)))
  files = [codec.compress(x, target_psnr=psnr, effort=e) for e in (1, 2, 4)]
  for file in files:
    assert metrics.psnr(x, codec.decompress(file)) >= psnr
  sizes = [len(file) for file in files]
  assert np.all(np.diff(sizes) <= 0)
  assert sizes[-1] < sizes[0]


@pytest.mark.parametrize("shape", [(1, 1), (17, 33)])
@pytest.mark.parametrize(
  "target", [{"quality": 2}, {"max_bytes": 400}, {"target_psnr": 15}]
)
def test_small_images_can_be_refined(codec, shape, target):
  x = images.photograph(*shape)
  data = codec.compress(x, effort=2, **target)
  assert codec.decompress(data).shape == x.shape


def test_the_metric_is_what_refining_keeps(codec):
  x = images.photograph(176, 176, 4)
  plain = codec.compress(x, 1)
  assert codec.compress(x, 1, effort=1, metric="ms_ssim") == plain
  refined = codec.compress(x, 1, effort=3, metric="ms_ssim")
  assert len(refined) < len(plain)
  before, after = (
    1 - metrics.ms_ssim(x, codec.decompress(data)) for data in (plain, refined)
  )
  assert after <= before * 10**0.005


def test_ms_ssim_needs_its_scales_only_where_it_refines(codec, x):
  with pytest.raises(errors.UsageError, match="161"):
    codec.compress(x, effort=2, metric="ms_ssim", quality=1)
  assert codec.compress(x, effort=1, metric="ms_ssim", quality=1)


@pytest.mark.parametrize("effort", [1, 2])
def test_ms_ssim_contradicts_what_needs_squared_errors(codec, effort):
  x = images.photograph(176, 176, 4)
  mask = np.full(x.shape[:2], 255, np.uint8)
  for other in ({"roi": mask, "quality": 1}, {"target_psnr": 20}):
    with pytest.raises(errors.UsageError, match="metric mse"):
      codec.compress(x, effort=effort, metric="ms_ssim", **other)
