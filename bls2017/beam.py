"""Many files on many machines, as an Apache Beam pipeline.

    pattern -> match -> group by output -> code -> failures.jsonl

Each worker process loads the model once. An output is written under a temporary
name and then renamed, so a worker that dies leaves no output in part. When
Beam, or the next run, tries the files of that worker again, it skips those
that are done. An input that cannot be coded becomes a line of failures.jsonl
and stops nothing. Where an output cannot be written, Beam tries again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Callable

import apache_beam as beam
from apache_beam.io import fileio, filesystem, filesystems
from apache_beam.metrics import metric
from apache_beam.options import pipeline_options
from apache_beam.runners import runner
from apache_beam.utils import shared

from bls2017 import errors
from bls2017.bulk import inputs, worker_threads

FAILURES_FILE = "failures.jsonl"
TEMPORARY_DIR = ".temporary"
NAMESPACE = "bls2017"
"""Beam's namespace of the counters."""

COUNTERS = ("images", "pixels", "bytes", "skipped", "failures")
"""Images coded, their pixels and compressed bytes; inputs skipped; failed."""

_FAILURES = "failures"
_log = logging.getLogger(__name__)
_FileSystems = filesystems.FileSystems


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a pipeline does.

  Attributes:
    input_glob: Pattern of the inputs, in any file system Beam knows; its `*`
      stays within a folder, `**` does not.
    output_dir: Where outputs go, in the folders that inputs have from the first
      wildcard on.
    extension: Ending of the outputs; see `inputs.renamed`.
    make_work: Makes the work in each worker process; sent there by pickle.
    overwrite: Whether files are done again whose output exists.
  """

  input_glob: str
  output_dir: str
  extension: str
  make_work: Callable[[], worker_threads.Work]
  overwrite: bool = False

  def output(self, source: str) -> str:
    """The output of an input."""
    root = inputs.fixed_folder(self.input_glob)
    folder, name = os.path.split(source[len(root) :].lstrip("/"))
    return _FileSystems.join(
      self.output_dir, folder, inputs.renamed(name, self.extension)
    )


def run(
  settings: Settings, options: list[str], attempts: int = 1
) -> worker_threads.Summary:
  """Runs the pipeline and waits for it.

  Args:
    settings: What is done.
    options: Beam's own options, as on a command line.
    attempts: How often a pipeline is run if it fails, for example because a
      worker was killed; for runners that do not try again themselves.

  Returns:
    What the last attempt did; failures are in the order of their inputs' names.

  Raises:
    errors.UsageError: if Beam does not know an option or a runner.
    errors.UnreadableInputError: if no file matches.
    errors.OutputError: if the pipeline failed, for example because the disk is
      full. Outputs that it had written stay.
  """
  chosen = pipeline_options.PipelineOptions(check_options(options))
  started = time.perf_counter()
  _check_input(settings.input_glob)
  result = _run(settings, chosen, attempts)
  counts = _counts(result)
  summary = worker_threads.Summary(
    done=counts["images"],
    skipped=counts["skipped"],
    pixels=counts["pixels"],
    compressed_bytes=counts["bytes"],
    seconds=time.perf_counter() - started,
  )
  temporary = _FileSystems.join(settings.output_dir, TEMPORARY_DIR)
  path = _FileSystems.join(settings.output_dir, FAILURES_FILE)
  _FileSystems.rename([_FileSystems.join(temporary, FAILURES_FILE)], [path])
  # Killed workers of this run or an earlier one may have left files there.
  with contextlib.suppress(OSError):
    _FileSystems.delete([temporary])
  summary.failures.update(enumerate(_read_failures(path)))
  return summary


def _run(
  settings: Settings, options: pipeline_options.PipelineOptions, attempts: int
) -> runner.PipelineResult:
  try:
    pipeline = beam.Pipeline(options=options)
  except ValueError as e:
    raise errors.UsageError(str(e)) from e
  build(pipeline, settings)
  for attempt in range(1, attempts + 1):
    try:
      result = pipeline.run()
      state = result.wait_until_finish()
      # Not every runner raises.
      if state not in (None, runner.PipelineState.DONE):
        raise RuntimeError(f"it ended as {state}")
      return result
    except (RuntimeError, OSError) as e:
      lines = str(e).strip().splitlines() or [type(e).__name__]
      if attempt == attempts:
        raise errors.OutputError(
          f"the pipeline failed: {lines[-1]}; run it again to go on"
        ) from e
      _log.warning("the pipeline failed (%s) and goes on", lines[-1])
  raise AssertionError("there is at least one attempt")


def build(pipeline: beam.Pipeline, settings: Settings) -> None:
  """Adds all steps to a pipeline."""
  coded = (
    pipeline
    | beam.Create([settings.input_glob])
    | fileio.MatchAll(fileio.EmptyMatchTreatment.DISALLOW)
    # Spreads files over workers, and brings those of one name together.
    | "ByOutput" >> beam.Map(lambda f: (settings.output(f.path), f))
    | beam.GroupByKey()
    | beam.ParDo(CodeFile(settings)).with_outputs(_FAILURES, main="done")
  )
  _ = (
    coded[_FAILURES]
    | beam.Map(json.dumps)
    | beam.io.WriteToText(
      _FileSystems.join(settings.output_dir, TEMPORARY_DIR, FAILURES_FILE),
      shard_name_template="",
    )
  )


class CodeFile(beam.DoFn):
  """Codes the inputs of one name, and writes their outputs."""

  def __init__(self, settings: Settings):
    self._settings = settings
    self._shared = shared.Shared()
    self._work: worker_threads.Work | None = None
    self._counters = {
      name: metric.Metrics.counter(NAMESPACE, name) for name in COUNTERS
    }

  def setup(self) -> None:
    """Loads the model, once in a process."""
    self._work = self._shared.acquire(self._settings.make_work)

  def process(
    self, element: tuple[str, Iterable[filesystem.FileMetadata]]
  ) -> Iterator[beam.pvalue.TaggedOutput]:
    """Gives only failures, as dictionaries."""
    output, matches = element
    files = sorted(matches, key=lambda f: f.path)
    paths = [file.path for file in files]
    names = inputs.output_names(paths, self._settings.extension)
    folder = _FileSystems.split(output)[0]
    for file, name in zip(files, names):
      output = _FileSystems.join(folder, os.path.basename(name))
      try:
        if names.count(name) > 1:
          raise errors.UsageError(f"other inputs become {output}, too")
        self._do(file, output)
      except errors.CodecError as e:
        self._counters["failures"].inc()
        failure = {
          "input": file.path,
          "output": output,
          "reason": str(e),
          "exit_code": e.exit_code,
        }
        yield beam.pvalue.TaggedOutput(_FAILURES, failure)

  def _do(self, file: filesystem.FileMetadata, output: str) -> None:
    coded = self._code(file, output)
    if coded is None:
      self._counters["skipped"].inc()
      return
    _write(self._settings.output_dir, output, coded.data)
    self._counters["images"].inc()
    self._counters["pixels"].inc(coded.pixels)
    self._counters["bytes"].inc(coded.compressed_bytes)

  def _code(
    self, file: filesystem.FileMetadata, output: str
  ) -> worker_threads.Coded | None:
    """The result; None where the output is there already."""
    assert self._work is not None
    data = _read(file.path)
    with worker_threads.codec_errors_only():
      if self._settings.overwrite or not _FileSystems.exists(output):
        return self._work.code(data)
      changed = file.last_updated_in_seconds
      is_older = changed > _FileSystems.last_updated(output)
      worker_threads.check_done(
        self._work, data, _read(output), output, is_older
      )
    return None


def check_options(options: list[str]) -> list[str]:
  """Returns Beam's options, if it knows all of them.

  Raises:
    errors.UsageError: otherwise; Beam itself would ignore a misspelt option.
  """
  parser = pipeline_options._BeamArgumentParser(add_help=False)
  for cls in pipeline_options.PipelineOptions.__subclasses__():
    cls._add_argparse_args(parser)
  try:
    _, unknown = parser.parse_known_args(options)
  except SystemExit as e:
    raise errors.UsageError("Beam refuses its options") from e
  if unknown:
    raise errors.UsageError(f"neither bls2017 nor Beam knows {unknown[0]}")
  return options


def _check_input(pattern: str) -> None:
  try:
    matches = _FileSystems.match([pattern], limits=[1])[0].metadata_list
  except (OSError, ValueError) as e:
    raise errors.UnreadableInputError(f"cannot list {pattern}: {e}") from e
  if not matches:
    raise errors.UnreadableInputError(f"no file matches {pattern}")


def _read(path: str) -> bytes:
  """All bytes of a file, as they are stored even if its name ends in .gz."""
  plain = filesystem.CompressionTypes.UNCOMPRESSED
  try:
    with _FileSystems.open(path, compression_type=plain) as f:
      return f.read()
  except OSError as e:
    raise errors.UnreadableInputError(f"cannot read {path}: {e}") from e


def _write(output_dir: str, path: str, data: bytes) -> None:
  temporary = _FileSystems.join(output_dir, TEMPORARY_DIR, uuid.uuid4().hex)
  plain = filesystem.CompressionTypes.UNCOMPRESSED
  with _FileSystems.create(temporary, compression_type=plain) as f:
    f.write(data)
  folder = _FileSystems.split(path)[0]
  # Another worker may be making the same folder.
  with contextlib.suppress(OSError):
    _FileSystems.mkdirs(folder)
  _FileSystems.rename([temporary], [path])


def _counts(result: runner.PipelineResult) -> dict[str, int]:
  ours = metric.MetricsFilter().with_namespace(NAMESPACE)
  counts = dict.fromkeys(COUNTERS, 0)
  for counter in result.metrics().query(ours)["counters"]:
    counts[counter.key.metric.name] = counter.result
  return counts


def _read_failures(path: str) -> list[worker_threads.Outcome]:
  rows = [json.loads(line) for line in _read(path).splitlines()]
  outcomes = []
  for row in sorted(rows, key=lambda row: row["input"]):
    error = errors.CodecError(f"{row['input']}: {row['reason']}")
    error.exit_code = row["exit_code"]
    outcomes.append(
      worker_threads.Outcome(row["input"], row["output"], error=error)
    )
  return outcomes
