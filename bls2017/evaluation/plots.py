"""Charts as data, and as files drawn by matplotlib (extra "eval").

The same charts go into the report, where they are drawn by its own script.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

from bls2017 import errors
from bls2017.evaluation import rate_distortion

COLOURS = (
    "#c1272d", "#1f6fb4", "#2f8f46", "#8a5cb8", "#c77c11", "#0f8b8d",
    "#6b6b6b", "#a0522d", "#d6468b", "#4b5320",
)  # fmt: skip
"""Of the series of a chart, in their order."""

RATE_LABEL = "bits per pixel"


@dataclasses.dataclass(frozen=True)
class Series:
  """One line of a chart.

  Attributes:
    label: Its name.
    x: Abscissae.
    y: Ordinates, as many.
    texts: What to say of each point beside its values, as many or none.
    line: "solid", "dashed" or "none" (points only).
  """

  label: str
  x: tuple[float, ...]
  y: tuple[float, ...]
  texts: tuple[str, ...] = ()
  line: str = "solid"


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
      series.append(Series(curve.label, x, y, texts, line))
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
    axes.plot(
      series.x,
      series.y,
      linestyle=series.line,
      marker="o",
      markersize=3 if series.line != "none" else 4,
      linewidth=1.4,
      color=COLOURS[i % len(COLOURS)],
      label=series.label,
    )
  if chart.log_x:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(
      lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else ""
    )
  axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
  axes.grid(True, which="both", color="#e0e0e0", linewidth=0.6)
  if chart.series:
    axes.legend(fontsize=8)


def _matplotlib_figure() -> Any:
  try:
    from matplotlib.figure import Figure
  except ImportError as e:
    raise errors.UsageError(
      "plots need the package matplotlib; pip install 'bls2017[eval]'"
    ) from e
  return Figure
