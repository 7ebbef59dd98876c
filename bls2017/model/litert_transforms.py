"""The transforms on LiteRT, without TensorFlow.

LiteRT (`ai-edge-litert`) runs graphs that `litert_graphs` made of a model when
it was frozen.

An image is worked on in windows of one shape. They lie inside the image, and
overlap: what is taken from a window is as far from its sides as an output
depends on, or at the image's own sides. So the result is that of the image as a
whole, in memory that does not grow with it.

An interpreter prepares a graph for windows of one shape and keeps the memory
that they take. All interpreters belong to the process, which has at most as
many as cores, whatever the number of models, images and threads; those that
nobody uses give their memory back.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable, NamedTuple

import numpy as np

from bls2017.common import cores
from bls2017.format import lanes

ANALYSIS, SYNTHESIS = "analysis", "synthesis"

WINDOW_POSITIONS = 4096
"""Latents of a window, at most. Its interpreter holds some 170 MB."""

IDLE_SECONDS = 5
"""An interpreter that was not used for so long is dropped.

To make it again takes some 10 ms, and 70 ms for each megapixel of its windows.
"""

CROWDED_SECONDS = 1
"""For so long after two images were at work at once, each has one core."""


class _Reach(NamedTuple):
  """Rows or columns of latents before and after one that it depends on."""

  before: int
  after: int


_ANALYSIS_REACH = _Reach(2, 1)
"""Latent i depends on pixels 16 i - 28 to 16 i + 28; 28 = 4 + 2 * 4 + 2 * 8."""

_SYNTHESIS_REACH = _Reach(1, 2)
"""Pixels 16 i to 16 i + 15 depend on latents i - 1 to i + 2.

They depend on 4 i - 1 to 4 i + 4 of the last stage's inputs, these on 2 i - 1
to 2 i + 3 of the stage before, and these on the latents.
"""


class LiteRtTransforms:
  """Analysis and synthesis of a model, for numpy arrays and any threads."""

  def __init__(self, graphs: Mapping[str, bytes], num_latents: int):
    """Reads nothing yet.

    Args:
      graphs: From `litert_graphs.convert`.
      num_latents: C.
    """
    self._analysis = _Graph(graphs, ANALYSIS)
    self._synthesis = _Graph(graphs, SYNTHESIS)
    self._num_latents = num_latents

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
    rows, columns = _windows(h, w, _ANALYSIS_REACH)
    for row in rows:
      for column in columns:
        y = self._analysis.run(_pixels(image, row, column)[None])[0]
        latents[row.kept, column.kept] = y[row.inner, column.inner]
    return latents

  def bands(
    self, latents: Callable[[int, int], np.ndarray], height: int, width: int
  ) -> Iterator[np.ndarray]:
    """The image of latents, from top to bottom.

    Args:
      latents: Gives the rows of latents from a first one up to, and not
        including, another one: float32 [n, w, C]. It is asked for them from
        top to bottom, for each once.
      height: Pixels.
      width: Pixels.

    Yields:
      uint8 [n, width, 3], the next rows of the image; together all of them.
    """
    rows, columns = _windows(
      *lanes.latent_shape(height, width), _SYNTHESIS_REACH
    )
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
        x = self._synthesis.run(np.ascontiguousarray(window))[0]
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


def _windows(
  height: int, width: int, reach: _Reach
) -> tuple[list[_Window], list[_Window]]:
  """The windows of an image, by rows and by columns of latents."""
  if height * width <= WINDOW_POSITIONS:
    return _along(height, height, reach), _along(width, width, reach)
  side = max(int(WINDOW_POSITIONS**0.5), sum(reach) + 1)
  if height < width:
    rows = _along(height, side, reach)
    return rows, _along(width, WINDOW_POSITIONS // rows[0].end, reach)
  columns = _along(width, side, reach)
  return _along(height, WINDOW_POSITIONS // columns[0].end, reach), columns


def _along(side: int, longest: int, reach: _Reach) -> list[_Window]:
  """Windows of one length along a side, each of at most `longest`."""
  if side <= longest:
    return [_Window(0, side, slice(0, side), slice(0, side))]
  overlap = sum(reach)
  count = -(-(side - overlap) // (longest - overlap))
  length = -(-(side - overlap) // count) + overlap
  windows, done = [], 0
  for i in range(count):
    last = i + 1 == count
    start = side - length if last else i * (length - overlap)
    end = start + length
    taken = side if last else end - reach.after
    inner = slice(done - start, taken - start)
    windows.append(_Window(start, end, slice(done, taken), inner))
    done = taken
  return windows


def _scaled(latents: slice) -> slice:
  """The pixels of rows or columns of latents."""
  step = lanes.DOWNSAMPLING
  return slice(latents.start * step, latents.stop * step)


def _pixels(image: np.ndarray, row: _Window, column: _Window) -> np.ndarray:
  """A window of an image; beyond its last row and column, these repeat."""
  step = lanes.DOWNSAMPLING
  window = image[
    row.start * step : row.end * step, column.start * step : column.end * step
  ]
  below = (row.end - row.start) * step - window.shape[0]
  right = (column.end - column.start) * step - window.shape[1]
  if not (below or right):
    return window
  return np.pad(window, ((0, below), (0, right), (0, 0)), mode="edge")


class _Graph:
  """A function that LiteRT runs, of one input and one output."""

  def __init__(self, graphs: Mapping[str, bytes], name: str):
    self._graphs = graphs
    self._name = name

  @functools.cached_property
  def content(self) -> bytes:
    """A .tflite file, which is read when it is first needed."""
    return self._graphs[self._name]

  def run(self, x: np.ndarray) -> np.ndarray:
    """Its output for an input of any shape that the graph knows."""
    # A child has none of its parent's threads: it leaves the parent's
    # interpreters alone and makes its own.
    process = os.getpid()
    pool = _pools.get(process) or _pools.setdefault(process, _Pool())
    return pool.run(self, x)


class _Interpreter:
  """A graph that is prepared for the latest shape of its input."""

  def __init__(self, graph: _Graph, threads: int):
    from ai_edge_litert import interpreter

    self.graph = graph
    self.threads = threads
    self.used = 0.0  # When it was last used.
    self._shape: tuple[int, ...] = ()
    self._lite: Any = interpreter.Interpreter(
      model_content=graph.content, num_threads=threads
    )
    self._input = self._lite.get_input_details()[0]["index"]
    self._output = self._lite.get_output_details()[0]["index"]

  def __call__(self, x: np.ndarray) -> np.ndarray:
    if x.shape != self._shape:
      self._lite.resize_tensor_input(self._input, x.shape)
      self._lite.allocate_tensors()
      self._shape = x.shape
    self._lite.set_tensor(self._input, x)
    self._lite.invoke()
    return np.asarray(self._lite.get_tensor(self._output))


class _Pool:
  """The interpreters of a process, at most as many as it has cores.

  With one core there are two, for both directions. A graph that is alone gets
  all cores; several at a time get one each, and the next ones wait.
  """

  def __init__(self) -> None:
    self._cores = cores.usable_cores()
    self._limit = max(self._cores, 2)
    self._changed = threading.Condition()
    self._idle: list[_Interpreter] = []  # The one that was used last is last.
    self._busy = 0
    self._crowded_until = 0.0
    self._is_watched = False

  def run(self, graph: _Graph, x: np.ndarray) -> np.ndarray:
    """The output of a graph."""
    interpreter, threads = self._begin(graph)
    done = []
    try:
      interpreter = interpreter or _Interpreter(graph, threads)
      y = interpreter(x)
      done.append(interpreter)
    finally:
      self._end(done)
    return y

  def _begin(self, graph: _Graph) -> tuple[_Interpreter | None, int]:
    """Waits for its turn; returns an idle interpreter, and its threads."""
    with self._changed:
      self._changed.wait_for(lambda: self._busy < self._limit)
      now = time.monotonic()
      if self._busy:
        self._crowded_until = now + CROWDED_SECONDS
      threads = 1 if now < self._crowded_until else self._cores
      self._busy += 1
      for interpreter in reversed(self._idle):
        if interpreter.graph is graph and interpreter.threads == threads:
          self._idle.remove(interpreter)
          return interpreter, threads
      del self._idle[: max(len(self._idle) + self._busy - self._limit, 0)]
    return None, threads

  def _end(self, done: list[_Interpreter]) -> None:
    with self._changed:
      self._busy -= 1
      for interpreter in done:
        interpreter.used = time.monotonic()
      self._idle += done
      self._changed.notify()
      if not self._is_watched:
        self._is_watched = True
        threading.Thread(target=self._watch, daemon=True).start()

  def _watch(self) -> None:
    """Drops interpreters that nobody uses, until there are none."""
    left = 1
    while left:
      time.sleep(IDLE_SECONDS)
      with self._changed:
        latest = time.monotonic() - IDLE_SECONDS
        dropped = [i for i in self._idle if i.used <= latest]
        del self._idle[: len(dropped)]
        left = len(self._idle) + self._busy
        self._is_watched = left > 0
      if dropped:
        dropped.clear()
        _give_memory_back()


def _give_memory_back() -> None:
  """Makes glibc return what was freed to the system, which it seldom does."""
  if sys.platform == "linux":
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
      trim(0)


_pools: dict[int, _Pool] = {}
"""By process."""
