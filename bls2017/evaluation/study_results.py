"""Answers of the studies, kept as files that a later report shows again.

They are read where no model can be trained, too; `studies` gives them.
"""

from __future__ import annotations

import dataclasses
import os

from bls2017 import errors
from bls2017.common import config
from bls2017.evaluation import evaluation_config, plots, rate_distortion


@dataclasses.dataclass(frozen=True)
class Result:
  """An answer.

  Attributes:
    name: One of `evaluation_config.STUDIES`.
    title: The question.
    findings: The answer in sentences.
    columns: Head of a table.
    rows: Its cells.
    charts: Its plots.
  """

  name: str
  title: str
  findings: tuple[str, ...]
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  charts: tuple[plots.Chart, ...]


def save(result: Result, directory: str) -> None:
  """Writes a result as JSON, and its charts as a PNG beside it.

  Raises:
    errors.OutputError: if they cannot be written.
  """
  try:
    os.makedirs(directory, exist_ok=True)
    config.write_json(
      os.path.join(directory, f"{result.name}.json"),
      rate_distortion.to_json(result),
    )
  except OSError as e:
    raise errors.OutputError(f"cannot write {directory}: {e.strerror}") from e
  plots.draw(result.charts, os.path.join(directory, f"{result.name}.png"))


def load_all(directory: str) -> list[Result]:
  """The results that were saved in a directory."""
  saved = []
  for name in evaluation_config.STUDIES:
    path = os.path.join(directory, f"{name}.json")
    if os.path.exists(path):
      values = config.read_json(path)
      for chart in values["charts"]:
        chart["series"] = tuple(plots.Series(**s) for s in chart["series"])
      values["charts"] = tuple(plots.Chart(**c) for c in values["charts"])
      saved.append(Result(**values))
  return saved
