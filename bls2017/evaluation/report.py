"""The file `report.html`: everything on one page that needs nothing else.

Curves, tables and pictures are in the page itself, as JSON and as base64; its
script draws. JPEG, WebP and AVIF pictures are the very files that were
measured. What browsers do not show is decoded and embedded as a fine AVIF file,
which the eye cannot tell from the decoded pixels; all figures are of those.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import math
import os
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

import bls2017
from bls2017.evaluation import (
  comparison,
  image_codecs,
  plots,
  rate_distortion,
  study_results,
  summary,
)
from bls2017.images import image_io

FILE_NAME = "report.html"

_TEMPLATE = os.path.join(os.path.dirname(__file__), "templates", "report.html")
_PICTURE_QUALITY = 90
"""AVIF files of this quality have some 45 dB, at an eighth of the bytes that a
lossless file has."""

_MEASURES = (
  ("quality", "quality", "g"),
  ("bpp", "bpp", ".3f"),
  ("psnr_rgb", "PSNR RGB", ".2f"),
  ("psnr_y", "PSNR Y'", ".2f"),
  ("ms_ssim_rgb", "MS-SSIM RGB", ".4f"),
  ("ms_ssim_rgb_db", "in dB", ".2f"),
  ("ms_ssim_y", "MS-SSIM Y'", ".4f"),
  ("ms_ssim_y_db", "in dB", ".2f"),
  ("encode_s", "encode s", ".3f"),
  ("decode_s", "decode s", ".3f"),
  ("estimated_bpp", "estimated bpp", ".3f"),
  ("gap_percent", "gap %", ".2f"),
)


def render(
  result: summary.Summary,
  comparisons: Sequence[comparison.Comparison] = (),
  answers: Sequence[study_results.Result] = (),
) -> str:
  """The page.

  Args:
    result: The evaluation.
    comparisons: Pictures at matched rates.
    answers: Of the studies that were made.
  """
  with open(_TEMPLATE, encoding="utf-8") as f:
    template = string.Template(f.read())
  shared = _Shared()
  data = {
    "distortions": rate_distortion.DISTORTIONS,
    "curves": _curves(result, shared),
    "comparisons": [_comparison(c, shared) for c in comparisons],
    "studies": [_study(s, shared) for s in answers],
    "styles": [style._asdict() for style in shared.styles],
    "pictures": list(shared.pictures),
  }
  text = json.dumps(rate_distortion.to_json(data), allow_nan=False)
  return template.substitute(
    title=html.escape(f"Compression of {result.data_name}"),
    subtitle=html.escape(_subtitle(result)),
    note=html.escape(result.note),
    headline=_headline(result),
    deltas=_delta_tables(result),
    means=_mean_tables(result),
    checks=_check_table(result),
    codecs=_codec_table(result),
    failures=_failures(result),
    # No string in a script element may end it.
    data=text.replace("</", "<\\/"),
  )


class _Shared:
  """What the page holds once; its parts name it by an index.

  Attributes:
    styles: Styles of series, with their indices.
    pictures: Files as data URIs, with their indices.
  """

  def __init__(self) -> None:
    self.styles: dict[plots.Style, int] = {}
    self.pictures: dict[str, int] = {}

  def chart(self, chart: plots.Chart) -> dict[str, Any]:
    """A chart whose series name their styles."""
    values = dataclasses.asdict(chart)
    for i, series in enumerate(chart.series):
      index = self.styles.setdefault(plots.style(i, series), len(self.styles))
      values["series"][i]["style"] = index
      for axis in ("x", "y"):
        numbers = values["series"][i][axis]
        values["series"][i][axis] = [float(f"{v:.6g}") for v in numbers]
    return values

  def picture(self, media_type: str, file: bytes) -> int:
    """The index of a picture."""
    uri = f"data:{media_type};base64,{base64.b64encode(file).decode()}"
    return self.pictures.setdefault(uri, len(self.pictures))


def _subtitle(result: summary.Summary) -> str:
  images = result.evaluation.images
  sizes = sorted({(i.width, i.height) for i in images})
  size = " and ".join(f"{w}\u00d7{h}" for w, h in sizes) + " pixels"
  if len(sizes) > 2:
    mean = sum(i.width * i.height for i in images) / len(images) / 1e6
    size = f"{mean:.2g} megapixels on average"
  count = f"{len(images)} image{'s' if len(images) != 1 else ''}"
  return f"{count} of {size}, compressed by bls2017 {bls2017.__version__}."


def _curves(result: summary.Summary, shared: _Shared) -> list[dict[str, Any]]:
  groups = [("Mean over all images", list(result.curves))]
  if len(result.evaluation.images) > 1:
    groups += [
      (image.name, result.evaluation.curves(image.hash))
      for image in result.evaluation.images
    ]
  return [
    {
      "name": name,
      "charts": {
        key: shared.chart(plots.rate_distortion_chart(curves, key, name))
        for key in rate_distortion.DISTORTIONS
      },
    }
    for name, curves in groups
  ]


def _study(result: study_results.Result, shared: _Shared) -> dict[str, Any]:
  charts = [shared.chart(chart) for chart in result.charts]
  return dataclasses.asdict(result) | {"charts": charts}


def _comparison(case: comparison.Comparison, shared: _Shared) -> dict[str, Any]:
  original = _browser_file(image_io.read_rgb(case.image.path))
  panels = [("Original", "24 bpp", original)]
  for label, match in case.matches.items():
    media_type = image_codecs.REGISTRY[match.row.codec].media_type
    file = (media_type, match.data)
    if not media_type:
      file = _browser_file(match.decoded)
    panels.append((label, comparison.caption(match), file))
  first = next(iter(case.matches.values()), None)
  bpp = first.row.bpp if first else case.bpp
  return {
    "name": f"{case.image.name} at {bpp:.3f} bpp",
    "width": case.image.width,
    "height": case.image.height,
    "items": [
      {"label": label, "caption": text, "picture": shared.picture(*file)}
      for label, text, file in panels
    ],
  }


def _browser_file(x: np.ndarray) -> tuple[str, bytes]:
  """A picture as a file that browsers show, with its media type before it.

  Lossless files would make the page several times as large.
  """
  codec: image_codecs.PillowCodec = image_codecs.Jpeg444()
  if image_codecs.Avif.is_available():
    codec = image_codecs.Avif()
  return codec.media_type, codec.encode(x, _PICTURE_QUALITY).data


def _headline(result: summary.Summary) -> str:
  """A card for each rival of each learned codec, the easiest one first."""
  parts = []
  for test in dict.fromkeys(d.test for d in result.deltas):
    (name, rates), *others = [
      (name, summary.headline_rates(result, test, key))
      for key, name in summary.HEADLINE_MEASURES.items()
    ]
    cards = []
    for anchor, rate in rates.items():
      also = "".join(
        f"<small>{other}: {_fewer(values[anchor])}</small>"
        for other, values in others
        if anchor in values
      )
      cards.append(
        f'<li class="{"fewer" if rate < 0 else "more"}">'
        f"<b>{_fewer(rate)}</b> than {html.escape(anchor)}{also}</li>"
      )
    if cards:
      parts.append(
        f"<h2>Bits that {html.escape(test)} needs at equal {name}</h2>"
        f'<ul class="cards">{"".join(cards)}</ul>'
      )
  return "".join(parts)


def _fewer(rate: float) -> str:
  return f"{abs(rate):.1f}% {'fewer' if rate < 0 else 'more'}"


def _delta_tables(result: summary.Summary) -> str:
  if not result.deltas:
    return "<p>No learned codec was evaluated.</p>"
  tests = list(dict.fromkeys(d.test for d in result.deltas))
  parts = []
  for test in tests:
    for key, name in rate_distortion.DISTORTIONS.items():
      rows = [
        [html.escape(d.anchor), *_delta_cells(d)]
        for d in result.deltas
        if (d.test, d.distortion) == (test, key)
      ]
      measure = name.removesuffix(" (dB)")
      caption = f"{test}: {measure}" if len(tests) > 1 else measure
      head = ["against", "BD-rate", "gain, dB", "range, dB", "share"]
      parts.append(_table(head, rows, html.escape(caption), numeric=True))
  return f'<div class="deltas">{"".join(parts)}</div>'


def _delta_cells(delta: rate_distortion.Delta) -> list[str]:
  if math.isnan(delta.bd_rate):
    return ["\u2013"] * 4
  low, high = delta.overlap
  return [
    f"<b>{delta.bd_rate:+.1f}%</b>",
    f"{delta.bd_quality:+.2f}",
    f"{low:.1f}\u2013{high:.1f}",
    f"{delta.overlap_share:.0%}",
  ]


def _mean_tables(result: summary.Summary) -> str:
  parts = []
  for curve in result.curves:
    values = [{**p.values, "quality": p.quality} for p in curve.points]
    columns = [c for c in _MEASURES if any(_known(v.get(c[0])) for v in values)]
    rows = [
      [
        format(v[key], form) if _known(v.get(key)) else "–"
        for key, _, form in columns
      ]
      for v in values
    ]
    head = [html.escape(name) for _, name, _ in columns]
    table = _table(head, rows, numeric=True)
    parts.append(
      f"<details><summary>{html.escape(curve.label)}</summary>{table}</details>"
    )
  return "".join(parts)


def _check_table(result: summary.Summary) -> str:
  if not result.checks:
    return ""
  rows = [
    [
      html.escape(check["curve"]),
      html.escape(check["reference"]),
      html.escape(rate_distortion.DISTORTIONS[check["distortion"]]),
      ", ".join(
        f"{d['db']:+.2f}&nbsp;dB at {d['bpp']:.2f}"
        for d in check["db_above_reference"]
      ),
    ]
    for check in result.checks
  ]
  head = [
    "measured",
    "published",
    "measure",
    "above the published curve, at bpp",
  ]
  return "<h3>Baselines against published curves</h3>" + _table(head, rows)


def _codec_table(result: summary.Summary) -> str:
  rows = []
  for curve in result.curves:
    codec = curve.codec
    settings = codec.get("description", codec.get("source", ""))
    cells = (curve.label, settings, codec.get("version", "published"))
    rows.append([html.escape(c) for c in cells])
  return _table(["codec", "settings", "version"], rows)


def _failures(result: summary.Summary) -> str:
  failures = result.evaluation.failures
  if not failures:
    return ""
  items = "".join(
    f"<li>{html.escape(f.what)}: {html.escape(f.reason)}</li>" for f in failures
  )
  return f"<h2>Skipped</h2><ul>{items}</ul>"


def _known(value: float | None) -> bool:
  return value is not None and not math.isnan(value)


def _table(
  head: Sequence[str],
  rows: Sequence[Sequence[str]],
  caption: str = "",
  numeric: bool = False,
) -> str:
  """A table of cells that are HTML already.

  Args:
    head: Names of the columns.
    rows: Cells.
    caption: Stands above the table.
    numeric: Whether all columns but the first one hold numbers.
  """
  top = "".join(f"<th>{cell}</th>" for cell in head)
  body = "".join(
    "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    for row in rows
  )
  return (
    f'<div class="scroll"><table{" class=numeric" if numeric else ""}>'
    f"<caption>{caption}</caption><thead><tr>{top}</tr></thead>"
    f"<tbody>{body}</tbody></table></div>"
  )
