"""What effort buys: bytes, PSNR and time against effort 1.

    python -m tests.benchmarks.effort --images='kodak/*.png' \
      --output=effort.csv --efforts=1,2,4,6 --qualities=1,3,5,7

Every point is a file, decoded again. Points that the output holds are not
measured again, so the work can be cut into pieces. `--crop=256` takes the
middle of each image; `--only_report` works with what is there.
"""

from __future__ import annotations

import argparse
import csv
import glob
import os
import time

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.encode import request as request_lib
from bls2017.images import metrics, reading

FIELDS = (
  "image", "crop", "quality", "effort", "pixels", "bytes", "psnr", "seconds",
)  # fmt: skip

_VISIBLE = 0.05
"""How many dB of PSNR more effort may cost."""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--output", required=True)
  parser.add_argument("--model")
  parser.add_argument("--efforts", default="1,2,4,6")
  parser.add_argument("--qualities", default="1,3,5,7")
  parser.add_argument("--crop", type=int, default=0)
  parser.add_argument("--only_report", action="store_true")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  if not flags.only_report:
    _measure(codec, flags)
  _report(_read(flags.output))


def _measure(codec: codec_lib.Codec, flags: argparse.Namespace) -> None:
  qualities = [float(q) for q in flags.qualities.split(",")]
  efforts = [int(e) for e in flags.efforts.split(",")]
  known = {_key(row) for row in _read(flags.output)}
  for path in sorted(glob.glob(flags.images)):
    x = _middle(reading.read_rgb(path), flags.crop)
    for quality in qualities:
      for effort in efforts:
        row = {
          "image": os.path.basename(path),
          "crop": flags.crop,
          "quality": quality,
          "effort": effort,
        }
        if _key(row) not in known:
          _append(flags.output, {**row, **_point(codec, x, quality, effort)})


def _middle(x: np.ndarray, side: int) -> np.ndarray:
  if not side:
    return x
  top, left = (x.shape[0] - side) // 2, (x.shape[1] - side) // 2
  return np.ascontiguousarray(x[top : top + side, left : left + side])


def _point(
  codec: codec_lib.Codec, x: np.ndarray, quality: float, effort: int
) -> dict[str, float]:
  if effort < request_lib.REFINING_EFFORT:
    codec.compress(x, quality)  # The first image is slower.
  start = time.perf_counter()
  data = codec.compress(x, quality, effort=effort)
  seconds = time.perf_counter() - start
  return {
    "pixels": x.shape[0] * x.shape[1],
    "bytes": len(data),
    "psnr": metrics.psnr(x, codec.decompress(data)),
    "seconds": seconds,
  }


def _key(row: dict) -> tuple:
  return (
    row["image"], int(row["crop"]), float(row["quality"]), int(row["effort"]),
  )  # fmt: skip


def _read(path: str) -> list[dict]:
  if not os.path.exists(path):
    return []
  with open(path, encoding="utf-8", newline="") as f:
    return list(csv.DictReader(f))


def _append(path: str, row: dict) -> None:
  first = not os.path.exists(path)
  with open(path, "a", encoding="utf-8", newline="") as f:
    writer = csv.DictWriter(f, FIELDS)
    if first:
      writer.writeheader()
    writer.writerow(row)
  print(row, flush=True)


def _report(rows: list[dict]) -> None:
  points = {_key(row): row for row in rows}
  efforts = sorted({key[3] for key in points})
  for effort in efforts:
    pairs = [
      (points[(*key[:3], 1)], row)
      for key, row in points.items()
      if key[3] == effort and (*key[:3], 1) in points
    ]
    seconds = [1e6 * float(r["seconds"]) / float(r["pixels"]) for _, r in pairs]
    percents = [
      100 * float(r["bytes"]) / float(plain["bytes"]) - 100
      for plain, r in pairs
    ]
    gains = [float(r["psnr"]) - float(plain["psnr"]) for plain, r in pairs]
    print(
      f"effort {effort}: {len(pairs)} files of"
      f" {len({plain['image'] for plain, _ in pairs})} images,"
      f" {np.median(seconds):.2f} s/MP, bytes {np.mean(percents):+.2f}%"
      f" ({np.min(percents):+.2f} to {np.max(percents):+.2f}%),"
      f" PSNR {np.mean(gains):+.3f} dB (least {np.min(gains):+.3f})"
    )
  broken = sum(
    _is_broken(points[(*key[:3], lower)], row)
    for key, row in points.items()
    for lower in efforts
    if lower < key[3] and (*key[:3], lower) in points
  )
  print(f"more effort was larger or worse in {broken} pairs")


def _is_broken(lower: dict, higher: dict) -> bool:
  worse = float(higher["psnr"]) < float(lower["psnr"]) - _VISIBLE
  return worse or int(higher["bytes"]) > int(lower["bytes"])


if __name__ == "__main__":
  main()
