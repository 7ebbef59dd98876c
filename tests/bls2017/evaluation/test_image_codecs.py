from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import PIL
import pytest

import bls2017
from bls2017.evaluation import image_codecs
from bls2017.images import metrics
from tests import images

CODECS = list(image_codecs.REGISTRY.values())


@pytest.fixture(scope="module")
def x() -> np.ndarray:
  return images.photograph(130, 150)


def _point(
  codec: image_codecs.ImageCodec, x: np.ndarray, quality: float
) -> tuple[int, float]:
  data = codec.encode(x, quality).data
  return len(data), metrics.psnr(x, codec.decode(data))


def test_pillow_brings_the_usual_codecs() -> None:
  assert {"jpeg", "jpeg444", "jpeg2000", "webp"} <= set(image_codecs.REGISTRY)
  assert image_codecs.DEFAULT[:3] == ("bls2017", "jpeg", "jpeg444")


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_rate_and_quality_grow_along_the_curve(codec, x) -> None:
  ends = [_point(codec, x, codec.qualities[i]) for i in (0, -1)]
  assert ends[0][0] < ends[1][0]
  assert ends[0][1] < ends[1][1]
  assert list(codec.qualities) == sorted(set(codec.qualities))
  assert codec.scale[0] <= codec.qualities[0]
  assert codec.qualities[-1] <= codec.scale[1]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_libraries_settings_and_chroma_go_with_the_results(codec) -> None:
  about = json.loads(json.dumps(codec.about()))
  assert about["version"].startswith(f"Pillow {PIL.__version__}, ")
  assert "None" not in about["version"]
  assert about["settings"] == codec.settings
  assert about["chroma"] == about["settings"].get("subsampling", codec.chroma)
  if codec.name == "avif":
    assert about["settings"]["speed"] == 6
    assert about["version"].count(", ") == 2  # The AV1 encoder is named, too.


def test_optimised_tables_cost_fewer_bytes_for_the_same_pixels(x) -> None:
  jpeg = image_codecs.REGISTRY["jpeg"]
  standard = image_codecs.REGISTRY["jpeg_standard_tables"].encode(x, 30).data
  optimised = jpeg.encode(x, 30).data
  assert len(optimised) < len(standard)
  np.testing.assert_array_equal(jpeg.decode(optimised), jpeg.decode(standard))


def test_jpeg_2000_has_the_wavelet_and_transform_that_pay(x) -> None:
  chosen = image_codecs.REGISTRY["jpeg2000"]
  reversible = image_codecs.REGISTRY["jpeg2000_reversible"]
  plain = dataclasses.replace(chosen, settings={**chosen.settings, "mct": 0})
  # Channels of photographs go together; at the extreme they are equal.
  grey = x[..., :1].repeat(3, axis=2)
  points = [_point(codec, grey, 0.8) for codec in (chosen, reversible, plain)]
  assert points[0][1] > points[1][1] > points[2][1] + 1
  for size, _ in points:
    assert 8 * size == pytest.approx(0.8 * x.shape[0] * x.shape[1], rel=0.1)


def test_colour_has_the_resolution_that_is_said() -> None:
  stripes = np.zeros((32, 32, 3), np.uint8)
  stripes[:, ::2] = (255, 0, 0)
  stripes[:, 1::2] = (0, 0, 255)
  for codec in CODECS:
    psnr = _point(codec, stripes, codec.scale[1])[1]
    assert (psnr > 20) == (codec.chroma == "4:4:4"), codec.name


def test_the_learned_codec_is_the_packages_own(golden_model_dir, x) -> None:
  own = bls2017.Codec.load(golden_model_dir)
  made = image_codecs.learned(golden_model_dir, "mine")
  codec = pickle.loads(pickle.dumps(made))
  data, estimated_bits = codec.encode(x, 1.5)
  assert data == own.compress(x, 1.5)
  np.testing.assert_array_equal(codec.decode(data), own.decompress(data))
  assert 0.5 < estimated_bits / (8 * len(data)) < 1
  assert codec.label == "mine"
  assert codec.about()["model_id"] == own.model.model_id.hex()
  assert codec.qualities == (1, 2)


def test_multiply_accumulates_are_those_of_the_paper() -> None:
  """Counted by the layers of 128 filters and 320 latents for 16x16 pixels."""
  counted = 64 * 64 * (9 * 9 * 3 * 128 + 128 * 128) / 256
  counted += 32 * 32 * (5 * 5 * 128 * 128 + 128 * 128) / 256
  counted += 16 * 16 * (5 * 5 * 128 * 320 + 320 * 320) / 256
  assert image_codecs.macs_per_pixel(128, 320) == pytest.approx(counted / 256)


@pytest.mark.parametrize("wanted", [1, 400, 1500, 4000, 10**6])
def test_search_finds_the_smallest_quality_that_reaches(wanted, x) -> None:
  codec = image_codecs.REGISTRY["jpeg"]

  def size_of(quality: float) -> int:
    return len(codec.encode(x, quality).data)

  found = image_codecs.search_quality(codec, size_of, wanted)
  assert size_of(found) >= wanted or found == codec.scale[1]
  if found > codec.scale[0]:
    assert size_of(found - 1) < wanted
