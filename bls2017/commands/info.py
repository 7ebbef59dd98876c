"""Prints what a compressed file says of itself, without decoding it.

Quality and lanes are known only where the file's model is: one of the package,
or the one that you name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from bls2017 import codec as codec_lib
from bls2017 import errors, files
from bls2017.commands import coding
from bls2017.format import container
from bls2017.many import pool
from bls2017.model import packaged_models

USAGE = "%(prog)s FILE [--json]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the command's arguments."""
  parser.add_argument("file", metavar="FILE", help='"-" is standard input')
  parser.add_argument("--json", action="store_true", help="print a JSON object")
  coding.add(parser, "--model", "--max_pixels")


def run(options: argparse.Namespace) -> int:
  """Runs the command and returns its exit code."""
  codec = coding.load_codec(options)
  data = files.read(options.file, codec.max_file_bytes)
  with pool.naming(options.file):
    values = _values(codec, data)
  if options.json:
    print(json.dumps(values, indent=2))
    return 0
  for key, value in values.items():
    if key == "metadata":
      sizes = {kind.strip(): f"{size} bytes" for kind, size in value.items()}
      values["alpha"] = sizes.pop(container.ALPHA.decode("ascii"), "none")
      value = ", ".join(map(" ".join, sizes.items())) or "none"
    elif isinstance(value, float):
      value = f"{value:.4g}"
    elif value is None:
      value = "unknown, as the model is not there"
    print(f"{key:{max(map(len, values))}}  {value}")
  return 0


def _values(codec: codec_lib.Codec, data: bytes) -> dict[str, Any]:
  """The facts of a file; None where only its model could tell."""
  header = container.unpack_fields(data)
  facts: dict[str, Any]
  try:
    facts = dataclasses.asdict(codec.info(data))
  except errors.ForeignModelError:
    container.check_size(header.height, header.width, codec.max_pixels)
    boxes, _ = container.unpack_boxes(data)
    fields = dataclasses.fields(codec_lib.StreamInfo)
    facts = dict.fromkeys(field.name for field in fields)
    facts.update(
      version=container.VERSION,
      height=header.height,
      width=header.width,
      model_id=header.model_id.hex(),
      bpp=8 * len(data) / (header.height * header.width),
      metadata={box.type.decode("ascii"): len(box.data) for box in boxes},
      alpha=any(box.type == container.ALPHA for box in boxes),
    )
  name = packaged_models.find(header.model_id)
  return {**facts, "bytes": len(data), "packaged_model": name}
