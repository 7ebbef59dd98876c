"""Charts as data, and as files drawn by matplotlib (extra "eval").

The same charts go into the report, where they are drawn by its own script. A
series has a marker and a dash besides its colour, so that charts can be read
without colour; those of the learned codec are thick, solid, and drawn last.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bls2017 import errors
from bls2017.evaluation import rate_distortion

COLOURS = (
    "#c1272d", "#1f6fb4", "#2f8f46", "#8a5cb8", "#c77c11", "#0f8b8d",
    "#6b6b6b", "#a0522d", "#d6468b", "#4b5320",
)  # fmt: skip
"""Of the series of a chart, in their order."""

_STARS = (
  (10, 0.95, 0.0), (4, 0.71, 0.125), (3, 0.5, 0.0), (4, 0.71, 0.0),
  (3, 0.5, 0.5), (4, 0.3, 0.125), (5, 0.4, 0.0), (4, 0.3, 0.0),
  (3, 0.5, 0.25), (3, 0.5, 0.75),
)  # fmt: skip
"""Markers as stars: points, radius between the points, and part of a turn."""

_DASHES = ((), (5.0, 1.6), (5.0, 1.4, 1.2, 1.4), (2.4, 1.2))
_REFERENCE_DASH = (1.0, 1.4)

RATE_LABEL = "bits per pixel"


@dataclasses.dataclass(frozen=True)
class Series:
  """One line of a chart.

  Attributes:
    label: Its name.
    x: Abscissae.
    y: Ordinates, as many.
    texts: What to say of each point beside its values, as many or none.
    line: "solid", "dashed" (a reference) or "none" (points only).
    emphasised: Whether the chart is about this one.
  """

  label: str
  x: tuple[float, ...]
  y: tuple[float, ...]
  texts: tuple[str, ...] = ()
  line: str = "solid"
  emphasised: bool = False


class Style(NamedTuple):
  """How a series is drawn; lengths are points of a page.

  Attributes:
    colour: As CSS has it.
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


@dataclasses.dataclass(frozen=True)
class Chart:
  """A chart.

  Attributes:
    title: Its title.
    x_label: Name of the abscissa.
    y_label: Name of the ordinate.
    series: The lines.
    log_x: Whether the abscissa is logarithmic.
  """

  title: str
  x_label: str
  y_label: str
  series: tuple[Series, ...]
  log_x: bool = False


def style(index: int, series: Series) -> Style:
  """The style of the series of an index in its chart."""
  points, inner, turn = _STARS[index % len(_STARS)]
  corners = []
  for i in range(2 * points):
    angle = 2 * math.pi * (turn + i / (2 * points))
    radius = inner if i % 2 else 1.0
    corners.append((radius * math.sin(angle), radius * math.cos(angle)))
  dash = _DASHES[index % len(_DASHES)]
  if series.line == "dashed":
    dash = _REFERENCE_DASH
  width = 0.0 if series.line == "none" else 1.4
  return Style(
    COLOURS[index % len(COLOURS)],
    tuple((round(x, 3), round(y, 3)) for x, y in corners),
    radius=5.4 if series.emphasised else 4.2,
    width=3.2 if series.emphasised else width,
    dash=() if series.emphasised else dash,
  )


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
      texts = tuple("" if q is None else f"quality {q:g}" for q in qualities)
      line = "dashed" if curve.published else "solid"
      learned = bool(curve.codec.get("model_id"))
      series.append(Series(curve.label, x, y, texts, line, learned))
  name = rate_distortion.DISTORTIONS[distortion]
  return Chart(title, RATE_LABEL, name, tuple(series), log_x=True)


def draw(charts: Sequence[Chart], path: str) -> None:
  """Draws charts side by side into a PNG.

  Args:
    charts: At least one.
    path: The file; an old one is replaced.

  Raises:
    errors.UsageError: if matplotlib is not installed.
    errors.OutputError: if the file cannot be written.
  """
  figure_class = _matplotlib_figure()
  figure = figure_class(figsize=(6.4 * len(charts), 4.8), layout="constrained")
  for chart, axes in zip(
    charts, figure.subplots(1, len(charts), squeeze=False)[0]
  ):
    _draw_axes(axes, chart)
  temporary = f"{path}.{os.getpid()}.tmp"
  try:
    figure.savefig(temporary, format="png", dpi=110)
    os.replace(temporary, path)
  except OSError as e:
    raise errors.OutputError(f"cannot write {path}: {e.strerror}") from e


def draw_task(task: tuple[tuple[Chart, ...], str]) -> None:
  """`draw`, of one argument."""
  draw(*task)


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


def _matplotlib_figure() -> Any:
  try:
    from matplotlib.figure import Figure
  except ImportError as e:
    raise errors.UsageError(
      "plots need the package matplotlib; pip install 'bls2017[eval]'"
    ) from e
  return Figure
