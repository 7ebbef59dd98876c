"""LiteRT gives what 64-bit floats give, however an image is cut."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from ai_edge_litert import interpreter
from hypothesis import given
from hypothesis import strategies as st

from bls2017.common import config
from bls2017.model import litert_graphs, litert_transforms, model_directory
from bls2017.training import model as model_lib
from tests import images, laws
from tests.benchmarks import precision
from tests.bls2017.model import reference_transforms

NUM_LATENTS = 24
WHOLE = 10**6


@pytest.fixture(scope="module")
def weights():
  model_config = config.ModelConfig(num_filters=16, num_latents=NUM_LATENTS)
  return model_lib.BLS2017Model(model_config, seed=3).get_arrays()


@pytest.fixture(scope="module")
def graphs(weights):
  return litert_graphs.convert(weights, NUM_LATENTS)


@pytest.fixture(scope="module")
def transforms(graphs):
  return litert_transforms.LiteRtTransforms(graphs, NUM_LATENTS)


def _in_windows(positions, function, *arguments):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(litert_transforms, "WINDOW_POSITIONS", positions)
    return function(*arguments)


def _image(transforms, y, height, width):
  bands = transforms.bands(lambda first, end: y[first:end], height, width)
  return np.concatenate(list(bands))


@laws.examples(25)
@given(
  height=st.integers(1, 300),
  width=st.integers(1, 300),
  positions=st.integers(25, 80),
)
def test_windows_do_not_show(transforms, height, width, positions):
  x = images.photograph(height, width)
  whole = _in_windows(WHOLE, transforms.latents, x)
  y = _in_windows(positions, transforms.latents, x)
  np.testing.assert_allclose(y, whole, atol=1e-5)
  expected = _in_windows(WHOLE, _image, transforms, y, height, width)
  pixels = _in_windows(positions, _image, transforms, y, height, width)
  np.testing.assert_allclose(pixels, expected, atol=1)
  assert np.count_nonzero(pixels != expected) <= pixels.size / 1000
  assert pixels.shape == x.shape and pixels.dtype == np.uint8


@pytest.mark.parametrize("quality", [1, 6, 12])
def test_samples_are_those_of_64_bit_floats(quality):
  # On Kodak 0.007% of them are a level away; constants of 16 bits make it 1.5%.
  difference, furthest = precision.compare(
    model_directory.load(), images.photograph(256, 384), quality
  )
  assert difference.max() <= 1
  assert np.count_nonzero(difference) <= 0.0002 * difference.size
  assert furthest < 1e-4


def test_samples_are_those_of_64_bit_floats_beyond_photographs():
  # Channel 0 at its largest symbol spans a thousand levels.
  model = model_directory.load()
  tables = model.tables.for_quality(0)
  symbols = np.zeros((1, 1, model.config.num_latents), np.float32)
  symbols[..., 0] = 39
  y = (symbols + tables.offset) * tables.inverse_gain
  pair = model.pairs[0]
  transforms = litert_transforms.LiteRtTransforms(pair.graphs, y.shape[2])
  x = reference_transforms.synthesis(y, pair.weights)
  assert np.ptp(x) > 1000
  pixels = _image(transforms, y, 16, 16)
  np.testing.assert_allclose(pixels, np.clip(np.rint(x), 0, 255), atol=1)


def test_latents_are_asked_for_once_from_top_to_bottom(transforms):
  asked = []

  def latents(first, end):
    asked.append((first, end))
    return np.zeros((end - first, 5, NUM_LATENTS), np.float32)

  bands = transforms.bands(latents, 400, 80)
  _in_windows(40, lambda: list(bands))
  assert len(asked) > 2
  assert [first for first, _ in asked] == [0, *(end for _, end in asked[:-1])]
  assert asked[-1][1] == 25


@pytest.fixture
def interpreters(monkeypatch):
  """LiteRT's interpreters: those that are alive, and the threads of each."""
  alive, threads = weakref.WeakSet(), []

  class Counted(interpreter.Interpreter):
    def __init__(self, **arguments):
      super().__init__(**arguments)
      alive.add(self)
      threads.append(arguments["num_threads"])

    def invoke(self):
      assert len(alive) <= max(len(os.sched_getaffinity(0)), 2)
      super().invoke()

  monkeypatch.setattr(interpreter, "Interpreter", Counted)
  return alive, threads


def test_threads_and_models_share_the_interpreters(interpreters, graphs):
  models = [
    litert_transforms.LiteRtTransforms(graphs, NUM_LATENTS) for _ in range(3)
  ]
  pictures = [images.photograph(16 * n, 200 - 16 * n) for n in range(1, 10)]

  def decoded(model, x):
    return _image(model, model.latents(x), *x.shape[:2])

  expected = [decoded(models[0], x) for x in pictures]
  with concurrent.futures.ThreadPoolExecutor(6) as threads:
    results = threads.map(decoded, models * len(pictures), 3 * pictures)
  for y, x in zip(results, 3 * expected):
    np.testing.assert_allclose(y, x, atol=1)


def test_images_at_once_have_a_core_each(interpreters, graphs, monkeypatch):
  both_at_work = threading.Barrier(2)
  invoke = interpreter.Interpreter.invoke
  monkeypatch.setattr(
    interpreter.Interpreter,
    "invoke",
    lambda self: (both_at_work.wait(60), invoke(self)),
  )
  transforms = litert_transforms.LiteRtTransforms(graphs, NUM_LATENTS)
  x = images.photograph(33, 50)
  with concurrent.futures.ThreadPoolExecutor(2) as threads:
    list(threads.map(transforms.latents, [x, x]))
  _, threads_of_each = interpreters
  assert len(threads_of_each) == 2
  assert min(threads_of_each) == 1


def _run_in_a_process(folder, graphs, script):
  """Runs a script that has graphs, transforms and an image x."""
  for name, graph in graphs.items():
    (folder / name).write_bytes(graph)
  preamble = f"""
import os, pathlib, sys
sys.modules["tensorflow"] = None
import numpy as np
from ai_edge_litert import interpreter
from bls2017.model import litert_transforms, model_directory
folder = pathlib.Path({str(folder)!r})
graphs = {{n: (folder / n).read_bytes() for n in model_directory.GRAPHS}}
transforms = litert_transforms.LiteRtTransforms(graphs, {NUM_LATENTS})
x = np.zeros((40, 50, 3), np.uint8)
"""
  subprocess.run([sys.executable, "-c", preamble + script], check=True)


def test_a_child_process_has_interpreters_of_its_own(tmp_path, graphs):
  script = """
y = transforms.latents(x)
child = os.fork()
if not child:
  os._exit(not np.array_equal(transforms.latents(x), y))
sys.exit(os.waitpid(child, 0)[1])
"""
  _run_in_a_process(tmp_path, graphs, script)


@pytest.mark.parametrize(("cores", "models", "made"), [(8, 7, 7), (8, 9, 27)])
def test_interpreters_stay_where_there_are_cores(
  tmp_path, graphs, cores, models, made
):
  script = f"""
os.sched_getaffinity = lambda _: range({cores})
made = []
class Counted(interpreter.Interpreter):
  def __init__(self, **arguments):
    made.append(1)
    super().__init__(**arguments)
interpreter.Interpreter = Counted
every = [
  litert_transforms.LiteRtTransforms(graphs, {NUM_LATENTS})
  for _ in range({models})
]
for transforms in 3 * every:
  transforms.latents(x)
assert len(made) == {made}, len(made)
"""
  _run_in_a_process(tmp_path, graphs, script)
