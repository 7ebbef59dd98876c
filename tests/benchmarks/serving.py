"""The export against the plain tfc model, and what it needs per megapixel.

    python -m tests.benchmarks.serving [--model=DIR] [--quality=5]

The plain model is the same network as one writes it with tfc: SignalConv2D with
its default kernels, GDN with its default parameters, one range coder stream by
tfc's operations. All take and give image tensors. Runs are interleaved, so that
whatever else the machine does slows all of them; the medians are compared.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bls2017 import coding_tables, config, model_directory
from export import export_model
from tests import images
from tests.export import model_server

SIZES = ((512, 768), (3000, 4000))
PIXEL_LIMIT = 2**26
MEMORY_SIZES = ((512, 768), (1024, 1024), (2048, 2048))


class PlainModel:
  """A model as tfc's own example of it is written."""

  def __init__(self, model: model_directory.FrozenModel, quality: float):
    index = coding_tables.quality_index(quality, model.config.num_levels)
    self._tables = model.tables.for_quality(index)
    self._weights = model.weights
    self._channels = model.config.num_latents
    self._analysis = self._layers("analysis", config.STAGES, down=True)
    stages = tuple(reversed(config.STAGES))
    self._synthesis = self._layers("synthesis", stages, down=False)
    precision = np.full((len(self._tables.live), 1), 16, np.int32)
    self._lookup = np.concatenate([precision, self._tables.cdf], 1)

  def _layers(self, name, stages, down):
    layers = []
    for i, (support, stride) in enumerate(stages):
      norm = (
        f"{name}/{i}/gdn"
        if down
        else f"{name}/{('igdn_in', '0/igdn', '1/igdn')[i]}"
      )
      kernel = np.float32(self._weights[f"{name}/{i}/kernel"])
      conv = tfc.SignalConv2D(
        kernel.shape[3],
        support,
        corr=down,
        strides_down=stride if down else 1,
        strides_up=1 if down else stride,
        padding="same_zeros",
        use_bias=True,
        kernel_parameter=tfc.RDFTParameter(kernel),
        bias_parameter=tf.constant(self._weights[f"{name}/{i}/bias"]),
      )
      beta, gamma = (
        self._weights[f"{norm}/beta"],
        self._weights[f"{norm}/gamma"],
      )
      gdn = tfc.GDN(
        inverse=not down,
        alpha_parameter=2,
        epsilon_parameter=0.5,
        beta_parameter=tfc.GDNParameter(beta, minimum=1e-6),
        gamma_parameter=tfc.GDNParameter(gamma),
      )
      layers += [conv, gdn] if down else [gdn, conv]
    return layers

  @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
  def compress(self, image):
    """uint8 [H, W, 3], sides multiples of 8, to a string."""
    shape = tf.shape(image)
    padding = [[0, -shape[0] % 16], [0, -shape[1] % 16], [0, 0]]
    x = tf.pad(image, padding, "SYMMETRIC")[None]
    x = tf.cast(x, tf.float32) / 255.0 - 0.5
    for layer in self._analysis:
      x = layer(x)
    tables = self._tables
    y = tf.round(x[0] * tables.gain - tables.offset)
    y = tf.clip_by_value(tf.cast(y, tf.int32), tables.minimum, tables.maximum)
    symbols = tf.gather(y - tables.minimum, tables.live, axis=-1)
    handle = tfc.create_range_encoder([], self._lookup)
    handle = tfc.entropy_encode_channel(handle, symbols)
    return tfc.entropy_encode_finalize(handle), tf.shape(y)[:2]

  @tf.function(
    input_signature=[
      tf.TensorSpec((), tf.string),
      tf.TensorSpec((2,), tf.int32),
    ]
  )
  def decompress(self, string, shape):
    """The inverse of `compress`, up to the padding."""
    tables = self._tables
    handle = tfc.create_range_decoder(string, self._lookup)
    _, rows = tfc.entropy_decode_channel(
      handle, tf.concat([shape, [len(tables.live)]], 0), tf.int32
    )
    place = np.eye(self._channels, dtype=np.float32)[tables.live]
    y = tf.tensordot(tf.cast(rows, tf.float32), place, 1) + tables.minimum
    y = (y + tables.offset) * tables.inverse_gain
    x = y[None]
    for layer in self._synthesis:
      x = layer(x)
    return tf.saturate_cast(tf.round((x[0] + 0.5) * 255.0), tf.uint8)


def _photograph(height: int, width: int) -> np.ndarray:
  if height * width < 2**20:
    return images.photograph(height, width)
  tile = images.photograph(500, 500)
  return np.tile(tile, (height // 500, width // 500, 1))


def _compare(calls: dict, runs: int) -> dict[tuple[str, str], np.ndarray]:
  """Median seconds of each call, interleaved: by the clock, and of the CPU."""
  taken: dict[tuple[str, str], list] = {name: [] for name in calls}
  for run in range(runs + 1):
    for name, call in calls.items():
      start = np.array([time.perf_counter(), time.process_time()])
      call()
      end = np.array([time.perf_counter(), time.process_time()])
      if run:  # The first one compiles and allocates.
        taken[name].append(end - start)
  return {name: np.median(values, axis=0) for name, values in taken.items()}


def _benchmark(
  paths: dict[str, str], model, quality: float, runs: int, large_runs: int
) -> None:
  plain = PlainModel(model, quality)
  served = {name: model_server.SessionModel(p) for name, p in paths.items()}
  qualities = [quality]
  print("size, model: compress + decompress = both, its ratio to plain")
  for height, width in SIZES:
    image = _photograph(height, width)
    tensor = tf.constant(image)
    string, shape = plain.compress(tensor)
    data = served["stock"](
      "compress_image", image=image[None], quality=qualities
    )["compressed_bytes"]
    calls = {
      ("plain", "compress"): lambda t=tensor: plain.compress(t),
      ("plain", "decompress"): lambda s=string, n=shape: plain.decompress(s, n),
    }
    for name, loaded in served.items():
      calls[name, "compress"] = lambda m=loaded, x=image: m(
        "compress_image", image=x[None], quality=qualities
      )
      calls[name, "decompress"] = lambda m=loaded, d=data: m(
        "decompress_image", compressed_bytes=d
      )
    medians = _compare(calls, runs if height < 1000 else large_runs)
    plainly = medians["plain", "compress"] + medians["plain", "decompress"]
    for name in ("plain", *served):
      there, back = medians[name, "compress"], medians[name, "decompress"]
      clock, cpu = (there + back) / plainly
      print(
        f"{width}x{height}, {name}: {1e3 * there[0]:.0f} + {1e3 * back[0]:.0f}"
        f" = {1e3 * (there + back)[0]:.0f} ms, {clock:.2f}; CPU {cpu:.2f}",
        flush=True,
      )


_MEMORY_SCRIPT = r"""
import re, sys, time
import numpy as np
from tests.benchmarks import serving
from tests.export import model_server
path, height, width, quality = sys.argv[1:]
def peak():
  # Not getrusage, whose maximum is inherited from the parent.
  with open("/proc/self/status") as f:
    return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) / 1024
model = model_server.SessionModel(path)
small = serving._photograph(64, 64)[None]
data = model("compress_image", image=small, quality=[float(quality)])
model("decompress_image", compressed_bytes=data["compressed_bytes"])
idle = peak()
image = np.resize(serving._photograph(500, 500), (int(height), int(width), 3))
start = time.perf_counter()
data = model("compress_image", image=image[None], quality=[float(quality)])
middle, compressing = time.perf_counter(), peak()
model("decompress_image", compressed_bytes=data["compressed_bytes"])
end = time.perf_counter()
print(f"{width}x{height}: idle {idle:.0f} MiB, compressing {compressing:.0f},"
      f" both {peak():.0f}; {middle - start:.2f} s and {end - middle:.2f} s")
"""


def _memory(path: str, quality: float) -> None:
  print("peak resident memory of a process, and its first request")
  for height, width in MEMORY_SIZES:
    arguments = [path, str(height), str(width), str(quality)]
    subprocess.run(
      [sys.executable, "-c", _MEMORY_SCRIPT, *arguments], check=True
    )


def main() -> None:
  """Prints what was measured."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--model", default=None)
  parser.add_argument("--quality", type=float, default=5.0)
  parser.add_argument("--runs", type=int, default=7)
  parser.add_argument("--large_runs", type=int, default=3)
  parser.add_argument("--runtimes", nargs="+", default=["stock", "tfc"])
  arguments = parser.parse_args()
  model = model_directory.load(arguments.model)
  with tempfile.TemporaryDirectory() as directory:
    paths = {
      runtime: export_model.export(
        model,
        f"{directory}/{runtime}",
        runtime=runtime,
        max_pixels=PIXEL_LIMIT,
      )
      for runtime in arguments.runtimes
    }
    _benchmark(
      paths,
      model,
      arguments.quality,
      arguments.runs,
      arguments.large_runs,
    )
    _memory(paths["stock"], arguments.quality)


if __name__ == "__main__":
  main()
