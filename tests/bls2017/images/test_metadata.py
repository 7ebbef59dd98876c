"""Exif and XMP are read from files, turned upright, and written back."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bls2017.images import image_io, metadata
from tests import images, laws

X = images.photograph(20, 30)
ORIENTATION = 0x0112
XMP = (
  b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
  b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
  b' tiff:Orientation="6" dc:title="caf\xc3\xa9"/></rdf:RDF></x:xmpmeta>'
)


def _exif(orientation=6):
  tags = Image.Exif()
  tags[ORIENTATION] = orientation
  tags[0x010F] = "Maker"
  tags.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
  tags.get_ifd(0x8825)[1] = "N"
  return tags.tobytes().removeprefix(b"Exif\0\0")


def _file(kind, exif, xmp=XMP):
  buffer = io.BytesIO()
  options = metadata.saving_options(metadata.Metadata(exif, xmp), kind)
  Image.fromarray(X).save(buffer, kind, **options)
  return buffer.getvalue()


@pytest.mark.parametrize("kind", metadata.FORMATS)
def test_metadata_goes_through_files_and_comes_out_upright(kind):
  read = metadata.read(_file(kind, _exif()))
  assert read.xmp == XMP.replace(b'"6"', b'"1"')
  with Image.open(io.BytesIO(_file(kind, read.exif, read.xmp))) as image:
    tags = image.getexif()
    assert tags.get(ORIENTATION, 1) == 1
    assert tags[0x010F] == "Maker"
    assert tags.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
    assert tags.get_ifd(0x8825)[1] == "N"
  if kind != "TIFF":
    # Nothing but the orientation's two bytes changes.
    assert read.exif == _exif(1)


def test_what_has_none_has_none():
  assert metadata.read(image_io.encode(X)) == metadata.NONE
  assert metadata.read(b"not an image") == metadata.NONE
  assert metadata.read("missing.jpg") == metadata.NONE


def test_what_a_format_has_no_room_for_is_left_out_with_a_warning(caplog):
  about = metadata.Metadata(_exif(1), XMP)
  huge = metadata.Metadata(_exif(1) + bytes(1 << 17), b"")
  for kind, given_metadata in (("BMP", about), ("JPEG", huge)):
    with caplog.at_level(logging.WARNING, "bls2017.images.image_io"):
      data = image_io.encode(X, kind, about=given_metadata)
    assert kind in caplog.text
    assert metadata.read(data) == metadata.NONE
    caplog.clear()


def test_damaged_exif_is_left_out_with_a_warning(caplog):
  for damaged in (b"II*\0", b"junk", _exif()[:12]):
    with caplog.at_level(logging.WARNING, "bls2017.images.metadata"):
      assert metadata.upright(metadata.Metadata(damaged)).exif == b""
    assert "damaged" in caplog.text
    caplog.clear()


@laws.examples(200)
@given(st.binary(max_size=80))
def test_any_exif_is_upright_or_left_out(content):
  for exif in (content, b"II*\0" + content, b"MM\0*\0\0\0\x08" + content):
    upright = metadata.upright(metadata.Metadata(exif))
    assert len(upright.exif) in (0, len(exif))
    assert metadata.upright(upright) == upright
