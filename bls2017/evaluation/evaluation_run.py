"""One run of an evaluation: from a request to the files it leaves behind."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

from bls2017 import errors
from bls2017.common import config, files
from bls2017.evaluation import (
  ablation,
  comparison,
  grid,
  plots,
  rate_distortion,
  report,
  results,
  studies,
  summary,
)
from bls2017.training import checkpoints

FIGURE_NAME = "figure.jpg"
STUDIES_DIR = "studies"
PER_IMAGE_DIR = "per_image"
DEFAULT_COMPARED = 2


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked for.

  Attributes:
    images: Pattern of the files.
    output_dir: Where everything goes; created where it is missing.
    codecs: Names; None for all that are installed.
    models: Directories of models; none for the package's.
    qualities: By codec, where others than its own are wanted.
    workers: Processes; None for one a core.
    compare_images: Names of images for the report's pictures; None for the
      first ones.
    compare_bpp: Their rates.
    figure: Name of an image to draw.
    figure_bpp: Its rate.
    study: One of `studies.NAMES`, instead of an evaluation.
    train_dir: The run that the study "relaxation" looks at.
    train_images: Pattern of photographs for the small models of a study.
    study_steps: Steps of a small model.
  """

  images: str
  output_dir: str
  codecs: Sequence[str] | None = None
  models: tuple[str, ...] = ()
  qualities: dict[str, tuple[float, ...]] = dataclasses.field(
    default_factory=dict
  )
  workers: int | None = None
  compare_images: Sequence[str] | None = None
  compare_bpp: tuple[float, ...] = (0.25, 0.6)
  figure: str | None = None
  figure_bpp: float = 0.113
  study: str | None = None
  train_dir: str | None = None
  train_images: str | None = None
  study_steps: int = 3000

  def __post_init__(self) -> None:
    if self.workers is not None and self.workers < 1:
      raise errors.UsageError("--workers must be at least 1")
    if min(self.compare_bpp, default=1.0) <= 0 or self.figure_bpp <= 0:
      raise errors.UsageError("a rate must be positive")
    if self.study_steps < 1:
      raise errors.UsageError("--study_steps must be at least 1")


def run(request: Request, observer: grid.Observer) -> list[str]:
  """Does what is asked for.

  Args:
    request: What.
    observer: Is told of the progress.

  Returns:
    Names of the files written, relative to the output directory.

  Raises:
    errors.CodecError: if it cannot be done; see `bls2017.errors`.
  """
  paths = grid.find_images(request.images)
  plans = grid.plan_codecs(request.codecs, request.models, request.qualities)
  try:
    os.makedirs(os.path.join(request.output_dir, PER_IMAGE_DIR), exist_ok=True)
  except OSError as e:
    raise errors.OutputError(
      f"cannot write {request.output_dir}: {e.strerror}"
    ) from e
  study_dir = os.path.join(request.output_dir, STUDIES_DIR)
  if request.study:
    studies.save(_study(request, paths, observer), study_dir)
  with grid.Workers(request.workers) as workers:
    measured = grid.evaluate(
      paths, plans, request.output_dir, workers, observer
    )
    result = summary.summarize(measured)
    config.write_json(
      os.path.join(request.output_dir, summary.FILE_NAME),
      summary.to_json(result),
    )
    _draw_plots(request, result, workers, observer)
    compared, drawn = _compare(request, measured, workers, observer)
  page = report.render(result, [*compared, *drawn], studies.load_all(study_dir))
  files.write(
    os.path.join(request.output_dir, report.FILE_NAME),
    page.encode(),
    overwrite=True,
  )
  written = [
    results.FILE_NAME, summary.FILE_NAME, "rd_psnr.png", "rd_msssim.png",
    f"{PER_IMAGE_DIR}/", report.FILE_NAME,
  ]  # fmt: skip
  for case in drawn:
    path = os.path.join(request.output_dir, FIGURE_NAME)
    files.write(path, comparison.draw(case), overwrite=True)
    written.append(FIGURE_NAME)
  return written


def _compare(
  request: Request,
  measured: grid.Evaluation,
  workers: grid.Workers,
  observer: grid.Observer,
) -> tuple[list[comparison.Comparison], list[comparison.Comparison]]:
  """The pictures for the report alone, and the one for the figure."""
  if request.compare_images is None:
    shown = list(measured.images[:DEFAULT_COMPARED])
  else:
    names = [name for name in request.compare_images if name]
    shown = comparison.choose_images(measured.images, names)
  compared = comparison.compare(
    shown, request.compare_bpp, measured.plans, workers, observer
  )
  if not request.figure:
    return compared, []
  chosen = comparison.choose_images(measured.images, [request.figure])
  return compared, comparison.compare(
    chosen, [request.figure_bpp], measured.plans, workers, observer
  )


def _draw_plots(
  request: Request,
  result: summary.Summary,
  workers: grid.Workers,
  observer: grid.Observer,
) -> None:
  tasks = []

  def add(
    curves: Sequence[rate_distortion.Curve],
    keys: Sequence[str],
    title: str,
    *name: str,
  ) -> None:
    charts = [plots.rate_distortion_chart(curves, key, title) for key in keys]
    tasks.append((tuple(charts), os.path.join(request.output_dir, *name)))

  title = "Mean over all images"
  add(result.curves, ("psnr_rgb", "psnr_y"), title, "rd_psnr.png")
  keys = ("ms_ssim_rgb_db", "ms_ssim_y_db")
  add(result.curves, keys, title, "rd_msssim.png")
  for image in result.evaluation.images:
    stem = re.sub(r"[^\w.-]", "_", image.name.rpartition(".")[0] or image.name)
    add(
      result.evaluation.curves(image.hash),
      ("psnr_rgb", "psnr_y", "ms_ssim_rgb_db"),
      image.name,
      PER_IMAGE_DIR,
      f"{stem}_{image.hash[:4]}.png",
    )
  observer.on_start("drawing", len(tasks), 0)
  for _ in workers.run(plots.draw_task, tasks):
    observer.on_done()


def _study(
  request: Request, paths: list[str], observer: grid.Observer
) -> studies.Result:
  testing = studies.test_patches(paths)
  if request.study == "relaxation" and request.train_dir:
    model, _ = checkpoints.load_model(request.train_dir)
    return studies.relaxation(model, testing)
  if not request.train_images:
    raise errors.UsageError(
      f"--study={request.study} needs --train_images, photographs to train"
      " small models on"
      + (", or --train_dir" if request.study == "relaxation" else "")
    )
  training = studies.train_patches(grid.find_images(request.train_images))
  models = {"relaxation": 1, "transforms": 3, "densities": 2}[
    request.study or ""
  ]
  observer.on_start("training", models * request.study_steps, 0)
  arguments = (training, testing, request.study_steps, observer.on_done)
  if request.study == "transforms":
    return studies.transforms(*arguments)
  if request.study == "densities":
    return studies.densities(*arguments)
  small = ablation.train(
    ablation.Variant(), training, request.study_steps, observer.on_done
  )
  return studies.relaxation(small.model, testing)
