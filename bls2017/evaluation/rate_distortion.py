"""Rate-distortion curves and the Bjontegaard deltas between them.

A curve is one codec's mean rate and mean quality, quality setting by quality
setting, over the same images. The deltas come from the package `bjontegaard`
(extra "eval"): monotone cubic interpolation (pchip) of the logarithm of the
rate over the quality (BD-rate) and of the quality over it (BD-PSNR), averaged
over the interval both curves have.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bls2017.evaluation import grid, measurement
from bls2017.evaluation.measurement import Original, Row
from bls2017.images import metrics

METHOD = "pchip"

DISTORTIONS = {
  "psnr_rgb": "PSNR RGB (dB)",
  "psnr_y": "PSNR Y' (dB)",
  "ms_ssim_rgb_db": "MS-SSIM RGB (dB)",
  "ms_ssim_y_db": "MS-SSIM Y' (dB)",
}
"""The measures of curves over the rate, with their names; larger is better."""

_REFERENCE = os.path.join(os.path.dirname(__file__), "reference", "kodak.json")


class Point(NamedTuple):
  """Means over a number of images at one quality, by the names of columns.

  A published point has no quality; what is not known is nan.
  """

  quality: float | None
  images: int
  values: dict[str, float]


class Curve(NamedTuple):
  """Points of one codec, by its label, in the order of the rate.

  `codec` is `ImageCodec.about`, or name and source of a published curve.
  """

  label: str
  points: tuple[Point, ...]
  codec: dict[str, Any]
  published: bool = False

  def samples(self, distortion: str) -> tuple[np.ndarray, np.ndarray]:
    """Rates and qualities where the quality gains over all cheaper points.

    Only such points can be integrated.

    Args:
      distortion: Key of `DISTORTIONS`.

    Returns:
      Bits per pixel and dB, float64 [n], both increasing.
    """
    pairs = [(p.values["bpp"], p.values[distortion]) for p in self.points]
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(p for p in pairs if all(map(math.isfinite, p))):
      if not kept or (rate > kept[-1][0] and quality > kept[-1][1]):
        kept.append((rate, quality))
    rates, qualities = np.array(kept, np.float64).reshape(-1, 2).T
    return rates, qualities


class Delta(NamedTuple):
  """The distance of a curve from an anchor.

  Attributes:
    test: Label of the curve.
    anchor: Label of the curve that it is compared with.
    distortion: Key of `DISTORTIONS`.
    bd_rate: Percent of rate at equal quality, negative is better; nan without
      an overlap.
    bd_quality: dB at equal rate, positive is better; BD-PSNR for a PSNR.
    overlap: Ends of the common interval of the quality, in dB.
    overlap_share: The interval as a share of what both curves span together.
  """

  test: str
  anchor: str
  distortion: str
  bd_rate: float = math.nan
  bd_quality: float = math.nan
  overlap: tuple[float, float] = (math.nan, math.nan)
  overlap_share: float = 0.0


def measured_curves(
  measured: grid.Measurements, *images: Original
) -> tuple[Curve, ...]:
  """Averages over images, by default all of them; a curve for each codec.

  A quality counts only where it was measured on every image.
  """
  curves = []
  for codec in measured.codecs:
    points = []
    for quality in codec.qualities:
      keys = [
        measurement.key(image, codec, quality)
        for image in images or measured.images
      ]
      rows = [measured.rows[key] for key in keys if key in measured.rows]
      if len(rows) == len(keys):
        points.append(mean_point(quality, rows))
    curves.append(Curve(codec.label, tuple(points), codec.about()))
  return tuple(curves)


def mean_point(quality: float, rows: Sequence[Row]) -> Point:
  """Averages measurements of several images at one quality.

  MS-SSIM is averaged as it is and turned into dB afterwards, as published
  curves have it; all other columns are averaged directly.
  """
  values = {
    name: float(np.mean([getattr(row, name) for row in rows]))
    for name in measurement.MEASURES
  }
  for name in ("ms_ssim_rgb", "ms_ssim_y"):
    values[f"{name}_db"] = metrics.ms_ssim_db(values[name])
  return Point(quality, len(rows), values)


def compare(test: Curve, anchor: Curve, distortion: str) -> Delta:
  """Computes the Bjontegaard deltas of a curve to an anchor.

  Args:
    test: The curve in question.
    anchor: The curve that it is compared with.
    distortion: Key of `DISTORTIONS`.
  """
  import bjontegaard as bd

  none = Delta(test.label, anchor.label, distortion)
  a, t = anchor.samples(distortion), test.samples(distortion)
  if min(len(a[0]), len(t[0])) < 2:
    return none
  low, high = max(a[1][0], t[1][0]), min(a[1][-1], t[1][-1])
  if high <= low:
    return none
  union = max(a[1][-1], t[1][-1]) - min(a[1][0], t[1][0])
  options = {
    "method": METHOD,
    "require_matching_points": False,
    "min_overlap": 0,
  }
  with warnings.catch_warnings():
    # The rates may still lie apart; the answer then is nan.
    warnings.simplefilter("ignore")
    return none._replace(
      bd_rate=float(bd.bd_rate(*a, *t, **options)),
      bd_quality=float(bd.bd_psnr(*a, *t, **options)),
      overlap=(float(low), float(high)),
      overlap_share=float((high - low) / union),
    )


def published_curves() -> list[Curve]:
  """Published curves of the Kodak set: the paper's own come first."""
  stored = _reference()
  curves = []
  for entry in stored["curves"]:
    points = []
    for values in entry["points"]:
      named = dict(zip(stored["columns"], values))
      named["ms_ssim_rgb_db"] = metrics.ms_ssim_db(named["ms_ssim_rgb"])
      named["ms_ssim_y_db"] = math.nan
      points.append(Point(None, len(stored["images"]), named))
    codec = {"name": entry["name"], "source": stored["source"]}
    curves.append(Curve(entry["label"], tuple(points), codec, True))
  return curves


def kodak_hashes() -> set[str]:
  """Content hashes of the images the published curves were measured on."""
  return set(_reference()["images"])


def to_json(value: Any) -> Any:
  """Plain JSON values: NamedTuples are objects; what is not finite is None."""
  if hasattr(value, "_asdict"):
    value = value._asdict()
  if isinstance(value, dict):
    return {k: to_json(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [to_json(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _reference() -> dict[str, Any]:
  with open(_REFERENCE, encoding="utf-8") as f:
    return json.load(f)
