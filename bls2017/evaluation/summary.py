"""The file `summary.json`: what an evaluation comes to.

Means per quality, Bjontegaard deltas of the learned codec to everything else,
and, where the images are the Kodak set, published curves beside them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bls2017.evaluation import grid, image_codecs, rate_distortion

FILE_NAME = "summary.json"

_OWN_PAPER = "balle2017"


@dataclasses.dataclass(frozen=True)
class Summary:
  """What an evaluation comes to.

  Attributes:
    evaluation: All rows.
    curves: A mean curve for each codec, then the paper's published ones where
      they may stand beside them.
    deltas: Of each learned codec to every other curve, for every distortion.
    checks: How far baselines lie above their published curves.
    note: Why published curves are there, or are not.
  """

  evaluation: grid.Measurements
  curves: tuple[rate_distortion.Curve, ...]
  deltas: tuple[rate_distortion.Delta, ...]
  checks: tuple[dict[str, Any], ...]
  note: str


def summarize(measured: grid.Measurements) -> Summary:
  """Averages and compares.

  Raises:
    errors.UsageError: if the package `bjontegaard` is not installed.
  """
  own = measured.curves()
  published, note = _published(measured)
  paper = [c for c in published if c.codec["name"].startswith(_OWN_PAPER)]
  learned = [c for c in own if c.codec["name"] == image_codecs.Learned.name]
  deltas = [
    rate_distortion.compare(test, anchor, distortion)
    for test in learned
    for anchor in [*own, *paper]
    for distortion in rate_distortion.DISTORTIONS
    if anchor is not test
  ]
  checks = [
    _check(curve, reference, distortion)
    for curve in own
    for reference in published
    if curve.codec["name"] == reference.codec["name"]
    for distortion in ("psnr_rgb", "psnr_y")
  ]
  return Summary(measured, (*own, *paper), tuple(deltas), tuple(checks), note)


def to_json(summary: Summary) -> dict[str, Any]:
  """The content of the file."""
  measured = summary.evaluation
  own = [c for c in summary.curves if not c.published]
  return rate_distortion.to_json(
    {
      "images": [dataclasses.asdict(i) for i in measured.images],
      "failures": [dataclasses.asdict(f) for f in measured.failures],
      "means": [dataclasses.asdict(c) for c in own],
      "bjontegaard": {
        "package": "bjontegaard",
        "method": rate_distortion.METHOD,
        "curves": "means over the images at constant settings",
        "deltas": [dataclasses.asdict(d) for d in summary.deltas],
      },
      "published": {
        "note": summary.note,
        "curves": [
          dataclasses.asdict(c) for c in summary.curves if c.published
        ],
        "checks": list(summary.checks),
      },
    }
  )


def _published(
  measured: grid.Measurements,
) -> tuple[list[rate_distortion.Curve], str]:
  kodak = rate_distortion.kodak_hashes()
  here = {image.hash for image in measured.images}
  if here == kodak:
    return rate_distortion.published_curves(), (
      "The images are the 24 of the Kodak set, so curves published for it are"
      " shown beside those measured here."
    )
  if here & kodak:
    return [], (
      f"{len(here & kodak)} of the {len(here)} images are of the Kodak set;"
      " curves published for its 24 images can stand beside all of them only."
    )
  return [], "No published curve is known for these images."


def _check(
  curve: rate_distortion.Curve,
  reference: rate_distortion.Curve,
  distortion: str,
) -> dict[str, Any]:
  differences = rate_distortion.differences_at_equal_rate(
    curve, reference, distortion
  )
  return {
    "curve": curve.label,
    "reference": reference.label,
    "distortion": distortion,
    "db_above_reference": [{"bpp": r, "db": d} for r, d in differences],
    "largest_db": max((abs(d) for _, d in differences), default=None),
  }
