"""Memory levels off over many images, on both runtimes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MODEL = ROOT / "tests" / "golden" / "v3" / "model"

IMAGES = 400
LARGEST = 256

MOST_GROWTH = 0.025
"""Of what the process holds, from the middle of the images to their end.

TensorFlow grew by 1.5%, since it keeps kernels for some hundred shapes; LiteRT
by 1.2%. The leak below makes 6% and 55% of it.
"""

_SCRIPT = f"""
import sys
import numpy as np
import bls2017
from tests.benchmarks import memory
runtime, leaks = sys.argv[1:]
codec = bls2017.Codec.load({str(MODEL)!r}, runtime=runtime)
decompress, kept = codec.decompress, []
if leaks == "True":
  codec.decompress = lambda data: kept.append(np.float32(decompress(data)))
print(*memory.resident(codec, {IMAGES}, {LARGEST}))
"""


@pytest.mark.parametrize("leaks", [False, True])
@pytest.mark.parametrize("runtime", ["tensorflow", "litert"])
def test_memory_levels_off_unless_something_leaks(runtime, leaks):
  done = subprocess.run(
    [sys.executable, "-c", _SCRIPT, runtime, str(leaks)],
    capture_output=True, text=True, check=True, cwd=ROOT,
  )  # fmt: skip
  held = [int(size) for size in done.stdout.split()]
  assert len(held) == IMAGES
  growth = held[-1] / held[IMAGES // 2] - 1
  assert (growth > MOST_GROWTH) == leaks, growth


HEIGHT = 16192

_STRIPS = f"""
import sys
import numpy as np
import bls2017
from tests import images, memory
codec = bls2017.Codec.load({str(MODEL)!r}, runtime=sys.argv[1])
picture = np.tile(images.photograph(500, 500), (33, 2, 1))
# Heights that are cut into equal strips, which take what they take in an image
# of any height.
small, large = (codec.compress(picture[:n], 1) for n in (4096, {HEIGHT}))
codec.decompress(small, reduce=8)
codec.decompress(small)
for options in ({{"reduce": 8}}, {{"region": (333, 9999, 300, 300)}}, {{}}):
  print(memory.growth(lambda: codec.decompress(large, **options)))
"""


@pytest.mark.parametrize("runtime", ["tensorflow", "litert"])
def test_previews_and_regions_need_no_room_for_the_image(runtime):
  done = subprocess.run(
    [sys.executable, "-c", _STRIPS, runtime],
    capture_output=True, text=True, check=True, cwd=ROOT,
  )  # fmt: skip
  preview, region, whole = map(int, done.stdout.split())
  image = HEIGHT * 1000 * 3
  assert preview < image / 2
  assert region < image / 8
  assert whole > image / 2
