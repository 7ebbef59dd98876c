"""Memory is bounded, and levels off over many images."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MODEL = ROOT / "tests" / "golden" / "v5" / "model"


def _numbers(script, *arguments):
  """The numbers that a script prints in a process of its own."""
  done = subprocess.run(
    [sys.executable, "-c", script, *map(str, arguments)],
    capture_output=True, text=True, check=True, cwd=ROOT,
    # One heap for all threads; of several, each may keep up to 64 MB.
    env={**os.environ, "MALLOC_ARENA_MAX": "1"},
  )  # fmt: skip
  return [int(number) for number in done.stdout.split()]


IMAGES = 400
LARGEST = 256

MOST_GROWTH = 0.025
"""Of what the process holds, from the middle of the images to their end.

It grew by 1.2%; the leak below makes 55% of it.
"""

_RESIDENT = f"""
import sys
import numpy as np
import bls2017
from tests import memory
from tests.benchmarks import memory as benchmark
codec = bls2017.Codec.load({str(MODEL)!r})
decompress, kept = codec.decompress, []
def leak(data):
  kept.append(np.float32(decompress(data)))
  return kept[-1]
if sys.argv[1] == "True":
  codec.decompress = leak
coded = benchmark.digests(codec, {IMAGES}, {LARGEST})
print(*(memory.resident() for _ in coded))
"""


@pytest.mark.parametrize("leaks", [False, True])
def test_memory_levels_off_unless_something_leaks(leaks):
  held = _numbers(_RESIDENT, leaks)
  assert len(held) == IMAGES
  growth = held[-1] / held[IMAGES // 2] - 1
  assert (growth > MOST_GROWTH) == leaks, growth


_THREADS = """
import concurrent.futures
import os
import time
import bls2017
from bls2017.model import litert_transforms
from tests import images, memory
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
litert_transforms.IDLE_SECONDS = 0.5
codec = bls2017.Codec.load()
picture = images.photograph(640, 640)

def use(quality):
  codec.decompress(codec.compress(picture[:64, :64], quality))
  yield
  codec.decompress(codec.compress(picture, quality))

QUALITIES = 1, 4, 8, 12  # Of the four pairs of transforms.
for quality in QUALITIES:
  next(use(quality))
before = memory.resident()

def all_at_once():
  with concurrent.futures.ThreadPoolExecutor(3) as threads:
    list(threads.map(lambda quality: list(use(quality)), 2 * QUALITIES))

print(memory.growth(all_at_once))
deadline = time.monotonic() + 30
while memory.resident() - before > 64e6 and time.monotonic() < deadline:
  time.sleep(0.1)
print(memory.resident() - before)
"""


def test_threads_and_pairs_share_the_memory_of_two_cores():
  peak, afterwards = _numbers(_THREADS)
  assert peak < 350e6
  assert afterwards < 64e6


HEIGHT = 16192

_STRIPS = f"""
import numpy as np
import bls2017
from tests import images, memory
codec = bls2017.Codec.load({str(MODEL)!r})
picture = np.tile(images.photograph(500, 500), (33, 2, 1))
# Heights that are cut into equal strips, which take what they take in an image
# of any height.
small, large = (codec.compress(picture[:n], 1) for n in (4096, {HEIGHT}))
codec.decompress(small, reduce=8)
codec.decompress(small)
for options in ({{"reduce": 8}}, {{"region": (333, 9999, 300, 300)}}, {{}}):
  print(memory.growth(lambda: codec.decompress(large, **options)))
"""


def test_previews_and_regions_need_no_room_for_the_image():
  preview, region, whole = _numbers(_STRIPS)
  image = HEIGHT * 1000 * 3
  assert preview < image / 2
  assert region < image / 8
  assert whole > image / 2
