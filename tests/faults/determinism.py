"""Decodes one file under many settings of the processor.

    python -m tests.faults.determinism

Threads, oneDNN and its instruction sets are settled when a process starts, so
each setting has a process of its own. The symbols of a file must be equal, its
pixels within one grey level. The processes of one oneDNN setting are forked
from one that has imported TensorFlow and not used it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
THREADS = (1, 2)
ONEDNN = (False, True)
INSTRUCTIONS = ("SSE41", "AVX2", "DEFAULT")

Setting = tuple[int, bool, str]


def settings() -> list[Setting]:
  """All of them: threads, oneDNN, its largest instruction set."""
  return list(itertools.product(THREADS, ONEDNN, INSTRUCTIONS))


def decode(
  files: list[str], model: str | None, directory: str, chosen: list[Setting]
) -> dict[Setting, list[tuple[np.ndarray, np.ndarray]]]:
  """Decodes files under settings.

  Args:
    files: Paths of compressed files.
    model: Their model's directory, or None for the packaged one.
    directory: For what the processes leave.
    chosen: Settings.

  Returns:
    For each setting the symbols and the pixels of each file.
  """
  for onednn in sorted({setting[1] for setting in chosen}):
    tasks = [
      (threads, instructions, os.path.join(directory, _name(setting)))
      for setting in chosen
      for threads, used, instructions in (setting,)
      if used == onednn
    ]
    subprocess.run(
      [sys.executable, "-m", "tests.faults.determinism", "--worker"],
      input=json.dumps([files, model, tasks]),
      text=True,
      check=True,
      env={
        **os.environ,
        "TF_ENABLE_ONEDNN_OPTS": str(int(onednn)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
      },
    )
  found = {}
  for setting in chosen:
    with np.load(os.path.join(directory, f"{_name(setting)}.npz")) as f:
      found[setting] = [
        (f[f"symbols{i}"], f[f"pixels{i}"]) for i in range(len(files))
      ]
  return found


def _name(setting: Setting) -> str:
  return "-".join(map(str, setting))


def _work() -> None:
  import tensorflow as tf

  from bls2017 import codec as codec_lib

  files, model, tasks = json.load(sys.stdin)
  for threads, instructions, output in tasks:
    process = os.fork()
    if process:
      _, status = os.waitpid(process, 0)
      if status:
        sys.exit(f"decoding to {output} ended with {status}")
      continue
    os.environ["ONEDNN_MAX_CPU_ISA"] = instructions
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    codec = codec_lib.Codec.load(model)
    found = {}
    for i, path in enumerate(files):
      data = pathlib.Path(path).read_bytes()
      found[f"symbols{i}"] = codec.symbols(data)
      found[f"pixels{i}"] = codec.decompress(data)
    np.savez(output, **found)
    os._exit(0)


def main() -> None:
  """Prints how far the settings are apart."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--model", default=str(GOLDEN / "v2" / "model"))
  parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
  parser.add_argument(
    "files", nargs="*", default=sorted(map(str, GOLDEN.glob("v2/*.bls")))
  )
  arguments = parser.parse_args()
  if arguments.worker:
    _work()
    return
  with tempfile.TemporaryDirectory() as directory:
    model = None if arguments.model == "packaged" else arguments.model
    found = decode(arguments.files, model, directory, settings())
  first = found[settings()[0]]
  for setting, results in found.items():
    equal = all(np.array_equal(a[0], b[0]) for a, b in zip(first, results))
    apart = [np.abs(a[1].astype(int) - b[1]) for a, b in zip(first, results)]
    print(
      f"threads {setting[0]}, oneDNN {'on' if setting[1] else 'off'},"
      f" {setting[2]}: symbols {'equal' if equal else 'DIFFER'}, pixels within"
      f" {max(a.max() for a in apart)},"
      f" {np.mean([np.mean(a > 0) for a in apart]):.1e} of them differ"
    )
    assert equal and all(a.max() <= 1 for a in apart)


if __name__ == "__main__":
  main()
