"""Exif and XMP are made upright in place, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.images import metadata, reading
from tests import laws
from tests.bls2017.images import made
from tests.bls2017.images.pictures import G, X

pytestmark = pytest.mark.timeout(60)


@laws.examples(200)
@given(st.binary(max_size=80))
def test_any_exif_keeps_its_length_and_becomes_upright_once(content):
  for exif in (content, b"II*\0" + content, b"MM\0*\0\0\0\x08" + content):
    upright, _ = metadata.reset_orientation(exif, b"")
    assert len(upright) == len(exif)
    assert metadata.orientation(upright, b"") == 1
    assert metadata.reset_orientation(upright, b"") == (upright, b"")


@laws.examples(100)
@given(
  st.integers(2, 8),
  st.sampled_from([1, 3, 4, 6, 8, 9, 13]),
  st.sampled_from("<>"),
)
def test_nothing_but_the_orientation_changes(value, kind, order):
  exif = made.turned(value, kind, order)
  assert metadata.orientation(exif, b"") == value
  upright, _ = metadata.reset_orientation(exif, b"")
  assert upright == made.turned(1, kind, order)


@laws.examples(200)
@given(st.binary(max_size=60))
def test_any_exif_in_a_file_is_kept_or_named(content):
  for exif in (content, b"II*\0\x08\0\0\0" + content):
    picture = reading.read(made.png(X[:4, :4], (b"eXIf", exif)))
    named = metadata.DAMAGED_EXIF in picture.losses
    kept = len(picture.exif) == len(metadata.plain_exif(exif))
    assert named or kept


@laws.examples(200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 7))
def test_no_changed_bit_of_a_file_gives_another_error(seed, number, bit):
  files = [
    made.png(
      X[:8, :8],
      (b"eXIf", made.turned()),
      (b"gAMA", b"\0\0\1\0"),
      made.xmp_chunk(made.xmp(6)),
    ),
    made.jpeg(X[:8, :8], (0xE1, b"Exif\0\0" + made.turned())),
    made.tiff(X[:8, :8], (made.ORIENTATION, 3, 6)),
    made.saved(X[:8, :8], "JPEG2000"),
    made.saved(X[:8, :8], "AVIF", exif=made.turned()),
    made.saved(X[:8, :8], "WEBP", exif=made.turned()),
    made.psd(X[:8, :8], made.resource(0x422, made.turned()), layers=1),
    made.bmp(np.dstack([X, G])[:8, :8], made.turned()),
  ]
  for data in files:
    changed = bytearray(data)
    for i in range(number):
      changed[(seed * (i + 1) * 7919) % len(data)] ^= 1 << bit
    try:
      picture = reading.read(changed, max_pixels=1 << 16)
    except errors.CodecError as e:
      assert "\n" not in str(e)
    else:
      assert picture.pixels.dtype == "uint8"
