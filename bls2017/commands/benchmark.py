"""Measures how fast this machine compresses and decompresses.

The codec beside the plain model that tensorflow-compression's own example would
be, and beside Pillow's JPEG 2000, WebP and AVIF at equal rate for a 768x512
image; the transforms beside a matrix product; peak memory; steps of training;
cold starts; many files. What is compared takes turns, and medians are given.
Pictures are made on the spot. The whole takes some 15 minutes on two cores;
every part can be left out.
"""

from __future__ import annotations

import re
import sys

from absl import flags

from bls2017 import errors
from bls2017.common import config

USAGE = "bls2017 benchmark [--json=FILE] [FLAGS]"

_MODEL = flags.DEFINE_string(
  "model", None, "Model directory; by default the one in the package."
)
_JSON = flags.DEFINE_string("json", None, "Where the figures are saved.")
_QUALITY = flags.DEFINE_float("quality", 5.0, "Quality of the comparison.")
_SIZES = flags.DEFINE_list(
  "sizes",
  ["128x128", "768x512", "4000x3000"],
  "WIDTHxHEIGHT of the images, sides multiples of 8; none for ''.",
)
_REPEATS = flags.DEFINE_integer(
  "repeats", 9, "Rounds; a third of it from 2 megapixels on."
)
_TRAINING = flags.DEFINE_bool("training", True, "Whether training is timed.")
_MEMORY = flags.DEFINE_bool(
  "memory", True, "Whether peak memory is measured, at the last two sizes."
)
_COLD = flags.DEFINE_bool("cold", True, "Whether cold starts are timed.")
_BULK_IMAGES = flags.DEFINE_integer(
  "bulk_images", 200, "Files of 768x512 to work on at once; 0 for none."
)
_HUGE = flags.DEFINE_bool(
  "huge", False, "Whether an image of 100 megapixels is worked on."
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  sizes = tuple(_size(text) for text in _SIZES.value if text)
  from bls2017.evaluation.benchmark import run as benchmark

  report = benchmark.run(
    benchmark.Request(
      model=_MODEL.value,
      quality=_QUALITY.value,
      sizes=sizes,
      repeats=_REPEATS.value,
      training=_TRAINING.value,
      memory=_MEMORY.value,
      bulk_images=_BULK_IMAGES.value,
      cold=_COLD.value,
      huge=_HUGE.value,
    ),
    lambda what: print(f"measuring {what} ...", file=sys.stderr),
  )
  print(report.to_text())
  if _JSON.value:
    config.write_json(_JSON.value, report.to_json())
  return 0


def _size(text: str) -> tuple[int, int]:
  found = re.fullmatch(r"(\d+)x(\d+)", text)
  if not found:
    raise errors.UsageError(f"--sizes needs WIDTHxHEIGHT, not '{text}'")
  return int(found[1]), int(found[2])
