"""Promises of sizes and PSNRs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bls2017 import errors
from bls2017.common import config
from bls2017.encode import request
from bls2017.images import metrics
from tests import images


@pytest.fixture(scope="module")
def x():
  return images.photograph(160, 208, 3)


@pytest.fixture(scope="module")
def ends(codec, x):
  return len(codec.compress(x, 1)), len(codec.compress(x, 2))


def test_a_size_is_a_promise_and_is_used(codec, x, ends):
  use = []
  for max_bytes in np.linspace(*ends, 12).astype(int):
    data = codec.compress(x, max_bytes=int(max_bytes))
    assert len(data) <= max_bytes
    assert codec.decompress(data).shape == x.shape
    use.append(len(data) / max_bytes)
  assert np.mean(use) > 0.95


def test_a_rate_is_a_size(codec, x, ends):
  max_bytes = sum(ends) // 2
  bpp = 8 * max_bytes / (160 * 208)
  assert codec.compress(x, target_bpp=bpp + 1e-6) == codec.compress(
    x, max_bytes=max_bytes
  )


def test_room_to_spare_gives_the_finest_quality(codec, x):
  assert codec.compress(x, max_bytes=10**7) == codec.compress(x, 2)


def test_more_bytes_give_a_better_image(codec, x, ends):
  psnrs = [
    metrics.psnr(x, codec.decompress(codec.compress(x, max_bytes=int(n))))
    for n in np.linspace(*ends, 5)
  ]
  assert np.all(np.diff(psnrs) > 0)


def test_the_smallest_size_is_named_and_can_be_had(codec, x, ends):
  with pytest.raises(errors.LimitError, match="smallest") as raised:
    codec.compress(x, max_bytes=60)
  smallest = int(re.findall(r"(\d+) bytes", str(raised.value))[-1])
  assert smallest < ends[0]
  assert len(codec.compress(x, max_bytes=smallest)) == smallest
  with pytest.raises(errors.LimitError):
    codec.compress(x, max_bytes=smallest - 1)


def test_a_psnr_is_reached_and_hardly_exceeded(codec, x):
  lowest, highest = (
    metrics.psnr(x, codec.decompress(codec.compress(x, q))) for q in (1, 2)
  )
  for target in np.linspace(lowest - 1, highest, 6):
    data = codec.compress(x, target_psnr=float(target))
    reached = metrics.psnr(x, codec.decompress(data))
    assert reached >= target
    if target >= lowest:
      assert reached <= target + 0.1


def test_a_psnr_beyond_the_model_is_refused_with_what_it_reaches(codec, x):
  with pytest.raises(errors.LimitError, match=r"reaches \d+\.\d+ dB"):
    codec.compress(x, target_psnr=90)


@pytest.mark.parametrize(
  "arguments",
  [
    {"quality": 1, "max_bytes": 100},
    {"max_bytes": 100, "target_psnr": 30},
    {"target_bpp": 1, "max_bytes": 100},
    {"max_bytes": 0},
    {"target_bpp": -1},
    {"target_bpp": float("nan")},
    {"target_psnr": float("inf")},
    {"effort": 0},
    {"effort": 10},
    {"metric": "ssim"},
  ],
)
def test_what_makes_no_sense_is_refused(codec, arguments):
  with pytest.raises(errors.UsageError):
    codec.compress(images.photograph(16, 16), **arguments)


@pytest.mark.parametrize(
  ("levels", "index"), [(8, 40), (6, 40), (3, 16), (1, 0)]
)
def test_no_argument_means_the_default_quality(levels, index):
  model_config = config.ModelConfig(lmbdas=config.LMBDAS["mse"][:levels])
  assert request.Request().quality_index(model_config) == index
