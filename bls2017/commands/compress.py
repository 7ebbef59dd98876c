"""Compresses photographs.

Any image Pillow reads becomes 8-bit RGB first: EXIF orientation applied, ICC
profile converted to sRGB, alpha composited on white (with a warning), 16 bits
scaled to 8. The output is INPUT.bls unless it is named; "-" is standard input
or output.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import files, image_io
from bls2017.commands import coding_flags

if TYPE_CHECKING:
  import numpy as np

  from bls2017 import codec as codec_lib

USAGE = "bls2017 compress INPUT [OUTPUT] [--quality=5] [FLAGS]"
FLAG_MODULES = (coding_flags.__name__,)

_QUALITY = flags.DEFINE_float(
  "quality", 5.0, "1 (smallest file) to 8 (best image), in steps of 1/8."
)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  found = coding_flags.pairs(arguments, ".bls", USAGE)
  return coding_flags.for_each(found, _compress)


def _compress(source: str, output: str) -> None:
  standard = source == files.STANDARD_STREAM
  x = image_io.read_rgb(
    files.read(source) if standard else source, coding_flags.MAX_PIXELS.value
  )
  codec = coding_flags.load_codec()
  encoded = codec.encode(x, _QUALITY.value)
  files.write(output, encoded.data, coding_flags.OVERWRITE.value)
  if coding_flags.VERBOSE.value:
    print(_describe(codec, source, x, encoded), file=sys.stderr)


def _describe(
  codec: codec_lib.Codec, source: str, x: np.ndarray, encoded: codec_lib.Encoded
) -> str:
  from bls2017 import metrics  # Imports TensorFlow.

  x_hat = codec.decompress(encoded.data)
  bpp = 8 * len(encoded.data) / (x.shape[0] * x.shape[1])
  clipped = f", {encoded.clipped} latents clipped" if encoded.clipped else ""
  return (
    f"{source}: {x.shape[1]} x {x.shape[0]}, {len(encoded.data)} bytes,"
    f" {bpp:.4f} bpp, PSNR {metrics.psnr(x, x_hat):.2f} dB,"
    f" MS-SSIM {metrics.ms_ssim(x, x_hat):.4f}{clipped}"
  )
