"""The file `summary.json`: the results of an evaluation.

Means per quality with each codec's settings, Bjontegaard deltas of the learned
codec to everything else, the same in words, and, where the images are the Kodak
set, published curves beside them.
"""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

from bls2017.evaluation import grid, rate_distortion
from bls2017.evaluation.rate_distortion import Curve, Delta

FILE_NAME = "summary.json"

_OWN_PAPER = "balle2017"


class Summary(NamedTuple):
  """The results of an evaluation.

  Attributes:
    data_name: Name of the images.
    measured: All measurements.
    curves: A mean curve for each codec, then the paper's where they may stand
      beside them.
    deltas: Of each learned codec to every other curve, for every distortion;
      and of a codec that is set as in a published curve to that curve.
    note: Says why published curves are there, or are not.
  """

  data_name: str
  measured: grid.Measurements
  curves: tuple[Curve, ...]
  deltas: tuple[Delta, ...]
  note: str


def summarize(measured: grid.Measurements) -> Summary:
  """Averages and compares."""
  curves = rate_distortion.measured_curves(measured)
  here = {image.hash for image in measured.images}
  kodak = rate_distortion.kodak_hashes()
  data_name = _data_name(measured)
  note = "No published curve is known for these images."
  published: list[Curve] = []
  if here == kodak:
    data_name = "the Kodak set"
    published = rate_distortion.published_curves()
    note = (
      "The images are the 24 of the Kodak set, so curves published for it are"
      " shown beside those measured here."
    )
  elif here & kodak:
    note = (
      f"{len(here & kodak)} of the {len(here)} images are of the Kodak set;"
      " curves published for its 24 images can stand beside all of them only."
    )
  paper = [c for c in published if c.codec["name"].startswith(_OWN_PAPER)]
  learned = [c for c in curves if c.codec["model_id"]]
  pairs = [(t, a) for t in learned for a in (*curves, *paper) if a is not t]
  pairs += [
    (test, anchor)
    for test in curves
    for anchor in published
    if test.codec["name"] == anchor.codec["name"]
  ]
  deltas = [
    rate_distortion.compare(test, anchor, distortion)
    for test, anchor in pairs
    for distortion in rate_distortion.DISTORTIONS
  ]
  return Summary(data_name, measured, (*curves, *paper), tuple(deltas), note)


def _data_name(measured: grid.Measurements) -> str:
  if len(measured.images) == 1:
    return measured.images[0].name
  folders = [os.path.dirname(os.path.abspath(i.path)) for i in measured.images]
  return os.path.basename(os.path.commonpath(folders)) or "images"


def to_json(summary: Summary) -> dict[str, Any]:
  """The content of the file."""
  content = {
    "data": summary.data_name,
    "headline": [str(verdict) for verdict in headline(summary)],
    "images": summary.measured.images,
    "failures": summary.measured.failures,
    "means": [c for c in summary.curves if not c.published],
    "bjontegaard": {
      "package": "bjontegaard",
      "method": rate_distortion.METHOD,
      "curves": "means over the images at constant settings",
      "deltas": summary.deltas,
    },
    "published": {
      "note": summary.note,
      "curves": [c for c in summary.curves if c.published],
    },
  }
  return rate_distortion.to_json(content)


class Advantage(NamedTuple):
  """A learned codec against another: labels, and BD-rates in percent, RGB."""

  test: str
  anchor: str
  psnr: float
  ms_ssim: float

  def __str__(self) -> str:
    text = f"{self.test} needs {fewer(self.psnr)} bits than {self.anchor}"
    text += " at equal PSNR"
    if not math.isnan(self.ms_ssim):
      text += f", {fewer(self.ms_ssim)} at equal MS-SSIM"
    return text


def fewer(rate: float) -> str:
  """A BD-rate in words, as in "12.5% fewer"."""
  return f"{abs(rate):.1f}% {'fewer' if rate < 0 else 'more'}"


def headline(summary: Summary) -> list[Advantage]:
  """Learned codecs against what they should be compared with, easiest first.

  Of the paper's curves that is the one tuned for the measure that the codec's
  model was trained for.
  """
  rates = {(d.test, d.anchor, d.distortion): d.bd_rate for d in summary.deltas}
  verdicts = [
    Advantage(
      test.label,
      anchor.label,
      rates[test.label, anchor.label, "psnr_rgb"],
      rates[test.label, anchor.label, "ms_ssim_rgb_db"],
    )
    for test in summary.curves
    if "tuned_for" in test.codec
    for anchor in summary.curves
    if anchor is not test
    if not anchor.published
    or anchor.codec["name"] == f"{_OWN_PAPER}_{test.codec['tuned_for']}"
  ]
  comparable = [v for v in verdicts if not math.isnan(v.psnr)]
  return sorted(comparable, key=lambda v: (v.test, v.psnr))
