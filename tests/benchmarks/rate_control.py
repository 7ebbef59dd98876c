"""Are the promises of sizes and PSNRs kept on real images?

    python -m tests.benchmarks.rate_control --images='kodak/*.png'

Random sizes between those of the lowest and the highest quality, in equal
shares of the logarithm, and PSNRs from 30 to 40 dB.
"""

from __future__ import annotations

import argparse
import glob

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.encode import request
from bls2017.images import metrics, reading


def main() -> None:
  """Prints how near the files come to their targets."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--count", type=int, default=100)
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  paths = sorted(glob.glob(flags.images))
  rng = np.random.default_rng(0)
  use, gain, excess = [], [], []
  for number in range(flags.count):
    x = reading.read_rgb(paths[number % len(paths)])
    ends = [
      len(codec.compress(x, q)) for q in (1, codec.model.config.num_levels)
    ]
    size = int(np.exp(rng.uniform(*np.log(ends))))
    encoded = codec.encode(x, request.Request(max_bytes=size))
    use.append(len(encoded.data) / size)
    gain.append(
      metrics.psnr(x, codec.decompress(encoded.data))
      - _untrimmed_psnr(codec, x, size, encoded.quality)
    )
    psnr = rng.uniform(30, 40)
    try:
      data = codec.compress(x, target_psnr=psnr)
    except errors.LimitError:
      continue
    excess.append(metrics.psnr(x, codec.decompress(data)) - psnr)
  print(
    f"{len(use)} sizes: use {np.mean(use):.2%}, {np.min(use):.2%} to"
    f" {np.max(use):.2%}; PSNR above the finest quality that fits:"
    f" {np.mean(gain):+.3f} dB, least {np.min(gain):+.3f} dB"
  )
  print(
    f"{len(excess)} PSNRs within reach: exceeded by {np.min(excess):.3f} to"
    f" {np.max(excess):.3f} dB, by 0.1 dB at most in"
    f" {np.mean(np.array(excess) <= 0.1):.0%}"
  )


def _untrimmed_psnr(
  codec: codec_lib.Codec, x: np.ndarray, size: int, quality: float
) -> float:
  """PSNR of the finest quality that fits without being trimmed."""
  step = 1 / codec.model.config.quality_steps
  data = codec.compress(x, quality)
  while len(data) > size and quality > 1:
    quality -= step
    data = codec.compress(x, quality)
  return metrics.psnr(x, codec.decompress(data))


if __name__ == "__main__":
  main()
