"""PSNR inside and outside of a region, against plain files of the same size.

    python -m tests.benchmarks.region_of_interest --images='kodak/kodim0*.png'

The region is the ellipse in the middle that fills a quarter of the image.
"""

from __future__ import annotations

import argparse
import glob
import os

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.encode import options as options_lib
from bls2017.images import metrics, reading


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--qualities", default="2,4,6")
  parser.add_argument("--effort", type=int, default=options_lib.DEFAULT_EFFORT)
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  gains = []
  for path in sorted(glob.glob(flags.images)):
    x = reading.read_rgb(path)
    mask = _ellipse(*x.shape[:2])
    for quality in map(float, flags.qualities.split(",")):
      size = len(codec.compress(x, quality))
      plain, drawn = (
        _psnrs(
          x,
          codec.decompress(
            codec.compress(x, max_bytes=size, roi=roi, effort=flags.effort)
          ),
          mask,
        )
        for roi in (None, mask)
      )
      gains.append(drawn - plain)
      print(
        f"{os.path.basename(path)} {size} bytes: inside {plain[0]:.2f} ->"
        f" {drawn[0]:.2f} dB, outside {plain[1]:.2f} -> {drawn[1]:.2f} dB",
        flush=True,
      )
  inside, outside = np.mean(gains, 0)
  least = np.min(gains, 0)[0]
  print(
    f"{len(gains)} files: inside {inside:+.2f} dB (least {least:+.2f}),"
    f" outside {outside:+.2f} dB"
  )


def _ellipse(height: int, width: int) -> np.ndarray:
  y, x = np.mgrid[:height, :width]
  # A quarter of the image: half axes a = b = 1 / sqrt(pi) of the sides' halves.
  reach = (2 * y / (height - 1) - 1) ** 2 + (2 * x / (width - 1) - 1) ** 2
  return np.where(reach < 1 / np.pi, 255, 0).astype(np.uint8)


def _psnrs(x: np.ndarray, x_hat: np.ndarray, mask: np.ndarray) -> np.ndarray:
  inside = mask > 0
  return np.array(
    [metrics.psnr(x[part], x_hat[part]) for part in (inside, ~inside)]
  )


if __name__ == "__main__":
  main()
