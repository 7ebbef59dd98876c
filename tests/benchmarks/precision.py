"""How far LiteRT's floats are from 64-bit ones, over a folder of photographs.

    python -m tests.benchmarks.precision --images='kodak/*.png' [--model=MODEL]

At the lowest, a middle and the highest quality: the share of decoded samples
that are a level from those of the reference, the largest difference of a
sample, and that of a latent.
"""

from __future__ import annotations

import argparse
import glob

import numpy as np

from bls2017.images import reading
from bls2017.model import litert_transforms, model_directory
from tests.bls2017.model import reference_transforms


def compare(
  model: model_directory.FrozenModel, image: np.ndarray, quality: float
) -> tuple[np.ndarray, float]:
  """How far LiteRT is from the reference for one image.

  Args:
    model: The model.
    image: uint8 [H, W, 3], H and W multiples of 16.
    quality: One of the model's.

  Returns:
    The difference of each sample in levels, int [H, W, 3], both decoded from
    the same symbols, and the largest difference of a latent.
  """
  index = model.config.quality_index(quality)
  tables = model.tables.for_quality(index)
  pair = model.pairs[model.tables.pair_of(index)]
  transforms = litert_transforms.LiteRtTransforms(
    pair.graphs, model.config.num_latents
  )
  y = reference_transforms.analysis(image, pair.weights)
  latents = transforms.latents(image)[..., : y.shape[2]]
  channels = slice(y.shape[2])
  symbols = np.rint(y * tables.gain[channels] - tables.offset[channels])
  y_hat = np.zeros((*y.shape[:2], model.config.num_latents), np.float32)
  y_hat[..., channels] = symbols
  y_hat = (y_hat + tables.offset) * tables.inverse_gain
  bands = transforms.bands(lambda a, b: y_hat[a:b], *image.shape[:2])
  x = reference_transforms.synthesis(y_hat, pair.weights)
  expected = np.clip(np.rint(x), 0, 255).astype(int)
  difference = np.abs(np.concatenate(list(bands)) - expected)
  return difference, float(np.abs(latents - y).max())


def main() -> None:
  """Prints a line for each quality."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--images", required=True)
  parser.add_argument("--model", default=None)
  arguments = parser.parse_args()
  model = model_directory.load(arguments.model)
  top = model.config.num_levels
  for quality in (1, -(-top // 2), top):
    differing = samples = largest = 0
    latent = 0.0
    for path in sorted(glob.glob(arguments.images)):
      image = reading.read_rgb(path)
      height, width = (side // 16 * 16 for side in image.shape[:2])
      difference, furthest = compare(model, image[:height, :width], quality)
      differing += np.count_nonzero(difference)
      samples += difference.size
      largest = max(largest, int(difference.max()))
      latent = max(latent, furthest)
    print(
      f"quality {quality}: {differing / samples:.4%} of samples, at most"
      f" {largest} levels; latents at most {latent:.1e}",
      flush=True,
    )


if __name__ == "__main__":
  main()
