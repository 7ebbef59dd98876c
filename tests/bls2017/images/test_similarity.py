from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from bls2017.images import metrics, similarity
from tests import images


def _degraded(x: np.ndarray) -> np.ndarray:
  small = Image.fromarray(x).resize((x.shape[1] // 3, x.shape[0] // 3))
  return np.array(small.resize((x.shape[1], x.shape[0])))


@pytest.mark.parametrize(
  "size", [(161, 161), (176, 240), (187, 203), (163, 321)]
)
def test_equals_tensorflows_measure_at_even_and_odd_sizes(size) -> None:
  x = images.photograph(*size)
  x_hat = _degraded(x)
  rgb, luma = similarity.Reference(x).ms_ssim(x_hat)
  assert rgb == pytest.approx(metrics.ms_ssim(x, x_hat), abs=1e-5)
  y, y_hat = metrics.luma(x), metrics.luma(x_hat)
  assert luma == pytest.approx(metrics.ms_ssim(y, y_hat), abs=1e-5)


def test_equal_images_have_one() -> None:
  x = images.photograph(170, 180)
  assert similarity.Reference(x).ms_ssim(x) == pytest.approx((1, 1))


def test_small_images_have_none() -> None:
  x = images.photograph(160, 500)
  assert all(map(math.isnan, similarity.Reference(x).ms_ssim(x)))


def test_another_size_is_refused() -> None:
  x = images.photograph(170, 180)
  with pytest.raises(ValueError, match="shape"):
    similarity.Reference(x).ms_ssim(x[1:])
