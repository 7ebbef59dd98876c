from __future__ import annotations

import numpy as np
import PIL
import pytest

import bls2017
from bls2017 import errors
from bls2017.evaluation import image_codecs
from bls2017.images import metrics
from tests import images

PILLOW = [
  name
  for name, cls in image_codecs.REGISTRY.items()
  if issubclass(cls, image_codecs.PillowCodec) and cls.is_available()
]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
  return images.photograph(130, 150)


def _point(
  codec: image_codecs.ImageCodec, x: np.ndarray, quality: float
) -> tuple[int, float]:
  data = codec.encode(x, quality).data
  return len(data), metrics.psnr(x, codec.decode(data))


def test_pillow_brings_the_usual_codecs() -> None:
  assert {"jpeg", "jpeg444", "jpeg2000", "webp"} <= set(PILLOW)


@pytest.mark.parametrize("name", PILLOW)
def test_rate_and_quality_grow_along_the_curve(name: str, x) -> None:
  codec = image_codecs.CodecSpec(name).make()
  ends = [
    _point(codec, x, q) for q in (codec.qualities[0], codec.qualities[-1])
  ]
  assert ends[0][0] < ends[1][0]
  assert ends[0][1] < ends[1][1]
  assert list(codec.qualities) == sorted(set(codec.qualities))
  assert codec.scale[0] <= codec.qualities[0]
  assert codec.qualities[-1] <= codec.scale[1]


@pytest.mark.parametrize("name", PILLOW)
def test_says_which_library_and_settings(name: str) -> None:
  codec = image_codecs.CodecSpec(name).make()
  assert f"Pillow {PIL.__version__}, " in codec.version
  assert "None" not in codec.version
  assert codec.settings or name == "webp"
  assert not codec.model_id


def test_optimised_tables_cost_fewer_bytes_for_the_same_pixels(x) -> None:
  optimised, standard = (
    image_codecs.CodecSpec(name).make().encode(x, 30).data
    for name in ("jpeg", "jpeg_standard_tables")
  )
  assert len(optimised) < len(standard)
  decode = image_codecs.CodecSpec("jpeg").make().decode
  np.testing.assert_array_equal(decode(optimised), decode(standard))


def test_jpeg_2000_has_the_wavelet_and_transform_that_pay(x) -> None:
  class WithoutTransform(image_codecs.Jpeg2000):
    options = {**image_codecs.Jpeg2000.options, "mct": 0}

  # Channels of photographs go together; at the extreme they are equal.
  grey = x[..., :1].repeat(3, axis=2)
  chosen, reversible, plain = (
    _point(codec, grey, 0.8)[1]
    for codec in (
      image_codecs.Jpeg2000(),
      image_codecs.Jpeg2000Reversible(),
      WithoutTransform(),
    )
  )
  assert chosen > reversible > plain + 1


def test_jpeg_2000_takes_a_rate(x) -> None:
  size, _ = _point(image_codecs.Jpeg2000(), x, 1.0)
  bits = 1.0 * x.shape[0] * x.shape[1]
  assert 8 * size == pytest.approx(bits, rel=0.1)


def test_colour_subsampling_is_what_it_says() -> None:
  stripes = np.zeros((32, 32, 3), np.uint8)
  stripes[:, ::2] = (255, 0, 0)
  stripes[:, 1::2] = (0, 0, 255)
  full, half = (
    _point(image_codecs.CodecSpec(name).make(), stripes, 95)[1]
    for name in ("jpeg444", "jpeg")
  )
  assert full > half + 5


def test_the_learned_codec_is_the_packages_own(golden_model_dir, x) -> None:
  codec = image_codecs.CodecSpec("bls2017", golden_model_dir, "mine").make()
  own = bls2017.Codec.load(golden_model_dir)
  encoded = codec.encode(x, 1.5)
  assert encoded.data == own.compress(x, 1.5)
  np.testing.assert_array_equal(
    codec.decode(encoded.data), own.decompress(encoded.data)
  )
  assert encoded.estimated_bits < 8 * len(encoded.data)
  assert codec.label == "mine"
  assert codec.model_id == own.model.model_id.hex()
  assert codec.qualities == (1, 2)


@pytest.mark.parametrize("wanted", [1, 400, 1500, 4000, 10**6])
def test_search_finds_the_smallest_quality_that_reaches(wanted, x) -> None:
  codec = image_codecs.Jpeg()

  def size_of(quality: float) -> int:
    return len(codec.encode(x, quality).data)

  found = image_codecs.search_quality(codec, size_of, wanted)
  assert size_of(found) >= wanted or found == codec.scale[1]
  if found > codec.scale[0]:
    assert size_of(found - 1) < wanted


def test_a_codec_of_ten_lines_takes_part(monkeypatch, x) -> None:
  monkeypatch.setattr(image_codecs, "REGISTRY", dict(image_codecs.REGISTRY))

  @image_codecs.register
  class Tiff(image_codecs.PillowCodec):
    name, label, kind, feature = "tiff", "TIFF", "TIFF", "libtiff"
    options = {"compression": "jpeg"}
    scale, qualities = (1, 100), (20, 80)

  codec = image_codecs.CodecSpec("tiff").make()
  assert metrics.psnr(x, codec.decode(codec.encode(x, 80).data)) > 25


def test_unknown_and_missing_codecs_are_named(monkeypatch) -> None:
  with pytest.raises(errors.UsageError, match="no codec 'gif'"):
    image_codecs.CodecSpec("gif").make()
  monkeypatch.setattr(image_codecs.WebP, "is_available", lambda: False)
  with pytest.raises(errors.UsageError, match="'webp' is not installed"):
    image_codecs.CodecSpec("webp").make()
