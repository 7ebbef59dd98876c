"""Prints what a compressed file says of itself, without decoding it."""

from __future__ import annotations

import dataclasses
import json

from absl import flags

from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.commands import coding_flags
from bls2017.common import files

USAGE = "bls2017 info FILE [--json]"
SHARED_FLAGS = ("max_pixels", "model", "runtime")

_JSON = flags.DEFINE_bool("json", False, "Print a JSON object.")


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if len(arguments) != 1:
    raise errors.UsageError(f"one file is needed; usage: {USAGE}")
  codec = coding_flags.load_codec()
  data = files.read(arguments[0], codec.max_file_bytes)
  try:
    values = dataclasses.asdict(codec.info(data))
  except errors.CodecError as e:
    raise worker_threads.naming(arguments[0], e) from e
  if _JSON.value:
    print(json.dumps(values, indent=2))
  else:
    width = max(map(len, values))
    for name, value in values.items():
      print(f"{name:{width}}  {value}")
  return 0
