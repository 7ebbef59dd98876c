"""Answers of the studies, kept as files that a later report shows again.

They are read where no model can be trained, too; `studies` gives them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from bls2017 import files
from bls2017.common import config
from bls2017.evaluation import plots, rate_distortion

STUDIES = ("relaxation", "transforms", "densities")

STEPS = 50_000
"""Of a small model. After a tenth of them other choices are ahead."""


class StudyResult(NamedTuple):
  """One of `STUDIES`: question, and answer in sentences, table and charts."""

  name: str
  title: str
  findings: Sequence[str]
  columns: Sequence[str]
  rows: Sequence[Sequence[str]]
  charts: Sequence[plots.Chart]


def save(result: StudyResult, directory: str) -> None:
  """Writes a result as JSON, and its charts as a PNG beside it.

  Raises:
    errors.OutputError: if they cannot be written.
  """
  files.make_directory(directory)
  path = os.path.join(directory, result.name)
  config.write_json(f"{path}.json", rate_distortion.to_json(result))
  plots.draw(result.charts, f"{path}.png")


def load_all(directory: str) -> list[StudyResult]:
  """The results that were saved in a directory."""
  saved = []
  for name in STUDIES:
    path = os.path.join(directory, f"{name}.json")
    if os.path.exists(path):
      values = config.read_json(path)
      for chart in values["charts"]:
        chart["series"] = [plots.Series(**s) for s in chart["series"]]
      values["charts"] = [plots.Chart(**chart) for chart in values["charts"]]
      saved.append(StudyResult(**values))
  return saved
