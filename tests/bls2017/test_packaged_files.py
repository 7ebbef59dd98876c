"""Files are decoded with the packaged model that they name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from bls2017 import codec as codec_lib
from bls2017 import errors
from tests import images

X = images.photograph(37, 50)


@pytest.fixture
def both(packaged, codec, pairs_codec):
  """A file and its image, by the names of both models."""
  del packaged
  return {
    name: (data, c.decompress(data))
    for name, c in (("one", codec), ("two", pairs_codec))
    for data in [c.compress(X, 1.5)]
  }


def test_a_codec_reads_the_files_of_all_models(both):
  codec = codec_lib.Codec.load()
  for name in ("one", "two", "one"):
    data, x_hat = both[name]
    np.testing.assert_array_equal(codec.decompress(data), x_hat)
    assert codec.info(data).quality == 1.5
    assert codec.metadata(memoryview(data)).exif == b""
    assert len(data) < codec.max_file_bytes
  small = codec_lib.Codec.load(max_pixels=37 * 50 - 1)
  with pytest.raises(errors.LimitError):
    small.decompress(both["two"][0])


def test_a_model_is_read_when_its_file_comes(both, packaged):
  for path in (packaged / "one").iterdir():
    if path.name != "config.json":
      path.unlink()
  codec = codec_lib.Codec.load()
  data, x_hat = both["two"]
  np.testing.assert_array_equal(codec.decompress(data), x_hat)
  with pytest.raises(errors.ModelError, match="one"):
    codec.decompress(both["one"][0])


def test_files_of_no_packaged_model_are_refused(both, packaged):
  codec = codec_lib.Codec.load()
  data = both["one"][0]
  for i in range(0, len(data), 3):
    with pytest.raises(errors.BitstreamError) as e:
      codec.decompress(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :])
    assert not isinstance(e.value, errors.ForeignModelError)
  (packaged / "one" / "config.json").unlink()
  with pytest.raises(errors.ForeignModelError):
    codec_lib.Codec.load().decompress(data)


def test_a_codec_of_a_packaged_model_is_pickled_by_its_name(both):
  codec = codec_lib.Codec.load("two")
  assert codec.__reduce__()[1][0] == "two"
  copy = pickle.loads(pickle.dumps(codec))
  data, x_hat = both["two"]
  np.testing.assert_array_equal(copy.decompress(data), x_hat)
