"""Do all decoders agree on photographs?

    python -m tests.benchmarks.agreement --images='kodak/*.png' --tfjs=DIR

The library writes each image at three qualities and reads it again. The
exported graph, and JavaScript in Node and in headless Chromium, are compared
with that. DIR is where npm put TensorFlow.js (export/web/README.md). Ends with
status 1 if symbols differ, or samples by more than a level.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
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
  qualities: Sequence[float],
  tfjs: str,
) -> bool:
  """Prints how far all decoders are from the library; tells if all agree."""
  graph = decoders.graph(codec.model, codec.max_pixels)
  agree = True
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    site = pathlib.Path(folder, "site")
    web_export.export(codec.model, str(site), tfjs)
    node = stack.enter_context(web_decoder.Decoder(codec, f"{folder}/node"))
    address, sent = stack.enter_context(devtools.serve(site))
    for quality in qualities:
      found: dict[str, list[Difference]] = defaultdict(list)
      times: list[float] = []
      downloads: dict[str, int] = defaultdict(int)
      # A browser for each quality, so that each has a first image.
      with devtools.Browser() as browser:
        page = browser.page(800, 600)
        page.open(f"{address}/icon.svg")
        sent.clear()
        for path in paths:
          x = reading.read_rgb(path)
          data = codec.compress(x, quality)
          expected = codec.decompress(data)
          agree &= node.outcome(data) == web_decoder.outcome(codec, data)
          pixels = graph(data).pixels
          found["exported graph"].append(_difference(pixels, expected))
          (site / "data.bls").write_bytes(data)
          result = check_web.decoded(page, "/data.bls")
          found["Chromium"].append(_difference(result["data"], expected))
          if x.shape[0] * x.shape[1] == TIMED_PIXELS:
            times.append(result["milliseconds"])
          if not downloads:
            for name, size in sent.items():
              downloads[name.split("/")[1]] += size
            del downloads["data.bls"]
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
  qualities = list(map(float, flags.qualities.split(",")))
  paths = sorted(glob.glob(flags.images))
  agree = compare(codec, paths, qualities, os.path.abspath(flags.tfjs))
  print(f"{len(paths)} images: {'all agree' if agree else 'THEY DIFFER'}")
  return 0 if agree else 1


if __name__ == "__main__":
  sys.exit(main())
