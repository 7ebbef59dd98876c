"""What effort buys: BD-rate, Lagrangian and time against effort 1.

    python -m tests.benchmarks.effort --images='kodak/*.png' \
      --output=effort.csv --efforts=1,3,7 --qualities=1,3,5,7

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
from bls2017.encoder import options as options_lib
from bls2017.evaluation import rate_distortion
from bls2017.images import image_io, metrics

FIELDS = ("image", "crop", "quality", "effort", "bpp", "mse", "psnr", "seconds")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--output", required=True)
  parser.add_argument("--model")
  parser.add_argument("--efforts", default="1,3,7")
  parser.add_argument("--qualities", default="1,3,5,7")
  parser.add_argument("--crop", type=int, default=0)
  parser.add_argument("--only_report", action="store_true")
  flags = parser.parse_args()
  codec = codec_lib.Codec.load(flags.model)
  if not flags.only_report:
    _measure(codec, flags)
  _report(codec, _read(flags.output))


def _measure(codec: codec_lib.Codec, flags: argparse.Namespace) -> None:
  qualities = [float(q) for q in flags.qualities.split(",")]
  efforts = [int(e) for e in flags.efforts.split(",")]
  known = {_key(row) for row in _read(flags.output)}
  for path in sorted(glob.glob(flags.images)):
    x = _middle(image_io.read_rgb(path), flags.crop)
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
  options = options_lib.Options(effort=effort)
  if effort < options_lib.REFINING_EFFORT:
    codec.encode(x, quality, options)
  start = time.perf_counter()
  data = codec.encode(x, quality, options).data
  seconds = time.perf_counter() - start
  x_hat = codec.decompress(data)
  return {
    "bpp": 8 * len(data) / (x.shape[0] * x.shape[1]),
    "mse": float(np.mean(np.square(x.astype(float) - x_hat))),
    "psnr": metrics.psnr(x, x_hat),
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


def _report(codec: codec_lib.Codec, rows: list[dict]) -> None:
  points = {_key(row): row for row in rows}
  model = codec.model.config
  for effort in sorted({key[3] for key in points} - {1}):
    pairs = [
      (points[(*key[:3], 1)], row)
      for key, row in points.items()
      if key[3] == effort and (*key[:3], 1) in points
    ]
    risen, ratio = 0, []
    for plain, refined in pairs:
      index = model.quality_index(float(refined["quality"]))
      lmbda = model.lmbda(index)
      before, after = (
        float(row["bpp"]) + lmbda * float(row["mse"])
        for row in (plain, refined)
      )
      risen += after > before
      ratio.append(after / before)
    times = np.array([[float(r["seconds"]) for r in pair] for pair in pairs])
    print(
      f"effort {effort}: {len(pairs)} files of"
      f" {len({p['image'] for p, _ in pairs})} images,"
      f" BD-rate {_bd_rate(pairs):+.2f}%,"
      f" Lagrangian {100 * np.mean(ratio) - 100:+.2f}%"
      f" (at most {100 * np.max(ratio) - 100:+.2f}%, risen {risen} times),"
      f" {np.median(times[:, 1]):.2f} s,"
      f" {np.median(times[:, 1] / times[:, 0]):.2f} times effort 1"
    )


def _bd_rate(pairs: list[tuple[dict, dict]]) -> float:
  curves = [
    _curve([pair[side] for pair in pairs], label)
    for side, label in enumerate(("effort 1", "effort"))
  ]
  return rate_distortion.compare(curves[1], curves[0], "psnr_rgb").bd_rate


def _curve(rows: list[dict], label: str) -> rate_distortion.Curve:
  points = []
  for quality in sorted({float(row["quality"]) for row in rows}):
    of_quality = [row for row in rows if float(row["quality"]) == quality]
    values = {
      "bpp": float(np.mean([float(row["bpp"]) for row in of_quality])),
      "psnr_rgb": float(np.mean([float(row["psnr"]) for row in of_quality])),
    }
    points.append(rate_distortion.Point(quality, len(of_quality), values))
  return rate_distortion.Curve(label, tuple(points), {})


if __name__ == "__main__":
  main()
