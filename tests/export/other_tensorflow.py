"""Exports with this TensorFlow; serves with it and with another Python's.

    python -m tests.export.other_tensorflow PYTHON

Ends with an error unless both answer with the same bytes, and with pixels
within one level. PYTHON needs TensorFlow, and nothing of this project.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from bls2017.model import model_directory
from export import export_model

MODEL = pathlib.Path(__file__).parents[1] / "golden" / "v5" / "model"
LOADER = pathlib.Path(__file__).with_name("load_export.py")


def _answers(python: str, path: str) -> dict[str, Any]:
  """Gives the report of `load_export`."""
  command = [python, str(LOADER), path]
  output = subprocess.check_output(command, text=True)
  return json.loads(output.splitlines()[-1])


def main(python: str) -> None:
  """Prints a line when all is equal."""
  with tempfile.TemporaryDirectory() as directory:
    path = export_model.export(
      model_directory.load(str(MODEL)), directory, max_pixels=1 << 12
    )
    here, there = (_answers(p, path) for p in (sys.executable, python))
  for way, expected in here.items():
    found = there[way]
    difference = np.subtract(found.pop("image"), expected.pop("image"))
    assert np.abs(difference).max() <= 1, way
    for answers in (found, expected):
      answers["signatures"].sort()  # A map of protocol buffers has no order.
    assert found == expected, way
  print(f"{python} serves what {sys.executable} exported")


if __name__ == "__main__":
  main(sys.argv[1])
