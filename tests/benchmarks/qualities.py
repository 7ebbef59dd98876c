"""Is every quality between two trained ones worth its bits?

    python -m tests.benchmarks.qualities --images='kodak/*.png'

Codes all images at all qualities, and compares the mean PSNR at each quality
with the line, over the rate, between the trained qualities around it.
"""

from __future__ import annotations

import argparse
import glob

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.images import metrics, reading


def main() -> None:
  """Prints a line for each quality."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  config = codec.model.config
  qualities = [config.index_quality(i) for i in range(config.num_qualities)]
  paths = sorted(glob.glob(flags.images))
  points = np.mean([_points(codec, path, qualities) for path in paths], 0)
  bpp, psnr = points.T
  trained = slice(None, None, config.quality_steps)
  above = psnr - np.interp(bpp, bpp[trained], psnr[trained])
  for quality, *point in zip(qualities, bpp, psnr, above):
    print(
      "quality {:5.3f}: {:.4f} bpp, {:.3f} dB, {:+.3f} dB from the line".format(
        quality, *point
      )
    )
  rises = "rises" if np.all(np.diff(bpp) > 0) else "DOES NOT RISE"
  print(f"{above.min():+.3f} to {above.max():+.3f} dB; the rate {rises}")


def _points(
  codec: codec_lib.Codec, path: str, qualities: list[float]
) -> np.ndarray:
  """Bits per pixel and PSNR of an image at all qualities, [qualities, 2]."""
  x = reading.read_rgb(path)
  points = []
  for quality in qualities:
    data = codec.compress(x, quality)
    bpp = 8 * len(data) / (x.shape[0] * x.shape[1])
    points.append((bpp, metrics.psnr(x, codec.decompress(data))))
  return np.array(points)


if __name__ == "__main__":
  main()
