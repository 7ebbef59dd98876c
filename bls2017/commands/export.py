"""Writes a model for TF Serving, or as a site that decodes in a browser.

--format=serving: BASE/N is the version, a SavedModel that TF Serving loads;
BASE/serving holds configuration for the server and a README.md that says how to
start it. Any TensorFlow and any model server runs it.

--format=web: SITE holds static files that any web server serves: a page that
shows .bls images, the decoder as ES modules, and a README.md that says how to
use both.
"""

from __future__ import annotations

from absl import flags

from bls2017 import errors
from bls2017.common import packages
from bls2017.model import packaged_models
from export import DEFAULT_MAX_PIXELS, FORMATS

USAGE = (
  "bls2017 export --output_dir=BASE [FLAGS]\n"
  "       bls2017 export --format=web --output_dir=SITE [FLAGS]"
)

_FORMAT = flags.DEFINE_enum("format", FORMATS[0], FORMATS, "What is written.")
_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir",
  None,
  "Base directory, in which a version is made; of a site, its own directory,"
  " which is new or empty.",
)
_VERSION = flags.DEFINE_integer(
  "version",
  None,
  "Number of the version; by default one above the highest. For serving.",
)
_TFJS = flags.DEFINE_string(
  "tfjs",
  None,
  "Folder into which npm installed TensorFlow.js, to be copied into the site;"
  " by default pages load it from a public network. For the web.",
)
_MODEL = flags.DEFINE_string(
  "model",
  packaged_models.DEFAULT,
  "A model of the package by its name"
  f" ({', '.join(packaged_models.names())}), or a model directory.",
)
_MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels",
  None,
  f"Images of more pixels are refused; by default {DEFAULT_MAX_PIXELS} when"
  " serving, and on the web as many as the commands take.",
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not _OUTPUT_DIR.value:
    raise errors.UsageError("--output_dir is needed")
  of_other_format = {
    "serving": (_TFJS,),
    "web": (_VERSION,),
  }
  for flag in of_other_format[_FORMAT.value]:
    if flag.value is not None:
      raise errors.UsageError(
        f"--{flag.name} does not go with --format={_FORMAT.value}"
      )
  if _FORMAT.value == "web":
    path = _export_site(_OUTPUT_DIR.value)
  else:
    path = _export_version(_OUTPUT_DIR.value)
  print(path)
  return 0


def _export_version(output_dir: str) -> str:
  packages.require_tensorflow("export")
  from bls2017.model import model_directory
  from export import export_model

  return export_model.export(
    model_directory.load(_MODEL.value),
    output_dir,
    version=_VERSION.value,
    max_pixels=_default(_MAX_PIXELS.value, DEFAULT_MAX_PIXELS),
  )


def _export_site(output_dir: str) -> str:
  from bls2017.images import reading
  from bls2017.model import model_directory
  from export.web import web_export

  return web_export.export(
    model_directory.load(_MODEL.value),
    output_dir,
    tfjs=_TFJS.value,
    max_pixels=_default(_MAX_PIXELS.value, reading.MAX_PIXELS),
  )


def _default(value: int | None, default: int) -> int:
  return default if value is None else value
