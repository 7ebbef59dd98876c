"""What packaged models reach, as a file beside each of them: results.json.

    bls2017 evaluate --images='kodak/*.png' --output_dir=OUT
    python -m tests.benchmarks.results OUT

Each OUT is an evaluation of one packaged model.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from bls2017.common import config
from bls2017.evaluation import summary
from bls2017.model import packaged_models

FILE_NAME = "results.json"

_MEASURES = {
  "bpp": 4,
  "psnr_rgb": 3,
  "psnr_y": 3,
  "ms_ssim_rgb": 5,
  "ms_ssim_rgb_db": 3,
}
"""The columns of each quality, and their digits."""


def results(evaluated: dict[str, Any]) -> dict[str, Any]:
  """What an evaluation says of its learned codec.

  Args:
    evaluated: The content of `summary.json`.
  """
  (learned,) = (c for c in evaluated["means"] if c["codec"]["model_id"])
  anchors = evaluated["means"] + evaluated["published"]["curves"]
  deltas = evaluated["bjontegaard"]["deltas"]
  of_model = [d for d in deltas if d["test"] == learned["label"]]
  rates: dict[str, dict[str, float]] = {}
  for delta in of_model:
    if delta["bd_rate"] is not None:
      of_anchor = rates.setdefault(delta["anchor"], {})
      of_anchor[delta["distortion"]] = round(delta["bd_rate"], 2)
  return {
    "model_id": learned["codec"]["model_id"],
    "data": evaluated["data"],
    "images": learned["points"][0]["images"],
    "macs_per_pixel": learned["codec"]["macs"],
    "qualities": [
      {"quality": point["quality"]}
      | {k: round(point["values"][k], n) for k, n in _MEASURES.items()}
      for point in learned["points"]
    ],
    "bd_rate_percent": rates,
    "anchors": {c["label"]: c["codec"] for c in anchors if c["label"] in rates},
  }


def main() -> None:
  """Writes the files."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("directories", nargs="+", metavar="OUT")
  for directory in parser.parse_args().directories:
    path = pathlib.Path(directory) / summary.FILE_NAME
    found = results(json.loads(path.read_text()))
    name = packaged_models.find(bytes.fromhex(found["model_id"]))
    path = pathlib.Path(packaged_models.directory(name)) / FILE_NAME
    config.write_json(str(path), found)
    print(path)


if __name__ == "__main__":
  main()
