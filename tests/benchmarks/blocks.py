"""How much of the transform's grid of 16 pixels shows in decoded images.

    python -m tests.benchmarks.blocks --images='kodak/*.png' --qualities=1,2

A step is the absolute difference of two neighbouring luma samples. Its excess
over half the sum of the steps before and after it is positive at a sharp edge
and negative beside one; in photographs it prefers no column and no row. The
block excess is the mean excess across columns and rows 16 k, less that across
all others, in grey levels: about 0 where no blocks show.
"""

from __future__ import annotations

import argparse
import glob

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.format import lanes
from bls2017.images import metrics, reading


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--qualities", default="1,2")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  images = [reading.read_rgb(path) for path in sorted(glob.glob(flags.images))]
  excess = np.mean([block_excess(x) for x in images])
  print(f"{len(images)} images, originals: {excess:+.3f} grey levels")
  for quality in map(float, flags.qualities.split(",")):
    bpp, excess = np.mean([_point(codec, x, quality) for x in images], 0)
    print(f"quality {quality:g}: {bpp:.4f} bpp, {excess:+.3f} grey levels")


def block_excess(x: np.ndarray) -> float:
  """The block excess of an image, the mean over both directions.

  Args:
    x: uint8 [H, W, 3], sides of at least 19 pixels.

  Returns:
    Grey levels.
  """
  luma = metrics.luma(x)
  return (_excess_across_rows(luma) + _excess_across_rows(luma.T)) / 2


def _excess_across_rows(luma: np.ndarray) -> float:
  steps = np.abs(np.diff(luma, axis=0))  # steps[i] leads from row i to i + 1.
  excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
  rows = np.arange(2, len(luma) - 1)  # Where the steps of `excess` arrive.
  at_block = rows % lanes.DOWNSAMPLING == 0
  return float(excess[at_block].mean() - excess[~at_block].mean())


def _point(
  codec: codec_lib.Codec, x: np.ndarray, quality: float
) -> tuple[float, float]:
  """Bits per pixel and block excess of an image at a quality."""
  data = codec.compress(x, quality)
  bpp = 8 * len(data) / (x.shape[0] * x.shape[1])
  return bpp, block_excess(codec.decompress(data))


if __name__ == "__main__":
  main()
