"""What works on every Python: coding without TensorFlow.

`tests/run_other_pythons.sh` runs these tests, which import no TensorFlow, on
the interpreters that it finds.
"""

from __future__ import annotations

import pathlib
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bls2017
from bls2017 import errors
from bls2017.format import lanes, range_coder_numpy
from bls2017.model import litert_transforms, model_directory, regions
from tests import laws
from tests.bls2017.format import tables_strategy
from tests.conformance import conformance_set

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "v3"
FILES = sorted(path.stem for path in GOLDEN.glob("*.bls"))
NUMPY = range_coder_numpy.NumpyRangeCoder()

CONFORMANCE = conformance_set.read_manifest()
CODECS = {
  model: bls2017.Codec(frozen, runtime="litert")
  for model in sorted({entry["model"] for entry in CONFORMANCE["sound"]})
  for frozen in [model_directory.load(str(conformance_set.ROOT / model))]
  if frozen.has_graphs
}
"""By model; those of versions 1 and 2 have no graphs for LiteRT."""


def _entries(verdict):
  return [e for e in CONFORMANCE[verdict] if e["model"] in CODECS]


@pytest.fixture(scope="module")
def codec():
  return bls2017.Codec.load(runtime="litert")


@pytest.fixture(scope="module")
def golden_codec():
  return bls2017.Codec.load(str(GOLDEN / "model"), runtime="litert")


def _picture(height, width):
  y, x = np.mgrid[:height, :width]
  waves = np.stack([np.sin(x / (5 + c)) + np.cos(y / 7) for c in range(3)], -1)
  return np.clip(128 + 50 * waves, 0, 255).astype(np.uint8)


def _run(program, *arguments):
  return subprocess.run(
    [sys.executable, "-c", program, *map(str, arguments)],
    capture_output=True, text=True, check=False, cwd=ROOT,
  )  # fmt: skip


def _command(*arguments):
  program = (
    "import sys; from bls2017.commands import main;"
    "code = main.main(sys.argv[1:]); print('tensorflow' in sys.modules);"
    "sys.exit(code)"
  )
  done = _run(program, *arguments)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == "False"
  return done.stdout


@laws.examples(60)
@given(case=tables_strategy.CASES)
def test_decoding_inverts_encoding(case):
  tables, rows = tables_strategy.draw(case)
  streams = NUMPY.encode(rows, tables)
  np.testing.assert_array_equal(NUMPY.decode(streams, len(rows), tables), rows)


@laws.examples(60)
@given(
  case=tables_strategy.CASES,
  hostile=st.lists(st.binary(max_size=12), min_size=1, max_size=3),
)
def test_foreign_bytes_are_refused_or_what_an_encoder_writes(case, hostile):
  tables, rows = tables_strategy.draw(case)
  count = lanes.num_lanes(len(rows), tables.lane_positions)
  streams = (hostile * count)[:count]
  try:
    decoded = NUMPY.decode(streams, len(rows), tables)
  except errors.BitstreamError:
    return
  assert NUMPY.encode(decoded, tables) == streams


@pytest.mark.parametrize("name", FILES)
def test_golden_files_decode(golden_codec, name):
  data = (GOLDEN / f"{name}.bls").read_bytes()
  with np.load(GOLDEN / f"{name}.npz") as arrays:
    symbols = arrays["symbols"]
  np.testing.assert_array_equal(golden_codec.symbols(data), symbols)
  recorded = np.asarray(Image.open(GOLDEN / f"{name}.png")).astype(int)
  np.testing.assert_allclose(golden_codec.decompress(data), recorded, atol=1)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused(golden_codec, name):
  data = (GOLDEN / f"{name}.bls").read_bytes()
  for place in range(0, len(data), 7):
    changed = bytearray(data)
    changed[place] ^= 16
    for damaged in (bytes(changed), data[:place]):
      with pytest.raises(errors.BitstreamError):
        golden_codec.decompress(damaged)


def test_models_of_one_pair_and_of_several_are_there():
  assert {len(codec.model.pairs) for codec in CODECS.values()} == {1, 2}


@pytest.mark.parametrize("entry", _entries("sound"), ids=lambda e: e["file"])
def test_the_conformance_set_decodes(entry):
  conformance_set.check_sound(
    CODECS[entry["model"]], entry, CONFORMANCE["nearness"]
  )


@pytest.mark.parametrize("entry", _entries("broken"), ids=lambda e: e["file"])
def test_broken_files_of_the_conformance_set_are_refused(entry):
  conformance_set.check_broken(CODECS[entry["model"]], entry)


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (200, 130)])
def test_images_come_back(codec, size):
  x = _picture(*size)
  data = codec.compress(x, 7)
  x_hat = codec.decompress(data)
  assert x_hat.shape == x.shape
  assert np.mean(np.square(x_hat.astype(float) - x)) < 30
  assert len(codec.compress(x, max_bytes=len(data) - 1)) < len(data)


@pytest.mark.parametrize("window", [60, 8192])
@pytest.mark.parametrize("size", [(45, 70), (250, 330), (500, 40)])
def test_regions_and_previews_are_those_of_the_whole(
  golden_codec, monkeypatch, size, window
):
  monkeypatch.setattr(litert_transforms, "WINDOW_POSITIONS", window)
  height, width = size
  data = golden_codec.compress(_picture(height, width), 2)
  whole = golden_codec.decompress(data)
  rng = np.random.default_rng(0)
  for factor in (1, 2, 4, 8):
    left, top = int(rng.integers(width)), int(rng.integers(height))
    right = int(rng.integers(left + 1, width + 1))
    bottom = int(rng.integers(top + 1, height + 1))
    region = (left, top, right - left, bottom - top)
    part = whole[top:bottom, left:right]
    if factor > 1:
      boxes = regions.Region(0, 0, right - left, bottom - top)
      part = regions.assembled([part], boxes, factor)
    np.testing.assert_array_equal(
      golden_codec.decompress(data, region=region, reduce=factor), part
    )


def test_commands_run_without_tensorflow(tmp_path):
  source = tmp_path / "in"
  source.mkdir()
  for name in "ab":
    Image.fromarray(_picture(40, 60)).save(source / f"{name}.png")
  _command("compress", source / "a.png", tmp_path / "a.bls")
  _command("decompress", tmp_path / "a.bls", tmp_path / "a.png")
  assert Image.open(tmp_path / "a.png").size == (60, 40)
  assert "quality" in _command("info", tmp_path / "a.bls")
  _command("compress", f"--output_dir={tmp_path}/out", source)
  _command("decompress", f"--output_dir={tmp_path}/back", tmp_path / "out")
  assert Image.open(tmp_path / "back" / "b.png").size == (60, 40)


@pytest.mark.parametrize(
  "arguments",
  [
    ("train", "--train_dir=run", "--train_glob=photographs"),
    ("freeze", "--train_dir=run", "--output_dir=model"),
  ],
)
def test_training_names_the_pythons_it_needs(arguments):
  # Python 3.12 and later have no tensorflow-compression, with or without this.
  program = (
    "import sys; sys.modules['tensorflow_compression'] = None;"
    "from bls2017.commands import main; sys.exit(main.main(sys.argv[1:]))"
  )
  done = _run(program, *arguments)
  assert (done.returncode, done.stdout) == (2, "")
  (line,) = done.stderr.splitlines()
  assert line.startswith(
    f"bls2017: {arguments[0]} needs tensorflow-compression"
  )
  assert "Python 3.9 to 3.11" in line
  assert line.endswith(f"this is Python {platform.python_version()}")
