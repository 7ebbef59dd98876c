"""Files are coded without TensorFlow, and decoded alike with it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import range_coder_numpy
from bls2017.model import runtimes
from tests import images

WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_compression"] = None
from bls2017.commands import main
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def codecs():
  """The packaged model on both runtimes."""
  return [codec_lib.Codec.load(runtime=r) for r in ("tensorflow", "litert")]


def _run(*arguments, check=True):
  return subprocess.run(
    [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, arguments)],
    capture_output=True, text=True, check=check,
  )  # fmt: skip


@pytest.mark.parametrize("quality", [1, 2.5, 5, 8])
@pytest.mark.parametrize("writer", [0, 1])
def test_any_file_has_the_same_symbols_and_nearly_the_same_pixels(
  codecs, quality, writer
):
  data = codecs[writer].compress(images.photograph(90, 130), quality)
  symbols, expected = (codec.symbols(data) for codec in codecs)
  np.testing.assert_array_equal(symbols, expected)
  pixels, expected = (codec.decompress(data) for codec in codecs)
  np.testing.assert_allclose(pixels, expected.astype(int), atol=1)


def test_both_runtimes_keep_what_they_are_asked_for(codecs):
  x = images.photograph(100, 150)
  for codec in codecs:
    assert len(codec.compress(x, max_bytes=900)) <= 900
    mask = np.zeros(x.shape[:2], np.uint8)
    mask[:, 70:] = 255
    data = codec.compress(x, target_bpp=0.5, roi=mask)
    assert codec.decompress(data).shape == x.shape
  sizes = [len(codec.compress(x, 4)) for codec in codecs]
  assert abs(sizes[0] - sizes[1]) < 0.01 * sizes[0]


def test_refining_uses_tensorflow_where_it_is_installed(codecs):
  x = images.photograph(64, 64)
  _, litert = codecs
  assert len(litert.compress(x, 3, effort=4)) > 0


def test_auto_is_tensorflow_where_it_was_imported(golden_model_dir):
  assert codec_lib.Codec.load().runtime == "tensorflow"
  # Without graphs there is no choice.
  assert codec_lib.Codec.load(golden_model_dir).runtime == "tensorflow"
  with pytest.raises(errors.ModelError, match="no graphs"):
    codec_lib.Codec.load(golden_model_dir, runtime="litert")
  with pytest.raises(errors.UsageError):
    codec_lib.Codec.load(runtime="torch")


def test_tensorflow_without_its_range_coder_takes_numpys(monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorflow_compression", None)
  coder = runtimes.make_coder(runtimes.TENSORFLOW)
  assert isinstance(coder, range_coder_numpy.NumpyRangeCoder)


@pytest.mark.parametrize(
  ("missing", "runtime"),
  [("tensorflow", "tensorflow"), ("ai_edge_litert", "litert")],
)
def test_a_runtime_that_is_not_installed_is_an_error(
  monkeypatch, missing, runtime
):
  monkeypatch.setitem(sys.modules, missing, None)
  with pytest.raises(errors.MissingPackageError, match="not installed"):
    codec_lib.Codec.load(runtime=runtime)


def test_commands_run_without_tensorflow(tmp_path, codecs):
  x = images.photograph(50, 70)
  (tmp_path / "in").mkdir()
  for name in "ab":
    Image.fromarray(x).save(tmp_path / "in" / f"{name}.png")
  assert not _run("compress", tmp_path / "in/a.png", tmp_path / "a.bls").stderr
  assert not _run("decompress", tmp_path / "a.bls", tmp_path / "a.png").stderr
  data = (tmp_path / "a.bls").read_bytes()
  pixels = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
  np.testing.assert_allclose(pixels, codecs[0].decompress(data), atol=1)
  said = json.loads(_run("info", tmp_path / "a.bls", "--json").stdout)
  assert (said["height"], said["width"]) == (50, 70)
  _run("compress", f"--output_dir={tmp_path}/out", tmp_path / "in")
  _run("decompress", f"--output_dir={tmp_path}/back", tmp_path / "out")
  assert (tmp_path / "out/b.png.bls").read_bytes() == data
  np.testing.assert_array_equal(Image.open(tmp_path / "back/b.png"), pixels)


@pytest.mark.parametrize(
  ("command", "says"),
  [
    (["compress", "x.png", "--effort=4"], "effort 2 or more needs tensorflow"),
    (["train", "--train_dir=x"], "Python 3.9 to 3.11"),
    (["freeze", "--train_dir=x", "--output_dir=y"], "Python 3.9 to 3.11"),
    (["export", "--output_dir=y"], "export needs tensorflow"),
  ],
)
def test_what_needs_tensorflow_says_so(tmp_path, command, says):
  picture = tmp_path / "x.png"
  Image.fromarray(images.photograph(20, 20)).save(picture)
  command = [str(picture) if part == "x.png" else part for part in command]
  done = _run(*command, check=False)
  assert done.returncode == errors.MissingPackageError.exit_code
  assert says in done.stderr
  assert done.stderr.count("\n") == 1
