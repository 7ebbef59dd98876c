"""Arguments and steps that the coding commands share."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from typing import Any, Callable

from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import commands, errors, files
from bls2017.commands import litert_greeting, progress
from bls2017.encode import request
from bls2017.images import reading, writing
from bls2017.many import inputs, pool
from bls2017.many import work as work_lib
from bls2017.model import model_directory, packaged_models

# Pillow's own limit would stand beside --max_pixels.
Image.MAX_IMAGE_PIXELS = None

_log = logging.getLogger(__name__)


def at_least_one(text: str) -> int:
  """A whole number above 0; argparse says so of other texts."""
  with contextlib.suppress(ValueError):
    if int(text) > 0:
      return int(text)
  raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")


_ARGUMENTS: dict[str, dict[str, Any]] = {
  "inputs": dict(metavar="INPUT", nargs="+", help="a file; many, see above"),
  "-o --output": dict(help="the output, instead of a second argument"),
  "--output_dir": dict(
    metavar="DIR", help="place of the outputs of many inputs"
  ),
  "--base_dir": dict(
    metavar="DIR", help="keep the folders below this one there"
  ),
  "--workers": dict(
    metavar="N",
    type=at_least_one,
    help="files worked on at the same time with --output_dir; by default as"
    " many as there are cores that this process may use",
  ),
  "--overwrite": dict(action="store_true", help="replace outputs that exist"),
  "-v --verbose": dict(action="store_true", help="say what was done"),
  "--model": dict(
    help="a model of the package"
    f" ({', '.join(packaged_models.names())}) or a model directory; by default"
    f" {packaged_models.DEFAULT} compresses, and each file names its own"
  ),
  "--max_pixels": dict(
    metavar="N",
    type=at_least_one,
    default=reading.MAX_PIXELS,
    help="refuse larger images (default: %(default)s)",
  ),
  "-q --quality": dict(
    metavar="Q",
    type=float,
    help="1 (smallest file) to 12 (best image) in quarter steps;"
    f" {request.DEFAULT_QUALITY:g} if you ask for nothing else",
  ),
  "--alpha": dict(
    metavar="A",
    default=request.KEEP_ALPHA,
    help="what becomes of transparency: keep (the default), or white or #RRGGBB"
    " to composite the image on that colour",
  ),
  "--format": dict(
    metavar="F",
    default=inputs.IMAGE_EXTENSION,
    help="ending of images that you do not name (default: %(default)s)",
  ),
  "--output_quality": dict(
    metavar="N",
    type=int,
    help="quality of JPEG, WebP and AVIF images, 1 to 100; by default WebP is"
    " lossless and the others are as good as their format can be",
  ),
}
"""Options of argparse for each argument."""

FILES = (
  "inputs", "-o --output", "--output_dir", "--base_dir", "--workers",
  "--overwrite", "-v --verbose", "--model", "--max_pixels",
)  # fmt: skip
"""Arguments that `run` needs."""

IMAGE = ("--format", "--output_quality")


def add(parser: argparse.ArgumentParser, *names: str) -> None:
  """Adds arguments that several commands have."""
  for name in names:
    parser.add_argument(*name.split(), **_ARGUMENTS[name])


def load_codec(options: argparse.Namespace) -> codec_lib.Codec:
  """Loads the codec that --model and --max_pixels ask for."""
  litert_greeting.swallow()
  return codec_lib.Codec.load(options.model, options.max_pixels)


def check_quality(options: argparse.Namespace) -> None:
  """Says which step --quality becomes, before an image is read.

  Raises:
    errors.UsageError: if the model has no such quality.
    errors.ModelError: if the model's configuration cannot be read.
  """
  if options.quality is not None:
    config = model_directory.read_config(options.model)
    step = config.index_quality(config.quality_index(options.quality))
    if step != options.quality:
      text = "quality %g becomes %g, the nearest step"
      _log.warning(text, options.quality, step)


def image_extension(options: argparse.Namespace) -> str:
  """The ending that --format names, with its dot."""
  return f".{options.format.lstrip('.')}"


def image_kind(options: argparse.Namespace, path: str) -> str:
  """Finds Pillow's name of the format of an output.

  Says so where the format loses again some of what was decoded.

  Raises:
    errors.UsageError: if Pillow writes no images of this ending, or they do not
      have --output_quality.
  """
  kind = writing.check_format(path)
  writing.check_quality(kind, options.output_quality)
  if kind in writing.LOSSY_FORMATS and options.output_quality is None:
    text = "%s images lose a little again, even at their best quality"
    _log.warning(text, kind)
  return kind


def run(
  options: argparse.Namespace,
  extension: str,
  make_work: Callable[[str], work_lib.Work],
  refines: bool = False,
) -> int:
  """Works on one input, or on many with --output_dir.

  Args:
    options: `FILES`.
    extension: Ending of outputs that are not named.
    make_work: Makes what is done with each file, from an output's name.
    refines: True if the work has steps: then the first Ctrl-C takes the best
      file so far.

  Returns:
    The exit code.
  """
  if not options.output_dir:
    source, output = _pair(options, extension)
    return _one(options, make_work(output), source, output, refines)
  if options.output:
    raise errors.UsageError("--output names one output, --output_dir many")
  return _many(options, make_work(f"x{extension}"), extension)


def _pair(options: argparse.Namespace, extension: str) -> tuple[str, str]:
  """Input and output of a command line without --output_dir."""
  stream = files.STANDARD_STREAM
  source, *outputs = options.inputs
  outputs += [options.output] if options.output else []
  if len(outputs) > 1 or os.path.isdir(source):
    raise errors.UsageError("several inputs need --output_dir")
  name = inputs.renamed(source, extension)
  beside = os.path.join(os.path.dirname(source), name)
  output = outputs[0] if outputs else stream if source == stream else beside
  with contextlib.suppress(OSError):
    if output != stream and os.path.samefile(source, output):
      raise errors.UsageError(f"{output} is input and output")
  # Devices and pipes are not looked into.
  is_plain = os.path.isfile(output) or not os.path.lexists(output)
  if extension == inputs.BITSTREAM_EXTENSION and output != stream and is_plain:
    if reading.is_image(output):
      raise errors.UsageError(
        f"the output {output} is, or is named like, an image; several inputs"
        " need --output_dir"
      )
  files.check_output(output, options.overwrite)
  return source, output


def _one(
  options: argparse.Namespace,
  work: work_lib.Work,
  source: str,
  output: str,
  refines: bool,
) -> int:
  bar, exit_codes = progress.ProgressBar(), list[int]()

  def tell(done: int, total: int) -> bool:
    bar.show("refining", done, total)
    return bool(exit_codes)

  with contextlib.ExitStack() as stack:
    stack.callback(bar.close)
    if refines:
      text = "taking the best file so far; Ctrl-C again to give it up"
      exit_codes = stack.enter_context(progress.first_signal_noted(text))
    with pool.naming(source):
      coded = work.code(source, tell)
    files.write(output, coded.data, options.overwrite)
  if options.verbose:
    _log.warning("%s: %s", source, coded.note)
  return exit_codes[0] if exit_codes else 0


def _many(
  options: argparse.Namespace, work: work_lib.Work, extension: str
) -> int:
  jobs = inputs.find(
    options.inputs, options.output_dir, extension, options.base_dir
  )
  files.make_directory(options.output_dir)
  bar, done = progress.ProgressBar(), 0

  def tell(outcome: pool.Outcome) -> bool:
    nonlocal done
    done += 1
    bar.show("files", done, None)
    if isinstance(outcome.error, inputs.UnreadKindError):
      pass  # They are counted in the end.
    elif outcome.error:
      _log.error("bls2017: %s", commands.message(outcome.error))
    elif options.verbose:
      note = outcome.coded.note if outcome.coded else "done before"
      _log.warning("%s: %s", outcome.source, note)
    return bool(exit_codes)

  text = "finishing the files at work; Ctrl-C again to give them up"
  with contextlib.ExitStack() as stack:
    stack.enter_context(progress.messages_above_bars())
    stack.callback(bar.close)
    exit_codes = stack.enter_context(progress.first_signal_noted(text))
    summary = pool.run(jobs, work, options.overwrite, options.workers, tell)
  log_summary(summary)
  return exit_codes[0] if exit_codes else summary.exit_code


def log_summary(summary: pool.Totals) -> None:
  """Says what was done with many files."""
  if summary.left_out:
    kinds = [f"{n} {ending}" for ending, n in sorted(summary.left_out.items())]
    text = "bls2017: left out, as Pillow does not read them: %s; convert them"
    _log.error(text, ", ".join(kinds))
  _log.warning("bls2017: %s", summary)
