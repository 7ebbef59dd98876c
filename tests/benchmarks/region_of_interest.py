"""How much does a region of interest gain, at the same size?

    python -m tests.benchmarks.region_of_interest --images='kodak/kodim0*.png'

The region is the ellipse in the middle that fills a quarter of the image.
"""

from __future__ import annotations

import argparse
import glob
import os

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.images import metrics, reading


def main() -> None:
  """Prints the gain in PSNR inside of the region and outside, by file."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--qualities", default="2,4,6")
  parser.add_argument("--effort", type=int, default=1)
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  gains = []
  for path in sorted(glob.glob(flags.images)):
    x = reading.read_rgb(path)
    mask = _ellipse(*x.shape[:2])
    for quality in map(float, flags.qualities.split(",")):
      size = len(codec.compress(x, quality))
      decoded = (
        codec.decompress(
          codec.compress(x, max_bytes=size, roi=roi, effort=flags.effort)
        )
        for roi in (None, mask)
      )
      plain, drawn = (
        [metrics.psnr(x[part], y[part]) for part in (mask > 0, mask == 0)]
        for y in decoded
      )
      gains.append(np.subtract(drawn, plain))
      inside, outside = gains[-1]
      name = os.path.basename(path)
      print(f"{name} {size} bytes: {inside:+.2f} dB, {outside:+.2f} dB")
  inside, outside = np.mean(gains, 0)
  print(
    f"{len(gains)} files: inside {inside:+.2f} dB, at least"
    f" {np.min(gains, 0)[0]:+.2f} dB; outside {outside:+.2f} dB"
  )


def _ellipse(height: int, width: int) -> np.ndarray:
  y, x = np.mgrid[:height, :width]
  # A quarter of the image: half axes a = b = 1 / sqrt(pi) of the sides' halves.
  reach = (2 * y / (height - 1) - 1) ** 2 + (2 * x / (width - 1) - 1) ** 2
  return np.where(reach < 1 / np.pi, 255, 0).astype(np.uint8)


if __name__ == "__main__":
  main()
