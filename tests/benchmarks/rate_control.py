"""Promises of sizes and PSNRs, kept by files of real images.

    python -m tests.benchmarks.rate_control --images='kodak/*.png'

Random sizes between those of the lowest and the highest quality, in equal
shares of the logarithm, and PSNRs from 30 to 40 dB.
"""

from __future__ import annotations

import argparse
import glob
import math

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.encode import options as options_lib
from bls2017.images import metrics, reading


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--sizes", type=int, default=100)
  parser.add_argument("--psnrs", type=int, default=24)
  parser.add_argument("--seed", type=int, default=0)
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  paths = sorted(glob.glob(flags.images))
  rng = np.random.default_rng(flags.seed)
  _sizes(codec, paths, flags.sizes, rng)
  _psnrs(codec, paths, flags.psnrs, rng)


def _sizes(
  codec: codec_lib.Codec, paths: list[str], count: int, rng: np.random.Generator
) -> None:
  use, broken, gain = [], 0, []
  for i in range(count):
    x = reading.read_rgb(paths[i % len(paths)])
    ends = [
      len(codec.compress(x, q)) for q in (1, codec.model.config.num_levels)
    ]
    target = int(math.exp(rng.uniform(*np.log(ends))))
    encoded = codec.encode(x, None, options_lib.Options(max_bytes=target))
    broken += len(encoded.data) > target
    use.append(len(encoded.data) / target)
    gain.append(_above_coarser(codec, x, target, encoded))
  print(
    f"{count} sizes on {len(paths)} images: {broken} broken, mean use"
    f" {100 * np.mean(use):.2f}%, least {100 * np.min(use):.2f}%; PSNR above"
    f" the finest whole quality that fits: {np.mean(gain):+.3f} dB, least"
    f" {np.min(gain):+.3f} dB",
    flush=True,
  )


def _above_coarser(
  codec: codec_lib.Codec,
  x: np.ndarray,
  target: int,
  encoded: codec_lib.Encoded,
) -> float:
  """PSNR gained by trimming over the finest untrimmed quality that fits."""
  quality = encoded.quality
  plain = codec.compress(x, quality)
  while len(plain) > target and quality > 1:
    quality -= 1 / 8
    plain = codec.compress(x, quality)
  return metrics.psnr(x, codec.decompress(encoded.data)) - metrics.psnr(
    x, codec.decompress(plain)
  )


def _psnrs(
  codec: codec_lib.Codec, paths: list[str], count: int, rng: np.random.Generator
) -> None:
  excess, unreachable = [], 0
  for i in range(count):
    x = reading.read_rgb(paths[i % len(paths)])
    target = float(rng.uniform(30, 40))
    try:
      data = codec.compress(x, target_psnr=target)
    except errors.LimitError:
      unreachable += 1
      continue
    excess.append(metrics.psnr(x, codec.decompress(data)) - target)
  print(
    f"{count} PSNRs: {unreachable} beyond the model, the others exceeded by"
    f" {np.min(excess):.3f} to {np.max(excess):.3f} dB, within 0.1 dB:"
    f" {np.sum((np.array(excess) >= 0) & (np.array(excess) <= 0.1))} of"
    f" {len(excess)}"
  )


if __name__ == "__main__":
  main()
