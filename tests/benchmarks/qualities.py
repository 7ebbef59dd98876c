"""Whether every quality between two trained ones is worth its bits.

    python -m tests.benchmarks.qualities --images='kodak/*.png'

Codes all images at all qualities, decodes them again, and compares the mean
PSNR at each quality with the line, over the rate, between the trained qualities
around it. Also whether the mean rate rises from each quality to the next one.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import glob

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.common import config
from bls2017.images import metrics, reading


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--workers", type=int, default=2)
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  paths = sorted(glob.glob(flags.images))
  with concurrent.futures.ThreadPoolExecutor(flags.workers) as pool:
    points = list(pool.map(lambda path: _points(codec, path), paths))
  _report(codec.model.config, np.mean(points, 0))


def _points(codec: codec_lib.Codec, path: str) -> np.ndarray:
  """Bits per pixel and PSNR of an image at all qualities, [qualities, 2]."""
  x = reading.read_rgb(path)
  points = []
  for index in range(len(codec.model.tables)):
    data = codec.compress(x, codec.model.config.index_quality(index))
    bpp = 8 * len(data) / (x.shape[0] * x.shape[1])
    points.append((bpp, metrics.psnr(x, codec.decompress(data))))
  return np.array(points)


def _report(model_config: config.ModelConfig, points: np.ndarray) -> None:
  bpp, psnr = points.T
  trained = slice(None, None, model_config.quality_steps)
  line = np.interp(bpp, bpp[trained], psnr[trained])
  for index, (rate, reached, between) in enumerate(zip(bpp, psnr, line)):
    print(
      f"quality {model_config.index_quality(index):5.3f}: {rate:.4f} bpp,"
      f" {reached:.3f} dB, {reached - between:+.3f} dB from the line"
    )
  print(
    f"furthest below the line: {np.min(psnr - line):+.3f} dB, above:"
    f" {np.max(psnr - line):+.3f} dB; the rate"
    f" {'rises' if np.all(np.diff(bpp) > 0) else 'DOES NOT RISE'} everywhere"
  )


if __name__ == "__main__":
  main()
