"""Alpha through the codec: exact, whatever the image is and whoever reads."""

from __future__ import annotations

import dataclasses
import io
import struct

import numpy as np
import pytest
from PIL import Image

from bls2017 import decode, errors
from bls2017.encode import region_of_interest, request, search
from bls2017.format import alpha_box, container
from bls2017.images import metrics, reading
from tests import alphas, forging, images

HEIGHT, WIDTH = 45, 70
X = images.photograph(HEIGHT, WIDTH)
SPRITE = alphas.sprite(HEIGHT, WIDTH)
RGBA = np.dstack([X, SPRITE])


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (45, 1), (45, 70)])
@pytest.mark.parametrize("make", alphas.KINDS)
def test_alpha_comes_back_exactly(codec, make, size):
  alpha = make(*size).copy()
  alpha[0, 0] = 7
  x = np.dstack([images.photograph(*size), alpha])
  data = codec.compress(x, 2, verify=True)
  decoded = codec.decompress(data)
  assert decoded.dtype == np.uint8
  np.testing.assert_array_equal(reading.split(decoded)[1], alpha)
  info = codec.info(data)
  assert info.alpha
  assert info.header_bytes + info.payload_bytes == len(data)
  assert info.metadata == {"Alph": len(alpha_box.pack(alpha))}


def _png(image, **options):
  buffer = io.BytesIO()
  image.save(buffer, "PNG", **options)
  return buffer.getvalue()


def _sources():
  """Images with alpha, by name, each with what Pillow makes of its alpha."""
  rgba = Image.fromarray(RGBA)
  grey = Image.fromarray(X).convert("L")
  palette = Image.fromarray(X).quantize(16)
  entry = np.asarray(palette)
  one, table = palette.copy(), palette.copy()
  one.info["transparency"] = 3
  shades = bytes(range(0, 240, 15))
  table.info["transparency"] = shades
  colour = tuple(map(int, X[3, 5]))
  is_colour = (X == colour).all(-1)
  return {
    "RGBA": (rgba, SPRITE),
    "LA": (rgba.convert("LA"), SPRITE),
    "RGBa": (rgba.convert("RGBa"), SPRITE),
    "La": (rgba.convert("LA").convert("La"), SPRITE),
    "a palette with a transparent entry": (one, np.where(entry == 3, 0, 255)),
    "a palette of shades": (table, np.frombuffer(shades, np.uint8)[entry]),
    "an array of grey and alpha": (np.dstack([X[..., 0], SPRITE]), SPRITE),
    "an array of 16 bits": (RGBA * np.uint16(257), SPRITE),
    "PNG of RGBA": (_png(rgba), SPRITE),
    "PNG with a table of alpha": (
      _png(palette, transparency=shades),
      np.frombuffer(shades, np.uint8)[entry],
    ),
    "PNG with a transparent grey": (
      _png(grey, transparency=int(np.asarray(grey)[0, 0])),
      np.where(np.asarray(grey) == np.asarray(grey)[0, 0], 0, 255),
    ),
    "PNG with a transparent colour": (
      _png(Image.fromarray(X), transparency=colour),
      np.where(is_colour, 0, 255),
    ),
  }


SOURCES = _sources()


@pytest.mark.parametrize("name", SOURCES)
def test_alpha_of_every_kind_of_image_is_kept(codec, name):
  source, alpha = SOURCES[name]
  assert len(np.unique(alpha)) > 1
  decoded = codec.decompress(codec.compress(source, 2))
  np.testing.assert_array_equal(decoded[..., 3], alpha)


def test_an_opaque_image_has_no_alpha(codec):
  opaque = np.dstack([X, np.full_like(SPRITE, 255)])
  data = codec.compress(X, 2)
  assert codec.compress(opaque, 2) == data
  assert codec.compress(Image.fromarray(opaque), 2, alpha="#123456") == data
  assert not codec.info(data).alpha
  assert codec.decompress(data).shape == X.shape


@pytest.mark.parametrize("quality", [1, 2])
def test_what_cannot_be_seen_does_not_count_and_costs_little(codec, quality):
  noise = np.random.default_rng(0).integers(0, 256, X.shape, np.uint8)
  hidden = [np.where(SPRITE[..., None], X, y) for y in (0 * X, noise)]
  files = [codec.compress(np.dstack([y, SPRITE]), quality) for y in hidden]
  assert files[0] == files[1]
  without_box = len(files[0]) - sum(codec.info(files[0]).metadata.values())
  for y in hidden:
    assert without_box < 0.9 * len(codec.compress(y, quality))


def test_nothing_visible_is_an_image_too(codec):
  for options in ({"quality": 2}, {"target_psnr": 30}, {"max_bytes": 250}):
    data = codec.compress(np.dstack([X, 0 * SPRITE]), **options)
    decoded = codec.decompress(data)
    assert decoded.shape == (*X.shape[:2], 4) and not decoded[..., 3].any()


@pytest.mark.parametrize(
  ("alpha", "background"),
  [
    ("white", (255, 255, 255)),
    ("#000000", (0, 0, 0)),
    ("#0aF09c", (10, 240, 156)),
  ],
)
def test_alpha_is_composited_where_that_is_asked_for(
  codec, caplog, alpha, background
):
  data = codec.compress(RGBA, 2, alpha=alpha)
  assert not caplog.messages
  assert data == codec.compress(reading.to_rgb(X, SPRITE, background), 2)
  assert codec.decompress(data).shape == X.shape


@pytest.mark.parametrize(
  "alpha", ["", "black", "#12345", "#1234567", "#12345g"]
)
def test_other_words_for_alpha_are_refused(alpha):
  with pytest.raises(errors.UsageError, match="alpha must be"):
    request.Request(alpha=alpha)


def _soft(height, width):
  x, alpha = images.photograph(height, width), alphas.soft(height, width)
  return np.dstack([np.where(alpha[..., None], x, 0), alpha])


def test_a_size_counts_alpha(codec):
  x = _soft(128, 160)
  box = len(alpha_box.pack(x[..., 3]))
  for size in (box + 300, box + 450):
    assert size - 100 < len(codec.compress(x, max_bytes=size)) <= size
  with pytest.raises(errors.LimitError, match="smallest"):
    codec.compress(x, max_bytes=box)


@pytest.mark.parametrize(
  "effort", [1, pytest.param(2, marks=pytest.mark.tensorflow)]
)
def test_a_psnr_is_that_of_visible_pixels(codec, effort):
  x = _soft(96, 80)
  finest = codec.decompress(codec.compress(x, 2))
  target = metrics.psnr(x[..., :3], finest[..., :3], x[..., 3]) - 0.15
  data = codec.compress(x, target_psnr=target, effort=effort, verify=True)
  decoded = codec.decompress(data)
  found = metrics.psnr(x[..., :3], decoded[..., :3], x[..., 3])
  # Refining may get more for fewer bytes.
  assert target <= found < target + (0.15 if effort == 1 else 1)


def test_a_region_of_interest_and_alpha_go_together(codec):
  roi = np.zeros(X.shape[:2], np.uint8)
  roi[10:30, 20:50] = 255
  decoded = codec.decompress(codec.compress(RGBA, max_bytes=900, roi=roi))
  np.testing.assert_array_equal(decoded[..., 3], SPRITE)
  asked = request.Request(2, roi=roi)
  found = search.encode(X, codec.model, asked, alpha=SPRITE)
  weights = found.image.error_weights
  assert weights is not None
  of_region = np.where(roi, 1, region_of_interest.LEAST_WEIGHT)
  np.testing.assert_allclose(weights, of_region * SPRITE / 255, rtol=1e-6)


def test_a_region_has_the_alpha_of_the_whole(codec):
  data = codec.compress(RGBA, 2)
  whole = codec.decompress(data)
  rng = np.random.default_rng(0)
  for _ in range(20):
    x, y = rng.integers(0, WIDTH), rng.integers(0, HEIGHT)
    w, h = rng.integers(1, WIDTH - x + 1), rng.integers(1, HEIGHT - y + 1)
    part = codec.decompress(data, region=(x, y, w, h))
    np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("make", [alphas.sprite, alphas.noise, alphas.hard])
def test_reduced_colours_are_means_by_alpha(codec, monkeypatch, make, factor):
  data = codec.compress(np.dstack([X, make(HEIGHT, WIDTH)]), 2)
  whole = codec.decompress(data).astype(float)
  small = codec.decompress(data, reduce=factor)
  assert small.shape == (-(-HEIGHT // factor), -(-WIDTH // factor), 4)
  for i, j in np.ndindex(small.shape[:2]):
    box = whole[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
    colours, alpha = box[..., :3], box[..., 3]
    weights = alpha if alpha.any() else np.ones_like(alpha)
    means = np.average(colours.reshape(-1, 3), axis=0, weights=weights.ravel())
    # Halves are rounded up, of colours as of alpha.
    exact = np.append(means, alpha.mean())
    np.testing.assert_array_equal(small[i, j], np.floor(exact + 0.5 + 1e-9))
  monkeypatch.setattr(decode, "BLOCK_POSITIONS", 1)
  np.testing.assert_array_equal(codec.decompress(data, reduce=factor), small)
  region = (2 * factor, factor, 3 * factor, 2 * factor)
  part = codec.decompress(data, region=region, reduce=factor)
  np.testing.assert_array_equal(part, small[1:3, 2:5])


def _with_box(codec, content):
  """A file whose only fault may be the content of its box of alpha."""
  model = codec.model
  file = decode.open(codec.compress(RGBA, 1.5), model, codec.max_pixels)
  field = forging.boxes_field(forging.box(container.ALPHA, content))
  return forging.joined(forging.parts(file)._replace(boxes=field))


def test_a_broken_box_breaks_the_file_for_every_reader(codec, monkeypatch):
  sound = alpha_box.pack(SPRITE)
  data = _with_box(codec, sound)
  np.testing.assert_array_equal(codec.decompress(data)[..., 3], SPRITE)
  monkeypatch.setattr(container.File, "rows", None)  # No lane is decoded.
  for content in (
    b"x", sound[:-1], sound + b"\0", alpha_box.pack(SPRITE[1:]),
    alpha_box.pack(SPRITE.T), sound[:41] + bytes(len(sound) - 57) + sound[-16:],
  ):  # fmt: skip
    broken = _with_box(codec, content)
    for read in (
      codec.decompress, codec.decode, codec.info, codec.metadata, codec.symbols,
      lambda data: codec.decompress(data, region=(0, 0, 1, 1), reduce=8),
    ):  # fmt: skip
      with pytest.raises(errors.BitstreamError, match="the alpha"):
        read(broken)


def test_faults_of_lanes_come_before_those_of_alpha(codec):
  data = _with_box(codec, b"x")
  with pytest.raises(errors.BitstreamError, match="the alpha"):
    codec.info(data)
  with pytest.raises(errors.BitstreamError, match="lanes"):
    codec.info(forging.seal(data + bytes(70000)))


def test_a_claim_of_a_huge_image_is_not_believed(codec):
  data = _with_box(codec, alpha_box.pack(SPRITE))
  size = struct.pack("<HH", 8000, 8000)
  with pytest.raises(errors.BitstreamError):
    codec.decompress(forging.changed(data, container.HEIGHT_OFFSET, size))


def test_a_damaged_box_gives_an_image_of_its_size_or_an_error(codec):
  sound = _with_box(codec, alpha_box.pack(SPRITE))
  _, start = container.unpack_number(sound, container.HEADER_BYTES)
  end = start + container.BOX_HEADER_BYTES + codec.info(sound).metadata["Alph"]
  for bit in range(8 * container.HEADER_BYTES, 8 * end, 3):
    flipped = bytearray(sound)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
      decoded = codec.decompress(forging.seal(bytes(flipped)))
    except errors.BitstreamError:
      continue
    assert decoded.shape[:2] == (HEIGHT, WIDTH)
  for length in range(container.HEADER_BYTES, end):
    with pytest.raises(errors.BitstreamError):
      codec.decompress(forging.seal(sound[:length]))


def test_verifying_compares_alpha(codec, monkeypatch):
  pack = alpha_box.pack
  for faulty in (lambda alpha: pack(alpha ^ 1), lambda alpha: b""):
    monkeypatch.setattr(alpha_box, "pack", faulty)
    assert codec.compress(RGBA, 1)
    with pytest.raises(errors.VerificationError, match="the alpha"):
      codec.compress(RGBA, 1, verify=True)


def test_alpha_that_the_format_cannot_hold_is_refused(codec, monkeypatch):
  monkeypatch.setattr(container, "MAX_BOXES_BYTES", 200)
  with pytest.raises(errors.LimitError, match="alpha"):
    codec.compress(RGBA, 1)
  assert codec.compress(RGBA, 1, alpha="white")


def test_a_picture_is_taken_as_it_was_read(codec):
  picture = reading.read(RGBA)
  asked = request.Request(2)
  data = codec.encode(picture, asked).data
  assert data == codec.compress(RGBA, 2)
  white = dataclasses.replace(asked, alpha="white")
  assert codec.encode(picture, white).data == codec.compress(
    reading.read_rgb(RGBA), 2
  )
