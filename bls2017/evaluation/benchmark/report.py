"""What a benchmark comes to: rows of tables, and ratios with what is asked."""

from __future__ import annotations

import dataclasses
from typing import Any

AT_LEAST, AT_MOST = "at least", "at most"


@dataclasses.dataclass(frozen=True)
class Row:
  """Measurements of one thing.

  Attributes:
    table: Which table it belongs to.
    name: What was measured; the first column.
    values: The other columns, with units in their names.
  """

  table: str
  name: str
  values: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Ratio:
  """A figure with what this package asks of itself.

  Attributes:
    name: Of what to what, as a ratio of medians.
    measured: The figure.
    bound: AT_LEAST or AT_MOST.
    asked: The figure it should have.
  """

  name: str
  measured: float
  bound: str
  asked: float

  @property
  def holds(self) -> bool:
    """Whether it is as asked."""
    if self.bound == AT_LEAST:
      return self.measured >= self.asked
    return self.measured <= self.asked


@dataclasses.dataclass
class Report:
  """Everything.

  Attributes:
    machine: The machine, versions, and the settings of the run.
    rows: Measurements.
    ratios: Figures with what is asked.
  """

  machine: dict[str, Any]
  rows: list[Row] = dataclasses.field(default_factory=list)
  ratios: list[Ratio] = dataclasses.field(default_factory=list)

  def to_json(self) -> dict[str, Any]:
    """All of it as plain values."""
    values = dataclasses.asdict(self)
    for entry, ratio in zip(values["ratios"], self.ratios):
      entry["holds"] = ratio.holds
    return values

  def to_text(self) -> str:
    """All of it as tables for a terminal."""
    parts = [", ".join(f"{k} {v}" for k, v in self.machine.items())]
    tables: dict[str, list[Row]] = {}
    for row in self.rows:
      tables.setdefault(row.table, []).append(row)
    parts += [_table(title, rows) for title, rows in tables.items()]
    ratios = [
      [
        ratio.name,
        f"{ratio.measured:.3g}",
        f"{ratio.bound} {ratio.asked:g}",
        "yes" if ratio.holds else "no",
      ]
      for ratio in self.ratios
    ]
    if ratios:
      parts.append(_align([["ratio", "measured", "asked", "holds"], *ratios]))
    return "\n\n".join(parts)


def _table(title: str, rows: list[Row]) -> str:
  columns = list(dict.fromkeys(key for row in rows for key in row.values))
  cells = [
    [row.name, *(_number(row.values.get(key)) for key in columns)]
    for row in rows
  ]
  return _align([[title, *columns], *cells])


def _number(value: float | None) -> str:
  if value is None:
    return ""
  return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _align(rows: list[list[str]]) -> str:
  widths = [max(map(len, column)) for column in zip(*rows)]
  lines = []
  for first, *others in rows:
    cells = [c.rjust(w) for c, w in zip(others, widths[1:])]
    lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
  return "\n".join(lines)
