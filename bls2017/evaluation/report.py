"""The file `report.html`: everything on one page that needs nothing else.

Curves, tables and pictures are in the page itself, as JSON and as base64; its
script draws. JPEG, WebP and AVIF pictures are the very files that were
measured; what browsers do not show is embedded decoded, as lossless WebP.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import math
import os
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

import bls2017
from bls2017.evaluation import (
  comparison,
  image_codecs,
  measurement,
  plots,
  rate_distortion,
  studies,
  summary,
)
from bls2017.images import image_io

FILE_NAME = "report.html"

_TEMPLATE = os.path.join(os.path.dirname(__file__), "templates", "report.html")
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
  study_results: Sequence[studies.Result] = (),
) -> str:
  """The page.

  Args:
    result: The evaluation.
    comparisons: Pictures at matched rates.
    study_results: Studies that were made.
  """
  with open(_TEMPLATE, encoding="utf-8") as f:
    template = string.Template(f.read())
  count = len(result.evaluation.images)
  data = {
    "colours": plots.COLOURS,
    "distortions": rate_distortion.DISTORTIONS,
    "curves": _curves(result),
    "comparisons": [_comparison(c) for c in comparisons],
    "studies": [dataclasses.asdict(s) for s in study_results],
  }
  text = json.dumps(rate_distortion.to_json(data), allow_nan=False)
  return template.substitute(
    version=bls2017.__version__,
    subtitle=f"{count} image{'s' if count != 1 else ''}",
    note=html.escape(result.note),
    deltas=_delta_table(result),
    means=_mean_tables(result),
    checks=_check_table(result),
    codecs=_codec_table(result),
    failures=_failures(result),
    # No string in a script element may end it.
    data=text.replace("</", "<\\/"),
  )


def _curves(result: summary.Summary) -> list[dict[str, Any]]:
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
        key: dataclasses.asdict(plots.rate_distortion_chart(curves, key, name))
        for key in rate_distortion.DISTORTIONS
      },
    }
    for name, curves in groups
  ]


def _comparison(case: comparison.Comparison) -> dict[str, Any]:
  original = image_io.read_rgb(case.image.path)
  items = [
    {
      "label": "Original",
      "caption": "24 bpp",
      "source": _lossless(original),
    }
  ]
  for label, match in case.matches.items():
    items.append(
      {
        "label": label,
        "caption": comparison.caption(match),
        "source": _source(match),
      }
    )
  first = next(iter(case.matches.values()), None)
  bpp = first.row.bpp if first else case.bpp
  return {
    "name": f"{case.image.name} at {bpp:.3f} bpp",
    "width": case.image.width,
    "height": case.image.height,
    "items": items,
  }


def _source(match: measurement.Match) -> str:
  media_type = image_codecs.REGISTRY[match.row.codec].media_type
  if not media_type:
    return _lossless(match.decoded)
  return _data_uri(media_type, match.data)


def _lossless(x: np.ndarray) -> str:
  buffer = io.BytesIO()
  try:
    Image.fromarray(x).save(buffer, "WEBP", lossless=True, method=4)
  except (KeyError, OSError, ValueError):  # No WebP here, or too large for it.
    return _data_uri("image/png", image_io.encode(x))
  return _data_uri("image/webp", buffer.getvalue())


def _data_uri(media_type: str, data: bytes) -> str:
  return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _delta_table(result: summary.Summary) -> str:
  rows = []
  pairs = dict.fromkeys((d.test, d.anchor) for d in result.deltas)
  for test, anchor in pairs:
    cells = [html.escape(test), html.escape(anchor)]
    for key in rate_distortion.DISTORTIONS:
      delta = next(
        d
        for d in result.deltas
        if (d.test, d.anchor, d.distortion) == (test, anchor, key)
      )
      if math.isnan(delta.bd_rate):
        cells.append("–")
        continue
      low, high = delta.overlap
      cells.append(
        f"<b>{delta.bd_rate:+.1f}%</b> <small>{delta.bd_quality:+.2f}&nbsp;dB"
        f"<br>{low:.1f}–{high:.1f}&nbsp;dB, {delta.overlap_share:.0%}</small>"
      )
    rows.append(cells)
  head = [
    "codec",
    "against",
    *map(html.escape, rate_distortion.DISTORTIONS.values()),
  ]
  if not rows:
    return "<p>No learned codec was evaluated.</p>"
  return _table(head, rows)


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
    table = _table([html.escape(name) for _, name, _ in columns], rows)
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
    settings = codec.get("settings", codec.get("source", ""))
    if codec.get("model_id"):
      settings += f", model {codec['model_id']}"
    cells = (curve.label, codec.get("version", "published"), settings)
    rows.append([html.escape(c) for c in cells])
  return _table(["codec", "version", "settings"], rows)


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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table of cells that are HTML already."""
  top = "".join(f"<th>{cell}</th>" for cell in head)
  body = "".join(
    "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    for row in rows
  )
  return (
    f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
    f"<tbody>{body}</tbody></table></div>"
  )
