from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bls2017.evaluation import rate_distortion
from bls2017.images import metrics

RATES = np.array([0.1, 0.2, 0.35, 0.6, 1.0, 1.7])


def _curve(rates, psnr, label="a") -> rate_distortion.Curve:
  points = [
    rate_distortion.Point(i, 1, {"bpp": float(r), "psnr_rgb": float(q)})
    for i, (r, q) in enumerate(zip(rates, psnr))
  ]
  return rate_distortion.Curve(label, tuple(points), {"name": label})


def _psnr(rates):
  """6 dB a doubling of the rate, and a bend."""
  return 33 + 6 * np.log2(rates) + 0.2 * np.log2(rates) ** 2


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25])
def test_a_scaled_rate_is_the_bd_rate(factor) -> None:
  anchor = _curve(RATES, _psnr(RATES))
  test = _curve(RATES * factor, _psnr(RATES), "b")
  delta = rate_distortion.compare(test, anchor, "psnr_rgb")
  assert delta.bd_rate == pytest.approx(100 * (factor - 1), abs=1e-6)
  assert delta.overlap == pytest.approx((_psnr(0.1), _psnr(1.7)))
  assert delta.overlap_share == pytest.approx(1)
  assert (delta.test, delta.anchor) == ("b", "a")


@pytest.mark.parametrize("gain", [-1.5, 0.0, 2.0])
def test_a_shifted_quality_is_the_bd_psnr(gain) -> None:
  anchor = _curve(RATES, _psnr(RATES))
  test = _curve(RATES, _psnr(RATES) + gain)
  delta = rate_distortion.compare(test, anchor, "psnr_rgb")
  assert delta.bd_quality == pytest.approx(gain, abs=1e-6)


def test_different_samples_of_one_curve_are_equal() -> None:
  dense = np.geomspace(0.1, 1.7, 40)
  delta = rate_distortion.compare(
    _curve(RATES, _psnr(RATES)), _curve(dense, _psnr(dense)), "psnr_rgb"
  )
  assert delta.bd_rate == pytest.approx(0, abs=0.2)


def test_the_overlap_is_named() -> None:
  anchor = _curve(RATES, np.linspace(28, 38, 6))
  test = _curve(RATES, np.linspace(33, 48, 6))
  delta = rate_distortion.compare(test, anchor, "psnr_rgb")
  assert delta.overlap == (33, 38)
  assert delta.overlap_share == pytest.approx(5 / 20)


def test_curves_that_do_not_meet_have_no_delta() -> None:
  low = _curve(RATES, np.linspace(20, 25, 6))
  high = _curve(RATES, np.linspace(30, 35, 6))
  delta = rate_distortion.compare(high, low, "psnr_rgb")
  assert math.isnan(delta.bd_rate)
  assert math.isnan(delta.bd_quality)
  assert delta.overlap_share == 0


def test_points_that_only_cost_do_not_count() -> None:
  rates = np.append(RATES, [0.5, 1.5])
  psnr = np.append(_psnr(RATES), [10, 12])
  delta = rate_distortion.compare(
    _curve(rates, psnr), _curve(RATES, _psnr(RATES)), "psnr_rgb"
  )
  assert delta.bd_rate == pytest.approx(0, abs=1e-9)


def test_ms_ssim_is_averaged_before_it_becomes_db() -> None:
  rows = [
    {"bpp": 1.0, "ms_ssim_rgb": v, "ms_ssim_rgb_db": 0.0, "ms_ssim_y": v}
    for v in (0.9, 0.99)
  ]
  point = rate_distortion.mean_point(3, rows)
  assert point.images == 2
  assert point.values["ms_ssim_rgb"] == pytest.approx(0.945)
  in_db = metrics.ms_ssim_db(0.945)
  assert point.values["ms_ssim_rgb_db"] == pytest.approx(in_db)


def test_the_papers_curve_is_in_the_package() -> None:
  curves = rate_distortion.published_curves()
  paper = curves[0]
  assert paper.codec["name"] == "balle2017_mse"
  assert "tensorflow/compression" in paper.codec["source"]
  first = paper.points[0]
  assert first.images == 24
  assert first.values["bpp"] == 0.119752
  assert first.values["psnr_rgb"] == 26.775134
  assert first.values["psnr_y"] == 27.121149
  assert first.values["ms_ssim_rgb"] == 0.9037
  for curve in curves:
    for key in ("psnr_rgb", "psnr_y", "ms_ssim_rgb_db"):
      rate, quality = curve.samples(key)
      assert np.all(np.diff(rate) > 0)
      assert len(rate) == len(quality) >= 8
    assert len(curve.samples("ms_ssim_y_db")[0]) == 0


def test_differences_are_read_at_equal_rate() -> None:
  dense = np.geomspace(0.1, 1.7, 200)
  reference = _curve(dense, _psnr(dense))
  test = _curve([0.05, 0.3, 1.1, 3.0], _psnr(np.array([1, 0.3, 1.1, 1])) + 0.1)
  found = rate_distortion.differences_at_equal_rate(test, reference, "psnr_rgb")
  assert [bpp for bpp, _ in found] == [0.3, 1.1]
  assert [db for _, db in found] == pytest.approx([0.1, 0.1], abs=1e-3)


def test_json_has_no_infinities() -> None:
  point = rate_distortion.Point(None, 1, {"a": math.inf, "b": math.nan, "c": 1})
  text = json.dumps(rate_distortion.to_json({1: (point,)}), allow_nan=False)
  assert json.loads(text) == {
    "1": [
      {"quality": None, "images": 1, "values": {"a": None, "b": None, "c": 1}}
    ]
  }
