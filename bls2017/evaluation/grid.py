"""Evaluates codecs on images: every image, codec and quality, in parallel.

Finished measurements are kept in `results.csv` (`bls2017.evaluation.results`)
and not made again. An image that cannot be read, or that a codec refuses, is
reported and left out; it stops nothing.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import glob
import logging
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Protocol, TypeVar

from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.evaluation import (
  image_codecs,
  measurement,
  rate_distortion,
  results,
)
from bls2017.model import packaged_models

DEFAULT_CODECS = (
    "bls2017", "jpeg", "jpeg444", "jpeg2000", "webp", "avif", "jpegxl",
)  # fmt: skip

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CodecPlan:
  """A codec, and the qualities at which it is measured.

  Attributes:
    spec: How to make it.
    codec: Its description in this process.
    qualities: Increasing.
  """

  spec: image_codecs.CodecSpec
  codec: image_codecs.ImageCodec
  qualities: tuple[float, ...]

  def key(self, image_hash: str, quality: float) -> results.Key:
    """The key of one of its measurements."""
    c = self.codec
    return results.Key(
      image_hash, c.name, c.version, c.settings, c.model_id, float(quality)
    )


@dataclasses.dataclass(frozen=True)
class Measurements:
  """All that was measured.

  Attributes:
    images: The images.
    plans: The codecs.
    rows: By label of the codec, then by image hash and quality.
    failures: What could not be read or coded.
  """

  images: tuple[measurement.ImageFile, ...]
  plans: tuple[CodecPlan, ...]
  rows: dict[str, dict[tuple[str, float], results.Row]]
  failures: tuple[measurement.Failure, ...]

  def curves(
    self, image_hash: str | None = None
  ) -> list[rate_distortion.Curve]:
    """A curve for each codec: of one image, or the mean over all of them.

    A setting counts only where it was measured on every image.
    """
    hashes = {i.hash for i in self.images}
    if image_hash is not None:
      hashes = {image_hash}
    return [self._curve(plan, hashes) for plan in self.plans]

  def _curve(self, plan: CodecPlan, hashes: set[str]) -> rate_distortion.Curve:
    label = plan.codec.label
    points = []
    for quality in plan.qualities:
      keys = [(image_hash, quality) for image_hash in hashes]
      rows = [self.rows[label][k] for k in keys if k in self.rows[label]]
      if len(rows) == len(hashes):
        values = [
          {name: getattr(row, name) for name in results.MEASURES}
          for row in rows
        ]
        points.append(rate_distortion.mean_point(quality, values))
    codec = {
      "name": plan.codec.name,
      "version": plan.codec.version,
      "settings": plan.codec.settings,
      "description": plan.codec.description,
      "model_id": plan.codec.model_id,
      "tuned_for": plan.codec.tuned_for,
    }
    return rate_distortion.Curve(label, tuple(points), codec)


class Progress(Protocol):
  """Shows how far the work is, for example by a bar."""

  def on_start(self, what: str, total: int, done: int) -> None:
    """Called before a stretch of work; `done` of its tasks need no work."""

  def on_done(self) -> None:
    """Called after each task."""


class WorkerProcesses:
  """Worker processes for the functions of `bls2017.evaluation.measurement`."""

  def __init__(self, count: int | None = None):
    """Starts none yet; they start with the first task.

    Args:
      count: How many; by default as many as there are cores.
    """
    self._count = count or worker_threads.usable_cores()
    self._pool: concurrent.futures.ProcessPoolExecutor | None = None

  def __enter__(self) -> WorkerProcesses:
    # The workers' own threads are set where they start, except for those of
    # libraries that read the environment when they are loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    self._pool = concurrent.futures.ProcessPoolExecutor(
      self._count,
      # A forked TensorFlow hangs.
      multiprocessing.get_context("spawn"),
      measurement.start_worker,
    )
    return self

  def __exit__(self, *unused: Any) -> None:
    assert self._pool is not None
    self._pool.shutdown(wait=True, cancel_futures=True)
    self._pool = None

  def run(
    self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]
  ) -> Iterator[tuple[_Task, _Result]]:
    """Applies a function to tasks, in the order in which they finish.

    Raises:
      errors.CodecError: if a worker process died, of too little memory say.
    """
    assert self._pool is not None
    futures = {self._pool.submit(function, task): task for task in tasks}
    try:
      for future in concurrent.futures.as_completed(futures):
        yield futures.pop(future), future.result()
    except BrokenProcessPool as e:
      raise errors.CodecError(
        "a worker process died, perhaps for lack of memory; run the same"
        " command again to go on, or with fewer workers"
      ) from e
    finally:
      for future in futures:
        future.cancel()


def plan_codecs(
  names: Sequence[str] | None,
  models: Sequence[str],
  qualities: dict[str, tuple[float, ...]],
) -> tuple[CodecPlan, ...]:
  """Makes the codecs that were asked for.

  Args:
    names: Names in the registry; None for all of `DEFAULT_CODECS` that are
      installed.
    models: Names or directories of models for the learned codec; none for the
      default one.
    qualities: By name, where the codec's own are not to be used.

  Raises:
    errors.UsageError: if a name or a quality does not fit.
    errors.ModelError: if a model cannot be used.
  """
  if names is None:
    names = [
      n for n in DEFAULT_CODECS if image_codecs.REGISTRY[n].is_available()
    ]
  specs: list[image_codecs.CodecSpec] = []
  for name in dict.fromkeys(names):
    if name == image_codecs.Learned.name and models:
      specs.extend(_model_specs(models))
    else:
      specs.append(image_codecs.CodecSpec(name))
  for name in qualities:
    if name not in {spec.name for spec in specs}:
      raise errors.UsageError(f"qualities for '{name}', which is not compared")
  plans = []
  for spec in specs:
    codec = spec.make()
    chosen = qualities.get(spec.name, codec.qualities)
    low, high = codec.scale
    for quality in chosen:
      if not low <= quality <= high:
        raise errors.UsageError(
          f"the quality of {spec.name} goes from {low:g} to {high:g}, not"
          f" {quality:g}"
        )
    plans.append(CodecPlan(spec, codec, tuple(sorted(set(chosen)))))
  return tuple(plans)


def _model_specs(models: Sequence[str]) -> list[image_codecs.CodecSpec]:
  name = image_codecs.Learned.name
  if len(models) == 1:
    return [image_codecs.CodecSpec(name, models[0])]
  directories = map(packaged_models.directory, models)
  paths = list(dict.fromkeys(map(os.path.normpath, directories)))
  short = [os.path.basename(p) for p in paths]
  return [
    # Where two directories have one name, the whole path tells them apart.
    image_codecs.CodecSpec(name, p, f"{name} {s if short.count(s) == 1 else p}")
    for p, s in zip(paths, short)
  ]


def find_images(pattern: str) -> list[str]:
  """The files of a glob pattern, sorted.

  Raises:
    errors.UnreadableInputError: if there are none.
  """
  paths = sorted(
    p for p in glob.glob(pattern, recursive=True) if os.path.isfile(p)
  )
  if not paths:
    raise errors.UnreadableInputError(f"no image matches {pattern!r}")
  return paths


def evaluate(
  paths: Sequence[str],
  plans: Sequence[CodecPlan],
  output_dir: str,
  workers: WorkerProcesses,
  progress: Progress,
) -> Measurements:
  """Measures what is not in `results.csv` yet.

  Args:
    paths: The images.
    plans: The codecs.
    output_dir: Directory of the results, which exists.
    workers: Started.
    progress: Is told how far the work is.

  Raises:
    errors.UnreadableInputError: if no image can be read.
    errors.OutputError: if the results cannot be written.
  """
  failures: list[measurement.Failure] = []
  images = _inspect(paths, workers, progress, failures)
  file = results.ResultsFile(os.path.join(output_dir, results.FILE_NAME))
  tasks = {
    plan.key(image.hash, quality): measurement.MeasureTask(
      image, plan.spec, quality
    )
    for image in images
    for plan in plans
    for quality in plan.qualities
  }
  missing = [task for key, task in tasks.items() if key not in file.rows]
  progress.on_start("measuring", len(tasks), len(tasks) - len(missing))
  try:
    for _, outcome in workers.run(measurement.measure, missing):
      if isinstance(outcome, measurement.Failure):
        _report(outcome, failures)
      else:
        file.append(outcome)
      progress.on_done()
  finally:
    file.close()
  rows: dict[str, dict[tuple[str, float], results.Row]] = {}
  for plan in plans:
    rows[plan.codec.label] = {
      (image.hash, quality): file.rows[plan.key(image.hash, quality)]
      for image in images
      for quality in plan.qualities
      if plan.key(image.hash, quality) in file.rows
    }
  return Measurements(tuple(images), tuple(plans), rows, tuple(failures))


def _inspect(
  paths: Sequence[str],
  workers: WorkerProcesses,
  progress: Progress,
  failures: list[measurement.Failure],
) -> list[measurement.ImageFile]:
  """The images that can be read, each content once, in their order."""
  progress.on_start("reading", len(paths), 0)
  readable: dict[str, measurement.ImageFile] = {}
  for path, outcome in workers.run(measurement.inspect, paths):
    if isinstance(outcome, measurement.Failure):
      _report(outcome, failures)
    else:
      readable[path] = outcome
    progress.on_done()
  unique: dict[str, measurement.ImageFile] = {}
  for path in paths:
    if path in readable:
      image = unique.setdefault(readable[path].hash, readable[path])
      if image.path != path:
        reason = f"holds the same pixels as {image.path}"
        _report(measurement.Failure(path, reason), failures)
  if not unique:
    raise errors.UnreadableInputError("no image could be read")
  return list(unique.values())


def _report(
  failure: measurement.Failure, failures: list[measurement.Failure]
) -> None:
  failures.append(failure)
  _log.warning("skipping %s: %s", failure.what, failure.reason)
