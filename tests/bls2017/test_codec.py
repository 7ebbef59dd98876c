"""Laws of the codec: images in, bytes out, and back."""

from __future__ import annotations

import dataclasses
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import decode, errors
from bls2017.encode import request
from bls2017.format import container
from bls2017.images import metadata, metrics
from bls2017.model import litert_transforms
from tests import images, laws, memory

TOP = request.Request(2)
SIDES = range(1, 34) if laws.LONG else (1, 2, 15, 16, 17, 31, 33)


@pytest.mark.parametrize("height", SIDES)
def test_every_size_comes_back(codec, height):
  for width in SIDES:
    x = images.photograph(height, width)
    x_hat = codec.decompress(codec.compress(x, 2))
    assert x_hat.shape == x.shape
    assert x_hat.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_extreme_sides_come_back(codec, shape):
  x = images.photograph(*shape)
  assert codec.decompress(codec.compress(x, 1)).shape == x.shape


@pytest.mark.parametrize("max_pixels", [1, 100, 65535, 200_000])
def test_no_file_is_longer_than_the_codec_says(codec, max_pixels):
  codec = codec_lib.Codec(codec.model, max_pixels=max_pixels)
  rng = np.random.default_rng(0)
  widest = min(max_pixels, container.MAX_SIDE)
  for shape in ((1, widest), (max_pixels // widest, widest), (1, 1)):
    noise = rng.integers(0, 256, (*shape, 3), np.uint8)
    assert len(codec.compress(noise, 2)) <= codec.max_file_bytes


@laws.examples(40)
@given(
  height=st.integers(1, 170),
  width=st.integers(1, 170),
  eighths=st.integers(0, 8),
  seed=st.integers(0, 1000),
)
def test_coding_is_exact_and_repeatable(codec, height, width, eighths, seed):
  x = images.photograph(height, width, seed)
  quality = 1 + eighths / 8
  data = codec.compress(x, quality)
  assert codec.compress(x, quality) == data
  # The decoded symbols are the encoder's, so coding them again gives the file.
  info = codec.info(data)
  assert (info.height, info.width, info.quality) == (height, width, quality)
  assert info.header_bytes + info.payload_bytes == len(data)
  np.testing.assert_array_equal(codec.decompress(data), codec.decompress(data))


def test_quality_buys_psnr_with_bits(codec):
  x = images.photograph(192, 256)
  rates, quality = [], []
  for eighths in range(9):
    data = codec.compress(x, 1 + eighths / 8)
    rates.append(len(data))
    quality.append(metrics.psnr(x, codec.decompress(data)))
  assert np.all(np.diff(rates) > 0)
  assert quality[-1] > quality[0]
  assert min(np.diff(quality)) > -0.1


def test_a_file_costs_what_its_tables_estimate(codec):
  x = images.photograph(512, 768)
  for quality in (1, 2):
    encoded = codec.encode(x, request.Request(quality))
    assert 8 * len(encoded.data) < 1.02 * encoded.estimated_bits


def test_header_and_lanes_stay_below_one_percent(codec):
  data = codec.compress(images.photograph(512, 768), 2)
  info = codec.info(data)
  assert 0.1 < info.bpp < 0.4
  assert info.header_bytes < 0.01 * len(data)


def test_quality_is_rounded_to_an_eighth(codec):
  x = images.photograph(16, 16)
  assert codec.compress(x, 1.51) == codec.compress(x, 1.5)


@pytest.mark.parametrize("quality", [0.9, 2.1, float("nan"), -1])
def test_quality_out_of_range_is_refused(codec, quality):
  with pytest.raises(errors.UsageError, match="quality"):
    codec.compress(images.photograph(16, 16), quality)


@pytest.mark.parametrize(
  "image",
  [
    np.zeros((4,), np.uint8),
    np.zeros((4, 4, 5), np.uint8),
    np.zeros((4, 4, 3), np.complex64),
    np.zeros((0, 4, 3), np.uint8),
  ],
)
def test_what_is_no_image_is_refused(codec, image):
  with pytest.raises(errors.UsageError):
    codec.compress(image, 1)


def test_latents_outside_the_tables_are_clipped_and_counted(codec):
  tables = codec.model.tables
  louder = dataclasses.replace(tables, gain=tables.gain * 100)
  model = dataclasses.replace(codec.model, tables=louder)
  encoded = codec_lib.Codec(model).encode(images.photograph(64, 64), TOP)
  assert encoded.clipped > 0
  assert codec_lib.Codec(model).decompress(encoded.data).shape == (64, 64, 3)
  assert codec.encode(images.photograph(64, 64), TOP).clipped == 0


@pytest.mark.tensorflow
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_latents_that_are_not_finite_are_an_error(codec, value):
  weights = dict(codec.model.weights)
  bias = weights["analysis/2/bias"]
  weights["analysis/2/bias"] = np.full_like(bias, value)
  from bls2017.model import litert_graphs

  pair = litert_graphs.pair(weights, codec.model.config.num_latents)
  broken = codec_lib.Codec(dataclasses.replace(codec.model, pairs=(pair,)))
  with pytest.raises(errors.ModelError, match="not finite"):
    broken.compress(images.photograph(20, 20), 2)


def test_latents_beyond_integers_are_clipped_on_their_side(codec):
  tables = codec.model.tables
  louder = dataclasses.replace(tables, gain=tables.gain * np.float32(1e30))
  model = dataclasses.replace(codec.model, tables=louder)
  encoded = codec_lib.Codec(model).encode(images.photograph(20, 20), TOP)
  loud = codec.symbols(encoded.data)
  quiet = codec.symbols(codec.compress(images.photograph(20, 20), 2))
  ends = tables.for_quality(8)
  assert np.all((loud == ends.minimum) | (loud == ends.maximum))
  assert np.all(loud[quiet > 1] == ends.maximum[np.nonzero(quiet > 1)[2]])
  assert np.all(loud[quiet < -1] == ends.minimum[np.nonzero(quiet < -1)[2]])
  assert encoded.clipped == loud.size


@pytest.mark.parametrize(
  ("size", "error"),
  [
    ((65535, 65535), errors.LimitError),
    ((65535, 1024), errors.BitstreamError),
    ((0, 65535), errors.BitstreamError),
  ],
)
def test_a_size_without_its_payload_costs_no_memory(codec, size, error):
  data = bytearray(codec.compress(images.photograph(40, 40), 1))
  data[6:10] = struct.pack("<HH", *size)
  data[18:26] = container.checksum(bytes(data[:18] + data[26:]))

  def refused():
    with pytest.raises(error):
      codec.decompress(bytes(data))

  assert memory.growth(refused) < 1 << 22


def test_a_size_over_the_limit_is_refused(codec):
  small = codec_lib.Codec(codec.model, max_pixels=100)
  with pytest.raises(errors.LimitError):
    small.compress(images.photograph(11, 10))
  with pytest.raises(errors.LimitError):
    small.decompress(codec.compress(images.photograph(11, 10), 1))


def test_an_unknown_models_file_is_refused_and_both_are_named(codec):
  data = codec.compress(images.photograph(20, 20), 1)
  fields = data[:10] + b"12345678"
  body = data[container.HEADER_BYTES :]
  foreign = fields + container.checksum(fields + body) + body
  with pytest.raises(errors.ForeignModelError) as e:
    codec.decompress(foreign)
  assert b"12345678".hex() in str(e.value)
  assert codec.model.model_id.hex() in str(e.value)


ABOUT = metadata.Metadata(b"MM\0*\0\0\0\x08\0\0" + bytes(200), b"<x:xmpmeta/>")


def test_metadata_comes_back_and_changes_no_pixel(codec):
  x = images.photograph(90, 140)
  plain = codec.compress(x, 2)
  data = codec.compress(x, 2, metadata=ABOUT)
  assert codec.metadata(data) == codec.decode(data).metadata == ABOUT
  assert codec.metadata(plain) == metadata.Metadata()
  np.testing.assert_array_equal(codec.decompress(data), codec.decompress(plain))
  info = codec.info(data)
  assert info.metadata == {"Exif": 210, "XMP ": 12}
  # And a byte more for the length of all boxes.
  assert info.header_bytes == codec.info(plain).header_bytes + 238 + 1
  assert info.header_bytes + info.payload_bytes == len(data)


def test_a_files_metadata_is_kept_unless_other_is_given(codec, tmp_path):
  exif = Image.Exif()
  exif[0x10F] = "maker"
  path = tmp_path / "x.jpg"
  Image.fromarray(images.photograph(20, 20)).save(path, exif=exif)
  with Image.open(path) as image:
    for source in (path, path.read_bytes(), image):
      kept = codec.metadata(codec.compress(source, 1)).exif
      assert b"maker" in kept
  stripped = codec.compress(path, 1, metadata=metadata.Metadata())
  assert codec.metadata(stripped) == metadata.Metadata()
  assert codec.metadata(codec.compress(path, 1, metadata=ABOUT)) == ABOUT


@pytest.mark.parametrize(
  "effort", [1, pytest.param(3, marks=pytest.mark.tensorflow)]
)
def test_a_size_is_kept_with_its_metadata(codec, effort):
  x = images.photograph(128, 160)
  for max_bytes in (700, 900):
    for target in (
      {"max_bytes": max_bytes},
      {"target_bpp": 8 * max_bytes / (128 * 160)},
    ):
      data = codec.compress(x, metadata=ABOUT, effort=effort, **target)
      assert 0.8 * max_bytes < len(data) <= max_bytes


def test_the_smallest_possible_size_includes_metadata(codec):
  x = images.photograph(128, 160)
  with pytest.raises(errors.LimitError) as e:
    codec.compress(x, max_bytes=200, metadata=ABOUT)
  smallest = int(re.findall(r"(\d+) bytes", str(e.value))[-1])
  data = codec.compress(x, max_bytes=smallest, metadata=ABOUT)
  assert len(data) == smallest > 238


def test_a_region_has_the_pixels_of_the_whole(codec):
  rng = np.random.default_rng(0)
  # The last one has several strips.
  for height, width in ((45, 70), (250, 330), (1700, 1300)):
    data = codec.compress(images.photograph(height, width), 2)
    whole = codec.decompress(data)
    for _ in range(12):
      left, right = np.sort(rng.integers(0, width + 1, 2))
      top, bottom = np.sort(rng.integers(0, height + 1, 2))
      region = (left, top, max(right - left, 1), max(bottom - top, 1))
      if left == width or top == height:
        continue
      part = codec.decompress(data, region=region)
      x, y, w, h = region
      np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])
    for x, y, w, h in (
      (0, 0, 1, 1),
      (width - 1, height - 1, 1, 1),
      (0, height - 1, width, 1),
      (0, 0, width, height),
    ):
      part = codec.decompress(data, region=(x, y, w, h))
      np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])


def test_a_region_needs_no_other_lanes(codec):
  data = codec.compress(images.photograph(512, 768), 2)
  body = data[container.HEADER_BYTES :] + b"\0"
  # The last lane is not an encoder's any more.
  damaged = data[:18] + container.checksum(data[:18] + body) + body
  with pytest.raises(errors.BitstreamError):
    codec.decompress(damaged)
  with pytest.raises(errors.BitstreamError):
    codec.decompress(damaged, region=(700, 500, 32, 12))
  region = (300, 200, 32, 32)
  np.testing.assert_array_equal(
    codec.decompress(damaged, region=region),
    codec.decompress(data, region=region),
  )


@pytest.mark.parametrize(
  "region",
  [
    (-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0), (0, 0, 71, 45),
    (0, 0, 70, 46), (70, 0, 1, 1), (0, 45, 1, 1), (60, 40, -5, 3),
  ],
)  # fmt: skip
def test_a_region_outside_of_the_image_is_refused(codec, region):
  data = codec.compress(images.photograph(45, 70), 1)
  with pytest.raises(errors.UsageError, match="region"):
    codec.decompress(data, region=region)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_reduced_image_holds_the_means_of_boxes(codec, factor):
  data = codec.compress(images.photograph(45, 70), 2)
  whole = codec.decompress(data).astype(float)
  small = codec.decompress(data, reduce=factor)
  assert small.shape == (-(-45 // factor), -(-70 // factor), 3)
  for i, j in np.ndindex(small.shape[:2]):
    box = whole[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
    mean = box.mean((0, 1))
    assert np.all(np.abs(small[i, j] - mean) <= 0.5)
  part = codec.decompress(data, region=(16, 8, 32, 16), reduce=factor)
  first, left = 8 // factor, 16 // factor
  np.testing.assert_array_equal(
    part, small[first : first + len(part), left : left + part.shape[1]]
  )


@pytest.mark.parametrize("block", [1, 40])
@pytest.mark.parametrize("factor", [1, 8])
def test_blocks_and_windows_do_not_show(codec, monkeypatch, factor, block):
  data = codec.compress(images.photograph(250, 130), 2)
  whole = codec.decompress(data, reduce=factor)
  region = (17, 33, 80, 160)
  part = codec.decompress(data, region=region, reduce=factor)
  monkeypatch.setattr(decode, "BLOCK_POSITIONS", block)
  monkeypatch.setattr(litert_transforms, "WINDOW_POSITIONS", 60)
  np.testing.assert_array_equal(codec.decompress(data, reduce=factor), whole)
  np.testing.assert_array_equal(
    codec.decompress(data, region=region, reduce=factor), part
  )


@pytest.mark.parametrize("factor", [0, 3, 16, -2])
def test_other_reductions_are_refused(codec, factor):
  data = codec.compress(images.photograph(16, 16), 1)
  with pytest.raises(errors.UsageError, match="reduced"):
    codec.decompress(data, reduce=factor)
