"""The signatures of an export, as a model server calls them."""

from __future__ import annotations

import dataclasses
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import container
from bls2017.model import model_directory
from export import serving_module
from tests import images, memory
from tests.export import conftest
from tests.fuzz import exhaustive

QUALITIES = (1.0, 1.375, 2.0)


def _png(x: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(x).save(buffer, "PNG")
  return buffer.getvalue()


def _pixels(png: bytes) -> np.ndarray:
  return np.array(Image.open(io.BytesIO(png)))


def _status(outputs) -> list[int]:
  for status, message in zip(outputs["status"], outputs["message"]):
    assert bool(status) == bool(message)
    assert b"\n" not in message
  return outputs["status"].tolist()


def _bad_files(data: bytes) -> dict[str, tuple[bytes, int]]:
  """Bad files made of a good one, with the status each must get."""
  fields, body = data[:18], data[26:]

  def resealed(fields: bytes, body: bytes) -> bytes:
    return fields + container.checksum(fields + body) + body

  def sized(height: int, width: int) -> bytes:
    return fields[:6] + struct.pack("<HH", height, width) + fields[10:]

  boxes, lanes = body[:4], body[4:]
  smallest = struct.unpack_from("<H", lanes)[0]
  return {
    "empty": (b"", 4),
    "magic": (b"\x89PNG" + data[4:], 4),
    "part of the magic": (data[:3], 4),
    "version": (data[:4] + b"\4" + data[5:], 4),
    "older version": (resealed(fields[:4] + b"\2" + fields[5:], body), 4),
    "header cut": (data[:25], 4),
    "cut": (data[:-1], 4),
    "appended": (data + b"\0", 4),
    "bit": (data[:40] + bytes([data[40] ^ 1]) + data[41:], 4),
    "no height": (resealed(sized(0, 64), body), 4),
    "no width": (resealed(sized(48, 0), body), 4),
    "quality": (resealed(fields[:5] + b"\7" + fields[6:], body), 4),
    "lacking quality": (resealed(fields[:5] + b"\xff" + fields[6:], body), 4),
    "foreign": (resealed(fields[:10] + b"another!", body), 4),
    "over the limit": (resealed(sized(129, 128), body), 5),
    "largest": (resealed(sized(65535, 65535), b""), 5),
    "too short": (resealed(sized(128, 128), b""), 4),
    "boxes cut off": (resealed(fields, b"\1\0\0\0" + body), 4),
    "boxes too long": (resealed(fields, b"\0\0\0\2" + lanes), 4),
    "too many boxes": (
      resealed(
        fields,
        struct.pack("<I", 65 * 9)
        + b"".join(b"%04d\1\0\0\0?" % i for i in range(65))
        + lanes,
      ),
      4,
    ),
    "empty box": (
      resealed(fields, b"\x08\0\0\0XMP \0\0\0\0" + lanes), 4
    ),
    "lanes": (
      resealed(fields, boxes + struct.pack("<H", smallest + 1) + lanes[2:]), 4
    ),
    "trailing zero": (resealed(fields, body + b"\0"), 4),
    "payload": (resealed(fields, body[:-2] + b"\0\0"), 4),
  }  # fmt: skip


@pytest.mark.parametrize("quality", QUALITIES)
def test_bytes_are_those_of_the_library(
  session_model, codec, photographs, quality
):
  expected = [codec.compress(x, quality) for x in photographs]
  count = len(photographs)
  files = [_png(x) for x in photographs]
  for name in ("compress", "serving_default"):
    outputs = session_model(name, image_bytes=files, quality=[quality] * count)
    assert _status(outputs) == [0] * count
    assert outputs["compressed_bytes"].tolist() == expected


@pytest.mark.parametrize("quality", QUALITIES)
def test_images_are_those_of_the_library(
  session_model, codec, photographs, quality
):
  data = [codec.compress(x, quality) for x in photographs]
  outputs = session_model("decompress", compressed_bytes=data)
  assert _status(outputs) == [0] * len(data)
  for png, d in zip(outputs["image_bytes"], data):
    expected = codec.decompress(d).astype(int)
    assert np.abs(_pixels(png).astype(int) - expected).max() <= 1
    tensor = session_model("decompress_image", compressed_bytes=[d])
    assert _status(tensor) == [0]
    np.testing.assert_array_equal(tensor["image"][0], _pixels(png))


def test_image_tensors_compress_as_files_do(session_model, photographs):
  x = photographs[0]
  both = np.stack([x, x[::-1]])
  outputs = session_model("compress_image", image=both, quality=[1.0, 2.0])
  files = session_model(
    "compress", image_bytes=[_png(i) for i in both], quality=[1.0, 2.0]
  )
  assert _status(outputs) == [0, 0]
  assert (outputs["compressed_bytes"] == files["compressed_bytes"]).all()


def test_bad_items_get_a_status_and_leave_their_neighbours_alone(
  session_model, codec, photographs
):
  data = codec.compress(photographs[3], 1.5)  # Of two lanes.
  bad = _bad_files(data)
  mixed, expected = [], []
  for name, (item, status) in bad.items():
    mixed += [item, data]
    expected += [status, 0]
    with pytest.raises(errors.CodecError) as raised:
      codec.decompress(item)
    assert raised.value.exit_code == status, name
  outputs = session_model("decompress", compressed_bytes=mixed)
  assert _status(outputs) == expected
  assert not any(outputs["image_bytes"][::2])
  assert len(set(outputs["image_bytes"][1::2])) == 1
  tensors = session_model("decompress_image", compressed_bytes=mixed)
  assert _status(tensors) == expected
  assert not tensors["image"][::2].any()
  png = _pixels(outputs["image_bytes"][1])
  assert (tensors["image"][1::2] == png).all()


def test_metadata_is_checked_and_skipped(session_model, codec, photographs):
  data = codec.compress(photographs[0], 1.5)
  boxes = [container.Box(b"XMP ", b"<x/>"), container.Box(b"abcd", b"?")]
  body = container.pack_boxes(3, boxes) + data[30:]
  sealed = data[:18] + container.checksum(data[:18] + body) + body
  assert codec.info(sealed).lanes == codec.info(data).lanes
  outputs = session_model("decompress", compressed_bytes=[data, sealed])
  assert _status(outputs) == [0, 0]
  assert outputs["image_bytes"][0] == outputs["image_bytes"][1]


def test_batches_may_mix_sizes_qualities_and_faults(
  session_model, codec, photographs
):
  rng = np.random.default_rng(0)
  sound = [(x, q) for x in photographs for q in QUALITIES]
  files = [codec.compress(x, q) for x, q in sound]
  bad = [item for item, _ in _bad_files(files[-1]).values()]
  statuses = [0] * len(files) + [s for _, s in _bad_files(files[-1]).values()]
  order = rng.permutation(len(files) + len(bad))
  mixed = [(files + bad)[i] for i in order]
  outputs = session_model("decompress", compressed_bytes=mixed)
  assert _status(outputs) == [statuses[i] for i in order]
  for data, png in zip(mixed, outputs["image_bytes"]):
    alone = session_model("decompress", compressed_bytes=[data])
    assert alone["image_bytes"].tolist() == [png]
  pngs = [_png(x) for x, _ in sound] + [b"x", b""]
  qualities = [q for _, q in sound] + [1.0, 9.0]
  order = rng.permutation(len(pngs))
  outputs = session_model(
    "compress",
    image_bytes=[pngs[i] for i in order],
    quality=[qualities[i] for i in order],
  )
  found = outputs["compressed_bytes"]
  assert [found[i] for i in np.argsort(order)] == [*files, b"", b""]
  statuses = np.array(_status(outputs))[np.argsort(order)]
  assert statuses.tolist() == [0] * len(files) + [3, 2]


def test_jpeg_files_for_those_who_can_show_nothing_else(
  session_model, codec, photographs
):
  data = [codec.compress(x, 2.0) for x in photographs]
  outputs = session_model(
    "decompress_to_jpeg",
    compressed_bytes=[data[0], data[3], data[0], data[0], b"x", data[3]],
    jpeg_quality=[95, 95, 0, 101, 50, 10],
  )
  assert _status(outputs) == [0, 0, 2, 2, 4, 0]
  files = outputs["image_bytes"]
  assert [bool(file) for file in files] == [True] * 2 + [False] * 3 + [True]
  assert len(files[5]) < len(files[1])
  for file, d in zip(files, data[::3]):
    image = Image.open(io.BytesIO(file))
    assert image.format == "JPEG"
    difference = np.array(image).astype(int) - codec.decompress(d)
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize("kind", ["cut", "bit", "zero", "appended"])
def test_every_damage_is_refused(session_model, codec, kind):
  data = codec.compress(images.photograph(20, 20, 9), 1)
  files = exhaustive.damaged(data)[kind]
  assert len(files) > 20
  for signature in ("info", "decompress"):
    outputs = session_model(signature, compressed_bytes=files)
    assert set(_status(outputs)) == {4}


def test_a_size_without_its_payload_costs_no_memory(session_model, codec):
  bad = _bad_files(codec.compress(images.photograph(48, 64), 1.5))
  files = [bad[name][0] for name in ("over the limit", "largest", "too short")]
  session_model("decompress", compressed_bytes=files)  # Has its own memory.

  def refused():
    outputs = session_model("decompress", compressed_bytes=files)
    assert _status(outputs) == [5, 5, 4]

  assert memory.growth(refused) < 1 << 24


def test_another_models_file_is_refused_and_both_are_named(
  session_model, codec
):
  data = codec.compress(images.photograph(20, 20), 1)
  foreign = _bad_files(data)["foreign"][0]
  for signature in ("info", "decompress"):
    outputs = session_model(signature, compressed_bytes=[foreign])
    assert _status(outputs) == [4]
    for model_id in (b"another!", codec.model.model_id):
      assert model_id.hex().encode() in outputs["message"][0]


def test_hostile_payloads_decode_or_are_refused_as_in_the_library(
  session_model, codec
):
  data = codec.compress(images.photograph(32, 48, 2), 2)
  header = container.unpack_header(data)
  rng = np.random.default_rng(0)
  lanes = len(
    container.unpack_lanes(
      data,
      header,
      codec.model.tables.for_quality(header.quality_index).lane_positions,
    )
  )
  forged = []
  for i in range(100):
    content = rng.choice([0, 0x20, 0xFF, i], (lanes, int(rng.integers(0, 9))))
    forged.append(
      container.pack(header, [bytes(c.astype(np.uint8)) for c in content])
    )
  outputs = session_model("decompress", compressed_bytes=forged)
  expected = []
  for item in forged:
    try:
      codec.decompress(item)
      expected.append(0)
    except errors.BitstreamError:
      expected.append(4)
  assert _status(outputs) == expected


def test_bad_images_and_qualities_get_a_status(session_model, photographs):
  good = _png(photographs[0])
  bomb = good[:16] + struct.pack(">II", 20000, 20000) + good[24:]
  items = [
    (good, 1.0, 0),
    (b"", 1.0, 3),
    (b"GIF89a", 1.0, 3),
    (good[:20], 1.0, 3),
    (good[:200], 1.0, 3),
    (good, 0.9, 2),
    (good, 2.1, 2),
    (good, np.nan, 2),
    (good, np.inf, 2),
    (bomb, 1.0, 5),
    (_png(images.photograph(129, 128)), 1.0, 5),
    (good, 2.0, 0),
  ]
  data, quality, expected = zip(*items)
  outputs = session_model("compress", image_bytes=data, quality=quality)
  assert _status(outputs) == list(expected)
  empty = [not d for d in outputs["compressed_bytes"]]
  assert empty == [bool(status) for status in expected]


@pytest.mark.parametrize(
  "size, status", [((0, 5), 2), ((129, 128), 5), ((1, 16384), 0)]
)
def test_image_tensors_have_limits(session_model, size, status):
  image = np.zeros((2, *size, 3), np.uint8)
  outputs = session_model("compress_image", image=image, quality=[1.0, 9.0])
  assert _status(outputs) == [status, 2]


def test_image_tensors_of_a_batch_have_the_first_sound_size(
  session_model, codec, photographs
):
  data = [codec.compress(x, 2.0) for x in photographs]
  outputs = session_model(
    "decompress_image", compressed_bytes=[b"", data[1], data[0], data[1]]
  )
  assert _status(outputs) == [4, 0, 2, 0]
  assert outputs["image"].shape == (4, *photographs[1].shape)
  outputs = session_model("decompress_image", compressed_bytes=[b"", b"x"])
  assert _status(outputs) == [4, 4]
  assert outputs["image"].shape == (2, 0, 0, 3)


def test_info_is_that_of_the_library(session_model, codec, photographs):
  data = [codec.compress(x, 1.5) for x in photographs]
  outputs = session_model("info", compressed_bytes=[*data, data[0][:-1]])
  assert _status(outputs) == [0] * len(data) + [4]
  for i, d in enumerate(data):
    expected = codec.info(d)
    for name in ("height", "width", "quality"):
      assert outputs[name][i] == getattr(expected, name)
    assert outputs["model_id"][i].decode() == expected.model_id
    assert outputs["bpp"][i] == pytest.approx(expected.bpp, rel=1e-6)
  assert outputs["height"][-1] == 0
  assert outputs["model_id"][-1] == b""


def test_empty_batches(session_model):
  outputs = session_model("decompress", compressed_bytes=[])
  assert outputs["image_bytes"].shape == (0,)
  outputs = session_model("compress", image_bytes=[], quality=[])
  assert outputs["status"].shape == (0,)


def test_the_signatures_are_the_documented_ones(session_model):
  string, number, real, byte = 7, 3, 1, 4
  status = {"status": (number, [-1]), "message": (string, [-1])}
  data = {"compressed_bytes": (string, [-1])}
  quality = {"quality": (real, [-1])}
  image = {"image": (byte, [-1, -1, -1, 3])}
  file = {"image_bytes": (string, [-1])}
  expected = {
    "compress": ({**file, **quality}, {**data, **status}),
    "decompress": (data, {**file, **status}),
    "decompress_to_jpeg": (
      {**data, "jpeg_quality": (number, [-1])},
      {**file, **status},
    ),
    "compress_image": ({**image, **quality}, {**data, **status}),
    "decompress_image": (data, {**image, **status}),
    "info": (
      data,
      {
        "height": (number, [-1]),
        "width": (number, [-1]),
        "quality": (real, [-1]),
        "model_id": (string, [-1]),
        "bpp": (real, [-1]),
        **status,
      },
    ),
  }
  expected["serving_default"] = expected["compress"]

  def described(tensors):
    return {
      name: (t.dtype, [d.size for d in t.tensor_shape.dim])
      for name, t in tensors.items()
    }

  for name, (inputs, outputs) in expected.items():
    signature = session_model.signatures[name]
    assert described(signature.inputs) == inputs
    assert described(signature.outputs) == outputs


def test_the_limits_of_both_directions_agree(session_model, codec):
  assert conftest.MAX_PIXELS == 128 * 128
  wide = codec_lib.Codec(codec.model)
  data = wide.compress(images.photograph(129, 128), 1)
  outputs = session_model("info", compressed_bytes=[data])
  assert _status(outputs) == [5]


def test_a_request_that_is_no_batch_fails_alone(session_model, photographs):
  file = _png(photographs[0])
  for inputs in (
    {"image_bytes": [file], "quality": [1.0, 1.0]},
    {"image_bytes": [file, file], "quality": [1.0]},
  ):
    with pytest.raises(tf.errors.InvalidArgumentError):
      session_model("compress", **inputs)
  with pytest.raises(ValueError):
    session_model("decompress", compressed_bytes=[[b"x"]])


def _without_finite_latents(model) -> serving_module.ServingModule:
  weights = dict(model.weights)
  bias = weights["analysis/2/bias"].copy()
  bias[0] = np.nan
  weights["analysis/2/bias"] = bias
  pairs = (model_directory.TransformPair(weights),)
  return serving_module.ServingModule(
    dataclasses.replace(model, pairs=pairs), conftest.MAX_PIXELS
  )


def test_latents_that_are_not_finite_get_a_status(frozen_model):
  module = _without_finite_latents(frozen_model)
  x = np.stack([images.photograph(20, 20)] * 2)
  outputs = module.compress_image(x, tf.constant([1.0, 9.0]))
  outputs = {k: v.numpy() for k, v in outputs.items()}
  assert _status(outputs) == [3, 2]
  assert b"not finite" in outputs["message"][0]
  assert not any(outputs["compressed_bytes"])


def test_latents_beyond_integers_are_clipped_as_in_the_library(frozen_model):
  tables = frozen_model.tables
  louder = dataclasses.replace(tables, gain=tables.gain * np.float32(1e30))
  model = dataclasses.replace(frozen_model, tables=louder)
  module = serving_module.ServingModule(model, max_pixels=conftest.MAX_PIXELS)
  x = images.photograph(20, 20)
  outputs = module.compress_image(x[None], tf.constant([1.5]))
  expected = codec_lib.Codec(model).compress(x, 1.5)
  assert outputs["compressed_bytes"].numpy()[0] == expected
