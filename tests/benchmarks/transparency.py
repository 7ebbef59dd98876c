"""What does alpha cost, and what do invisible colours?

    python -m tests.benchmarks.transparency --images='kodak/kodim0*.png'

Three kinds of alpha cut a disc out of each image: with hard edges, smoothed and
wide soft ones. What they hide is black. WebP, with lossless alpha, gets the
least quality at which visible pixels have the same PSNR.
"""

from __future__ import annotations

import argparse
import glob
import io

import numpy as np
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017.images import metrics, reading
from tests import alphas


def main() -> None:
  """Prints means over the images, by the kind of alpha."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--model")
  parser.add_argument("--quality", type=float, default=6)
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  for make in (alphas.hard, alphas.sprite, alphas.soft):
    rows = []
    for path in sorted(glob.glob(flags.images)):
      x = reading.read_rgb(path)
      alpha = make(*x.shape[:2])
      x = np.where(alpha[..., None], x, 0).astype(np.uint8)
      data = codec.compress(np.dstack([x, alpha]), flags.quality)
      box = codec.info(data).metadata["Alph"]
      black = codec.compress(x, flags.quality)
      psnr, black_psnr = (
        metrics.psnr(x, codec.decompress(d)[..., :3], alpha)
        for d in (data, black)
      )
      webp, webp_box = _webp(x, alpha, psnr)
      rows.append((len(data), box, psnr, len(black) + box, black_psnr))
      rows[-1] += (webp, webp_box)
    size, box, psnr, black_size, black_psnr, webp, webp_box = np.mean(rows, 0)
    print(
      f"{make.__name__}, {len(rows)} files: {size:.0f} bytes, {psnr:.2f} dB, of"
      f" alpha {box:.0f} bytes; with black {black_size:.0f} bytes,"
      f" {black_psnr:.2f} dB; WebP {webp:.0f} bytes, of alpha {webp_box:.0f}"
    )


def _webp(x: np.ndarray, alpha: np.ndarray, psnr: float) -> tuple[int, int]:
  """Bytes of the smallest WebP file of a PSNR, and those of its alpha."""
  image = Image.fromarray(np.dstack([x, alpha]))
  low, high, best = 0, 100, b""
  while low <= high:
    middle = (low + high) // 2
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=middle, method=6)
    decoded = np.asarray(Image.open(buffer).convert("RGBA"))
    if metrics.psnr(x, decoded[..., :3], alpha) >= psnr:
      high, best = middle - 1, buffer.getvalue()
    else:
      low = middle + 1
  start = best.index(b"ALPH") + 4
  return len(best), int.from_bytes(best[start : start + 4], "little")


if __name__ == "__main__":
  main()
