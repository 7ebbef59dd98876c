from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bls2017.images import metrics
from tests import conftest, images


@pytest.fixture(scope="module")
def x() -> np.ndarray:
  return conftest.synthetic_photograph(1, 200, 180)


def _distorted(x: np.ndarray, sigma: float) -> np.ndarray:
  noise = np.random.default_rng(0).normal(0, sigma, x.shape)
  return np.clip(np.rint(x + noise), 0, 255).astype(np.uint8)


def test_psnr_of_known_errors(x: np.ndarray) -> None:
  x = np.clip(x, 0, 250)
  assert metrics.psnr(x, x) == math.inf
  assert metrics.psnr(x, x + 5) == pytest.approx(20 * math.log10(255 / 5))
  assert metrics.psnr_luma(x, x + 5) == pytest.approx(metrics.psnr(x, x + 5))


def test_luma_of_grey_is_grey() -> None:
  grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
  np.testing.assert_allclose(metrics.luma(grey)[:, 0], np.arange(256))


def test_ms_ssim_falls_with_noise(x: np.ndarray) -> None:
  values = [metrics.ms_ssim(x, _distorted(x, s)) for s in (0, 2, 8, 32)]
  assert values[0] == pytest.approx(1)
  assert values == sorted(values, reverse=True)
  assert metrics.ms_ssim_db(values[0] - 0.1) == pytest.approx(10, abs=1e-3)


def test_ms_ssim_is_not_defined_for_small_images(x: np.ndarray) -> None:
  side = metrics.MS_SSIM_MINIMUM_SIDE
  small, least = x[: side - 1], x[:side, :side]
  assert all(map(math.isnan, metrics.Reference(small).ms_ssim(small)))
  assert metrics.Reference(least).ms_ssim(least) == pytest.approx((1, 1))


def _degraded(x: np.ndarray) -> np.ndarray:
  small = Image.fromarray(x).resize((x.shape[1] // 3, x.shape[0] // 3))
  return np.array(small.resize((x.shape[1], x.shape[0])))


@pytest.mark.parametrize(
  "size", [(161, 161), (176, 240), (187, 203), (163, 321)]
)
def test_ms_ssim_equals_tensorflows_at_even_and_odd_sizes(size) -> None:
  x = images.photograph(*size)
  x_hat = _degraded(x)
  rgb, luma = metrics.Reference(x).ms_ssim(x_hat)
  pairs = (
    (x, x_hat),
    (metrics.luma(x)[..., None], metrics.luma(x_hat)[..., None]),
  )
  for value, pair in zip((rgb, luma), pairs):
    a, b = (tf.cast(image, tf.float32) for image in pair)
    expected = float(tf.image.ssim_multiscale(a, b, 255))
    assert value == pytest.approx(expected, abs=1e-5)


def test_an_image_of_another_size_is_refused() -> None:
  x = images.photograph(170, 180)
  with pytest.raises(ValueError, match="shape"):
    metrics.Reference(x).ms_ssim(x[1:])


@pytest.mark.parametrize("size", [(176, 176), (193, 161), (162, 171)])
def test_the_trained_measure_is_the_reported_one(
  x: np.ndarray, size: tuple[int, int]
) -> None:
  x = x[: size[0], : size[1]]
  if x.shape[:2] != size:
    x = conftest.synthetic_photograph(2, *size)
  batch = np.stack([x, x]).astype("f4")
  distorted = np.stack([_distorted(x, s) for s in (3, 25)]).astype("f4")
  trained = metrics.ms_ssim_for_training(tf.constant(batch), distorted)
  reported = tf.image.ssim_multiscale(batch, distorted, 255)
  np.testing.assert_allclose(trained, reported, atol=2e-5)


def test_the_trained_measure_has_finite_gradients_everywhere(
  x: np.ndarray,
) -> None:
  batch = x[None, :176, :176].astype("f4")
  for start in (255 - batch, np.full_like(batch, 127), batch):
    x_hat = tf.constant(start)
    with tf.GradientTape() as tape:
      tape.watch(x_hat)
      value = metrics.ms_ssim_for_training(tf.constant(batch), x_hat)
    assert np.all(np.isfinite(tape.gradient(value, x_hat)))
    assert 0 <= float(value[0]) <= 1 + 1e-6
