"""The package as someone uses it from Python."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import bls2017
from bls2017 import codec as codec_lib
from tests import images

X = images.photograph(37, 50)
MODEL = str(pathlib.Path(__file__).parents[1] / "golden" / "v5" / "model")


def test_any_form_of_an_image_becomes_the_same_file(codec, tmp_path):
  path = tmp_path / "x.png"
  Image.fromarray(X).save(path)
  data = codec.compress(X, 1)
  with open(path, "rb") as f:
    for image in (path, str(path), f, Image.fromarray(X), path.read_bytes()):
      assert codec.compress(image, 1) == data
  grey = codec.decompress(codec.compress(X[..., 0], 2))
  assert grey.shape == X.shape
  np.testing.assert_array_equal(bls2017.read_image(path), X)
  with pytest.raises(TypeError, match="NumPy array"):
    codec.compress(None)
  with pytest.raises(bls2017.errors.UsageError, match="float"):
    codec.compress(X.astype(np.int64))


def test_any_object_of_bytes_is_decompressed(codec):
  data = codec.compress(X, 1)
  x_hat = codec.decompress(data)
  array = np.frombuffer(data, np.uint8)
  for held in (bytearray(data), memoryview(data), array):
    np.testing.assert_array_equal(codec.decompress(held), x_hat)
  assert codec.info(bytearray(data)) == codec.info(data)
  for other in ("text", None, 3, io.BytesIO(data)):
    with pytest.raises(TypeError, match="bytearray"):
      codec.decompress(other)


def test_a_codec_is_pickled_by_the_place_of_its_model(codec, golden_model_dir):
  small = bls2017.Codec.load(golden_model_dir, max_pixels=100)
  copy = pickle.loads(pickle.dumps(small))
  assert copy.max_pixels == 100
  assert copy.model.model_id == codec.model.model_id
  assert len(pickle.dumps(small)) < 1000
  with pytest.raises(bls2017.errors.LimitError):
    copy.compress(X)
  with pytest.raises(TypeError, match="Codec.load"):
    pickle.dumps(codec_lib.Codec(codec.model))


_FORKS = """
import os, sys
import numpy as np
import bls2017
codec = bls2017.Codec.load(sys.argv[1])
data = codec.compress(np.zeros((16, 16, 3), np.uint8), 1)
image = codec.decompress(data)
child = os.fork()
if not child:
  same = (codec.decompress(data) == image).all()
  os._exit(0 if same and codec.compress(image, 1) else 1)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_codec_works_on_after_a_fork():
  subprocess.run([sys.executable, "-c", _FORKS, MODEL], check=True, timeout=120)


def test_the_package_says_that_it_is_typed():
  root = pathlib.Path(bls2017.__file__).parent
  assert os.path.exists(root / "py.typed")
