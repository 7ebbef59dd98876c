"""Files are decoded with the packaged model that they name."""

from __future__ import annotations

import functools
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

import bls2017
from bls2017 import codec as codec_lib
from bls2017 import decoder as decoder_lib
from bls2017 import errors, pillow_plugin
from bls2017.bulk import beam_pipeline, bulk_coding
from bls2017.images import image_io
from tests import commands, images

X = images.photograph(37, 50)


@pytest.fixture
def both(packaged, older_codec, newest_codec):
  """A file and its image, by the names of both models."""
  del packaged
  return {
    name: (data, c.decompress(data))
    for name, c in (("older", older_codec), ("newer", newest_codec))
    for data in [c.compress(X, 1.5)]
  }


def _assert_alike(image, x_hat):
  """Equal, whichever runtime decoded them."""
  np.testing.assert_allclose(np.asarray(image).astype(int), x_hat, atol=1)


def test_a_decoder_reads_the_files_of_all_models(both):
  decoder = bls2017.load_decoder()
  for name in ("older", "newer", "older"):
    data, x_hat = both[name]
    _assert_alike(decoder.decompress(data), x_hat)
    assert decoder.info(data).quality == 1.5
    assert decoder.about(memoryview(data)).exif == b""
    assert len(data) < decoder.max_file_bytes
  one = decoder_lib.load("newer", max_pixels=37 * 50)
  _assert_alike(one.decompress(both["newer"][0]), x_hat)
  small = decoder_lib.load(max_pixels=37 * 50 - 1)
  with pytest.raises(errors.LimitError):
    small.decompress(both["newer"][0])


def test_a_model_is_read_when_its_file_comes(both, packaged):
  for path in (packaged / "older").iterdir():
    if path.name != "config.json":
      path.unlink()
  decoder = decoder_lib.load()
  data, x_hat = both["newer"]
  _assert_alike(decoder.decompress(data), x_hat)
  with pytest.raises(errors.ModelError, match="older"):
    decoder.decompress(both["older"][0])


def test_files_of_no_packaged_model_are_refused(both, packaged):
  decoder = decoder_lib.load()
  data = both["older"][0]
  for i in range(0, len(data), 3):
    with pytest.raises(errors.BitstreamError) as e:
      decoder.decompress(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :])
    assert not isinstance(e.value, errors.ForeignModelError)
  (packaged / "older" / "config.json").unlink()
  with pytest.raises(errors.ForeignModelError, match="psnr.*newer"):
    decoder.decompress(data)
  with pytest.raises(TypeError):
    decoder.info("x.bls")


def test_a_codec_says_which_packaged_model_a_file_needs(both):
  codec = codec_lib.Codec.load("older")
  with pytest.raises(errors.ForeignModelError, match="package has as newer"):
    codec.decompress(both["newer"][0])


def test_a_codec_of_a_packaged_model_is_pickled_by_its_name(both):
  codec = codec_lib.Codec.load("newer")
  assert codec.__reduce__()[1][0] == "newer"
  copy = pickle.loads(pickle.dumps(codec))
  data, x_hat = both["newer"]
  _assert_alike(copy.decompress(data), x_hat)


def test_a_runtime_that_is_not_there_is_said_at_once():
  with pytest.raises(errors.UsageError):
    decoder_lib.load(runtime="abacus")


def test_pillow_opens_the_files_of_all_models(both, monkeypatch):
  monkeypatch.setattr(pillow_plugin, "_codec", None)
  for data, x_hat in both.values():
    with Image.open(io.BytesIO(data)) as image:
      assert image.info["quality"] == 1.5
      _assert_alike(image, x_hat)


def test_commands_read_the_files_of_all_models(both, packaged, tmp_path):
  folder, back = tmp_path / "files", tmp_path / "back"
  folder.mkdir()
  for name, (data, _) in both.items():
    (folder / f"{name}.bls").write_bytes(data)
  run = functools.partial(commands.run_with_models, str(packaged))
  done = run("decompress", f"--output_dir={back}", str(folder))
  assert done.returncode == 0, done.stderr
  for name, (_, x_hat) in both.items():
    image = image_io.read_rgb(str(back / f"{name}.png"))
    _assert_alike(image, x_hat)
  path = str(folder / "newer.bls")
  done = run("info", "--json", path)
  values = json.loads(done.stdout)
  assert values["packaged_model"] == "newer" and values["lanes"]
  done = run("decompress", path, str(tmp_path / "x.png"), "--model=older")
  message = commands.assert_fails(done, 4)
  assert "has as newer" in message and "--model" in message
  done = run("info", path, "--model=oldest")
  assert "newer and older" in commands.assert_fails(done, 3)


def test_a_pipeline_reads_the_files_of_all_models(both, tmp_path):
  for name, (data, _) in both.items():
    (tmp_path / f"{name}.bls").write_bytes(data)
  make_work = functools.partial(
    bulk_coding.load, decoder_lib.load, bulk_coding.Decompression
  )
  out = tmp_path / "out"
  settings = beam_pipeline.Settings(
    str(tmp_path / "*.bls"), str(out), ".png", make_work
  )
  assert beam_pipeline.run(settings, []).done == 2
  for name, (_, x_hat) in both.items():
    image = image_io.read_rgb(str(out / f"{name}.png"))
    _assert_alike(image, x_hat)
