"""Pictures at matched rates, as in the paper's figures.

The learned codec's file is the one nearest to a rate; every rival gets
the smallest file that is not smaller than that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bls2017 import errors
from bls2017.evaluation import grid, image_codecs, measurement
from bls2017.images import image_io

_CAPTION_HEIGHT = 56
_GAP = 8
_FIGURE_QUALITY = 88


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One image at one rate under all codecs.

  Attributes:
    image: The original.
    bpp: The rate that was asked for.
    matches: Files by label, in the order of the codecs.
  """

  image: measurement.ImageFile
  bpp: float
  matches: dict[str, measurement.Match]


def compare(
  images: Sequence[measurement.ImageFile],
  rates: Sequence[float],
  plans: Sequence[grid.CodecPlan],
  workers: grid.WorkerProcesses,
  progress: grid.Progress,
) -> list[Comparison]:
  """Makes files of equal rate.

  Args:
    images: The originals.
    rates: Bits per pixel.
    plans: The codecs; their qualities do not matter here.
    workers: Started.
    progress: Is told how far the work is.

  Returns:
    One for each image and rate; a codec that refuses the image is left out.
  """
  cases = [(image, bpp) for image in images for bpp in rates]
  learned = [p for p in plans if p.spec.name == image_codecs.Learned.name]
  rivals = [p for p in plans if p.spec.name != image_codecs.Learned.name]
  matches: dict[measurement.MatchTask, measurement.Match] = {}

  def task(
    image: measurement.ImageFile, bpp: float, plan: grid.CodecPlan
  ) -> measurement.MatchTask:
    if plan in learned:
      return measurement.MatchTask(image, plan.spec, bpp, nearest=True)
    first = matches.get(task(image, bpp, learned[0])) if learned else None
    return measurement.MatchTask(
      image, plan.spec, first.row.bpp if first else bpp
    )

  progress.on_start("matching rates", len(cases) * len(plans), 0)
  for group in (learned, rivals):
    tasks = [task(*case, plan) for case in cases for plan in group]
    for done, outcome in workers.run(measurement.match, tasks):
      if isinstance(outcome, measurement.Match):
        matches[done] = outcome
      progress.on_done()
  return [
    Comparison(
      image,
      bpp,
      {
        plan.codec.label: matches[task(image, bpp, plan)]
        for plan in plans
        if task(image, bpp, plan) in matches
      },
    )
    for image, bpp in cases
  ]


def caption(match: measurement.Match) -> str:
  """Rate and measures of a file in one line."""
  row = match.row
  return (
    f"{row.bpp:.3f} bpp, PSNR Y' {row.psnr_y:.2f} dB,"
    f" MS-SSIM {row.ms_ssim_rgb:.4f}"
  )


def choose_images(
  images: Sequence[measurement.ImageFile], names: Sequence[str]
) -> list[measurement.ImageFile]:
  """The images of these names, with or without their ending.

  Raises:
    errors.UsageError: if there is none of a name.
  """
  chosen = []
  for name in names:
    fitting = [i for i in images if name in (i.name, i.name.rpartition(".")[0])]
    if not fitting:
      raise errors.UsageError(f"no image is called '{name}'")
    chosen.append(fitting[0])
  return chosen


def draw(comparison: Comparison) -> bytes:
  """The original and its reconstructions in two columns, with captions.

  Returns:
    A JPEG file, fine enough that its own artefacts do not count.
  """
  panels = [("Original", "24 bpp", image_io.read_rgb(comparison.image.path))]
  for label, match in comparison.matches.items():
    panels.append((label, caption(match), match.decoded))
  width = comparison.image.width + _GAP
  height = comparison.image.height + _CAPTION_HEIGHT + _GAP
  rows = -(-len(panels) // 2)
  sheet = Image.new("RGB", (2 * width + _GAP, rows * height + _GAP), "white")
  pen = ImageDraw.Draw(sheet)
  for i, (label, text, x) in enumerate(panels):
    left, top = _GAP + (i % 2) * width, _GAP + (i // 2) * height
    sheet.paste(Image.fromarray(x), (left, top))
    below = top + comparison.image.height
    pen.text((left, below + 4), label, "black", ImageFont.load_default(22))
    pen.text((left, below + 30), text, "#333333", ImageFont.load_default(18))
  return image_codecs.Jpeg444().encode(np.array(sheet), _FIGURE_QUALITY).data
