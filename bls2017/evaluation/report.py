"""The file `report.html`: everything on one page that needs nothing else.

Curves, tables and pictures are in the page itself; its script draws. JPEG, WebP
and AVIF pictures are the very files that were measured. What browsers do not
show is decoded and embedded as a fine AVIF file, which the eye cannot tell from
the decoded pixels; all figures are of those.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import string
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import bls2017
from bls2017.evaluation import (
  image_codecs,
  measurement,
  plots,
  rate_distortion,
  study_results,
  summary,
)
from bls2017.images import reading

FILE_NAME = "report.html"

Comparison = tuple[measurement.Original, dict[str, measurement.Match]]
"""An image, and its files at one rate by the codecs' labels."""

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
_UNKNOWN = "\u2013"


def render(
  result: summary.Summary,
  comparisons: Sequence[Comparison] = (),
  answers: Sequence[study_results.StudyResult] = (),
) -> str:
  """Makes the page.

  Args:
    result: The evaluation.
    comparisons: Pictures at matched rates.
    answers: Of the studies that were made.
  """
  with open(_TEMPLATE, encoding="utf-8") as f:
    template = string.Template(f.read())
  pictures: dict[str, int] = {}
  data = {
    "curves": _curves(result),
    "comparisons": [_comparison(*c, pictures) for c in comparisons],
    "studies": [[_chart(c) for c in answer.charts] for answer in answers],
    "pictures": list(pictures),
  }
  text = json.dumps(rate_distortion.to_json(data), allow_nan=False)
  return template.substitute(
    title=html.escape(f"Compression of {result.data_name}"),
    subtitle=html.escape(_subtitle(result)),
    note=html.escape(result.note),
    headline=_headline(result),
    deltas=_delta_tables(result),
    means="".join(map(_mean_table, result.curves)),
    studies="".join(map(_study, answers)),
    codecs=_codec_table(result),
    failures=_failures(result),
    # No string in a script element may end it.
    data=text.replace("</", "<\\/"),
  )


def _subtitle(result: summary.Summary) -> str:
  images = result.measured.images
  sizes = sorted({f"{i.width}\u00d7{i.height}" for i in images})
  size = f"{len(sizes)} sizes"
  if len(sizes) < 3:
    size = " and ".join(sizes) + " pixels"
  count = f"{len(images)} image{'s' if len(images) != 1 else ''}"
  return f"{count} of {size}, compressed by bls2017 {bls2017.__version__}."


def _curves(result: summary.Summary) -> list[dict[str, Any]]:
  """Charts of all distortions: of the means, then of each image."""
  groups = [("Mean over all images", result.curves)]
  images = result.measured.images
  for image in images if len(images) > 1 else ():
    curves = rate_distortion.measured_curves(result.measured, image)
    groups.append((image.name, curves))
  return [
    {
      "name": name,
      "charts": [
        _chart(plots.rate_distortion_chart(curves, distortion, title))
        for distortion, title in rate_distortion.DISTORTIONS.items()
      ],
    }
    for name, curves in groups
  ]


def _chart(chart: plots.Chart) -> dict[str, Any]:
  """A chart with the style of each series, and the points that are known."""
  lines = []
  for i, series in enumerate(chart.series):
    style, texts = plots.style(i, series), series.texts or [""] * len(series.x)
    corners = [(x * style.radius, -y * style.radius) for x, y in style.marker]
    lines.append(
      {
        "label": series.label,
        "emphasised": series.emphasised,
        "colour": style.colour,
        "width": style.width,
        "dash": " ".join(f"{style.width * d:.1f}" for d in style.dash),
        "marker": " ".join(f"{x:.1f},{y:.1f}" for x, y in corners),
        "points": [
          (float(f"{x:.6g}"), float(f"{y:.6g}"), text)
          for x, y, text in zip(series.x, series.y, texts)
          if y is not None and math.isfinite(y)
        ],
      }
    )
  return {**chart._asdict(), "series": lines}


def _comparison(
  image: measurement.Original,
  matches: dict[str, measurement.Match],
  pictures: dict[str, int],
) -> dict[str, Any]:
  """One comparison; `pictures` gets each picture once, with its number."""

  def item(label: str, caption: str, picture: str) -> dict[str, Any]:
    number = pictures.setdefault(picture, len(pictures))
    return {"label": label, "caption": caption, "picture": number}

  original = _browser_file(reading.read_rgb(image.path))
  items = [item("Original", "24 bpp", original)]
  for label, match in matches.items():
    codec = image_codecs.REGISTRY.get(match.row.codec)
    if codec and codec.media_type:
      picture = _data_uri(codec, match.data)
    else:
      picture = _browser_file(match.decoded)
    items.append(item(label, match.caption, picture))
  rates = [f" at {match.row.bpp:.3f} bpp" for match in matches.values()]
  return {
    "name": image.name + "".join(rates[:1]),
    "width": image.width,
    "height": image.height,
    "items": items,
  }


def _browser_file(x: np.ndarray) -> str:
  """A picture as browsers show it; lossless ones are several times larger."""
  codecs = image_codecs.REGISTRY
  codec = codecs.get("avif", codecs["jpeg444"])
  return _data_uri(codec, codec.encode(x, _PICTURE_QUALITY).data)


def _data_uri(codec: image_codecs.ImageCodec, file: bytes) -> str:
  return f"data:{codec.media_type};base64,{base64.b64encode(file).decode()}"


def _headline(result: summary.Summary) -> str:
  """A card for each rival of each learned codec, the easiest one first."""
  cards: dict[str, str] = {}
  for test, anchor, psnr, ms_ssim in summary.headline(result):
    kind = "fewer" if psnr < 0 else "more"
    card = f"<b>{summary.fewer(psnr)}</b> than {html.escape(anchor)}"
    if not math.isnan(ms_ssim):
      card += f"<small>MS-SSIM: {summary.fewer(ms_ssim)}</small>"
    cards[test] = cards.get(test, "") + f'<li class="{kind}">{card}</li>'
  return "".join(
    f"<h2>Bits that {html.escape(test)} needs at equal PSNR</h2>"
    f'<ul class="cards">{items}</ul>'
    for test, items in cards.items()
  )


def _delta_tables(result: summary.Summary) -> str:
  if not result.deltas:
    return "<p>No learned codec was evaluated.</p>"
  tables: dict[tuple[str, str], list[list[str]]] = {}
  for d in result.deltas:
    cells = [_UNKNOWN] * 4
    if not math.isnan(d.bd_rate):
      low, high = d.overlap
      cells = [
        f"{d.bd_rate:+.1f}%", f"{d.bd_quality:+.2f}",
        f"{low:.1f}\u2013{high:.1f}", f"{d.overlap_share:.0%}",
      ]  # fmt: skip
    tables.setdefault((d.test, d.distortion), []).append([d.anchor, *cells])
  head = ("against", "BD-rate", "gain, dB", "range, dB", "share")
  several = len({test for test, _ in tables}) > 1
  text = ""
  for (test, distortion), rows in tables.items():
    name = rate_distortion.DISTORTIONS[distortion].removesuffix(" (dB)")
    text += _table(head, rows, f"{test}: {name}" if several else name)
  return f'<div class="numeric deltas">{text}</div>'


def _mean_table(curve: rate_distortion.Curve) -> str:
  points = [{**p.values, "quality": p.quality} for p in curve.points]

  def cell(point: dict[str, Any], name: str, form: str) -> str:
    value = point.get(name)
    known = value is not None and not math.isnan(value)
    return format(value, form) if known else _UNKNOWN

  columns = [
    (label, [cell(point, name, form) for point in points])
    for name, label, form in _MEASURES
  ]
  known = [(label, cells) for label, cells in columns if {*cells} - {_UNKNOWN}]
  rows = zip(*(cells for _, cells in known))
  return (
    f'<details class="numeric"><summary>{html.escape(curve.label)}</summary>'
    f"{_table([label for label, _ in known], rows)}</details>"
  )


def _codec_table(result: summary.Summary) -> str:
  rows = []
  for curve in result.curves:
    about = {"version": "published", "chroma": "", **curve.codec}
    settings = about.get("description") or about["source"]
    macs = f"{about['macs']:,.0f}" if "macs" in about else ""
    cells = (curve.label, settings, about["chroma"], macs, about["version"])
    rows.append(cells)
  head = ("codec", "settings", "chroma", "MACs a pixel", "version")
  return _table(head, rows)


def _study(answer: study_results.StudyResult) -> str:
  findings = "".join(f"<p>{html.escape(text)}</p>" for text in answer.findings)
  return (
    f"<h2>{html.escape(answer.title)}</h2>{findings}"
    f'<div class="charts study"></div>{_table(answer.columns, answer.rows)}'
  )


def _failures(result: summary.Summary) -> str:
  failures = [f"{f.what}: {f.reason}" for f in result.measured.failures]
  items = "".join(f"<li>{html.escape(text)}</li>" for text in failures)
  return f"<h2>Skipped</h2><ul>{items}</ul>" if items else ""


def _table(
  head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = ""
) -> str:
  def line(cells: Sequence[str], tag: str) -> str:
    texts = (f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{''.join(texts)}</tr>"

  body = "".join(line(row, "td") for row in rows)
  return (
    f'<div class="scroll"><table><caption>{html.escape(caption)}</caption>'
    f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table></div>"
  )
