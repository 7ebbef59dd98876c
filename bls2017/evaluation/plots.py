"""Charts as data, and as files drawn by matplotlib (extra "eval").

The same charts go into the report, where they are drawn by its own script. A
series has a marker and a dash besides its colour, so that charts can be read
without colour; those of the learned codec are thick, solid, and drawn last.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bls2017 import files
from bls2017.evaluation import rate_distortion


class Series(NamedTuple):
  """One line of a chart, with a remark on each point or none.

  The line is "solid", "dashed" (a reference) or "none" (points only). A chart
  is about the series that is emphasised.
  """

  label: str
  x: Sequence[float]
  y: Sequence[float]
  texts: Sequence[str] = ()
  line: str = "solid"
  emphasised: bool = False


class Chart(NamedTuple):
  """Lines over a linear or logarithmic abscissa."""

  title: str
  x_label: str
  y_label: str
  series: Sequence[Series]
  log_x: bool = False


class Style(NamedTuple):
  """The look of a series; lengths are points of a page.

  Attributes:
    colour: In CSS's notation.
    marker: Corners of a polygon of radius 1, x to the right and y upwards.
    radius: Of the marker.
    width: Of the line, 0 for none.
    dash: Lengths of dashes and gaps as multiples of the width; none if solid.
  """

  colour: str
  marker: tuple[tuple[float, float], ...]
  radius: float
  width: float
  dash: tuple[float, ...]


_COLOURS = (
  "#c1272d", "#1f6fb4", "#2f8f46", "#8a5cb8", "#c77c11", "#0f8b8d",
  "#6b6b6b", "#a0522d", "#d6468b", "#4b5320",
)  # fmt: skip
_STARS = (
  (10, 0.95, 0.0), (4, 0.71, 0.125), (3, 0.5, 0.0), (4, 0.71, 0.0),
  (3, 0.5, 0.5), (4, 0.3, 0.125), (5, 0.4, 0.0), (4, 0.3, 0.0),
  (3, 0.5, 0.25), (3, 0.5, 0.75),
)  # fmt: skip
"""Markers: points of a star, the radius between them, and part of a turn."""

_DASHES = ((), (5.0, 1.6), (5.0, 1.4, 1.2, 1.4), (2.4, 1.2))
_REFERENCE_DASH = (1.0, 1.4)


def style(index: int, series: Series) -> Style:
  """The style of the series of an index in its chart."""
  points, inner, turn = _STARS[index % len(_STARS)]
  corners = []
  for i in range(2 * points):
    angle = 2 * math.pi * (turn + i / (2 * points))
    radius = inner if i % 2 else 1.0
    corner = radius * math.sin(angle), radius * math.cos(angle)
    corners.append((round(corner[0], 3), round(corner[1], 3)))
  colour = _COLOURS[index % len(_COLOURS)]
  if series.emphasised:
    return Style(colour, tuple(corners), 5.4, 3.2, ())
  width = 0.0 if series.line == "none" else 1.4
  dash = _DASHES[index % len(_DASHES)]
  if series.line == "dashed":
    dash = _REFERENCE_DASH
  return Style(colour, tuple(corners), 4.2, width, dash)


def rate_distortion_chart(
  curves: Iterable[rate_distortion.Curve], distortion: str, title: str
) -> Chart:
  """Curves under one measure; codecs without any point are left out."""
  series = []
  for curve in curves:
    points = [
      (p.values["bpp"], p.values[distortion], p.quality)
      for p in curve.points
      if math.isfinite(p.values[distortion])
    ]
    if points:
      x, y, qualities = zip(*points)
      texts = ["" if q is None else f"quality {q:g}" for q in qualities]
      line = "dashed" if curve.published else "solid"
      learned = bool(curve.codec.get("model_id"))
      series.append(Series(curve.label, x, y, texts, line, learned))
  name = rate_distortion.DISTORTIONS[distortion]
  return Chart(title, "bits per pixel", name, series, log_x=True)


def draw(charts: Sequence[Chart], path: str) -> None:
  """Draws charts side by side into a PNG.

  Args:
    charts: At least one.
    path: The file; an old one is replaced.

  Raises:
    errors.OutputError: if the file cannot be written.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6.4 * len(charts), 4.8), layout="constrained")
  all_axes = figure.subplots(1, len(charts), squeeze=False)[0]
  for chart, axes in zip(charts, all_axes):
    _draw_axes(axes, chart)
  png = io.BytesIO()
  figure.savefig(png, format="png", dpi=110)
  files.write(path, png.getvalue(), overwrite=True)


def _draw_axes(axes: Any, chart: Chart) -> None:
  for i, series in enumerate(chart.series):
    look = style(i, series)
    axes.plot(
      series.x,
      series.y,
      linestyle=(0, look.dash) if look.dash else "-",
      linewidth=look.width,
      marker=look.marker,
      markersize=1.6 * look.radius,
      markeredgewidth=0,
      color=look.colour,
      label=series.label,
      zorder=3 if series.emphasised else 2,
    )
  if chart.log_x:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(
      lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else ""
    )
  axes.tick_params(which="both", length=3)
  axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
  axes.grid(True, which="both", color="#e0e0e0", linewidth=0.6)
  if chart.series:
    axes.legend(fontsize=8, handlelength=4)
