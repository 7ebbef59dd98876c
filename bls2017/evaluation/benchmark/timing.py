"""Clocks: what runs in turns, what the machine can do, what the model needs."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Callable, TypeVar

import numpy as np
import tensorflow as tf

import bls2017
from bls2017 import errors
from bls2017.bulk import worker_threads
from bls2017.common import config
from bls2017.format import lanes
from bls2017.model import model_directory, runtimes, strips

_PACKAGES = ("tensorflow", "tensorflow-compression", "numpy", "pillow")
_MATRIX_SIDE = 2048

_Name = TypeVar("_Name")


def interleaved(
  calls: Mapping[_Name, Callable[[], Any]], rounds: int, warm_up: int = 1
) -> dict[_Name, float]:
  """Median seconds of each call; they take turns.

  Whatever else the machine does meanwhile meets all of them.

  Args:
    calls: What is timed; must return when its work is done.
    rounds: How often each is timed.
    warm_up: Rounds before those.
  """
  taken: dict[_Name, list[float]] = {name: [] for name in calls}
  for i in range(warm_up + rounds):
    for name, call in calls.items():
      started = time.perf_counter()
      call()
      if i >= warm_up:
        taken[name].append(time.perf_counter() - started)
  return {name: float(np.median(t)) for name, t in taken.items()}


@contextlib.contextmanager
def one_core() -> Iterator[None]:
  """While open, all threads of this process share one core."""
  if not hasattr(os, "sched_setaffinity"):
    raise errors.CodecError("this system does not tie processes to cores")
  cores = os.sched_getaffinity(0)
  _set_cores({min(cores)})
  try:
    yield
  finally:
    _set_cores(cores)


def _set_cores(cores: set[int]) -> None:
  for thread in os.listdir("/proc/self/task"):
    with contextlib.suppress(ProcessLookupError):  # It has ended meanwhile.
      os.sched_setaffinity(int(thread), cores)


def matrix_product() -> Callable[[], Any]:
  """A product of two square matrices, with all of TensorFlow's threads."""
  rng = np.random.default_rng(0)
  shape = (_MATRIX_SIDE, _MATRIX_SIDE)
  a = tf.constant(rng.normal(size=shape), tf.float32)
  b = tf.constant(rng.normal(size=shape), tf.float32)
  return lambda: tf.matmul(a, b).numpy()


MATRIX_PRODUCT_GMACS = _MATRIX_SIDE**3 / 1e9
"""Multiply-adds of `matrix_product`, in 1e9."""


def gmacs(weights: Mapping[str, np.ndarray], transform: str) -> float:
  """Multiply-adds that a transform needs for a megapixel, in 1e9.

  Args:
    weights: Named arrays of a frozen model.
    transform: "analysis" or "synthesis".
  """
  analysis = transform == "analysis"
  stages = config.STAGES if analysis else tuple(reversed(config.STAGES))
  density = 1.0 if analysis else config.DOWNSAMPLING**-2  # Positions a pixel.
  total = 0.0
  if not analysis:
    total += density * weights["synthesis/igdn_in/gamma"].size
  for i, (_, stride) in enumerate(stages):
    kernel = weights[f"{transform}/{i}/kernel"].size
    gamma = weights.get(
      f"{transform}/{i}/{'gdn' if analysis else 'igdn'}/gamma"
    )
    after = density * stride ** (-2 if analysis else 2)
    # Each tap meets each position of the smaller side once.
    total += min(density, after) * kernel
    total += after * (0 if gamma is None else gamma.size)
    density = after
  return total / 1e3


def transforms(
  model: model_directory.FrozenModel, quality: float, height: int, width: int
) -> dict[str, Callable[[], Any]]:
  """Both transforms of a quality alone, of an image of a size, to be timed."""
  channels = model.config.num_latents
  both = strips.Transforms(model.weights_of(quality), channels)
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (height, width, 3), np.uint8)
  y = rng.normal(size=(*lanes.latent_shape(height, width), channels))
  y = y.astype(np.float32)
  return {
    "analysis": lambda: both.latents(x),
    "synthesis": lambda: runtimes.image(
      both, lambda first, end: y[first:end], height, width
    ),
  }


def machine() -> dict[str, Any]:
  """The machine and the versions, for people who compare."""
  return {
    "cpu": _cpu(),
    "cores": worker_threads.usable_cores(),
    "load_average": os.getloadavg()[0],
    "memory_gib": round(_memory_gib(), 1),
    "system": platform.platform(),
    "python": platform.python_version(),
    "bls2017": bls2017.__version__,
    **{name: metadata.version(name) for name in _PACKAGES},
    "utc": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
  }


def _cpu() -> str:
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as f:
      model = re.search(r"model name\s*:\s*(.+)", f.read())
  except OSError:
    model = None
  return model.group(1) if model else platform.processor()


def _memory_gib() -> float:
  return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def peak_mib() -> float:
  """Largest resident memory of this process so far, in MiB."""
  # Not getrusage, whose maximum is inherited from the parent.
  with open("/proc/self/status", encoding="utf-8") as f:
    peak = re.search(r"VmHWM:\s+(\d+)", f.read())
  return int(peak.group(1)) / 1024 if peak else float("nan")
