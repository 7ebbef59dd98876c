"""The grid of an evaluation: every image, codec and quality, in parallel.

Finished measurements are kept in `results.csv`, and not made again while the
pixels, the codec, its settings and the libraries stay the same; so a run that
was cut short goes on. An image that cannot be read, or that a codec refuses, is
reported and left out; it stops nothing.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import glob
import io
import itertools
import logging
import math
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, NamedTuple, TypeVar

from bls2017 import errors, files
from bls2017.common import cores
from bls2017.evaluation import image_codecs, measurement
from bls2017.evaluation.image_codecs import ImageCodec
from bls2017.evaluation.measurement import Failure, Original, Row

RESULTS_NAME = "results.csv"

Progress = Callable[[str, int, int], None]
"""Is told the name of a stretch of work, what is done of it, and its total."""

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Measurements(NamedTuple):
  """All that was measured; `rows` may hold other images and codecs, too."""

  images: tuple[Original, ...]
  codecs: tuple[ImageCodec, ...]
  rows: dict[measurement.Key, Row]
  failures: tuple[Failure, ...]


def choose_codecs(
  names: Sequence[str] = image_codecs.DEFAULT,
  models: Sequence[str] = (),
  qualities: Mapping[str, Sequence[float]] | None = None,
) -> tuple[ImageCodec, ...]:
  """Makes the codecs that were asked for.

  Args:
    names: Names of codecs.
    models: Names or directories of models for the learned codec; none for the
      default one.
    qualities: By name, where the codec's own are not to be used.

  Raises:
    errors.UsageError: if a name or a quality does not fit.
    errors.ModelError: if a model cannot be used.
  """
  codecs: list[ImageCodec] = []
  for name in dict.fromkeys(names):
    if name == image_codecs.LEARNED:
      codecs += _learned(list(dict.fromkeys(models)))
    elif name in image_codecs.REGISTRY:
      codecs.append(image_codecs.REGISTRY[name])
    else:
      known = ", ".join((image_codecs.LEARNED, *image_codecs.REGISTRY))
      raise errors.UsageError(
        f"there is no codec '{name}' here; there are {known}"
      )
  for name, chosen in (qualities or {}).items():
    if name not in names:
      raise errors.UsageError(f"qualities for '{name}', which is not compared")
    codecs = [_at(c, chosen) if c.name == name else c for c in codecs]
  return tuple(codecs)


def _learned(models: list[str]) -> list[image_codecs.Learned]:
  if len(models) < 2:
    return [image_codecs.learned(*models)]
  short = [os.path.basename(os.path.normpath(model)) for model in models]
  labels = short if len(set(short)) == len(short) else models
  return [
    image_codecs.learned(model, f"{image_codecs.LEARNED} {label}")
    for model, label in zip(models, labels)
  ]


def _at(codec: ImageCodec, qualities: Sequence[float]) -> ImageCodec:
  low, high = codec.scale
  for quality in qualities:
    if not low <= quality <= high:
      raise errors.UsageError(
        f"the qualities of {codec.name} are from {low:g} to {high:g}, not"
        f" {quality:g}"
      )
  return dataclasses.replace(codec, qualities=tuple(sorted(set(qualities))))


def find_images(pattern: str) -> list[str]:
  """The files of a glob pattern, sorted.

  Raises:
    errors.UnreadableInputError: if there are none.
  """
  paths = sorted(filter(os.path.isfile, glob.glob(pattern, recursive=True)))
  if not paths:
    raise errors.UnreadableInputError(f"no image matches {pattern!r}")
  return paths


@contextlib.contextmanager
def worker_processes(count: int | None = None) -> Iterator[futures.Executor]:
  """Starts processes for the functions of `bls2017.evaluation.measurement`.

  Args:
    count: How many; by default as many as there are usable cores.

  Raises:
    errors.CodecError: if one of them dies.
  """
  count = count or cores.usable_cores()
  # A forked process would inherit locks that other threads hold.
  context = multiprocessing.get_context("spawn")
  pool = futures.ProcessPoolExecutor(
    count, context, measurement.start_worker, (context.Value("i", 0),)
  )
  try:
    yield pool
  except BrokenProcessPool as e:
    raise errors.CodecError(
      "a worker process died, perhaps for lack of memory; run the same command"
      " again to go on, or with fewer workers"
    ) from e
  finally:
    pool.shutdown(cancel_futures=True)


def told(
  progress: Progress, stretch: str, total: int, results: Iterable[_Result]
) -> Iterator[_Result]:
  """Yields results, and tells how many there were."""
  progress(stretch, 0, total)
  for done, result in enumerate(results, 1):
    yield result
    progress(stretch, done, total)


def evaluate(
  paths: Sequence[str],
  codecs: Sequence[ImageCodec],
  output_dir: str,
  pool: futures.Executor,
  progress: Progress,
) -> Measurements:
  """Measures what is not in `results.csv` yet.

  Args:
    paths: The images; those of equal pixels count once.
    codecs: The codecs.
    output_dir: Directory of the results, which exists.
    pool: Worker processes.
    progress: Told how far the work is.

  Raises:
    errors.UnreadableInputError: if no image can be read.
    errors.OutputError: if the results cannot be written.
  """
  failures: list[Failure] = []

  def report(failure: Failure) -> None:
    failures.append(failure)
    _log.warning("skipping %s: %s", failure.what, failure.reason)

  images: dict[str, Original] = {}
  found = pool.map(measurement.inspect, paths)
  for image in told(progress, "reading", len(paths), found):
    if isinstance(image, Failure):
      report(image)
    else:
      images.setdefault(image.hash, image)
  if not images:
    raise errors.UnreadableInputError("no image could be read")
  path = os.path.join(output_dir, RESULTS_NAME)
  whole = _whole_lines(path) or ",".join(Row._fields) + "\n"
  done = {row.key for row in _parsed(path, whole)}
  missing = [
    (image, codec, quality)
    for image, codec in itertools.product(images.values(), codecs)
    for quality in codec.qualities
    if measurement.key(image, codec, quality) not in done
  ]
  files.write(path, whole.encode(), overwrite=True)
  try:
    with open(path, "a", encoding="utf-8", newline="") as file:
      writer = csv.writer(file, lineterminator="\n")
      rows = pool.map(measurement.measure, *zip(*missing))
      for row in told(progress, "measuring", len(missing), rows):
        if isinstance(row, Failure):
          report(row)
        else:
          writer.writerow(map(_formatted, row))
          file.flush()
  except OSError as e:
    raise errors.OutputError(f"cannot write {path}: {e.strerror}") from e
  return Measurements(
    tuple(images.values()),
    tuple(codecs),
    # As they stand in the file, so that a run that goes on has the same means.
    {row.key: row for row in _parsed(path, _whole_lines(path))},
    tuple(failures),
  )


def _whole_lines(path: str) -> str:
  """The text of a file, without a last line that a kill cut short."""
  if not os.path.exists(path):
    return ""
  text = files.read(path).decode("utf-8", "replace")
  return text[: text.rfind("\n") + 1]


def _parsed(path: str, text: str) -> list[Row]:
  reader = csv.DictReader(io.StringIO(text))
  try:
    if reader.fieldnames != list(Row._fields):
      raise ValueError("it has other columns")
    return [
      Row(**{name: _value(name, value) for name, value in values.items()})
      for values in reader
    ]
  except (TypeError, ValueError) as e:
    raise errors.OutputError(
      f"{path} is not a file of this program ({e}); name another directory"
    ) from e


def _formatted(value: Any) -> str:
  if isinstance(value, float):
    return "" if math.isnan(value) else f"{value:.8g}"
  return str(value)


def _value(column: str, text: str) -> Any:
  kind = measurement.COLUMNS[column]
  return math.nan if kind is float and not text else kind(text)
