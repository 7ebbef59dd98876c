"""Compresses photographs.

INPUT is any image that Pillow reads; it becomes 8-bit sRGB, upright. Exif, XMP
and transparency are kept. OUTPUT is INPUT.bls unless you name it; "-" is
standard input or output.

Instead of a quality you can ask for a size (--max_bytes, --target_bpp) or for
a PSNR. With --effort=2 and more the file is refined for seconds to minutes;
Ctrl-C then takes the best file so far.

With --output_dir you can give any number of files, directories (all images
below them), patterns, and lists as @FILE or @- with a path in each line. A file
that fails is named and the rest goes on. A file whose output is there (whole,
of this model, quality and alpha, and not older) is skipped. The exit code is
that of the first input that failed.
"""

from __future__ import annotations

import argparse
import functools
import math
import re

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.commands import coding
from bls2017.encode import request as request_lib
from bls2017.images import metrics, reading
from bls2017.many import inputs, work

USAGE = (
  "%(prog)s INPUT [OUTPUT] [--quality=6] [OPTIONS]\n"
  "       %(prog)s --output_dir=DIR INPUT... [--quality=6] [OPTIONS]"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  coding.add(parser, *coding.FILES, "-q --quality", "--alpha")
  add = parser.add_argument
  size = "instead, the most bytes of the file: 50000, 50k, 1.5M or 64Ki"
  add("--max_bytes", metavar="N", type=_size, help=size)
  bpp = "instead, the most bits per pixel of the file"
  add("--target_bpp", metavar="X", type=float, help=bpp)
  psnr = "instead, the least PSNR of the decoded image"
  add("--target_psnr", metavar="DB", type=float, help=psnr)
  add(
    "--effort",
    metavar="N",
    type=int,
    default=request_lib.DEFAULT_EFFORT,
    help=f"1 to {request_lib.MAX_EFFORT} (default: %(default)s); from"
    f" {request_lib.REFINING_EFFORT} on the file is refined, longer each time",
  )
  add(
    "--metric",
    choices=request_lib.METRICS,
    default=request_lib.METRICS[0],
    help="the distortion that refining bounds (default: %(default)s)",
  )
  add("--roi", metavar="MASK", help="grey image; bright parts get more bits")
  strip = "leave out Exif and XMP, which can tell place and camera"
  add("--strip", action="store_true", help=strip)
  add(
    "--verify",
    action="store_true",
    help="decode the file and compare it with what was encoded before it gets"
    " its name, which takes as long as decompressing; exit code"
    f" {errors.VerificationError.exit_code} if they differ",
  )


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  coding.check_quality(options)
  if options.output_dir and options.roi:
    raise errors.UsageError("--roi is for one image, not for --output_dir")
  request = request_lib.Request(
    quality=options.quality,
    max_bytes=options.max_bytes,
    target_bpp=options.target_bpp,
    target_psnr=options.target_psnr,
    effort=options.effort,
    metric=options.metric,
    roi=reading.read_grey(options.roi, options.max_pixels)
    if options.roi
    else None,
    alpha=options.alpha,
  )

  def compression(output: str) -> work.Work:
    del output
    codec = coding.load_codec(options)
    describe = functools.partial(_describe, codec) if options.verbose else None
    return work.compression(
      codec, request, options.strip, options.verify, describe
    )

  extension = inputs.BITSTREAM_EXTENSION
  return coding.run(options, extension, compression, request.refines)


def _size(text: str) -> int:
  """A number of bytes such as 50000, 50k, 1.5M or 64Ki."""
  match = re.fullmatch(r"(\d+(?:\.\d*)?)([kKMG]?)(i?)B?", text)
  if not match:
    raise argparse.ArgumentTypeError(
      f"'{text}' is no number of bytes, such as 50000, 50k or 1.5M"
    )
  number, prefix, binary = match.groups()
  power = " kMG".index(prefix.replace("K", "k") or " ")
  return int(float(number) * (1024 if binary else 1000) ** power)


def _describe(
  codec: codec_lib.Codec, picture: reading.Picture, encoded: codec_lib.Encoded
) -> str:
  image, alpha = picture.pixels, picture.alpha
  decoded, _ = reading.split(codec.decompress(encoded.data))
  bpp = 8 * len(encoded.data) / (image.shape[0] * image.shape[1])
  psnr = metrics.psnr(image, decoded, alpha)
  seen = (reading.to_rgb(pixels, alpha) for pixels in (image, decoded))
  ms_ssim = metrics.ms_ssim(*seen)
  # Small images have none.
  similarity = f", MS-SSIM {ms_ssim:.4f}" if math.isfinite(ms_ssim) else ""
  clipped = f", {encoded.clipped} latents clipped" if encoded.clipped else ""
  return (
    f"{image.shape[1]} x {image.shape[0]}, {len(encoded.data)} bytes,"
    f" quality {encoded.quality:g}, {bpp:.4f} bpp,"
    f" PSNR {psnr:.2f} dB{similarity}{clipped}"
  )
