"""One run of an evaluation: from its configuration to the files it leaves."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from bls2017 import errors, files
from bls2017.common import config as config_lib
from bls2017.common import packages
from bls2017.evaluation import (
  comparison,
  grid,
  plots,
  rate_distortion,
  report,
  results,
  study_results,
  summary,
)
from bls2017.evaluation.evaluation_config import EvaluationConfig

FIGURE_NAME = "figure.jpg"
STUDIES_DIR = "studies"
PER_IMAGE_DIR = "per_image"
DEFAULT_COMPARED = 2


class Outcome(NamedTuple):
  """What a run leaves.

  Attributes:
    files: Names of the files written, relative to the output directory.
    headline: The result in sentences, one for each learned codec and measure.
  """

  files: tuple[str, ...]
  headline: tuple[str, ...]


def run(config: EvaluationConfig, progress: grid.Progress) -> Outcome:
  """Does what is asked for.

  Args:
    config: What is asked for.
    progress: Is told how far the work is.

  Raises:
    errors.CodecError: if it cannot be done; see `bls2017.errors`.
  """
  paths = grid.find_images(config.images)
  plans = grid.plan_codecs(config.codecs, config.models, config.qualities)
  try:
    os.makedirs(os.path.join(config.output_dir, PER_IMAGE_DIR), exist_ok=True)
  except OSError as e:
    raise errors.OutputError(
      f"cannot write {config.output_dir}: {e.strerror}"
    ) from e
  study_dir = os.path.join(config.output_dir, STUDIES_DIR)
  if config.study:
    study_results.save(_study(config, paths, progress), study_dir)
  with grid.WorkerProcesses(config.workers) as workers:
    measured = grid.evaluate(paths, plans, config.output_dir, workers, progress)
    result = summary.summarize(measured)
    config_lib.write_json(
      os.path.join(config.output_dir, summary.FILE_NAME),
      summary.to_json(result),
    )
    _draw_plots(config, result, workers, progress)
    compared, drawn = _compare(config, measured, workers, progress)
  page = report.render(
    result, [*compared, *drawn], study_results.load_all(study_dir)
  )
  files.write(
    os.path.join(config.output_dir, report.FILE_NAME),
    page.encode(),
    overwrite=True,
  )
  written = [
    results.FILE_NAME, summary.FILE_NAME, "rd_psnr.png", "rd_msssim.png",
    f"{PER_IMAGE_DIR}/", report.FILE_NAME,
  ]  # fmt: skip
  for case in drawn:
    path = os.path.join(config.output_dir, FIGURE_NAME)
    files.write(path, comparison.draw(case), overwrite=True)
    written.append(FIGURE_NAME)
  return Outcome(tuple(written), summary.headline(result))


def _compare(
  config: EvaluationConfig,
  measured: grid.Measurements,
  workers: grid.WorkerProcesses,
  progress: grid.Progress,
) -> tuple[list[comparison.Comparison], list[comparison.Comparison]]:
  """The pictures for the report alone, and the one for the figure."""
  if config.compare_images is None:
    shown = list(measured.images[:DEFAULT_COMPARED])
  else:
    names = [name for name in config.compare_images if name]
    shown = comparison.choose_images(measured.images, names)
  compared = comparison.compare(
    shown, config.compare_bpp, measured.plans, workers, progress
  )
  if not config.figure:
    return compared, []
  chosen = comparison.choose_images(measured.images, [config.figure])
  return compared, comparison.compare(
    chosen, [config.figure_bpp], measured.plans, workers, progress
  )


def _draw_plots(
  config: EvaluationConfig,
  result: summary.Summary,
  workers: grid.WorkerProcesses,
  progress: grid.Progress,
) -> None:
  tasks = []

  def add(
    curves: Sequence[rate_distortion.Curve],
    keys: Sequence[str],
    title: str,
    *name: str,
  ) -> None:
    charts = [plots.rate_distortion_chart(curves, key, title) for key in keys]
    tasks.append((tuple(charts), os.path.join(config.output_dir, *name)))

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
  progress.on_start("drawing", len(tasks), 0)
  for _ in workers.run(plots.draw_task, tasks):
    progress.on_done()


def _study(
  config: EvaluationConfig, paths: list[str], progress: grid.Progress
) -> study_results.Result:
  photographs = config.train_images or ""
  train_dir = (config.train_dir or "") if config.study == "relaxation" else ""
  if not (train_dir or photographs):
    raise errors.UsageError(
      f"the study '{config.study}' needs train_images, photographs to train"
      " small models on"
      + (", or train_dir" if config.study == "relaxation" else "")
    )
  packages.require_training(f"the study '{config.study}'")
  from bls2017.evaluation import ablation, studies
  from bls2017.training import checkpoints

  testing = studies.test_patches(paths)
  if train_dir:
    model, _ = checkpoints.load_model(train_dir)
    return studies.relaxation(model, testing)
  training = studies.train_patches(grid.find_images(photographs))
  models = {"relaxation": 1, "transforms": 3, "densities": 2}[
    config.study or ""
  ]
  progress.on_start("training", models * config.study_steps, 0)
  arguments = (training, testing, config.study_steps, progress.on_done)
  if config.study == "transforms":
    return studies.transforms(*arguments)
  if config.study == "densities":
    return studies.densities(*arguments)
  small = ablation.train(
    ablation.Variant(), training, config.study_steps, progress.on_done
  )
  return studies.relaxation(small.model, testing)
