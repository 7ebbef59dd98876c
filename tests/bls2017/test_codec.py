"""Laws of the codec: images in, bytes out, and back."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import codec as codec_lib
from bls2017 import errors, file_decoding
from bls2017.format import container
from bls2017.images import metrics
from bls2017.model import model_directory, strips
from tests import images, laws, memory

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


@pytest.mark.parametrize("fixture", ["codec", "newest_codec"])
@laws.examples(20)
@given(
  height=st.integers(1, 170),
  width=st.integers(1, 170),
  eighths=st.integers(0, 8),
  seed=st.integers(0, 1000),
)
def test_coding_is_exact_and_repeatable(
  request, fixture, height, width, eighths, seed
):
  codec = request.getfixturevalue(fixture)
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
    encoded = codec.encode(x, quality)
    assert 8 * len(encoded.data) < 1.02 * encoded.estimated_bits


def test_header_and_lanes_stay_below_one_percent(codec):
  data = codec.compress(images.photograph(512, 768), 2)
  info = codec.info(data)
  assert 0.2 < info.bpp < 0.4
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
  encoded = codec_lib.Codec(model).encode(images.photograph(64, 64), 2)
  assert encoded.clipped > 0
  assert codec_lib.Codec(model).decompress(encoded.data).shape == (64, 64, 3)
  assert codec.encode(images.photograph(64, 64), 2).clipped == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_latents_that_are_not_finite_are_an_error(codec, value):
  weights = dict(codec.model.weights)
  bias = weights["analysis/2/bias"]
  weights["analysis/2/bias"] = np.full_like(bias, value)
  broken = codec_lib.Codec(
    dataclasses.replace(
      codec.model, pairs=(model_directory.TransformPair(weights),)
    )
  )
  with pytest.raises(errors.ModelError, match="not finite"):
    broken.compress(images.photograph(20, 20), 2)


def test_latents_beyond_integers_are_clipped_on_their_side(codec):
  tables = codec.model.tables
  louder = dataclasses.replace(tables, gain=tables.gain * np.float32(1e30))
  model = dataclasses.replace(codec.model, tables=louder)
  encoded = codec_lib.Codec(model).encode(images.photograph(20, 20), 2)
  loud = codec.symbols(encoded.data)
  quiet = codec.symbols(codec.compress(images.photograph(20, 20), 2))
  ends = tables.for_quality(8)
  assert np.all((loud == ends.minimum) | (loud == ends.maximum))
  assert np.all(loud[quiet > 1] == ends.maximum[np.nonzero(quiet > 1)[2]])
  assert np.all(loud[quiet < -1] == ends.minimum[np.nonzero(quiet < -1)[2]])
  assert encoded.clipped == loud.size


def _forge(codec, *, version=None, height=None, width=None, index=None,
           cut=None, extra=b""):  # fmt: skip
  """A file with a correct checksum over fields that do not belong together."""
  data = codec.compress(images.photograph(40, 40), 1)
  header = container.unpack_header(data)
  header = container.Header(
    header.height if height is None else height,
    header.width if width is None else width,
    header.quality_index if index is None else index,
    header.model_id,
    header.version if version is None else version,
  )
  body = data[container.HEADER_BYTES : cut] + extra
  packed = container.pack(header, [])
  fields = packed[: container.CHECKSUM_OFFSET]
  return fields + container.checksum(fields + body) + body


def test_forgery_with_a_right_checksum_is_refused(codec):
  assert codec.decompress(_forge(codec)).shape == (40, 40, 3)
  for wrong in (
    {"height": 400},
    {"width": 65535, "height": 1000},
    {"version": 1},
    {"index": 9},
    {"index": 200},
    {"cut": -1},
    {"cut": container.HEADER_BYTES},
    {"extra": b"\0"},
    {"extra": bytes(1000)},
  ):
    with pytest.raises(errors.BitstreamError):
      codec.decompress(_forge(codec, **wrong))


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


def test_another_models_file_is_refused_and_named(codec):
  data = codec.compress(images.photograph(20, 20), 1)
  header = container.unpack_header(data)
  other = container.Header(20, 20, header.quality_index, b"12345678", 2)
  tables = codec.model.tables.for_quality(header.quality_index)
  streams = container.unpack_lanes(data, header, tables.lane_positions)
  with pytest.raises(errors.ForeignModelError) as e:
    codec.decompress(container.pack(other, streams))
  assert b"12345678".hex() in str(e.value)
  assert codec.model.model_id.hex() in str(e.value)


EXIF = container.Box(container.EXIF, b"MM\0*" + bytes(200))
XMP = container.Box(container.XMP, b"<x:xmpmeta/>")


def test_metadata_comes_back_and_changes_no_pixel(newest_codec):
  x = images.photograph(90, 140)
  plain = newest_codec.compress(x, 2)
  data = newest_codec.compress(x, 2, metadata=[XMP, EXIF])
  assert newest_codec.metadata(data) == (EXIF, XMP)
  assert newest_codec.metadata(plain) == ()
  np.testing.assert_array_equal(
    newest_codec.decompress(data), newest_codec.decompress(plain)
  )
  info = newest_codec.info(data)
  assert info.metadata == {"Exif": 204, "XMP ": 12}
  assert info.header_bytes == newest_codec.info(plain).header_bytes + 232
  assert info.header_bytes + info.payload_bytes == len(data)


@pytest.mark.parametrize("effort", [3, 4])
def test_a_size_is_kept_with_its_metadata(newest_codec, effort):
  x = images.photograph(128, 160)
  for max_bytes in (700, 1000):
    for target in (
      {"max_bytes": max_bytes},
      {"target_bpp": 8 * max_bytes / (128 * 160)},
    ):
      data = newest_codec.compress(x, metadata=[EXIF], effort=effort, **target)
      assert 0.8 * max_bytes < len(data) <= max_bytes


def test_metadata_that_leaves_no_room_is_refused(newest_codec):
  x = images.photograph(128, 160)
  with pytest.raises(errors.LimitError, match="212 bytes"):
    newest_codec.compress(x, max_bytes=200, metadata=[EXIF])
  with pytest.raises(errors.UsageError, match="positive"):
    newest_codec.compress(x, max_bytes=-1, metadata=[EXIF])


def test_files_of_older_models_hold_no_metadata(codec):
  with pytest.raises(errors.UsageError, match="metadata"):
    codec.compress(images.photograph(20, 20), 1, metadata=[EXIF])


def test_a_file_of_another_version_is_not_the_models(codec, newest_codec):
  # The same model id, but files of the version before.
  model = dataclasses.replace(
    newest_codec.model, format_version=codec.model.format_version
  )
  older = codec_lib.Codec(model)
  x = images.photograph(90, 140)
  for writer, reader in ((older, newest_codec), (newest_codec, older)):
    with pytest.raises(errors.BitstreamError, match="version"):
      reader.decompress(writer.compress(x, 1))


def test_packed_lengths_of_lanes_save_most_of_what_lanes_cost(
  codec, newest_codec
):
  x = images.photograph(512, 768)
  old, new = (c.info(c.compress(x, 2)) for c in (codec, newest_codec))
  assert new.lanes > 1.5 * old.lanes
  assert new.header_bytes < 0.9 * old.header_bytes


@pytest.mark.parametrize("fixture", ["codec", "newest_codec"])
def test_a_region_has_the_pixels_of_the_whole(request, fixture):
  codec = request.getfixturevalue(fixture)
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


def test_a_region_decodes_only_the_lanes_that_it_needs(newest_codec):
  decoded = []

  class Counting:
    def encode(self, rows, tables):
      return newest_codec._coder.encode(rows, tables)

    def decode(self, streams, positions, tables):
      decoded.append(len(streams))
      return newest_codec._coder.decode(streams, positions, tables)

  codec = codec_lib.Codec(newest_codec.model, Counting())
  data = codec.compress(images.photograph(512, 768), 2)
  codec.decompress(data)
  codec.decompress(data, region=(300, 200, 32, 32))
  assert decoded[0] == codec.info(data).lanes
  # Of 7 rows of positions, each in one or two lanes of 24.
  assert decoded[1] <= 14 < decoded[0] / 4


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


def test_the_same_bytes_are_checked_once(codec, monkeypatch):
  checked = []
  checksum = container.checksum

  def counting(data):
    checked.append(data)
    return checksum(data)

  monkeypatch.setattr(container, "checksum", counting)
  data = codec.compress(images.photograph(45, 70), 1)
  checked.clear()
  for x in (0, 20, 40):
    codec.decompress(data, region=(x, 0, 30, 45))
  assert len(checked) == 1
  # What can be changed is checked again.
  changing = bytearray(data)
  codec.decompress(changing)
  changing[-1] ^= 1
  with pytest.raises(errors.BitstreamError):
    codec.decompress(changing)
  codec.decompress(data)
  narrow = codec_lib.Codec(codec.model)
  narrow.decompress(data)
  narrow.max_pixels = 100
  with pytest.raises(errors.LimitError):
    narrow.decompress(data)


@pytest.mark.parametrize("block", [1, 40])
@pytest.mark.parametrize("factor", [1, 8])
def test_blocks_and_strips_do_not_show(
  newest_codec, monkeypatch, factor, block
):
  data = newest_codec.compress(images.photograph(250, 130), 2)
  whole = newest_codec.decompress(data, reduce=factor)
  region = (17, 33, 80, 160)
  part = newest_codec.decompress(data, region=region, reduce=factor)
  monkeypatch.setattr(file_decoding, "BLOCK_POSITIONS", block)
  monkeypatch.setattr(strips, "STRIP_POSITIONS", 20)
  np.testing.assert_array_equal(
    newest_codec.decompress(data, reduce=factor), whole
  )
  np.testing.assert_array_equal(
    newest_codec.decompress(data, region=region, reduce=factor), part
  )


@pytest.mark.parametrize("factor", [0, 3, 16, -2])
def test_other_reductions_are_refused(codec, factor):
  data = codec.compress(images.photograph(16, 16), 1)
  with pytest.raises(errors.UsageError, match="reduced"):
    codec.decompress(data, reduce=factor)
