"""One evaluation: measures, summarizes, draws and writes the report."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bls2017 import errors, files
from bls2017.common import config, packages
from bls2017.evaluation import (
  grid,
  image_codecs,
  measurement,
  plots,
  rate_distortion,
  report,
  study_results,
  summary,
)
from bls2017.images import reading

FIGURE_NAME = "figure.jpg"
STUDIES_DIR = "studies"
PER_IMAGE_DIR = "per_image"

_CAPTION_HEIGHT = 56
_GAP = 8
_FIGURE_QUALITY = 88


def evaluate(
  images: str,
  output_dir: str,
  codecs: Sequence[image_codecs.ImageCodec],
  progress: grid.Progress,
  *,
  workers: int | None = None,
  compare_images: Sequence[str] | None = None,
  compare_bpp: Sequence[float] = (0.25, 0.6),
  figure: str | None = None,
  figure_bpp: float = 0.113,
) -> list[str]:
  """Compares codecs on images; writes numbers, plots and the report.

  Args:
    images: Pattern of the files.
    output_dir: Where everything goes; created where it is missing.
    codecs: From `grid.choose_codecs`.
    progress: Told how far the work is.
    workers: Processes; one per core by default.
    compare_images: Names of the images shown side by side in the report; the
      first two by default.
    compare_bpp: Rates at which they are compared.
    figure: Name of an image to draw under all codecs: figure.jpg.
    figure_bpp: Rate of the figure.

  Returns:
    A sentence for each codec that a learned one is compared with.

  Raises:
    errors.CodecError: if it cannot be done; see `bls2017.errors`.
  """
  require_packages()
  paths = grid.find_images(images)
  files.make_directory(os.path.join(output_dir, PER_IMAGE_DIR))
  with grid.worker_processes(workers) as pool:
    measured = grid.evaluate(paths, codecs, output_dir, pool, progress)
    result = summary.summarize(measured)
    path = os.path.join(output_dir, summary.FILE_NAME)
    config.write_json(path, summary.to_json(result))
    drawn = _charts(result)
    drawn_files = [os.path.join(output_dir, name) for name in drawn]
    list(pool.map(plots.draw, drawn.values(), drawn_files))
    shown = measured.images[:2]
    if compare_images is not None:
      shown = tuple(_find(measured.images, name) for name in compare_images)
    cases = [(image, bpp) for image in shown for bpp in compare_bpp]
    if figure:
      cases.append((_find(measured.images, figure), figure_bpp))
    tasks = [(*case, measured.codecs) for case in cases]
    matches = pool.map(measurement.match, *zip(*tasks))
    matched = grid.told(progress, "matching rates", len(cases), matches)
    compared = [(image, found) for (image, _), found in zip(cases, matched)]
  if figure:
    path = os.path.join(output_dir, FIGURE_NAME)
    files.write(path, draw_figure(*compared[-1]), overwrite=True)
  answers = study_results.load_all(os.path.join(output_dir, STUDIES_DIR))
  page = report.render(result, compared, answers)
  path = os.path.join(output_dir, report.FILE_NAME)
  files.write(path, page.encode(), overwrite=True)
  return [str(verdict) for verdict in summary.headline(result)]


def require_packages() -> None:
  """Raises errors.MissingPackageError unless the extra "eval" is installed."""
  for module in ("bjontegaard", "matplotlib"):
    packages.require(module, "evaluating", f"{module} ('bls2017[eval]')")


def draw_figure(
  image: measurement.Original, matches: dict[str, measurement.Match]
) -> bytes:
  """Draws an image and its reconstructions in two columns, with captions.

  Args:
    image: The original.
    matches: Files by the codecs' labels.

  Returns:
    A JPEG file, fine enough that its own artefacts do not count.
  """
  panels = [("Original", "24 bpp", reading.read_rgb(image.path))]
  panels += [(name, m.caption, m.decoded) for name, m in matches.items()]
  width = image.width + _GAP
  height = image.height + _CAPTION_HEIGHT + _GAP
  rows = -(-len(panels) // 2)
  sheet = Image.new("RGB", (2 * width + _GAP, rows * height + _GAP), "white")
  pen = ImageDraw.Draw(sheet)
  for i, (label, text, x) in enumerate(panels):
    left, top = _GAP + (i % 2) * width, _GAP + (i // 2) * height
    sheet.paste(Image.fromarray(x), (left, top))
    below = top + image.height
    pen.text((left, below + 4), label, "black", ImageFont.load_default(22))
    pen.text((left, below + 30), text, "#333333", ImageFont.load_default(18))
  jpeg = image_codecs.REGISTRY["jpeg444"]
  return jpeg.encode(np.array(sheet), _FIGURE_QUALITY).data


def _find(
  images: Sequence[measurement.Original], name: str
) -> measurement.Original:
  """The image of a name, with or without its ending."""
  for image in images:
    if name in (image.name, os.path.splitext(image.name)[0]):
      return image
  raise errors.UsageError(f"no image is called '{name}'")


def _charts(result: summary.Summary) -> dict[str, list[plots.Chart]]:
  """Charts that stand side by side, by the names of their files."""

  def charts(
    curves: tuple[rate_distortion.Curve, ...], title: str, *distortions: str
  ) -> list[plots.Chart]:
    draw = plots.rate_distortion_chart
    return [draw(curves, distortion, title) for distortion in distortions]

  mean = (result.curves, "Mean over all images")
  drawn = {
    "rd_psnr.png": charts(*mean, "psnr_rgb", "psnr_y"),
    "rd_msssim.png": charts(*mean, "ms_ssim_rgb_db", "ms_ssim_y_db"),
  }
  for image in result.measured.images:
    stem = re.sub(r"[^\w.-]", "_", os.path.splitext(image.name)[0])
    curves = rate_distortion.measured_curves(result.measured, image)
    drawn[f"{PER_IMAGE_DIR}/{stem}_{image.hash[:4]}.png"] = charts(
      curves, image.name, "psnr_rgb", "psnr_y", "ms_ssim_rgb_db"
    )
  return drawn
