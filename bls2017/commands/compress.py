"""Compresses photographs.

Any image Pillow reads becomes 8-bit RGB first: EXIF orientation applied, ICC
profile converted to sRGB, alpha composited on white (with a warning), 16 bits
scaled to 8. Exif and XMP are kept, unless --strip leaves them out. The output
is INPUT.bls unless it is named; "-" is standard input or output.

Instead of a quality, a size (--max_bytes, --target_bpp) or a PSNR can be asked
for. With --effort=2 and more the file is refined for seconds to minutes; Ctrl-C
then writes the best file so far and ends.

With --output_dir, inputs may be any number of files, directories (all images
below), patterns, and lists as @FILE or @-, a path in each line. One that fails
is reported and the rest goes on; one whose output exists, whole, of this model
and quality and not older, is skipped. The exit code is that of the first input
that failed.
"""

from __future__ import annotations

import functools
import math
import re
import sys
from typing import TYPE_CHECKING

from absl import flags

from bls2017 import errors, files
from bls2017.bulk import inputs, worker_threads
from bls2017.commands import bulk_flags, coding_flags, progress
from bls2017.encode import options as options_lib
from bls2017.images import image_io, metadata

if TYPE_CHECKING:
  import numpy as np

  from bls2017 import codec as codec_lib

USAGE = (
  "bls2017 compress INPUT [OUTPUT] [--quality=6] [FLAGS]\n"
  "bls2017 compress --output_dir=DIR INPUTS... [--quality=6] [FLAGS]"
)
SHARED_FLAGS = (
  "base_dir",
  "max_pixels",
  "model",
  "output",
  "output_dir",
  "overwrite",
  "quality",
  "verbose",
  "workers",
)


class _SizeParser(flags.ArgumentParser[int]):
  """Numbers of bytes such as 50000, 50k, 1.5M or 64Ki."""

  syntactic_help = "bytes, such as 50000, 50k or 1.5M"

  def parse(self, argument: str | int) -> int:
    """See `flags.ArgumentParser.parse`."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?)([kKMG]?)(i?)B?", str(argument))
    if not match:
      raise ValueError(f"not {self.syntactic_help}")
    number, prefix, binary = match.groups()
    base = 1024 if binary else 1000
    return int(
      float(number) * base ** " kMG".index(prefix.replace("K", "k") or " ")
    )

  def flag_type(self) -> str:
    """See `flags.ArgumentParser.flag_type`."""
    return "size"


_TARGET_BPP = flags.DEFINE_float(
  "target_bpp", None, "Instead: the most bits per pixel of the file."
)
_MAX_BYTES = flags.DEFINE(
  _SizeParser(),
  "max_bytes",
  None,
  "Instead: the most bytes of the file, such as 50000, 50k or 1.5M.",
)
_TARGET_PSNR = flags.DEFINE_float(
  "target_psnr", None, "Instead: the least PSNR in dB."
)
_STRIP = flags.DEFINE_bool(
  "strip", False, "Leave Exif and XMP out, which tell place and camera."
)
_TARGETS = {
  "quality": coding_flags.QUALITY,
  "target_bpp": _TARGET_BPP,
  "max_bytes": _MAX_BYTES,
  "target_psnr": _TARGET_PSNR,
}
"""What a file is to be; one of them at most."""
_EFFORT = flags.DEFINE_integer(
  "effort",
  options_lib.DEFAULT_EFFORT,
  f"1 to {options_lib.MAX_EFFORT}; from {options_lib.REFINING_EFFORT} on the"
  " file is refined, for longer at each effort.",
  lower_bound=1,
  upper_bound=options_lib.MAX_EFFORT,
)
_METRIC = flags.DEFINE_enum(
  "metric",
  options_lib.METRICS[0],
  options_lib.METRICS,
  "What refining counts as better or worse; --target_psnr and --roi need mse.",
)
_ROI = flags.DEFINE_string(
  "roi", None, "Grey image of the same size: the bits go where it is bright."
)


def _is_positive(value: float | None) -> bool:
  return value is None or 0 < value < math.inf


for _name in ("target_bpp", "max_bytes", "target_psnr"):
  flags.register_validator(_name, _is_positive, "it must be positive")


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if not arguments:
    raise errors.UsageError(f"an input is needed; usage: {USAGE}")
  given = [f"--{n}" for n, flag in _TARGETS.items() if flag.value is not None]
  if len(given) > 1:
    raise errors.UsageError(f"{' and '.join(given)} contradict each other")
  coding_flags.check_quality()
  output_dir = coding_flags.OUTPUT_DIR.value
  if output_dir and _ROI.value:
    raise errors.UsageError("--roi is for one image, not for --output_dir")
  max_pixels = coding_flags.MAX_PIXELS.value
  mask = image_io.read_grey(_ROI.value, max_pixels) if _ROI.value else None
  options = _options(mask)
  options.check()
  extension = inputs.BITSTREAM_EXTENSION
  if output_dir:
    work = functools.partial(_work, options)
    return bulk_flags.for_each(arguments, output_dir, extension, work)
  source, output = coding_flags.pair(arguments, extension)
  standard = source == files.STANDARD_STREAM
  image = files.read(source) if standard else source
  x = image_io.read_rgb(image, max_pixels)
  about = metadata.NONE if _STRIP.value else metadata.read(image)
  codec = coding_flags.load_codec()
  bar = progress.ProgressBar()
  try:
    encoded = codec.encode(
      x,
      coding_flags.QUALITY.value,
      options,
      bar,
      metadata=codec.boxes(about),
    )
  finally:
    bar.close()
  files.write(output, encoded.data, coding_flags.OVERWRITE.value)
  if coding_flags.VERBOSE.value:
    print(f"{source}: {_describe(codec, x, encoded)}", file=sys.stderr)
  if encoded.interrupted:
    raise KeyboardInterrupt
  return 0


def _work(options: options_lib.Options) -> worker_threads.Work:
  from bls2017.bulk import bulk_coding

  codec = coding_flags.load_codec()
  return bulk_coding.Compression(
    codec,
    coding_flags.QUALITY.value,
    options,
    functools.partial(_describe, codec) if coding_flags.VERBOSE.value else None,
    _STRIP.value,
  )


def _options(mask: np.ndarray | None) -> options_lib.Options:
  return options_lib.Options(
    target_bpp=_TARGET_BPP.value,
    max_bytes=_MAX_BYTES.value,
    target_psnr=_TARGET_PSNR.value,
    effort=_EFFORT.value,
    metric=_METRIC.value,
    roi=mask,
  )


def _describe(
  codec: codec_lib.Codec, x: np.ndarray, encoded: codec_lib.Encoded
) -> str:
  from bls2017.images import metrics

  x_hat = codec.decompress(encoded.data)
  bpp = 8 * len(encoded.data) / (x.shape[0] * x.shape[1])
  ms_ssim = metrics.ms_ssim(x, x_hat)
  # Small images have none.
  similarity = f", MS-SSIM {ms_ssim:.4f}" if math.isfinite(ms_ssim) else ""
  clipped = f", {encoded.clipped} latents clipped" if encoded.clipped else ""
  return (
    f"{x.shape[1]} x {x.shape[0]}, {len(encoded.data)} bytes,"
    f" quality {encoded.quality:g}, {bpp:.4f} bpp,"
    f" PSNR {metrics.psnr(x, x_hat):.2f} dB{similarity}{clipped}"
  )
