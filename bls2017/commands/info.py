"""Prints what a compressed file says of itself, without decoding it.

The lanes are known only where the file's model is at hand.
"""

from __future__ import annotations

import json
from typing import Any

from absl import flags

from bls2017 import errors, files
from bls2017.bulk import worker_threads
from bls2017.commands import coding_flags
from bls2017.format import container
from bls2017.model import model_directory, packaged_models

USAGE = "bls2017 info FILE [--json]"
SHARED_FLAGS = ("max_pixels", "model")

_JSON = flags.DEFINE_bool("json", False, "Print a JSON object.")

_BYTES_PER_PIXEL = 8
"""More than any model's files of a sensible size have."""


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if len(arguments) != 1:
    raise errors.UsageError(f"one file is needed; usage: {USAGE}")
  name = coding_flags.MODEL.value
  model = None if name is None else model_directory.load(name)
  limit = _BYTES_PER_PIXEL * coding_flags.MAX_PIXELS.value
  limit += container.HEADER_BYTES + container.MAX_BOXES_BYTES
  data = files.read(arguments[0], limit)
  try:
    values = _values(data, model)
  except errors.CodecError as e:
    raise worker_threads.naming(arguments[0], e) from e
  if _JSON.value:
    print(json.dumps(values, indent=2))
    return 0
  sizes = values.pop("metadata")
  boxes = [f"{kind.strip()} {size} bytes" for kind, size in sizes.items()]
  values["metadata"] = ", ".join(boxes) or "none"
  values["packaged_model"] = values["packaged_model"] or "none has this id"
  values["bpp"] = f"{values['bpp']:.4f}"
  width = max(map(len, values))
  for key, value in values.items():
    shown = "unknown, the file has another model" if value is None else value
    print(f"{key:{width}}  {shown}")
  return 0


def _values(
  data: bytes, model: model_directory.FrozenModel | None
) -> dict[str, Any]:
  """What a file says.

  Its quality and lanes only if its model is given or packaged.
  """
  header = container.unpack_header(data)
  boxes = container.unpack_boxes(data, header)
  packaged = packaged_models.find(header.model_id)
  if model is None and packaged:
    model = model_directory.load(packaged)
  quality = header_bytes = num_lanes = None
  if model and header.model_id == model.model_id:
    if header.quality_index >= len(model.tables):
      raise errors.BitstreamError("the file has a quality the model lacks")
    quality = model.config.index_quality(header.quality_index)
    tables = model.tables.for_quality(header.quality_index)
    bounds = container.lane_bounds(data, header, tables.lane_positions)
    header_bytes, num_lanes = int(bounds[0]), len(bounds) - 1
  return {
    "version": header.version,
    "height": header.height,
    "width": header.width,
    "quality": quality,
    "model_id": header.model_id.hex(),
    "packaged_model": packaged,
    "bpp": 8 * len(data) / (header.height * header.width),
    "bytes": len(data),
    "header_bytes": header_bytes,
    "payload_bytes": None if header_bytes is None else len(data) - header_bytes,
    "lanes": num_lanes,
    "metadata": {box.type.decode("ascii"): len(box.data) for box in boxes},
  }
