"""The file `summary.json`: what an evaluation comes to.

Means per quality, Bjontegaard deltas of the learned codec to everything else
and what they say in words, and, where the images are the Kodak set, published
curves beside them.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from bls2017.evaluation import grid, image_codecs, rate_distortion

FILE_NAME = "summary.json"

HEADLINE_MEASURES = {"psnr_rgb": "PSNR", "ms_ssim_rgb_db": "MS-SSIM"}
"""What the result is said for, with names for people; both of RGB."""

_OWN_PAPER = "balle2017"


@dataclasses.dataclass(frozen=True)
class Summary:
  """What an evaluation comes to.

  Attributes:
    data_name: What to call the images.
    evaluation: All rows.
    curves: A mean curve for each codec, then the paper's published ones where
      they may stand beside them.
    deltas: Of each learned codec to every other curve, for every distortion.
    checks: How far baselines lie above their published curves.
    note: Why published curves are there, or are not.
  """

  data_name: str
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
  curves = measured.curves()
  published, note = _published(measured)
  paper = [c for c in published if c.codec["name"].startswith(_OWN_PAPER)]
  learned = [c for c in curves if c.codec["name"] == image_codecs.Learned.name]
  deltas = [
    rate_distortion.compare(test, anchor, distortion)
    for test in learned
    for anchor in [*curves, *paper]
    for distortion in rate_distortion.DISTORTIONS
    if anchor is not test
  ]
  checks = [
    _check(curve, reference, distortion)
    for curve in curves
    for reference in published
    if curve.codec["name"] == reference.codec["name"]
    for distortion in ("psnr_rgb", "psnr_y")
  ]
  return Summary(
    _data_name(measured),
    measured,
    (*curves, *paper),
    tuple(deltas),
    tuple(checks),
    note,
  )


def to_json(summary: Summary) -> dict[str, Any]:
  """The content of the file."""
  measured = summary.evaluation
  means = [c for c in summary.curves if not c.published]
  return rate_distortion.to_json(
    {
      "data": summary.data_name,
      "headline": list(headline(summary)),
      "images": [dataclasses.asdict(i) for i in measured.images],
      "failures": [dataclasses.asdict(f) for f in measured.failures],
      "means": [dataclasses.asdict(c) for c in means],
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


def _data_name(measured: grid.Measurements) -> str:
  images = measured.images
  if {image.hash for image in images} == rate_distortion.kodak_hashes():
    return "the Kodak set"
  if len(images) == 1:
    return images[0].name
  folder = os.path.commonpath(
    [os.path.dirname(os.path.abspath(image.path)) for image in images]
  )
  return os.path.basename(folder) or "images"


def headline_rates(
  result: Summary, test: str, distortion: str
) -> dict[str, float]:
  """BD-rates to what a learned codec should be compared with.

  Of the paper's curves that is the one tuned for the measure that the codec's
  model was trained for.

  Args:
    result: The evaluation.
    test: Label of the learned codec.
    distortion: One of `HEADLINE_MEASURES`.

  Returns:
    Percent by label of the anchor, smallest first.
  """
  (tuned_for,) = (
    c.codec["tuned_for"] for c in result.curves if c.label == test
  )
  unlike = {
    c.label
    for c in result.curves
    if c.published and c.codec["name"] != f"{_OWN_PAPER}_{tuned_for}"
  }
  rates = {
    d.anchor: d.bd_rate
    for d in result.deltas
    if (d.test, d.distortion) == (test, distortion)
    and not math.isnan(d.bd_rate)
    and d.anchor not in unlike
  }
  return dict(sorted(rates.items(), key=lambda pair: pair[1]))


def headline(result: Summary) -> tuple[str, ...]:
  """How the files of each learned codec compare with the others' in size."""
  sentences = []
  for test in dict.fromkeys(d.test for d in result.deltas):
    for distortion, name in HEADLINE_MEASURES.items():
      rates = headline_rates(result, test, distortion)
      clauses = []
      for word, is_smaller in (("smaller", True), ("larger", False)):
        rivals = [
          f"{anchor} ({rate:+.1f}%)"
          for anchor, rate in rates.items()
          if (rate < 0) == is_smaller
        ]
        if rivals:
          clauses.append(f"{word} than those of {', '.join(rivals)}")
      if clauses:
        sentences.append(
          f"At equal {name} on {result.data_name}, files of {test} are"
          f" {' and '.join(clauses)}."
        )
  return tuple(sentences)


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
