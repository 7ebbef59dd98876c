"""Rate-distortion curves and the Bjontegaard deltas between them.

A curve is one codec's mean rate and mean quality, quality setting by quality
setting, over the same images. The deltas come from the package `bjontegaard`
(extra "eval"): monotone cubic interpolation (pchip) of the logarithm of the
rate over the quality (BD-rate) and of the quality over it (BD-PSNR), averaged
over the interval both curves have.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from typing import Any

import numpy as np

from bls2017 import errors
from bls2017.images import metrics

METHOD = "pchip"

DISTORTIONS = {
  "psnr_rgb": "PSNR RGB (dB)",
  "psnr_y": "PSNR Y' (dB)",
  "ms_ssim_rgb_db": "MS-SSIM RGB (dB)",
  "ms_ssim_y_db": "MS-SSIM Y' (dB)",
}
"""What a curve can show over the rate, larger is better; with its name."""

_REFERENCE = os.path.join(os.path.dirname(__file__), "reference", "kodak.json")


@dataclasses.dataclass(frozen=True)
class Point:
  """Means over the images at one setting.

  Attributes:
    quality: The setting; None in a published curve.
    images: How many there are.
    values: Means by the name of the column; nan where not known.
  """

  quality: float | None
  images: int
  values: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Curve:
  """Points of one codec, in the order of the rate.

  Attributes:
    label: The codec's name for people.
    points: Its points.
    codec: Name, version, settings and model id; the source if published.
    published: Whether it was taken from elsewhere.
  """

  label: str
  points: tuple[Point, ...]
  codec: dict[str, str]
  published: bool = False

  def samples(self, distortion: str) -> tuple[np.ndarray, np.ndarray]:
    """Rates and qualities of the points where both are finite, float64 [n]."""
    pairs = [(p.values["bpp"], p.values[distortion]) for p in self.points]
    kept = [p for p in pairs if all(map(math.isfinite, p))]
    rate, quality = np.array(kept, np.float64).reshape(-1, 2).T
    return rate, quality


@dataclasses.dataclass(frozen=True)
class Delta:
  """How a curve compares with an anchor.

  Attributes:
    test: Label of the curve.
    anchor: Label of what it is compared with.
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
  bd_rate: float
  bd_quality: float
  overlap: tuple[float, float]
  overlap_share: float


def mean_point(quality: float | None, rows: list[dict[str, float]]) -> Point:
  """Averages measurements of several images at one setting.

  MS-SSIM is averaged as it is and turned into dB afterwards, as published
  curves have it; all other columns are averaged directly.

  Args:
    quality: The setting.
    rows: Values by the name of the column, the same columns in each.
  """
  values = {
    name: float(np.mean([row[name] for row in rows])) for name in rows[0]
  }
  for name in ("ms_ssim_rgb", "ms_ssim_y"):
    values[f"{name}_db"] = metrics.ms_ssim_db(values[name])
  return Point(quality, len(rows), values)


def compare(test: Curve, anchor: Curve, distortion: str) -> Delta:
  """The Bjontegaard deltas of a curve to an anchor.

  Args:
    test: The curve in question.
    anchor: What it is compared with.
    distortion: Key of `DISTORTIONS`.

  Raises:
    errors.UsageError: if the package `bjontegaard` is not installed.
  """
  bd = _bjontegaard()
  a, t = (
    _monotone(*anchor.samples(distortion)),
    _monotone(*test.samples(distortion)),
  )
  names = (test.label, anchor.label, distortion)
  if min(len(a[0]), len(t[0])) < 2:
    return Delta(*names, math.nan, math.nan, (math.nan, math.nan), 0.0)
  overlap = max(a[1][0], t[1][0]), min(a[1][-1], t[1][-1])
  union = max(a[1][-1], t[1][-1]) - min(a[1][0], t[1][0])
  share = max(overlap[1] - overlap[0], 0.0) / union
  if share == 0:
    return Delta(*names, math.nan, math.nan, (math.nan, math.nan), 0.0)
  options = {
    "method": METHOD,
    "require_matching_points": False,
    "min_overlap": 0,
  }
  with warnings.catch_warnings():
    # The rates may still lie apart; the answer then is nan.
    warnings.simplefilter("ignore")
    rate = float(bd.bd_rate(*a, *t, **options))
    quality = float(bd.bd_psnr(*a, *t, **options))
  return Delta(*names, rate, quality, overlap, share)


def published_curves() -> list[Curve]:
  """Published curves of the Kodak set: the paper's own come first."""
  with open(_REFERENCE, encoding="utf-8") as f:
    stored = json.load(f)
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
  with open(_REFERENCE, encoding="utf-8") as f:
    return set(json.load(f)["images"])


def differences_at_equal_rate(
  test: Curve, reference: Curve, distortion: str
) -> list[tuple[float, float]]:
  """How far each point of a curve lies above a densely sampled one.

  Returns:
    Pairs of bpp and dB, for the points within the rates of the reference.
  """
  x, y = _monotone(*reference.samples(distortion))
  return [
    (float(r), float(q - np.interp(math.log(r), np.log(x), y)))
    for r, q in zip(*test.samples(distortion))
    if x[0] <= r <= x[-1]
  ]


def to_json(value: Any) -> Any:
  """Plain JSON values; what is not finite becomes null."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    value = dataclasses.asdict(value)
  if isinstance(value, dict):
    return {str(k): to_json(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [to_json(v) for v in value]
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  return value


def _monotone(
  rate: np.ndarray, quality: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The points that gain quality over all cheaper ones, which integrate."""
  kept: list[int] = []
  for i in np.argsort(rate, kind="stable"):
    if not kept or (
      quality[i] > quality[kept[-1]] and rate[i] > rate[kept[-1]]
    ):
      kept.append(int(i))
  return rate[kept], quality[kept]


def _bjontegaard() -> Any:
  try:
    import bjontegaard
  except ImportError as e:
    raise errors.UsageError(
      "BD-rates need the package bjontegaard; pip install 'bls2017[eval]'"
    ) from e
  return bjontegaard
