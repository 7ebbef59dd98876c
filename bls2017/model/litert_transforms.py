"""The transforms on LiteRT, without TensorFlow.

LiteRT (`ai-edge-litert`) runs graphs that `litert_graphs` made of a model when
it was frozen. It takes a hundredth of the time to import.

An image is worked on in windows of one shape, for which LiteRT prepares a graph
once. They lie inside the image, and overlap: what is taken from a window is as
far from its sides as an output depends on, or at the image's own sides. So the
result is that of the image as a whole, in memory that does not grow with it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Callable, NamedTuple

import numpy as np

from bls2017.common import config
from bls2017.format import lanes

ANALYSIS, SYNTHESIS = "analysis", "synthesis"

WINDOW_POSITIONS = 8192
"""Latents of a window, at most."""

BORDER = 2
"""Rows and columns of latents around an output that it depends on.

In pixels, analysis reaches 4 + 2 * 4 + 2 * 8 = 28 beyond a position's first
one. Synthesis reaches one row of each stage's input: 1 + 1/2 + 1/4 of latents.
"""


class LiteRtTransforms:
  """Analysis and synthesis of a model, for numpy arrays and any threads."""

  def __init__(self, graphs: Mapping[str, bytes], num_latents: int):
    """Prepares nothing yet.

    Args:
      graphs: From `litert_graphs.convert`.
      num_latents: C.
    """
    self._graphs = graphs
    self._num_latents = num_latents

  @functools.cached_property
  def _analysis(self) -> _Graph:
    return _Graph(self._graphs[ANALYSIS])

  @functools.cached_property
  def _synthesis(self) -> _Graph:
    return _Graph(self._graphs[SYNTHESIS])

  def latents(self, image: np.ndarray) -> np.ndarray:
    """The latents of an image.

    The last column and row are repeated up to multiples of 16.

    Args:
      image: uint8 [H, W, 3].

    Returns:
      float32 [h, w, C].
    """
    h, w = lanes.latent_shape(*image.shape[:2])
    latents = np.empty((h, w, self._num_latents), np.float32)
    rows, columns = _windows(h, w)
    for row in rows:
      for column in columns:
        y = self._analysis(_pixels(image, row, column)[None])[0]
        latents[row.kept, column.kept] = y[row.inner, column.inner]
    return latents

  def bands(
    self, latents: Callable[[int, int], np.ndarray], height: int, width: int
  ) -> Iterator[np.ndarray]:
    """TODO"""
    rows, columns = _windows(*lanes.latent_shape(height, width))
    starts = [*(row.start for row in rows), rows[-1].end]
    kept_above: list[np.ndarray] = []
    end = 0
    for row, next_start in zip(rows, starts[1:]):
      y = np.concatenate([*kept_above, latents(end, row.end)])
      kept_above, end = [y[next_start - row.start :].copy()], row.end
      kept = _scaled(row.kept)
      band = np.empty((min(kept.stop, height) - kept.start, width, 3), np.uint8)
      for column in columns:
        window = y[None, :, column.start : column.end]
        x = self._synthesis(np.ascontiguousarray(window))[0]
        part = band[:, _scaled(column.kept)]
        x = x[_scaled(row.inner), _scaled(column.inner)]
        part[:] = x[: part.shape[0], : part.shape[1]]
      yield band


class _Window(NamedTuple):
  """Rows or columns of latents that are worked on at once.

  Attributes:
    start: The first one.
    end: The one after the last.
    kept: Those whose result is taken.
    inner: Likewise, counted from `start`.
  """

  start: int
  end: int
  kept: slice
  inner: slice


def _windows(height: int, width: int) -> tuple[list[_Window], list[_Window]]:
  """The windows of an image, by rows and by columns of latents."""
  if height * width <= WINDOW_POSITIONS:
    return _along(height, height), _along(width, width)
  side = max(int(WINDOW_POSITIONS**0.5), 2 * BORDER + 1)
  if height < width:
    rows = _along(height, side)
    return rows, _along(width, WINDOW_POSITIONS // (rows[0].end))
  columns = _along(width, side)
  return _along(height, WINDOW_POSITIONS // columns[0].end), columns


def _along(side: int, longest: int) -> list[_Window]:
  """Windows of one length along a side, each of at most `longest`."""
  if side <= longest:
    return [_Window(0, side, slice(0, side), slice(0, side))]
  count = -(-(side - 2 * BORDER) // (longest - 2 * BORDER))
  length = -(-(side - 2 * BORDER) // count) + 2 * BORDER
  windows, done = [], 0
  for i in range(count):
    last = i + 1 == count
    start = side - length if last else i * (length - 2 * BORDER)
    end = start + length
    taken = side if last else end - BORDER
    inner = slice(done - start, taken - start)
    windows.append(_Window(start, end, slice(done, taken), inner))
    done = taken
  return windows


def _scaled(latents: slice) -> slice:
  """The pixels of rows or columns of latents."""
  step = config.DOWNSAMPLING
  return slice(latents.start * step, latents.stop * step)


def _pixels(image: np.ndarray, row: _Window, column: _Window) -> np.ndarray:
  """A window of an image; beyond its last row and column, these repeat."""
  step = config.DOWNSAMPLING
  window = image[
    row.start * step : row.end * step, column.start * step : column.end * step
  ]
  below = (row.end - row.start) * step - window.shape[0]
  right = (column.end - column.start) * step - window.shape[1]
  if not (below or right):
    return window
  return np.pad(window, ((0, below), (0, right), (0, 0)), mode="edge")


class _Graph:
  """A function that LiteRT runs; each thread at work has its interpreter.

  An image that is alone gets all cores; several at a time get one each.
  """

  def __init__(self, content: bytes):
    """Keeps the graph.

    Args:
      content: A .tflite file, of one input and one output.
    """
    self._content = content
    self._lock = threading.Lock()
    self._busy = 0
    self._idle: dict[int, list[_Interpreter]] = {}

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """Its output for an input of any shape that the graph knows."""
    with self._lock:
      threads = 1 if self._busy else _num_cores()
      self._busy += 1
      idle = self._idle.setdefault(threads, [])
      interpreter = idle.pop() if idle else None
    try:
      interpreter = interpreter or _Interpreter(self._content, threads)
      y = interpreter(x)
      idle.append(interpreter)
    finally:
      with self._lock:
        self._busy -= 1
    return y


class _Interpreter:
  """A graph that is prepared for the latest shape of its input."""

  def __init__(self, content: bytes, threads: int):
    """Args: content: as for `_Graph`; threads: how many of them it uses."""
    from ai_edge_litert import interpreter

    self._shape: tuple[int, ...] = ()
    self._graph: Any = interpreter.Interpreter(
      model_content=content, num_threads=threads
    )
    self._input = self._graph.get_input_details()[0]["index"]
    self._output = self._graph.get_output_details()[0]["index"]

  def __call__(self, x: np.ndarray) -> np.ndarray:
    if x.shape != self._shape:
      self._graph.resize_tensor_input(self._input, x.shape)
      with _without_greeting():
        self._graph.allocate_tensors()
      self._shape = x.shape
    self._graph.set_tensor(self._input, x)
    self._graph.invoke()
    return np.asarray(self._graph.get_tensor(self._output))


_greeting = threading.Lock()
_greeted = threading.Event()


@contextlib.contextmanager
def _without_greeting() -> Iterator[None]:
  """Keeps LiteRT from writing to standard error that it uses XNNPACK.

  It does so when it prepares the first graph of a process, and has no setting
  for it.
  """
  with _greeting if not _greeted.is_set() else contextlib.nullcontext():
    if _greeted.is_set():
      yield
      return
    with contextlib.ExitStack() as stack:
      try:
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        stack.callback(os.dup2, stderr, 2)
        with open(os.devnull, "wb") as nowhere:
          os.dup2(nowhere.fileno(), 2)
      except OSError:  # There is no standard error.
        pass
      yield
    _greeted.set()


@functools.cache
def _num_cores() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
