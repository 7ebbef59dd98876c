"""Do all decoders agree on photographs?

    python -m tests.benchmarks.agreement --images='kodak/*.png' --tfjs=DIR

The library writes each image at three qualities and reads it again. The
exported graph, and JavaScript in Node and in headless Chromium, are compared
with that. DIR is where npm put TensorFlow.js (export/web/README.md). Ends with
status 1 if symbols differ, or samples by more than a level.
"""

from __future__ import annotations

import argparse
import glob
import pathlib
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.images import reading
from export.web import web_export
from tests import decoders
from tests.browser import check_web, devtools
from tests.fuzz import web_decoder

TIMED_PIXELS = 768 * 512
"""Images of so many pixels are timed in Chromium."""


class Difference(NamedTuple):
  """How a decoder's image differs from the library's.

  Attributes:
    levels: The largest difference of a sample.
    share: Samples that differ.
  """

  levels: int
  share: float


def _difference(pixels: np.ndarray, expected: np.ndarray) -> Difference:
  levels = np.abs(pixels.astype(int) - expected)
  return Difference(int(levels.max()), float(np.mean(levels > 0)))


def compare(
  codec: codec_lib.Codec,
  paths: Sequence[str],
  quality: float,
  site: pathlib.Path,
) -> bool:
  """Prints how far all decoders are from the library; tells if they agree."""
  graph = decoders.graph(codec.model, codec.max_pixels)
  files: list[bytes] = []
  found: dict[str, list[Difference]] = defaultdict(list)
  times: list[float] = []
  downloads: dict[str, int] = defaultdict(int)
  with devtools.serve(site) as (address, sent), devtools.Browser() as browser:
    page = browser.page(800, 600)
    page.open(f"{address}/icon.svg")
    sent.clear()
    for path in paths:
      x = reading.read_rgb(path)
      files.append(codec.compress(x, quality))
      expected = codec.decompress(files[-1])
      pixels = graph(files[-1]).pixels
      found["exported graph"].append(_difference(pixels, expected))
      (site / "data.bls").write_bytes(files[-1])
      result = check_web.decoded(page, "/data.bls")
      found["Chromium"].append(_difference(result["data"], expected))
      if x.shape[0] * x.shape[1] == TIMED_PIXELS:
        times.append(result["milliseconds"])
      if not downloads:
        for name, size in sent.items():
          downloads[name.split("/")[1]] += size
  expected = [web_decoder.outcome(codec, data) for data in files]
  agree = web_decoder.outcomes_in_node(str(site), files) == expected
  for decoder, differences in found.items():
    levels = max(d.levels for d in differences)
    share = np.mean([d.share for d in differences])
    agree &= levels <= 1
    print(f"quality {quality}: {decoder} within {levels}, {share:.3%}")
  if times:
    first, later = times[0], statistics.median(times[1:] or times)
    print(f"Chromium: {first:.0f} ms, then {later:.0f}; {dict(downloads)}")
  return agree


def main() -> int:
  """Prints whether all decoders agree."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--images", required=True)
  parser.add_argument("--tfjs", required=True)
  parser.add_argument("--qualities", default="1,6,12")
  parser.add_argument("--model")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  paths = sorted(glob.glob(flags.images))
  with tempfile.TemporaryDirectory() as folder:
    site = pathlib.Path(folder, "site")
    web_export.export(codec.model, str(site), flags.tfjs)
    agree = all(
      [
        compare(codec, paths, float(quality), site)
        for quality in flags.qualities.split(",")
      ]
    )
  print(f"{len(paths)} images: {'all agree' if agree else 'THEY DIFFER'}")
  return 0 if agree else 1


if __name__ == "__main__":
  sys.exit(main())
