"""Which programs code images: TensorFlow, or LiteRT and NumPy without it.

Both decode any file to the same symbols, and to pixels within one level. The
range coders write the same bytes; latents of one image differ by a thousandth
of a rounding step or two, so that a few symbols of its file may.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Callable, Protocol

import numpy as np

from bls2017 import errors
from bls2017.common import packages
from bls2017.format import range_coder, range_coder_numpy
from bls2017.model import litert_transforms, model_directory, regions

TENSORFLOW = "tensorflow"
LITERT = "litert"
AUTO = "auto"
RUNTIMES = (AUTO, TENSORFLOW, LITERT)


class Transforms(Protocol):
  """The transforms of a model, as a runtime has them."""

  def latents(self, image: np.ndarray) -> np.ndarray:
    """The latents of an image, uint8 [H, W, 3]: float32 [h, w, C].

    The last column and row are repeated up to multiples of 16.
    """

  def bands(
    self, latents: Callable[[int, int], np.ndarray], height: int, width: int
  ) -> Iterator[np.ndarray]:
    """The image of latents, from top to bottom.

    Args:
      latents: Gives the rows of latents from a first one up to, and not
        including, another one: float32 [n, w, C]. It is asked for them from
        top to bottom, for each once.
      height: Pixels.
      width: Pixels.

    Yields:
      uint8 [n, width, 3], the next rows of the image; together all of them.
    """


def image(
  transforms: Transforms,
  latents: Callable[[int, int], np.ndarray],
  height: int,
  width: int,
) -> np.ndarray:
  """The image of latents as a whole: uint8 [height, width, 3].

  Args:
    transforms: A model's.
    latents: As for `Transforms.bands`.
    height: Pixels.
    width: Pixels.
  """
  bands = transforms.bands(latents, height, width)
  return regions.assembled(bands, regions.Region(0, 0, width, height))


def choose(runtime: str, has_graphs: bool = True) -> str:
  """`TENSORFLOW` or `LITERT`.

  Args:
    runtime: One of `RUNTIMES`. `AUTO` is TensorFlow where this process has
      imported it, else LiteRT where it is installed and the model has its
      graphs, which starts in a fifth of the time.
    has_graphs: Whether the model has them, as packaged models do.

  Raises:
    errors.UsageError: if there is no such runtime.
    errors.MissingPackageError: if its package is not installed.
    errors.ModelError: if the model lacks LiteRT's graphs.
  """
  if runtime not in RUNTIMES:
    raise errors.UsageError(
      f"runtime must be one of {', '.join(RUNTIMES)}, not {runtime!r}"
    )
  if runtime == AUTO:
    imported = sys.modules.get("tensorflow") is not None
    light = packages.is_installed("ai_edge_litert") and has_graphs
    runtime = LITERT if light and not imported else TENSORFLOW
  if runtime == TENSORFLOW:
    packages.require_tensorflow(
      "a model without graphs for LiteRT"
      if packages.is_installed("ai_edge_litert")
      else "coding without ai-edge-litert"
    )
    return runtime
  packages.require("ai_edge_litert", "the runtime litert", "ai-edge-litert")
  if not has_graphs:
    raise errors.ModelError("the model has no graphs for LiteRT")
  return runtime


def make_coder(runtime: str) -> range_coder.RangeCoder:
  """The range coder of `TENSORFLOW` or `LITERT`."""
  if runtime == TENSORFLOW and packages.is_installed("tensorflow_compression"):
    from bls2017.format import range_coder_tfc

    return range_coder_tfc.TfcRangeCoder()
  return range_coder_numpy.NumpyRangeCoder()


def make_transforms(
  runtime: str, model: model_directory.FrozenModel, number: int
) -> Transforms:
  """The transforms of one of a model's pairs, on `TENSORFLOW` or `LITERT`."""
  pair, num_latents = model.pairs[number], model.config.num_latents
  if runtime == LITERT:
    return litert_transforms.LiteRtTransforms(pair.graphs, num_latents)
  from bls2017.model import strips

  return strips.Transforms(pair.weights, num_latents)
