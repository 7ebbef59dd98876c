"""What packaged models reach, as a file beside each of them: results.json.

    bls2017 evaluate --images='kodak/*.png' --model=psnr --model=ms_ssim ...
    python -m tests.benchmarks.results OUT

OUT is the evaluation's --output_dir.
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
  "bpp": 5,
  "psnr_rgb": 4,
  "psnr_y": 4,
  "ms_ssim_rgb": 6,
  "ms_ssim_rgb_db": 4,
}
"""The columns of each quality, and their digits."""


def results(
  evaluated: dict[str, Any], learned: dict[str, Any]
) -> dict[str, Any]:
  """What an evaluation says of a learned codec.

  Args:
    evaluated: The content of `summary.json`.
    learned: The codec's curve in it.
  """
  curves = evaluated["means"] + evaluated["published"]["curves"]
  anchors = {
    c["label"]: c["codec"] for c in curves if not c["codec"].get("model_id")
  }
  rates: dict[str, dict[str, float]] = {anchor: {} for anchor in anchors}
  for delta in evaluated["bjontegaard"]["deltas"]:
    if delta["test"] == learned["label"] and delta["anchor"] in anchors:
      if delta["bd_rate"] is not None:
        rate = round(delta["bd_rate"], 2)
        rates[delta["anchor"]][delta["distortion"]] = rate
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
    "anchors": anchors,
  }


def main() -> None:
  """Writes the files."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("directory", metavar="OUT")
  path = pathlib.Path(parser.parse_args().directory) / summary.FILE_NAME
  evaluated = json.loads(path.read_text())
  for curve in evaluated["means"]:
    if model_id := curve["codec"]["model_id"]:
      name = packaged_models.find(bytes.fromhex(model_id))
      path = pathlib.Path(packaged_models.directory(name)) / FILE_NAME
      config.write_json(str(path), results(evaluated, curve))
      print(path)


if __name__ == "__main__":
  main()
