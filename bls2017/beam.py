"""Many files on many machines: Apache Beam's transforms around the codec.

    pattern -> match -> group by output -> code -> failures.jsonl

An input that cannot be coded becomes a line of failures.jsonl and stops
nothing. Where a worker dies or an output cannot be written, no output is left
in part, and the next run skips what is done.
"""

from __future__ import annotations

import contextlib
import json
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
from bls2017.many import inputs, pool
from bls2017.many import work as work_lib

FAILURES_FILE = "failures.jsonl"
TEMPORARY_DIR = ".temporary"

_Files = filesystems.FileSystems
# Files are taken as they are stored, even if a name ends in .gz.
_PLAIN = filesystem.CompressionTypes.UNCOMPRESSED


def run(
  input_glob: str,
  output_dir: str,
  extension: str,
  make_work: Callable[[], work_lib.Work],
  overwrite: bool,
  options: list[str],
) -> tuple[pool.Totals, list[str]]:
  """Codes all files of a pattern and waits for the end.

  Args:
    input_glob: Pattern of the inputs, in any file system Beam knows; its `*`
      stays within a folder, `**` does not.
    output_dir: Where outputs go, in the folders that inputs have from the first
      wildcard on.
    extension: Ending of the outputs (`inputs.renamed`).
    make_work: Makes what is done with each file; called in each process.
    overwrite: True to do files again whose output exists.
    options: Beam's own options, as on a command line.

  Returns:
    What was done, and the reason of each failure by the inputs' names.

  Raises:
    errors.UsageError: if Beam does not know an option or a runner.
    errors.UnreadableInputError: if no file matches.
    errors.OutputError: if the pipeline failed, for example because the disk is
      full or a worker died. Outputs that it had written stay.
  """
  started = time.perf_counter()
  pipeline = _pipeline(options)
  if not _Files.match([input_glob], [1])[0].metadata_list:
    raise errors.UnreadableInputError(f"no file matches {input_glob}")
  root = inputs.fixed_folder(input_glob)

  def keyed(
    file: filesystem.FileMetadata,
  ) -> tuple[str, filesystem.FileMetadata]:
    folder, name = os.path.split(file.path[len(root) :].lstrip("/"))
    name = inputs.renamed(name, extension)
    return _Files.join(output_dir, folder, name), file

  temporary = _Files.join(output_dir, TEMPORARY_DIR)
  failures = _Files.join(temporary, FAILURES_FILE)
  _ = (
    pipeline
    | fileio.MatchFiles(input_glob)
    # Spreads files over workers, and brings those of one name together.
    | "ByOutput" >> beam.Map(keyed)
    | beam.GroupByKey()
    | beam.ParDo(_Code(output_dir, extension, make_work, overwrite))
    | beam.Map(json.dumps)
    | beam.io.WriteToText(failures, shard_name_template="")
  )
  try:
    result = pipeline.run()
    state = result.wait_until_finish()
    # Not every runner raises.
    if state not in (None, runner.PipelineState.DONE):
      raise RuntimeError(f"it ended as {state}")
  except (RuntimeError, OSError) as e:
    last = (str(e).strip().splitlines() or [type(e).__name__])[-1]
    raise errors.OutputError(
      f"the pipeline failed: {last}; run it again to go on"
    ) from e
  kept = _Files.join(output_dir, FAILURES_FILE)
  _Files.rename([failures], [kept])
  # Runs that died may have left files there.
  with contextlib.suppress(OSError):
    _Files.delete([temporary])
  rows = [json.loads(line) for line in _read(kept).splitlines()]
  rows.sort(key=lambda row: str(row["input"]))
  summary = pool.Totals(exit_code=rows[0]["exit_code"] if rows else 0)
  ours = metric.MetricsFilter().with_namespace(__name__)
  for counter in result.metrics().query(ours)["counters"]:
    setattr(summary, counter.key.metric.name, counter.result)
  summary.seconds = time.perf_counter() - started
  return summary, [row["reason"] for row in rows]


def _pipeline(arguments: list[str]) -> beam.Pipeline:
  options = pipeline_options.PipelineOptions(arguments)
  try:
    # Beam itself would ignore an unknown option.
    given = options.get_all_options(retain_unknown_options=True)
    for name in sorted(set(given) - set(options.get_all_options())):
      raise errors.UsageError(f"neither bls2017 nor Beam knows --{name}")
    return beam.Pipeline(options=options)
  except (SystemExit, ValueError) as e:
    raise errors.UsageError(f"Beam refuses its options: {e}") from e


class _Code(beam.DoFn):
  """Codes the inputs of one name; gives a dictionary for each failure."""

  def __init__(
    self,
    output_dir: str,
    extension: str,
    make_work: Callable[[], work_lib.Work],
    overwrite: bool,
  ):
    self._output_dir, self._extension = output_dir, extension
    self._make_work, self._overwrite = make_work, overwrite
    self._shared = shared.Shared()

  def process(
    self, element: tuple[str, Iterable[filesystem.FileMetadata]]
  ) -> Iterator[dict[str, str | int]]:
    files = sorted(element[1], key=lambda file: file.path)
    names = inputs.output_names([f.path for f in files], self._extension)
    for file, name in zip(files, names):
      folder, _ = _Files.split(element[0])
      output = _Files.join(folder, os.path.basename(name))
      try:
        with pool.naming(file.path):
          if names.count(name) > 1:
            raise errors.UsageError(f"other inputs become {output}, too")
          coded = self._coded(file, output)
      except errors.CodecError as e:
        _count("failed")
        reason, code = str(e), e.exit_code
        yield {"input": file.path, "reason": reason, "exit_code": code}
        continue
      if coded is None:
        _count("skipped")
        continue
      self._write(output, coded.data)
      _count("done")
      _count("pixels", coded.pixels)
      _count("compressed_bytes", coded.compressed_bytes)

  def _coded(
    self, file: filesystem.FileMetadata, output: str
  ) -> work_lib.Coded | None:
    """The result; None where it is there already."""
    work = self._shared.acquire(self._make_work)
    data = _read(file.path)
    if self._overwrite or not _Files.exists(output):
      return work.code(data, None)
    changed = file.last_updated_in_seconds
    is_older = changed > _Files.last_updated(output)
    pool.check_done(work, data, _read(output), output, is_older)
    return None

  def _write(self, path: str, data: bytes) -> None:
    place = _Files.join(self._output_dir, TEMPORARY_DIR, uuid.uuid4().hex)
    with _Files.create(place, compression_type=_PLAIN) as f:
      f.write(data)
    # Another worker may be making the same folder.
    with contextlib.suppress(OSError):
      _Files.mkdirs(_Files.split(path)[0])
    _Files.rename([place], [path])


def _count(name: str, number: int = 1) -> None:
  metric.Metrics.counter(__name__, name).inc(number)


def _read(path: str) -> bytes:
  try:
    with _Files.open(path, compression_type=_PLAIN) as f:
      return bytes(f.read())
  except OSError as e:
    raise errors.UnreadableInputError(f"cannot read {path}: {e}") from e
