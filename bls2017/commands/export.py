"""Writes a model as a SavedModel that TF Serving loads.

BASE/N is the version, BASE/serving holds configuration for the server and a
README.md that says how to start it. With --runtime=stock any TensorFlow and any
model server runs it; with --runtime=tfc only those that have
tensorflow-compression's operations.
"""

from __future__ import annotations

from absl import flags

from bls2017 import errors
from bls2017.common import packages
from export import DEFAULT_MAX_PIXELS, RUNTIMES

USAGE = "bls2017 export --output_dir=BASE [FLAGS]"

_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir", None, "Base directory, in which a version is made."
)
_VERSION = flags.DEFINE_integer(
  "version", None, "Number of the version; by default one above the highest."
)
_RUNTIME = flags.DEFINE_enum(
  "runtime", RUNTIMES[0], RUNTIMES, "Operations of the range coder."
)
_MODEL = flags.DEFINE_string(
  "model", None, "Model directory; by default the packaged model."
)
_MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels", DEFAULT_MAX_PIXELS, "Items of more pixels are refused."
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not _OUTPUT_DIR.value:
    raise errors.UsageError("--output_dir is needed")
  packages.require_tensorflow("export")
  # They import TensorFlow.
  from bls2017.transforms import model_directory
  from export import export_model

  path = export_model.export(
    model_directory.load(_MODEL.value),
    _OUTPUT_DIR.value,
    version=_VERSION.value,
    runtime=_RUNTIME.value,
    max_pixels=_MAX_PIXELS.value,
  )
  print(path)
  return 0
