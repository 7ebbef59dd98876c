"""Commands write what they say to standard error, and LiteRT nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import os, sys
import numpy as np
from bls2017.commands import litert_greeting
from bls2017.model import litert_transforms, model_directory
stream = sys.argv[1]
if stream == "closed":
  os.close(2)
litert_greeting.swallow()
model = model_directory.load()
litert_transforms.LiteRtTransforms(
  model.pairs[0].graphs, model.config.num_latents
).latents(np.zeros((16, 16, 3), np.uint8))
if stream == "open":
  print("stays", file=sys.stderr)
"""


@pytest.mark.parametrize(
  ("stream", "said"), [("open", "stays\n"), ("closed", "")]
)
def test_standard_error_has_no_greeting(stream, said):
  done = subprocess.run(
    [sys.executable, "-c", _SCRIPT, stream],
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert (done.stdout, done.stderr) == ("", said)
