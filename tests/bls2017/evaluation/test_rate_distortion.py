from __future__ import annotations

import json
import math
import typing

import numpy as np
import pytest

from bls2017.evaluation import (
  grid,
  measurement,
  rate_distortion,
  summary,
)
from bls2017.images import metrics

pytestmark = pytest.mark.evaluation

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
  assert 0 < delta.overlap_share <= 1


def test_curves_that_do_not_meet_have_no_delta() -> None:
  low = _curve(RATES, np.linspace(20, 25, 6))
  high = _curve(RATES, np.linspace(30, 35, 6))
  for other in (low, _curve(RATES[:1], [32.0]), _curve([], [])):
    delta = rate_distortion.compare(high, other, "psnr_rgb")
    assert math.isnan(delta.bd_rate)
    assert math.isnan(delta.bd_quality)
    assert delta.overlap_share == 0


def test_points_that_only_cost_do_not_count() -> None:
  rates = np.append(RATES, [0.5, 1.5])
  psnr = np.append(_psnr(RATES), [10, math.inf])
  delta = rate_distortion.compare(
    _curve(rates, psnr), _curve(RATES, _psnr(RATES)), "psnr_rgb"
  )
  assert delta.bd_rate == pytest.approx(0, abs=1e-9)


def _row(**values: typing.Any) -> measurement.Row:
  kinds = measurement.COLUMNS
  zeros = {name: kind() for name, kind in kinds.items()}
  return measurement.Row(**{**zeros, **values})


def test_ms_ssim_is_averaged_before_it_becomes_db() -> None:
  rows = [_row(bpp=v, ms_ssim_rgb=v, ms_ssim_rgb_db=0.0) for v in (0.9, 0.99)]
  point = rate_distortion.mean_point(3, rows)
  assert point.images == 2
  assert point.values["bpp"] == pytest.approx(0.945)
  assert point.values["ms_ssim_rgb"] == pytest.approx(0.945)
  in_db = metrics.ms_ssim_db(0.945)
  assert point.values["ms_ssim_rgb_db"] == pytest.approx(in_db)


def test_published_curves_stand_beside_the_whole_kodak_set_only() -> None:
  (codec,) = grid.choose_codecs(["jpeg_standard_tables"])
  published = rate_distortion.published_curves()
  dense = next(c for c in published if c.codec["name"] == codec.name)
  chosen = dense.points[20 : 20 + len(codec.qualities)]
  kodak = tuple(
    measurement.Original(f"{h}.png", f"{h}.png", 768, 512, h)
    for h in sorted(rate_distortion.kodak_hashes())
  )
  rows = {
    measurement.key(image, codec, quality): _row(
      bpp=point.values["bpp"],
      psnr_rgb=point.values["psnr_rgb"] + 0.1,
      psnr_y=point.values["psnr_y"] + 0.1,
    )
    for image in kodak
    for quality, point in zip(codec.qualities, chosen)
  }
  assert published[0].points[0].values["psnr_y"] == 27.121149
  assert "tensorflow/compression" in published[0].codec["source"]
  whole = summary.summarize(grid.Measurements(kodak, (codec,), rows, ()))
  names = [c.codec["name"] for c in whole.curves if c.published]
  assert names == ["balle2017_mse", "balle2017_ms_ssim"]
  to_published = {d.distortion: d for d in whole.deltas}
  assert {d.anchor for d in whole.deltas} == {dense.label}
  for distortion in ("psnr_rgb", "psnr_y"):
    gain = to_published[distortion].bd_quality
    assert gain == pytest.approx(0.1, abs=0.01)
  part = summary.summarize(grid.Measurements(kodak[1:], (codec,), rows, ()))
  assert not part.deltas
  assert not [c for c in part.curves if c.published]
  assert "23 of the 23" in part.note


def test_json_has_no_infinities() -> None:
  point = rate_distortion.Point(None, 1, {"a": math.inf, "b": math.nan, "c": 1})
  text = json.dumps(rate_distortion.to_json([point]), allow_nan=False)
  values = {"a": None, "b": None, "c": 1}
  assert json.loads(text) == [{"quality": None, "images": 1, "values": values}]
